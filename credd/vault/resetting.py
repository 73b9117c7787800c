"""Takes a vault out of its place: set aside under another name, or erased because a person said so.

Knows the names of a vault's files; looks into none of them, so it works on one that is locked,
damaged, or a newer credd's. The one hard thing: a log (`-wal`) may hold the only copy of a rotated
token, and is of no use without its file. A vault that was closed has none, and is moved in one
step; else all new names are given first and only then are the old ones taken away: killed in
between, both are there, and nothing is lost.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

from credd.vault import files

ASIDE = ".aside-"
"""Between a file's name and the time at which it was set aside (UTC, ISO 8601's basic form)."""

PARTS = ("", "-wal", "-journal")
"""What SQLite needs to read a database again, after its name."""


def set_aside(path: Path, unsaved: Path, at: float) -> Path:
    """Move the vault at `path`, and the folder of unsaved records, aside; its new name.

    `at`: Unix seconds. The files are 0600 under their new names. Raises OSError.
    """
    stamp = _free_stamp(path, at)
    moves = [(_part(path, part), _part(path, ASIDE + stamp + part)) for part in PARTS]
    moves = [(old, new) for old, new in moves if os.path.lexists(old)]
    if len(moves) == 1:
        moves[0][0].rename(moves[0][1])
    else:
        _move_together(moves)
    for _, new in moves:
        _make_private(new)
    files.sync_folder(path.parent)
    with contextlib.suppress(FileNotFoundError):
        unsaved.rename(unsaved.with_name(unsaved.name + ASIDE + stamp))
    return _part(path, ASIDE + stamp)


def erase(path: Path, unsaved: Path) -> None:
    """Overwrite and remove the vault at `path` and everything beside it but its lock. Raises
    OSError."""
    for part in (*PARTS, "-shm", "-reserve"):
        _erase_file(_part(path, part))
    files.remove_unfinished(path)
    files.sync_folder(path.parent)
    for name in _listed(unsaved):
        _erase_file(unsaved / name)


def _part(path: Path, part: str) -> Path:
    return path.with_name(path.name + part)


def _free_stamp(path: Path, at: float) -> str:
    """A time that no vault was set aside at: the next second, where one was."""
    while True:
        stamp = datetime.fromtimestamp(at, UTC).strftime("%Y%m%dT%H%M%SZ")
        if not any(os.path.lexists(_part(path, ASIDE + stamp + part)) for part in PARTS):
            return stamp
        at += 1


def _move_together(moves: list[tuple[Path, Path]]) -> None:
    for old, new in moves:
        _give_name(old, new)
    files.sync_folder(moves[0][0].parent)
    for old, _ in moves:
        old.unlink(missing_ok=True)


def _give_name(old: Path, new: Path) -> None:
    """A second name; where there can be none (a folder, a file system without links), the only
    one."""
    try:
        os.link(old, new, follow_symlinks=False)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
            raise
        old.rename(new)


def _make_private(new: Path) -> None:
    found = new.lstat()
    if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid():
        new.chmod(files.PRIVATE)


def _erase_file(place: Path) -> None:
    try:
        descriptor = os.open(place, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    except OSError:  # a link, a folder, somebody else's: its content is not ours to overwrite
        place.unlink()
        return
    try:
        found = os.fstat(descriptor)
        if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:  # else it is another name's, too
            files.overwrite(descriptor)
    finally:
        os.close(descriptor)
    place.unlink()


def _listed(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
