"""What is kept beside the records: replies that came too late, and damaged bytes as found.

Knows one table. The two kinds never meet: a late reply is sealed and may be adopted one day;
evidence is whatever lay there, kept so that nothing broken is ever the last copy of something.
"""

from __future__ import annotations

import contextlib

from credd.vault.seal import Damaged
from credd.vault.tables import Tables

LATE, EVIDENCE = "late", "evidence"


class Aside:
    """The side slots of all names. Methods raise NotKept."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def put_late(self, name: str, payload: bytes, reason: str) -> None:
        """Seal a late reply and lay it on top of the slot of `name`."""
        sealed = self._tables.seal("aside", name, 0, payload)
        with self._tables.transaction():
            self._insert(name, LATE, reason, sealed)

    def newest_late(self, name: str) -> bytes | None:
        """The newest late reply that opens; None where there is none."""
        query = "SELECT sealed FROM aside WHERE name = ? AND kind = ? ORDER BY id DESC"
        with self._tables.reading() as connection:
            found = connection.execute(query, (name, LATE)).fetchall()
        for (sealed,) in found:
            with contextlib.suppress(Damaged):
                return self._tables.open("aside", name, 0, sealed)
        return None

    def drop_late(self, name: str) -> None:
        """Erase the late replies of `name`."""
        with self._tables.transaction() as connection:
            connection.execute("DELETE FROM aside WHERE name = ? AND kind = ?", (name, LATE))
        self._tables.truncate_log()

    def put_evidence(self, name: str, reason: str, found: object) -> None:
        """Keep damaged bytes, in a transaction of its own."""
        with self._tables.transaction():
            self.add_evidence(name, reason, found)

    def add_evidence(self, name: str, reason: str, found: object) -> None:
        """Keep damaged bytes, inside the caller's transaction."""
        self._insert(name, EVIDENCE, reason, found)

    def clear(self, name: str) -> None:
        """Erase both kinds for `name`, inside the caller's transaction."""
        self._tables.connection.execute("DELETE FROM aside WHERE name = ?", (name,))

    def _insert(self, name: str, kind: str, reason: str, found: object) -> None:
        """The same bytes are kept once, however often a start finds them again."""
        self._tables.connection.execute(
            "INSERT INTO aside (name, kind, reason, sealed) SELECT ?1, ?2, ?3, ?4 WHERE NOT EXISTS"
            " (SELECT 1 FROM aside WHERE name = ?1 AND kind = ?2 AND sealed IS ?4)",
            (name, kind, reason, found),
        )
