"""The one exception a user should ever see, and what a script does with it."""

from __future__ import annotations

import re

_BREAKS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_LONGEST = 1000


class UserError(Exception):
    """Bad input, named in one line: which file or setting, what is wrong, what to do.

    Library code raises it; only a script turns it into a line on stderr and an exit code (see ``cli.run``).
    """

    def __init__(self, message: str):
        super().__init__(one_line(message))


def one_line(text: str) -> str:
    """The text with control characters and bytes that are no UTF-8 as escapes, cut in the middle if very long.

    What a file is called, or holds, can then neither break a line of output nor steer the terminal.
    """
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 2 :]}"
    return _BREAKS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
