"""The one exception a user should ever see, and what a script does with it."""

from __future__ import annotations


class UserError(Exception):
    """Bad input, named in one line: which file or setting, what is wrong, what to do.

    Library code raises it; only a script turns it into a line on stderr and an exit code (see ``cli.run``).
    """
