"""The one who sees what is done: tells the trail, the counts and the watchers, and asks them.

Knows: whom to ask for what. Refuses to know: how each of them works. Nothing here may stop a
request: telling is counting and putting into a queue, and what reads the disk does so in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import asdict
from typing import Any, cast

import credd
from credd import wire, wire_audit
from credd.audit.reading import Wanted
from credd.audit.trail import Trail
from credd.broker.broker import Broker
from credd.broker.events import Events
from credd.broker.flights import Flights
from credd.broker.shelf import Shelf
from credd.broker.surroundings import Surroundings
from credd.core.deeds import OK, Deed, Landing
from credd.core.instant import Instant, elapsed
from credd.daemon.configuration import Configuration
from credd.daemon.housekeeping import Housekeeping
from credd.daemon.process import describe_process
from credd.errors import BadRequest, CreddError
from credd.findings.findings import ClockSteps, Facts, find
from credd.metrics.counters import Counters, Moment
from credd.vault.vault import ABSENT, Vault

SWEEP_EVERY = 5.0
"""Seconds between two looks at the trail's counts and at the clocks."""

REFRESHED = "refreshed"


class Witness:
    """What the front door's `Witness` asks for, put together from its parts."""

    def __init__(
        self,
        trail: Trail,
        shelf: Shelf,
        broker: Broker,
        flights: Flights,
        house: Housekeeping,
        configuration: Configuration,
        vault: Vault,
        around: Surroundings,
    ) -> None:
        self._trail = trail
        self._shelf = shelf
        self._broker = broker
        self._flights = flights
        self._house = house
        self._configuration = configuration
        self._vault = vault
        self._now = around.now
        self._events = Events(shelf, around)
        self._counters = Counters()
        self._steps = ClockSteps()
        self.connections: Callable[[], int] = lambda: 0

    # --- hearing -----------------------------------------------------------------------------

    def began(self, what: str) -> None:
        """A request is being carried out."""
        self._counters.began(what)

    def ended(self, deed: Deed) -> None:
        """It has ended."""
        self._counters.ended(deed)

    def kept(self, deed: Deed) -> None:
        """Something for the trail."""
        self._trail.note(deed)

    def landed(self, landing: Landing) -> None:
        """A refresh has ended."""
        self._counters.landed(landing)
        result = OK if landing.outcome == REFRESHED else landing.reason or landing.outcome
        self.kept(Deed("renewal", credential=landing.credential, result=result,
                       generation=landing.generation))  # fmt: skip
        self._events.nudge()

    def reloaded(self, reply: wire.ReloadReply) -> None:
        """The configuration was read again."""
        self._events.tell("reload", applied=reply["applied"], findings=len(reply["findings"]))
        self._events.nudge()

    async def run(self) -> None:
        """Write counts down and look at the clocks from time to time, until cancelled."""
        while True:
            self._trail.sweep()
            self._steps.look(self._now())
            await asyncio.sleep(SWEEP_EVERY)

    # --- telling -----------------------------------------------------------------------------

    async def audit(
        self, *, credential: str, since: float, cursor: str, limit: int
    ) -> wire_audit.AuditReply:
        """A page of the trail."""
        wanted = Wanted(credential, since, cursor, limit)
        try:
            page = await asyncio.to_thread(self._trail.page, wanted)
        except ValueError:
            raise BadRequest("that is no cursor of ours", reason="bad_cursor") from None
        except OSError as error:
            raise _unreadable(error) from None
        pending = [] if page.more else self._trail.pending(credential)
        return {
            "entries": cast(Any, page.entries),
            "pending": cast(Any, pending),
            "cursor": page.cursor,
            "more": page.more,
            "lost": self._trail.lost,
            "trouble": self._trail.fault,
        }

    async def check_audit(self) -> wire_audit.AuditCheckReply:
        """Follow the whole chain."""
        try:
            report = await asyncio.to_thread(self._trail.check)
        except OSError as error:
            raise _unreadable(error) from None
        return {
            "intact": not report.faults,
            "lines": report.lines,
            "first": report.first,
            "last": report.last,
            "faults": [cast(wire_audit.AuditFault, asdict(fault)) for fault in report.faults],
        }

    def events(self) -> AsyncGenerator[wire_audit.Event, None]:
        """How things are, and what happens."""
        return self._events.stream()

    def metrics(self) -> str:
        """All counts."""
        now = self._now()
        return self._counters.page(Moment(
            version=credd.__version__,
            credentials=self._broker.describe_all(),
            ages=self._ages(now),
            in_flight=self._flights.under_way(),
            connections=self.connections(),
            audit_lost=self._trail.lost,
            audit_ok=not self._trail.fault,
            process=describe_process(self._house.version()["started_at"]),
        ))  # fmt: skip

    def _ages(self, now: Instant) -> dict[str, float]:
        tokens = [(holding.name, holding.primary) for holding in self._shelf.all()]
        return {name: elapsed(token.obtained, now) for name, token in tokens if token is not None}

    async def findings(self) -> wire_audit.FindingsReply:
        """What is wrong with the daemon."""
        problem = self._vault.problem() if self._vault.status().state != ABSENT else None
        facts = Facts(
            version=self._house.version(),
            config=[one.to_wire() for one in self._configuration.findings],
            credentials=self._broker.describe_all(),
            vault_reason=problem.detail if problem else "",
            vault_remedy=problem.remedy if problem else "",
            audit_fault=self._trail.fault,
            audit_lost=self._trail.lost,
            audit_damage=self._trail.damage,
            steps=self._steps.seen,
        )
        return {"findings": find(facts)}


def _unreadable(error: OSError) -> CreddError:
    return CreddError(
        f"the audit trail can't be read: {error.strerror}",
        remedy="credd-ctl status",
        reason="audit_unreadable",
    )
