"""Everything the demo knows at one moment, and what it makes of it at the end.

Knows numbers and sentences. Refuses to know processes and screens. The one hard thing: the
verdict. It is not enough that nothing failed: enough has to have happened, too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

ACCESS_LIFETIME = 10.0  # seconds; short enough to watch six or more refreshes a minute
OUTAGE = 4.0  # seconds; longer than nothing, shorter than the rest of a half-used token
KILLS = 2


class Event(NamedTuple):
    """Something that happened on stage: seconds since the job began, and a sentence."""

    at: float
    text: str


class Line(NamedTuple):
    """One line of the sum, and whether it is as it should be."""

    label: str
    value: str
    holds: bool


@dataclass
class Scene:
    """What was last heard from everybody on stage."""

    seconds: float
    elapsed: float = 0.0
    issuer: dict[str, Any] = field(default_factory=dict)
    tracking: dict[str, Any] = field(default_factory=dict)
    job: dict[str, Any] = field(default_factory=dict)
    credential: dict[str, Any] = field(default_factory=dict)
    daemon_pid: int = 0
    kills: int = 0
    outage: float = 0.0
    job_status: int | None = None
    searched: int = 0
    leaks: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def tell(self, text: str) -> None:
        """Write down that something happened now."""
        self.events.append(Event(self.elapsed, text))

    @property
    def refreshes(self) -> int:
        """Refreshes that the issuer granted."""
        return sum(self.issuer.get("refreshes", {}).values())

    @property
    def accepted(self) -> int:
        """Metrics that the tracking server took."""
        return int(self.tracking.get("accepted", 0))

    @property
    def rejected(self) -> int:
        """Requests that the tracking server refused."""
        return int(self.tracking.get("rejected", 0))


def plausible_refreshes(seconds: float) -> range:
    """How many refreshes a run of this length must have seen, at least and at most.

    They come every 5 to 6 s (half the lifetime, and a little); the outage delays one or two by
    a few seconds, and each restart may bring one forward.
    """
    least = max(1, int((seconds - OUTAGE) / (0.7 * ACCESS_LIFETIME)) - 1)
    most = int(seconds / (0.5 * ACCESS_LIFETIME)) + KILLS + 2
    return range(least, most + 1)


def verdict(scene: Scene) -> list[Line]:
    """The sum, one line each; the demo has held if every line holds."""
    job, issuer = scene.job, scene.issuer
    errors, violations = job.get("errors", -1), issuer.get("violations", ["no report"])
    steps = scene.tracking.get("steps", {})
    expected = plausible_refreshes(scene.seconds)
    return [
        Line("requests", f"{scene.accepted} by {len(steps)} workers", scene.accepted > 0),
        Line("rejected", str(scene.rejected), scene.rejected == 0),
        Line("client errors", _errors(errors, job.get("last_error", "")), errors == 0),
        Line("job's exit status", str(scene.job_status), scene.job_status == 0),
        Line("refreshes", f"{scene.refreshes}", scene.refreshes in expected),
        Line(
            "refresh tokens seen twice",
            str(issuer.get("seen_twice", "?")),
            issuer.get("seen_twice") == 0,
        ),
        Line("violations of the standards", _listed(violations), not violations),
        Line("secrets in plain text", _leaks(scene), bool(scene.searched and not scene.leaks)),
        Line("daemon killed", f"{scene.kills} times, by SIGKILL", scene.kills == KILLS),
        Line("issuer away", f"{scene.outage:.1f} s", scene.outage >= OUTAGE),
        Line("latency of get_token", _latency(job), bool(job.get("steps"))),
    ]


def _errors(count: int, last: str) -> str:
    return f"{count}  last: {last}" if last else str(count)


def _listed(violations: list[str]) -> str:
    return f"{len(violations)}  {'; '.join(violations)}" if violations else "0"


def _leaks(scene: Scene) -> str:
    where = f"  in {', '.join(scene.leaks)}" if scene.leaks else ""
    return f"{len(scene.leaks)} of {scene.searched} files (logs, vault, configuration){where}"


def _latency(job: dict[str, Any]) -> str:
    p50, p99, longest = (duration(job.get(name, 0.0)) for name in ("p50", "p99", "longest"))
    return f"p50 {p50}, p99 {p99}, longest {longest}"


def duration(seconds: float) -> str:
    """A time as people read it."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds / 1e-6:.0f} µs"
