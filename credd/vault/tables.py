"""One connection and one data key: transactions, and sealed cells opened with suspicion.

Knows SQL errors and envelopes; knows no table by its meaning. The one hard thing: what comes out of
a file that somebody edited may be of any type, and must end as `Damaged`, never as a crash.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

from credd.core.keeping import NotKept
from credd.vault.fileformat import refusal
from credd.vault.seal import Damaged, open_, seal

Row = tuple[object, object]
"""Number and sealed bytes, as SQLite gave them."""

MOST_NUMBER = 2**53
"""No login is renewed as often; a larger number was edited, and counting on would overflow."""


class Tables:
    """The vault's tables, on the one thread that may use them.

    `connection` and `data_key` change together when the vault goes on in another file.
    """

    def __init__(self, connection: sqlite3.Connection, data_key: bytes) -> None:
        self.connection = connection
        self.data_key = data_key

    def __repr__(self) -> str:
        return "<Tables>"

    def seal(self, kind: str, name: str, number: int, plaintext: bytes) -> bytes:
        """See credd.vault.seal."""
        return seal(self.data_key, kind, name, number, plaintext)

    def open(self, kind: str, name: str, number: object, sealed: object) -> bytes:
        """See credd.vault.seal; a cell of the wrong type is damage too. Raises Damaged."""
        if not isinstance(sealed, bytes):
            raise Damaged("not_sealed")
        if not is_number(number):
            raise Damaged("edited_number")
        return open_(self.data_key, kind, name, number_of_row((number, sealed)), sealed)

    def write_meta(self, name: str, plaintext: bytes) -> None:
        """Seal something about the vault itself, inside the caller's transaction."""
        sealed = self.seal(name, "vault", 0, plaintext)
        self.connection.execute("REPLACE INTO meta VALUES (?, ?)", (name, sealed))

    def read_meta(self, name: str) -> bytes:
        """What `write_meta` wrote. Raises Damaged (also where it is missing), sqlite3.Error."""
        query = "SELECT value FROM meta WHERE name = ?"
        row = self.connection.execute(query, (name,)).fetchone()
        return self.open(name, "vault", 0, row[0] if row else None)

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """What SQLite can't read becomes NotKept."""
        try:
            yield self.connection
        except sqlite3.Error as error:
            raise NotKept(_reason(error)) from None

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, and on the disk when it ends. Raises NotKept."""
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            yield self.connection
            self.connection.execute("COMMIT")
        except BaseException as error:
            with contextlib.suppress(sqlite3.Error):  # a failed commit may have rolled back
                self.connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise NotKept(_reason(error)) from None
            raise

    def write_header(self, encoded: bytes) -> None:
        """Replace the vault's header, which no key seals, inside the caller's transaction."""
        query = "UPDATE meta SET value = ? WHERE name = 'header'"
        self.connection.execute(query, (encoded,))

    def read_header(self) -> object:
        """What lies where the header was written. Raises sqlite3.Error."""
        row = self.connection.execute("SELECT value FROM meta WHERE name = 'header'").fetchone()
        return row[0] if row else None

    def drop_cache(self) -> None:
        """Have the next look read the file, and not what is remembered of it."""
        self.connection.execute("PRAGMA shrink_memory")

    def truncate_log(self) -> None:
        """Leave no deleted row behind in the log. What was deleted is gone durably in any case."""
        with contextlib.suppress(sqlite3.Error):
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()


def is_number(value: object) -> bool:
    """Whether a cell can be a record's number."""
    return isinstance(value, int) and 0 <= value < MOST_NUMBER


def number_of_row(row: Row | None) -> int:
    """The number to show at the next `keep`; none, or one that can't be, counts as 0."""
    number = row[0] if row else 0
    return number if isinstance(number, int) and is_number(number) else 0


def _reason(error: sqlite3.Error) -> str:
    """One of the words NotKept promises; damage found while running is the disk's failure."""
    reason = refusal(error)
    return "io" if reason == "damaged" else reason
