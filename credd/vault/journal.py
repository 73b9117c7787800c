"""The rotation journal: which refresh token is about to be posted, or was when the daemon died.

Knows one table. The one hard thing: an entry that can't be read still says that something was
posted, and forgetting that would let a spent refresh token be posted again as if nothing had been.
"""

from __future__ import annotations

import json

from credd.core.keeping import Attempt
from credd.vault.seal import Damaged
from credd.vault.spare import is_name
from credd.vault.tables import Tables

UNREADABLE = Attempt(id="unreadable", grant_number=0, digest=b"", at=0.0)
"""Stands for an entry that was damaged: something was posted, and no one knows what or when."""


class Journal:
    """One open attempt a name. Methods raise NotKept."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def write(self, name: str, attempt: Attempt) -> None:
        """Durable when it returns; replaces an older entry."""
        with self._tables.transaction():
            self.put(name, attempt)

    def put(self, name: str, attempt: Attempt) -> None:
        """The same inside the caller's transaction."""
        text = json.dumps(
            {
                "id": attempt.id,
                "grant_number": attempt.grant_number,
                "digest": attempt.digest.hex(),
                "at": attempt.at,
            }
        )
        sealed = self._tables.seal("journal", name, 0, text.encode())
        self._tables.connection.execute("REPLACE INTO journal VALUES (?, ?)", (name, sealed))

    def read(self) -> dict[str, Attempt]:
        """Every open attempt."""
        with self._tables.reading() as connection:
            found = connection.execute("SELECT name, sealed FROM journal").fetchall()
        return {name: self._opened(name, sealed) for name, sealed in found if is_name(name)}

    def current_id(self, name: str) -> str:
        """The id of the open attempt of `name`, "" where there is none."""
        query = "SELECT sealed FROM journal WHERE name = ?"
        with self._tables.reading() as connection:
            row = connection.execute(query, (name,)).fetchone()
        return self._opened(name, row[0]).id if row else ""

    def settle(self, name: str) -> None:
        """Clear the entry of `name` in a transaction of its own."""
        with self._tables.transaction():
            self.clear(name)

    def clear(self, name: str) -> None:
        """Clear the entry of `name` inside the caller's transaction."""
        self._tables.connection.execute("DELETE FROM journal WHERE name = ?", (name,))

    def _opened(self, name: str, sealed: object) -> Attempt:
        try:
            found = json.loads(self._tables.open("journal", name, 0, sealed))
            return Attempt(
                found["id"], found["grant_number"], bytes.fromhex(found["digest"]), found["at"]
            )
        except (Damaged, ValueError, KeyError):
            return UNREADABLE
