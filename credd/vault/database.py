"""The vault's file as a file: locked, examined, opened, created; no key is needed here.

Knows SQLite's settings and what makes a commit durable; knows nothing of records. The one hard
thing: there is only ever one vault at a path and one daemon in it. A new vault is made whole under
another name and linked into place; an open one is held by a lock that outlives no process.

    vault.db            sealed records; 0600, as all of these
    vault.db-wal        SQLite's log: made with the mode of vault.db, gone after a clean close
    vault.db-lock       held for as long as a daemon has the vault open
    vault.db-reserve    see store.py
    vault.db.new-*      a vault being made, or the next one of a vault that gets a new key
    vault.db.aside-*    a vault that was set aside, see resetting.py
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from credd.errors import AnotherDaemon
from credd.vault import files
from credd.vault.fileformat import (
    APPLICATION_ID,
    PAGE_SIZE,
    SCHEMA,
    VERSION,
    Unreadable,
    beside,
    check_files,
    check_format,
    connect,
    examine,
    refusal,
)
from credd.vault.header import Header

_BEFORE_FIRST_READ = "PRAGMA locking_mode=EXCLUSIVE"  # then WAL needs no shared memory, even on NFS
_SETTINGS = (
    "PRAGMA synchronous=FULL",  # a commit that came back survives a power cut
    "PRAGMA fullfsync=ON",  # macOS: past the drive's cache
    "PRAGMA checkpoint_fullfsync=ON",
    "PRAGMA secure_delete=ON",  # what is deleted is overwritten, not just unlinked from its page
    "PRAGMA temp_store=MEMORY",
    "PRAGMA trusted_schema=OFF",  # the file's own triggers and views may not call functions
    "PRAGMA cell_size_check=ON",  # look for broken cells before they are used
    "PRAGMA mmap_size=0",  # a torn disk shows as an error, not as SIGBUS
)

_HOLDER = re.compile(r"([0-9]{1,10}) ([\w.-]{1,255})\n", re.ASCII)
"""What the lock's file says: process and host."""

Filling = Callable[[sqlite3.Connection, int], None]
"""Writes a new vault's first rows; is told the inode of the file, which it keeps for life."""


@dataclass(slots=True)
class Database:
    """An open vault file that is locked to us. Use it on the thread that opened it.

    `inode` is the file's, so that one put in its place meanwhile is noticed.
    """

    path: Path
    header: Header
    connection: sqlite3.Connection = field(repr=False)
    lock: int
    inode: int

    def close(self) -> None:
        """Write back what the log holds and let go of the lock."""
        with contextlib.suppress(sqlite3.Error):  # the log stays, and the next open reads it
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.connection.close()
        os.close(self.lock)

    def give_way(self, new: Path, header: Header) -> None:
        """Let the whole and synced file `new` take this one's name, and go on with it.

        Once it has the name, `header` is the vault's, and the old file's bytes are overwritten.
        Raises Unreadable where it could not be given, or the file with the name not be opened.
        """
        found = find_inode(self.path)
        if found not in (self.inode, None):
            raise Unreadable("replaced")
        self.connection.close()  # the last connection: what the log holds is written back
        try:
            if found is None:  # then SQLite leaves the log; all that it holds is in `new`
                beside(self.path, "wal").unlink(missing_ok=True)
            self._refuse_log()
            _take_name(new, self.path)
            self.header = header
        except OSError as error:
            raise Unreadable(refusal(error)) from None
        finally:
            self.connection = _open_for_writing(self.path)
            self.inode = self.path.lstat().st_ino

    def _refuse_log(self) -> None:
        """A log that is still there belongs to the old file, and would be read into the new one."""
        if os.path.lexists(beside(self.path, "wal")):
            raise Unreadable("io")


def exists(path: Path) -> bool:
    """Whether anything is at `path`, or a log of what once was there."""
    return os.path.lexists(path) or os.path.lexists(beside(path, "wal"))


def find_inode(path: Path) -> int | None:
    """The inode of the file that lies there; None where none does."""
    try:
        return path.lstat().st_ino
    except OSError:
        return None


def open_database(path: Path) -> Database:
    """Open the vault at `path`. Raises Unreadable, NewerVault or AnotherDaemon."""
    lock = lock_vault(path)
    try:
        check_files(path)
        check_format(path)
        header = examine(path)
        return Database(path, header, _open_for_writing(path), lock, path.lstat().st_ino)
    except BaseException:
        os.close(lock)
        raise


