"""Permissions bind everybody but root: how to run a process that they bind as well."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

_SETPRIV = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]


def unprivileged() -> list[str]:
    """Words to put before a command, so that permissions hold for it; skips the test where there are none."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None or subprocess.run([*_SETPRIV, "true"], check=False).returncode:
        pytest.skip("root, whom permissions do not bind, and setpriv cannot change that here")
    return _SETPRIV
