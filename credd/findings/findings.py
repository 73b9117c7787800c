"""From facts to findings.

Knows: the shapes in which others describe themselves. Refuses to know: how to find anything out.
The hard thing is to name only what a person can do something about: a token that is about to be
refreshed is no finding.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from credd import wire
from credd.core.instant import Instant

SILENT = frozenset({"empty", "fresh", "stale", "logging-in", "locked"})
"""States that are no finding: they go well, or wait for somebody who knows (`locked` is said once,
for the vault, and not for each credential)."""

STEP = 2.0
"""Seconds by which the wall clock must leave the other one to have been set; less is slewing."""

STEPS_KEPT = 5


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known now. `audit_fault`: why the trail can't be written; `audit_damage`: what it
    was found to be; `vault_reason`: why it is not open, in words, with `vault_remedy`."""

    version: wire.VersionReply
    config: Sequence[wire.Finding]
    credentials: Sequence[wire.CredentialReply]
    vault_reason: str
    vault_remedy: str
    audit_fault: str
    audit_lost: int
    audit_damage: str
    steps: Sequence[tuple[float, float]]


def find(facts: Facts) -> list[wire.Finding]:
    """Everything that is wrong, the most general first."""
    return [
        *_of_version(facts.version),
        *_of_vault(facts),
        *facts.config,
        *(found for one in facts.credentials for found in _of_credential(one)),
        *_of_audit(facts),
        *_of_clock(facts.steps),
    ]


def _finding(place: str, message: str, remedy: str) -> wire.Finding:
    return {"place": place, "message": message, "remedy": remedy}


def _of_version(version: wire.VersionReply) -> Iterable[wire.Finding]:
    runs, installed = version["version"], version["installed"]
    if installed and installed != runs:
        message = f"credd {runs} runs, and {installed} is installed"
        yield _finding("credd", message, "credd-ctl version")


def _of_vault(facts: Facts) -> Iterable[wire.Finding]:
    if facts.vault_reason:
        yield _finding("vault", facts.vault_reason, facts.vault_remedy)
    elif facts.version["vault"] == "restored":
        message = "the vault is a copy; nothing that rotates is spent from it"
        yield _finding("vault", message, "credd-ctl vault accept")


def _of_credential(one: wire.CredentialReply) -> Iterable[wire.Finding]:
    if one["state"] in SILENT:
        return
    trouble = one["trouble"]
    message = one["meaning"] + (f"; {trouble['detail']}" if trouble else "")
    remedy = one["remedy"] or f"credd-ctl status {one['name']}"
    yield _finding(f"credentials.{one['name']}", f"{one['state']}: {message}", remedy)


def _of_audit(facts: Facts) -> Iterable[wire.Finding]:
    if facts.audit_fault:
        message = f"the audit trail can't be written: {facts.audit_fault}"
        yield _finding("audit.jsonl", message, "df -h")
    if facts.audit_lost:
        message = f"{facts.audit_lost} lines of the audit trail could not be kept"
        yield _finding("audit.jsonl", message, "credd-ctl audit --verify")
    if facts.audit_damage:
        message = f"the audit trail is not as it was left: {facts.audit_damage}"
        yield _finding("audit.jsonl", message, "credd-ctl audit --verify")


def _of_clock(steps: Sequence[tuple[float, float]]) -> Iterable[wire.Finding]:
    for at, seconds in steps:
        way = "forward" if seconds > 0 else "back"
        message = f"the clock was set {way} by {abs(seconds):.0f} s (Unix time {at:.0f})"
        yield _finding("clock", message, "timedatectl status")


class ClockSteps:
    """Notices that the wall clock was set, by looking at both clocks from time to time."""

    def __init__(self) -> None:
        self._before: Instant | None = None
        self.seen: list[tuple[float, float]] = []

    def look(self, now: Instant) -> None:
        """Compare with the last look. A suspended machine is no step: both clocks go on."""
        before, self._before = self._before, now
        if before is None:
            return
        step = (now.wall - before.wall) - (now.boottime - before.boottime)
        if abs(step) >= STEP:
            self.seen = [*self.seen, (now.wall, step)][-STEPS_KEPT:]
