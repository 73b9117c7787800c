"""What the socket promises to those who watch: the audit trail, events, findings.

The routes stand in wire.py, which jobs load; these shapes stand apart, because no job needs them.
No secret is in any of them. Times are Unix seconds. Standard library only, Python 3.9.
"""

from __future__ import annotations

from typing import TypedDict

from credd import wire


class _AuditAlways(TypedDict):
    """What every line of the audit trail has."""

    at: float
    what: str
    result: str


class AuditEntry(_AuditAlways, total=False):
    """One line of the audit trail. Fields that say nothing are left out.

    `at` is when it was done; equal deeds within a minute are one line with their `count`, from `at`
    to `last`. `n` is the line's number, missing where it is not written yet. `script` is what the
    process says it runs, a hint; `executable` is what the kernel says.
    """

    n: int
    last: float
    count: int
    credential: str
    generation: int
    uid: int
    pid: int
    executable: str
    script: str
    cgroup: str
    socket: str


class AuditReply(TypedDict):
    """`GET /v1/audit`: a page, oldest first. `cursor` is where the next one begins; `pending` are
    counts of the last minute, told with the last page alone; `lost` lines could not be written."""

    entries: list[AuditEntry]
    pending: list[AuditEntry]
    cursor: str
    more: bool
    lost: int
    trouble: str


class AuditFault(TypedDict):
    """A line of the audit trail that is not as it was written. `n` is its number in the trail,
    `line` that in its file; 0 where there is none."""

    file: str
    line: int
    n: int
    message: str


class AuditCheckReply(TypedDict):
    """`GET /v1/audit/check`: the whole chain, followed from its first line to its last."""

    intact: bool
    lines: int
    first: int
    last: int
    faults: list[AuditFault]


class _EventAlways(TypedDict):
    """What every event has."""

    type: str
    at: float


class Event(_EventAlways, total=False):
    """One NDJSON line of `GET /v1/events`. `type`: `state` (the present ones come first), `gone`,
    `refreshed`, `login-needed`, `locked`, `unlocked`, `reload`, `heartbeat`, `dropped` (the last
    one, for a watcher that did not keep up). The other fields depend on it; `before` is the state
    until now, "" where there was none."""

    credential: str
    state: str
    before: str
    meaning: str
    remedy: str
    generation: int
    applied: bool
    findings: int


class FindingsReply(TypedDict):
    """`GET /v1/findings`: what the daemon itself finds wrong."""

    findings: list[wire.Finding]
