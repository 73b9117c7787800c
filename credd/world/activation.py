"""Gets the socket that clients connect to: handed over by systemd, or bound by ourselves.

Knows: LISTEN_FDS (sd_listen_fds(3)), and how a socket's file comes and stays. Refuses to know: who
connects. The hard thing: a bind that replaces a socket's file takes the place of a daemon that is
alive without a word to anybody. So under a lock the one who may be there is called first, and only
a file that nobody answers behind is replaced, by a rename: a client finds the old file (refused: a
daemon was here) or the new one (it listens), never none.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import stat
import struct
import sys
from collections.abc import Iterator, MutableMapping

from credd import paths
from credd.errors import AnotherDaemon, Misconfigured

BACKLOG = 128
"""Connections that wait to be accepted. A longer queue makes all of them wait longer before the
first is answered (p50 157 ms with 128 and 336 ms with 4096, of 5,000 at once), and a client that
connects blocking waits outside it just as well."""

FIRST_FD = 3  # SD_LISTEN_FDS_START

ANSWERS_WITHIN = 1.0
"""Seconds to wait for the one who may be there: the kernel answers without it, so this is for
ever."""


def listener(path: str, environ: MutableMapping[str, str]) -> socket.socket:
    """A listening socket, non-blocking: the one handed over, else our own at `path`.

    Raises AnotherDaemon where someone listens at `path`, Misconfigured where the folder or the file
    there is not fit, OSError where the system refuses.
    """
    return activated(environ) or bind(path)


def activated(environ: MutableMapping[str, str]) -> socket.socket | None:
    """The socket that systemd handed over, or None.

    Takes the three variables out of the environment, so that no child thinks they are for it.
    """
    pid = environ.pop("LISTEN_PID", "")
    count = environ.pop("LISTEN_FDS", "")
    environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count.isdigit() or count == "0":
        return None
    for fd in range(FIRST_FD, FIRST_FD + int(count)):
        with contextlib.suppress(OSError):  # a count that promises more than there is
            os.set_inheritable(fd, False)
    if count != "1":
        raise Misconfigured(
            f"{count} sockets were handed over, and credd serves one",
            remedy="systemctl --user cat credd.socket",
        )
    return _checked(socket.socket(fileno=FIRST_FD))


def _checked(handed: socket.socket) -> socket.socket:
    listens = handed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if handed.family != socket.AF_UNIX or handed.type != socket.SOCK_STREAM or not listens:
        raise Misconfigured(
            "the socket that was handed over is no listening Unix stream socket",
            remedy="systemctl --user cat credd.socket",
        )
    handed.setblocking(False)
    return handed


def bind(path: str, *, guest: int | None = None) -> socket.socket:
    """Listen at `path`, in a folder that is made if need be. Raises as `listener`.

    The file is never wider than 0600, not for an instant, and stays there when the socket is
    closed: to a client it then says that a daemon was here and may come back.

    `guest` is another uid that may connect. Root gives the file to it. Nobody else can, so then the
    file is open to all, and whoever accepts must ask the kernel who it is before reading a byte.
    """
    folder, name = os.path.split(path)
    arriving = f"{folder}/.{name}"
    paths.check_length(arriving, sys.platform)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    paths.check_socket_folder(folder, os.geteuid(), 0o077 if guest is None else 0o066)
    with _alone_in(folder):
        _make_sure_nobody_listens(path, {os.geteuid(), guest})
        return _bind_and_rename(arriving, path, guest)


@contextlib.contextmanager
def _alone_in(folder: str) -> Iterator[None]:
    """Hold the folder's own lock: nothing but the socket may lie in it, no lock file either."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _make_sure_nobody_listens(path: str, owners: set[int | None]) -> None:
    """Raise AnotherDaemon if someone does, Misconfigured if what lies there is not ours."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode) or found.st_uid not in owners:
        raise Misconfigured(f"something else lies where our socket goes: {path}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(ANSWERS_WITHIN)
        code = probe.connect_ex(path)
        if code not in (errno.ECONNREFUSED, errno.ENOENT):
            raise AnotherDaemon(f"{_who_listens(probe, code)} listens at {path}")


def _who_listens(probe: socket.socket, code: int) -> str:
    """The one behind the socket, as the kernel noted it at listen(2)."""
    if code != 0 or not hasattr(socket, "SO_PEERCRED"):
        return "another process"
    pid, _, _ = struct.unpack("3i", probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return f"process {pid} on {socket.gethostname()}"


def _bind_and_rename(arriving: str, path: str, guest: int | None) -> socket.socket:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(arriving)  # left by one that died just here; the lock is ours now
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # bind(2) makes the file with the modes that the umask leaves; a chmod would come too late.
        before = os.umask(0o177)
        try:
            bound.bind(arriving)
        finally:
            os.umask(before)
        _open_to(guest, arriving)
        bound.listen(BACKLOG)
        bound.setblocking(False)
        os.rename(arriving, path)
    except BaseException:
        bound.close()
        raise
    return bound


def _open_to(guest: int | None, path: str) -> None:
    """Let another uid connect to the file. In its folder it can change nothing."""
    if guest is None:
        return
    if os.geteuid() == 0:
        os.chown(path, guest, -1)
    else:
        os.chmod(path, 0o666)  # noqa: S103 - who accepts asks the kernel who it is
