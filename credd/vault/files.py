"""Files that are ours alone: made whole or not at all, and refused when others had a hand in them.

Knows modes, owners, links and what makes a write durable; nothing of keys or records. The one hard
thing: a file that exists is never written over, not even in a race.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

PRIVATE = 0o600
PRIVATE_FOLDER = 0o700
NEW = ".new-"
"""Between a file's name and random letters: being made, and of no use to anybody yet."""

ZEROS = 1024 * 1024
"""Bytes overwritten at once."""


class Unfit(Exception):
    """This is not a file of ours alone. `reason` is one word (see `find_fault`)."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def find_fault(found: os.stat_result) -> str:
    """Why this is not a file of ours alone: one word, or nothing if it is.

    `symlink`, `not_a_file`, `foreign_owner`, `open_to_others`, `hard_linked`. Pass what `lstat` or
    `fstat` said, so that a symbolic link is seen as one.
    """
    if stat.S_ISLNK(found.st_mode):
        return "symlink"
    if not stat.S_ISREG(found.st_mode):
        return "not_a_file"
    if found.st_uid != os.geteuid():
        return "foreign_owner"
    if stat.S_IMODE(found.st_mode) & 0o077:
        return "open_to_others"
    # SQLite locks and logs by name: through a second name two daemons would write at once.
    return "hard_linked" if found.st_nlink > 1 else ""


def check_private(path: Path) -> None:
    """Raise Unfit unless `path` is a file of ours alone; OSError as `lstat` does."""
    fault = find_fault(path.lstat())
    if fault:
        raise Unfit(fault)


def make_private_folder(folder: Path) -> None:
    """Make `folder`, and those above it, 0700 where missing; raise Unfit if others may write it."""
    if not folder.parent.exists():
        make_private_folder(folder.parent)  # pathlib's `parents` would leave these to the umask
    folder.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
    check_folder(folder)


def check_folder(folder: Path) -> None:
    """Raise Unfit unless only we (or root) may put files into `folder`; OSError as `lstat` does."""
    found = folder.lstat()
    if stat.S_ISLNK(found.st_mode):
        found = folder.stat()  # a linked state folder is a person's choice; its target is checked
    if not stat.S_ISDIR(found.st_mode):
        raise Unfit("not_a_folder")
    if found.st_uid != os.geteuid():
        raise Unfit("foreign_folder")
    if found.st_mode & 0o022:
        raise Unfit("open_folder")


def create_private(path: Path) -> int:
    """A descriptor of a new, empty file, 0600 whatever the umask. Raises FileExistsError."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, PRIVATE)
    os.fchmod(descriptor, PRIVATE)
    return descriptor


def sync(descriptor: int) -> None:
    """Until this returns, nothing is on the disk."""
    if hasattr(fcntl, "F_FULLFSYNC"):  # macOS: fsync alone stops at the drive's own cache
        with contextlib.suppress(OSError):  # not every file system there knows it
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            return
    os.fsync(descriptor)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable: a file without its name is lost."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def new_name(path: Path) -> Path:
    """A name beside `path` for the time of making."""
    return path.with_name(path.name + NEW + secrets.token_hex(4))


@contextlib.contextmanager
def removed_on_failure(path: Path) -> Iterator[None]:
    """Whatever goes wrong inside, no half-made file stays behind."""
    try:
        yield
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def probe(path: Path) -> None:
    """Raise OSError where no file can be made beside `path`."""
    new = new_name(path)
    os.close(create_private(new))
    new.unlink()


def write_new(path: Path, content: bytes) -> None:
    """A whole new file under a name of its own, synced. Raises FileExistsError or OSError."""
    descriptor = create_private(path)
    with removed_on_failure(path):
        try:
            write_all(descriptor, content)
            sync(descriptor)
        finally:
            os.close(descriptor)


def write_once(path: Path, content: bytes) -> None:
    """`path` with this content, durable, or not at all. Raises FileExistsError if there is one."""
    new = new_name(path)
    write_new(new, content)
    with removed_on_failure(new):
        publish(new, path)


def write_over(path: Path, content: bytes) -> None:
    """`path` with this content, durable; an older one is replaced as a whole. Raises OSError."""
    new = new_name(path)
    write_new(new, content)
    with removed_on_failure(new):
        new.rename(path)
    sync_folder(path.parent)


def publish(new: Path, path: Path) -> None:
    """Give a synced file its final name, durably. Raises FileExistsError if that name is taken.

    A link fails where the name is taken; a rename would silently replace what is there.
    """
    try:
        os.link(new, path, follow_symlinks=False)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        _rename_once(new, path)  # a file system without hard links
    new.unlink(missing_ok=True)
    sync_folder(path.parent)


def _rename_once(new: Path, path: Path) -> None:
    if os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    new.rename(path)


def remove_unfinished(path: Path) -> None:
    """Remove what a creation of `path` left behind when it was killed. Hold the lock meanwhile."""
    for leftover in path.parent.glob(path.name + NEW + "*"):
        leftover.unlink(missing_ok=True)


def overwrite(descriptor: int) -> None:
    """Leave nothing but zeros of a file's content, durably; its size stays. Raises OSError.

    What a file system or a drive keeps of its own accord (snapshots, spare blocks) is out of reach.
    """
    left, place = os.fstat(descriptor).st_size, 0
    while left > 0:
        written = os.pwrite(descriptor, bytes(min(left, ZEROS)), place)
        left, place = left - written, place + written
    sync(descriptor)


def write_all(descriptor: int, content: bytes) -> None:
    """Write all of it: one write to a nearly full disk may take only a part."""
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def read_private(path: Path, most: int) -> bytes:
    """Up to `most` bytes of a file of ours alone. Raises Unfit, FileNotFoundError or OSError."""
    # O_NONBLOCK: opening a FIFO that somebody put there must not wait for its writer.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise Unfit("symlink") from None
        raise
    try:
        fault = find_fault(os.fstat(descriptor))
        if fault:
            raise Unfit(fault)
        return os.read(descriptor, most)
    finally:
        os.close(descriptor)


_REFUSALS = {
    errno.ENOSPC: "disk_full",
    errno.EDQUOT: "disk_full",
    errno.EROFS: "read_only",
    errno.EACCES: "read_only",
    errno.EPERM: "read_only",
}


def refusal(error: OSError) -> str:
    """Why the system refused to write: `disk_full`, `read_only` or `io`."""
    return _REFUSALS.get(error.errno or 0, "io")