def create_database(path: Path, header: Header, fill: Filling) -> None:
    """Make a vault at `path`, whole or not at all; `fill` writes its first rows.

    It is built under another name and synced before it gets its own. Raises FileExistsError where
    anything is there, AnotherDaemon, files.Unfit, sqlite3.Error, OSError.
    """
    files.make_private_folder(path.parent)
    lock = lock_vault(path)
    try:
        if exists(path):
            raise FileExistsError(str(path))
        files.remove_unfinished(path)
        new = build_database(path, header, fill)
        with files.removed_on_failure(new):
            files.publish(new, path)
    finally:
        os.close(lock)


def build_database(path: Path, header: Header, fill: Filling) -> Path:
    """A whole and synced vault under a name of its own, which is returned; hold the lock of `path`.

    Raises files.Unfit, sqlite3.Error, OSError, or whatever `fill` raises.
    """
    new = files.new_name(path)
    # Ours and 0600 before SQLite opens it: its log takes the mode of the database, so no umask has
    # to be changed, which would be the whole process's.
    descriptor = files.create_private(new)
    with files.removed_on_failure(new):
        try:
            inode = os.fstat(descriptor).st_ino
            _write_schema(new, header, lambda connection: fill(connection, inode))
            files.sync(descriptor)
        finally:
            os.close(descriptor)
    return new


def _take_name(new: Path, path: Path) -> None:
    """One rename: whoever looks sees the old file or the new one. Raises OSError before it only."""
    with contextlib.ExitStack() as stack:
        old = _open_old(path, stack)
        new.rename(path)
        with contextlib.suppress(OSError):  # then a power cut may bring the old one back, whole
            files.sync_folder(path.parent)
            if old is not None:
                files.overwrite(old)


def _open_old(path: Path, stack: contextlib.ExitStack) -> int | None:
    """The file that loses its name; None where somebody has removed it already."""
    try:
        old = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    stack.callback(os.close, old)
    return old


def _write_schema(new: Path, header: Header, fill: Callable[[sqlite3.Connection], None]) -> None:
    connection = connect(new, "rw")
    try:
        connection.execute(f"PRAGMA page_size={PAGE_SIZE}")
        _set_up(connection)
        connection.execute("BEGIN IMMEDIATE")
        for statement in SCHEMA:
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version={VERSION}")
        connection.execute("INSERT INTO meta VALUES ('header', ?)", (header.encode(),))
        fill(connection)
        connection.execute("COMMIT")
    finally:
        connection.close()  # the last connection checkpoints: the file is complete without a log


def lock_vault(path: Path) -> int:
    """Hold the vault for ourselves. Raises AnotherDaemon, Unreadable.

    A file of its own, because closing any descriptor of the database itself would drop the locks
    that SQLite holds on it (POSIX locks belong to the process, not to the descriptor).
    """
    try:
        files.check_folder(path.parent)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        lock = os.open(beside(path, "lock"), flags, files.PRIVATE)
    except files.Unfit as fault:
        raise Unreadable(fault.reason) from None
    except OSError as error:
        raise Unreadable(refusal(error)) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        said = f"another daemon has this vault open{_holder(lock)}"
        os.close(lock)
        raise AnotherDaemon(said, remedy="credd-ctl status", reason="vault_in_use") from None
    except OSError as error:  # a network file system without a lock service
        os.close(lock)
        raise Unreadable(refusal(error)) from None
    with contextlib.suppress(OSError):  # it is locked, whether or not it can say by whom
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()} {os.uname().nodename}\n".encode(), 0)
    return lock


def _holder(lock: int) -> str:
    """Who says to hold the lock; nothing where the file doesn't say it as we do."""
    found = _HOLDER.fullmatch(os.pread(lock, 300, 0).decode("ascii", "replace"))
    return f": process {found[1]} on {found[2]}" if found else ""


# --- connections ------------------------------------------------------------------------------


def _open_for_writing(path: Path) -> sqlite3.Connection:
    try:
        connection = connect(path, "rw")
    except sqlite3.Error as error:
        raise Unreadable(refusal(error)) from None
    try:
        _set_up(connection)
        connection.execute("SELECT count(*) FROM meta").fetchone()  # takes the exclusive lock
    except sqlite3.Error as error:
        connection.close()
        raise Unreadable(refusal(error)) from None
    return connection


def _set_up(connection: sqlite3.Connection) -> None:
    connection.execute(_BEFORE_FIRST_READ)
    if connection.execute("PRAGMA journal_mode=WAL").fetchone() != ("wal",):
        raise sqlite3.OperationalError("this file system allows no log")
    for setting in _SETTINGS:
        connection.execute(setting)
