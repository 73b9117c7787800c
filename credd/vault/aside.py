"""What is kept beside the records: replies that came too late, and damaged bytes as found.

Knows one table. The two kinds never meet: a late reply is sealed and may be adopted one day;
evidence is whatever lay there, kept so that nothing broken is ever the last copy of something.
"""

from __future__ import annotations

import contextlib
from typing import NamedTuple

from credd.vault.seal import Damaged
from credd.vault.tables import Tables

LATE, EVIDENCE = "late", "evidence"


class Slot(NamedTuple):
    """What lies in a side slot, as it was found. `kind` is LATE or EVIDENCE, or was edited."""

    name: str
    kind: str
    reason: str
    sealed: object


class Aside:
    """The side slots of all names. Methods raise NotKept."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def put_late(self, name: str, payload: bytes, reason: str) -> None:
        """Seal a late reply and lay it on top of the slot of `name`."""
        with self._tables.transaction():
            self.add_late(name, payload, reason)

    def add_late(self, name: str, payload: bytes, reason: str) -> None:
        """The same inside the caller's transaction."""
        self._insert(name, LATE, reason, self._tables.seal("aside", name, 0, payload))

    def rows(self) -> list[Slot]:
        """Everything that lies in any slot, oldest first."""
        query = "SELECT name, kind, reason, sealed FROM aside ORDER BY id"
        with self._tables.reading() as connection:
            found = connection.execute(query).fetchall()
        return [Slot(str(name), str(kind), str(why), sealed) for name, kind, why, sealed in found]

    def opened(self, slot: Slot) -> bytes:
        """The payload of a late reply. Raises Damaged."""
        return self._tables.open("aside", slot.name, 0, slot.sealed)

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
