"""What the broker asks of whoever keeps secrets at rest.

Rules: the broker hands over bytes and gets bytes back; it knows no key and no file. A keeper is
durable when it returns: a `keep` that came back is on the disk. The number is the compare-and-swap:
whoever writes says which number they saw.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


class NotKept(Exception):
    """Nothing could be written. `reason` is one word (`read_only`, `disk_full`, `io`, `locked`)."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class KeptOutside(NotKept):
    """The vault could not be written; the sealed record lies safely in the runtime folder
    instead."""


class Superseded(Exception):
    """Somebody wrote first: the number expected is not the number found. Nothing was changed."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A journal entry: a refresh token is about to be posted, or was when the daemon died.

    `digest` is the SHA-256 of that refresh token, empty where the entry was damaged: then something
    was posted, and no one knows what or when. `at` is Unix seconds.
    """

    id: str
    grant_number: int
    digest: bytes
    at: float


@dataclass(frozen=True, slots=True)
class Kept:
    """One credential as found in the vault. `payload` is None where the record was damaged."""

    name: str
    number: int
    payload: bytes | None = field(repr=False)
    attempt: Attempt | None = None
    damage: str = ""


class Keeper(Protocol):
    """Durable, sealed, compare-and-swap. All methods may raise NotKept."""

    async def load(self) -> list[Kept]:
        """Everything that is kept, damaged records and open journal entries included."""
        ...

    async def journal(self, name: str, attempt: Attempt) -> None:
        """Write down, durably, that a refresh token is about to be posted (replaces an older
        entry)."""
        ...

    async def keep(self, name: str, payload: bytes, expected: int) -> int:
        """Seal and write `payload`, and clear the journal of `name`, in one transaction.

        `expected` is the number that was seen (0: no record yet). Returns the new number. Raises
        Superseded where another number is found, KeptOutside where only the runtime folder took it.
        """
        ...

    async def settle(self, name: str) -> None:
        """Clear the journal of `name`: a definite answer came, and it brought no new token."""
        ...

    async def put_aside(self, name: str, payload: bytes, reason: str) -> None:
        """Keep a reply that came too late for its grant in the side slot of `name`."""
        ...

    async def look_aside(self, name: str) -> bytes | None:
        """The newest payload in the side slot of `name`; None where it is empty."""
        ...

    async def drop_aside(self, name: str) -> None:
        """Erase the side slot of `name`: its payload has been adopted, or was refused."""
        ...

    async def forget(self, name: str) -> None:
        """Erase the record, the journal and the side slot of `name`."""
        ...
