"""Becoming another user, for tests that need a real one: only root can, and only where that user
may run this Python."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys

import pytest

BECOME = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")


@functools.cache
def why_not() -> str:
    """Why nobody can be had here, or "" where it can."""
    if sys.platform != "linux" or not shutil.which("setpriv"):
        return "needs setpriv"
    if os.geteuid() != 0:
        return "needs root, to become another uid"
    tried = subprocess.run([*BECOME, sys.executable, "-c", ""], capture_output=True, check=False)
    return "" if tried.returncode == 0 else "another uid may not run this Python"


needs_other_uid = pytest.mark.skipif(bool(why_not()), reason=why_not() or "it can be had")
"""Marks a test that runs Python under another uid by putting `BECOME` before the command."""
