"""What is counted while the daemon runs, and the page that is made of it.

Knows: deeds, landings, descriptions. Refuses to know: who asked; a count has no uid. The hard thing
is that nobody may make the page grow without end: a label is a known credential, a route's name or
an error's code, and what a caller makes up is counted under "".
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from credd import wire
from credd.core.deeds import Deed, Landing
from credd.core.states import STATES
from credd.errors import UnknownCredential
from credd.metrics.text import Family, Sample, written

FETCH = "token"
"""The operation that hands out a token."""

BOUNDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 90.0)
"""Seconds: an issuer nearby answers in 0.05, and none is waited for longer than 90."""


@dataclass(frozen=True, slots=True)
class Moment:
    """How things are when the page is asked for. `ages` are seconds since a credential's token was
    obtained; `process` are gauges by name."""

    version: str
    credentials: Sequence[wire.CredentialReply]
    ages: Mapping[str, float]
    in_flight: int
    connections: int
    audit_lost: int
    audit_ok: bool
    process: Mapping[str, float]


@dataclass
class Histogram:
    """Seconds, sorted into BOUNDS."""

    buckets: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    total: float = 0.0

    def add(self, seconds: float) -> None:
        self.buckets[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds

    def samples(self) -> Iterable[Sample]:
        so_far = 0
        for bound, count in zip((*map(str, BOUNDS), "+Inf"), self.buckets, strict=True):
            so_far += count
            yield Sample(so_far, {"le": bound}, "_bucket")
        yield Sample(self.total, {}, "_sum")
        yield Sample(so_far, {}, "_count")


class Counters:
    """Counts from the daemon's start. Only the event loop's thread touches it."""

    def __init__(self) -> None:
        self._inside: Counter[str] = Counter()
        self._requests: Counter[tuple[str, str]] = Counter()
        self._fetches: Counter[tuple[str, str]] = Counter()
        self._refreshes: Counter[tuple[str, str, str]] = Counter()
        self._seconds = Histogram()

    def began(self, what: str) -> None:
        """A request of this kind is being carried out."""
        self._inside[what] += 1

    def ended(self, deed: Deed) -> None:
        """It has ended."""
        self._inside[deed.what] -= 1
        self._requests[deed.what, deed.result] += 1
        if deed.what == FETCH:
            is_known = deed.result != UnknownCredential.code
            self._fetches[deed.credential if is_known else "", deed.result] += 1

    def landed(self, landing: Landing) -> None:
        """A refresh has ended."""
        self._refreshes[landing.credential, landing.outcome, landing.reason] += 1
        self._seconds.add(landing.seconds)

    def page(self, now: Moment) -> str:
        """Everything, for Prometheus."""
        return written([*self._counted(), *_standing(now), *_process(now)])

    def _counted(self) -> Iterable[Family]:
        yield Family(
            "credd_fetches_total", "counter", "Tokens asked for, by credential and result.",
            tuple(Sample(count, {"credential": name, "result": result})
                  for (name, result), count in sorted(self._fetches.items())),
        )  # fmt: skip
        yield Family(
            "credd_requests_total", "counter", "Requests at the socket, by operation and result.",
            tuple(Sample(count, {"operation": what, "result": result})
                  for (what, result), count in sorted(self._requests.items())),
        )  # fmt: skip
        yield Family(
            "credd_refreshes_total", "counter", "Refreshes, by credential and how they ended.",
            tuple(Sample(count, {"credential": name, "outcome": outcome, "reason": reason})
                  for (name, outcome, reason), count in sorted(self._refreshes.items())),
        )  # fmt: skip
        yield Family(
            "credd_refresh_seconds", "histogram",
            "Seconds from a refresh's start to what was kept of it, its wait for a slot included.",
            tuple(self._seconds.samples()),
        )  # fmt: skip
        yield _gauge(
            "credd_waiting_callers", "Callers whose token is not decided yet.", self._inside[FETCH]
        )


def _gauge(name: str, said: str, value: float, **labels: str) -> Family:
    return Family(name, "gauge", said, (Sample(value, labels),))


def _standing(now: Moment) -> Iterable[Family]:
    names = sorted(now.credentials, key=lambda one: one["name"])
    yield Family(
        "credd_credential_state", "gauge", "1 for the state that a credential is in, else 0.",
        tuple(Sample(one["state"] == state, {"credential": one["name"], "state": state})
              for one in names for state in sorted(STATES)),
    )  # fmt: skip
    yield Family(
        "credd_token_age_seconds", "gauge", "Seconds since the access token was obtained.",
        tuple(Sample(age, {"credential": name}) for name, age in sorted(now.ages.items())),
    )  # fmt: skip
    yield Family(
        "credd_token_expires_seconds", "gauge", "Unix time at which the access token expires.",
        tuple(Sample(at, {"credential": one["name"]})
              for one in names if (at := one["token_expires_at"]) is not None),
    )  # fmt: skip
    yield Family(
        "credd_login_ends_seconds", "gauge", "Unix time at which the login ends, where it is said.",
        tuple(Sample(at, {"credential": one["name"]})
              for one in names if (at := one["login_ends_at"]) is not None),
    )  # fmt: skip
    yield _gauge("credd_refreshes_in_flight", "Refreshes under way.", now.in_flight)
    yield _gauge("credd_connections", "Connections at the main socket.", now.connections)
    yield Family(
        "credd_audit_lost_total", "counter", "Lines of the audit trail that could not be written.",
        (Sample(now.audit_lost, {}),),
    )  # fmt: skip
    yield _gauge("credd_audit_writable", "1 where the audit trail can be written.", now.audit_ok)


def _process(now: Moment) -> Iterable[Family]:
    yield _gauge("credd_build_info", "Which credd this is.", 1, version=now.version)
    for name, value in sorted(now.process.items()):
        kind = "counter" if name.endswith("_total") else "gauge"
        said = name.replace("_", " ").capitalize() + " of the daemon."
        yield Family(f"credd_process_{name}", kind, said, (Sample(value, {}),))
