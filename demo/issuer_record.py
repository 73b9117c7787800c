"""What the issuer saw: every request, every breach of the standards, what is under way now.

Knows facts and their times. Refuses to decide anything: nothing in here changes an answer.
The one hard thing: a refresh token seen twice is the client's fault, except where the issuer
itself kept the reply from arriving. Both are counted, only the first is a violation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Seen(NamedTuple):
    """One answered request: its kind (``token/refresh_token``, ...), Unix time, HTTP status."""

    kind: str
    at: float
    status: int
    error: str = ""


class Reuse(NamedTuple):
    """A spent refresh token that came back; ``excused`` where its reply never arrived."""

    grant: str
    at: float
    excused: bool


@dataclass
class Record:
    """The issuer's memory of what clients did to it."""

    requests: list[Seen] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    reuses: list[Reuse] = field(default_factory=list)
    minted: list[str] = field(default_factory=list, repr=False)
    refreshes: Counter[str] = field(default_factory=Counter)
    under_way: Counter[str] = field(default_factory=Counter)
    token_request_ended_at: float | None = None

    @property
    def in_flight(self) -> int:
        """Token requests that have arrived and are not answered yet."""
        return sum(self.under_way.values())

    def count(self, kind: str) -> int:
        """How many requests of this kind were answered; ``token`` counts all ``token/...``."""
        return sum(one.kind == kind or one.kind.startswith(f"{kind}/") for one in self.requests)

    def times(self, kind: str) -> list[float]:
        """When requests of exactly this kind arrived (Unix time)."""
        return [one.at for one in self.requests if one.kind == kind]

    def violate(self, what: str) -> None:
        """Write down that a client broke a rule. Never give it a secret to write."""
        self.violations.append(what)

    def reuse(self, grant: str, now: float, excused: bool) -> None:
        """Write down that a spent refresh token of this grant was posted again."""
        self.reuses.append(Reuse(grant, now, excused))
        if not excused:
            self.violate(f"refresh token seen twice (grant {grant})")

    @contextmanager
    def flight(self, grant: str) -> Iterator[None]:
        """Hold a token request of this grant in flight; a second one at once is a violation."""
        if self.under_way[grant]:
            self.violate(f"two token requests at once for grant {grant}")
        self.under_way[grant] += 1
        try:
            yield
        finally:
            self._land(grant)

    def _land(self, grant: str) -> None:
        self.under_way[grant] -= 1
        if not self.under_way[grant]:
            del self.under_way[grant]

    def report(self) -> dict[str, Any]:
        """The whole record as JSON-able data, without a single secret."""
        return {
            "in_flight": self.in_flight,
            "under_way": dict(self.under_way),
            "requests": dict(Counter(one.kind for one in self.requests)),
            "errors": dict(Counter(one.error for one in self.requests if one.error)),
            "refreshes": dict(self.refreshes),
            "seen_twice": len(self.reuses),
            "violations": list(self.violations),
            "token_request_ended_at": self.token_request_ended_at,
        }
