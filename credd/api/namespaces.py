"""Whether a caller lives in a user or pid namespace of its own: in a container, that is.

Knows: what the kernel shows of the process that connected. Refuses to know: why somebody is in a
container. The hard thing is the time between two looks: a process may die and its number may be
given to another one. So the kernel is asked for a handle to the very process that connected, and
what was read under its number counts only if the handle says that it still lived afterwards.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
import sys

SO_PEERPIDFD = 77
"""<asm-generic/socket.h>, Linux 6.5 and newer; Python has no name for it."""

NAMESPACES = ("user", "pid")
"""Those that change who a process seems to be. A mount or network namespace does not."""

NESTED = "lives in namespaces of its own, as a container does; give it a job socket"
UNREADABLE = "can't be looked at, so it may live in a container; give it a job socket"


def fault_of(connection: socket.socket) -> str:
    """Why this caller is none of ours, "" if it is. What can't be read is a fault.

    Raises OSError only where we ourselves have no descriptor left to look with.

    A process that hides itself (prctl(2), PR_SET_DUMPABLE) can't be read, and one in a container
    could do just that; sshd's are such, which is why what is forwarded is a job socket.
    """
    if sys.platform != "linux":  # macOS has no namespaces
        return ""
    try:
        return "" if _is_beside_us(connection) else NESTED
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise
        return UNREADABLE


def _is_beside_us(connection: socket.socket) -> bool:
    """Raises OSError where the caller can't be looked at, or is gone."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    pid = struct.unpack("3i", raw)[0]
    handle = handle_of(connection)
    try:
        is_beside = all(_is_same(pid, kind) for kind in NAMESPACES)
        if handle is not None and is_over(handle):
            raise ProcessLookupError
    finally:
        if handle is not None:
            os.close(handle)
    return is_beside


def handle_of(connection: socket.socket) -> int | None:
    """A pidfd of whoever connected; None on kernels without. Raises OSError where it is gone."""
    try:
        return connection.getsockopt(socket.SOL_SOCKET, SO_PEERPIDFD)
    except OSError as error:
        if error.errno != errno.ENOPROTOOPT:  # before 6.5 the number alone must do
            raise
    return None


def _is_same(pid: int, kind: str) -> bool:
    """Whether the process is in our namespace of this kind: these files stand for them, and the
    same namespace is the same file (namespaces(7))."""
    theirs, ours = os.stat(f"/proc/{pid}/ns/{kind}"), os.stat(f"/proc/self/ns/{kind}")
    return (theirs.st_dev, theirs.st_ino) == (ours.st_dev, ours.st_ino)


def is_over(handle: int) -> bool:
    """Whether the process has ended: its handle is readable then (pidfd_open(2))."""
    looking = select.poll()
    looking.register(handle, select.POLLIN)
    return bool(looking.poll(0))
