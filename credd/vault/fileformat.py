"""What a vault's file looks like, and whether this is one that may be written to.

Knows SQLite's file format; knows nothing of records or keys. The one hard thing: a file that can't
be read must stay as it is, byte for byte. So its header is read here before SQLite sees it, then
SQLite reads all of it through a connection that cannot write (no recovery, no checkpoint), and only
a file that passes both is opened for writing.
"""

from __future__ import annotations

import contextlib
import sqlite3
import struct
from pathlib import Path
from typing import NamedTuple

from credd.vault import files
from credd.vault.header import Header, HeaderDamaged, parse_header

APPLICATION_ID = 0x43524444  # "CRDD", for file(1) and for us
VERSION = 1
"""The schema's number, SQLite's user_version. A higher one is refused before it is touched."""

SCHEMA = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID",
    "CREATE TABLE record (name TEXT PRIMARY KEY, number INTEGER, sealed BLOB) WITHOUT ROWID",
    "CREATE TABLE journal (name TEXT PRIMARY KEY, sealed BLOB) WITHOUT ROWID",
    "CREATE TABLE aside (id INTEGER PRIMARY KEY, name TEXT, kind TEXT, reason TEXT, sealed BLOB)",
)

PAGE_SIZE = 4096  # SQLite's default and every usual file system's block


class Unreadable(Exception):
    """The file is there and can't be used. `reason` is a row of reasons.py. It was not changed."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NewerVault(Unreadable):
    """A later credd made or changed it; it was not touched."""

    def __init__(self) -> None:
        super().__init__("newer")


def beside(path: Path, what: str) -> Path:
    """`vault.db-wal` and its kind."""
    return path.with_name(f"{path.name}-{what}")


def check_files(path: Path) -> None:
    """Every file of the vault is ours alone."""
    files.remove_unfinished(path)
    for place in (path, beside(path, "wal"), beside(path, "shm"), beside(path, "lock")):
        try:
            files.check_private(place)
        except FileNotFoundError:
            if place == path:
                raise Unreadable("database_missing") from None
        except files.Unfit as fault:
            raise Unreadable(fault.reason) from None


def check_format(path: Path) -> None:
    """Judge the first 100 bytes ("The Database Header", sqlite.org/fileformat2.html)."""
    try:
        start = files.read_private(path, 100)
    except OSError as error:
        raise Unreadable(refusal(error)) from None
    if not start:
        raise Unreadable("empty")
    if not start.startswith(b"SQLite format 3\0"[: len(start)]):
        raise Unreadable("not_a_database")
    if len(start) < 100:
        raise Unreadable("truncated")
    _check_header(_Format.parse(start), path)


class _Format(NamedTuple):
    page_size: int
    write_version: int
    read_version: int
    pages: int
    user_version: int
    application_id: int

    @classmethod
    def parse(cls, start: bytes) -> _Format:
        page_size, write_version, read_version = struct.unpack_from(">HBB", start, 16)
        (pages,) = struct.unpack_from(">I", start, 28)
        user_version, _, application_id = struct.unpack_from(">III", start, 60)
        return cls(page_size, write_version, read_version, pages, user_version, application_id)


def _check_header(found: _Format, path: Path) -> None:
    if found.application_id != APPLICATION_ID:
        raise Unreadable("not_a_vault")
    if found.user_version > VERSION:
        raise NewerVault
    is_wal = (found.write_version, found.read_version) == (2, 2)  # else SQLite would rewrite it
    if found.user_version != VERSION or found.page_size != PAGE_SIZE or not is_wal:
        raise Unreadable("damaged")
    # With a log the file may rightly be behind; quick_check then judges both together.
    if not _has_log(path) and path.lstat().st_size != found.pages * found.page_size:
        raise Unreadable("truncated")


def _has_log(path: Path) -> bool:
    log = beside(path, "wal")
    return log.exists() and log.stat().st_size > 0


def examine(path: Path) -> Header:
    """Read everything once without being able to write. Returns the header."""
    try:
        with contextlib.closing(connect(path, "ro")) as connection:
            return _examine(connection)
    except HeaderDamaged:
        raise Unreadable("header_damaged") from None
    except (sqlite3.Error, UnicodeDecodeError, OverflowError) as error:
        raise Unreadable(refusal(error)) from None
    finally:
        # A reader makes this beside a log-mode database and may not remove it; the lock is ours.
        beside(path, "shm").unlink(missing_ok=True)


def _examine(connection: sqlite3.Connection) -> Header:
    if connection.execute("PRAGMA quick_check(1)").fetchall() != [("ok",)]:
        raise Unreadable("damaged")
    if _schema(connection) != sorted(SCHEMA):
        raise Unreadable("damaged")
    row = connection.execute("SELECT value FROM meta WHERE name = 'header'").fetchone()
    return parse_header(row[0] if row else None)


def _schema(connection: sqlite3.Connection) -> list[str]:
    rows = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return sorted(str(row[0]) for row in rows)


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """No waiting (`timeout`): nobody else may have it. No implicit transactions."""
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=0)
    # A flipped name must be seen as a strange name, not stop the reading of all others.
    connection.text_factory = _text
    return connection


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


_REFUSALS = {
    sqlite3.SQLITE_FULL: "disk_full",
    sqlite3.SQLITE_READONLY: "read_only",
    sqlite3.SQLITE_CANTOPEN: "read_only",
    sqlite3.SQLITE_PERM: "read_only",
    sqlite3.SQLITE_CORRUPT: "damaged",
    sqlite3.SQLITE_NOTADB: "damaged",
}


def refusal(error: Exception) -> str:
    """Why the disk or SQLite refused: `disk_full`, `read_only`, `damaged` or `io`."""
    if isinstance(error, OSError):
        return files.refusal(error)
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:  # SQLite opened it, and Python could not make sense of what came out
        return "damaged"
    return _REFUSALS.get(code & 0xFF, "io")
