"""What a process does to itself before it touches a secret.

Knows: the switches of the system. Refuses to know: why somebody would want to look. The hard thing:
none of it may fail in silence, and none of it may keep the daemon from starting where a system
doesn't offer it; so each step says whether it took effect.
"""

from __future__ import annotations

import ctypes
import os
import resource
import sys

PR_SET_DUMPABLE = 4  # linux/prctl.h

MOST_FILES = 65_536
"""Descriptors. Beyond any number of clients of one user; a hard limit of "unlimited" would make
tables that a child process walks for seconds when it closes them all."""


def harden() -> list[str]:
    """Close this process to others of its user, as far as the system allows.

    No core file, no ptrace, no reading of its memory or environment by another process of the same
    user (Linux), new files for their owner alone, as many open files as allowed. Answers with a
    sentence for each step that did not take effect.
    """
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    raise_file_limit()
    return [] if hide() else ["other processes of this user can read this one's memory"]


def hide() -> bool:
    """Make this process not dumpable (prctl(2), PR_SET_DUMPABLE): no ptrace, no core file.

    From then on not even we can read our own /proc/self/environ. False where there is no such
    switch, as on macOS.
    """
    if sys.platform != "linux":
        return False
    return bool(ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0)


def raise_file_limit() -> int:
    """Raise RLIMIT_NOFILE as far as it goes, up to MOST_FILES; answers with what it is now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if wanted > soft:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):  # macOS refuses more than kern.maxfilesperproc
            return soft
    return max(soft, wanted)
