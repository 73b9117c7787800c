"""The one who decides: hands out tokens, hears of rejections, shortens waits.

Rules: deciding never awaits. Each public coroutine looks at the facts, acts, and looks again after
every change: a caller's answer is computed from what is true when it leaves, not when it was asked.
Errors carry the remedy of the state they come from. The broker knows no key, no socket, no clock.
"""

from __future__ import annotations

import asyncio

from credd import wire
from credd.broker import reporting
from credd.broker.flights import Flights
from credd.broker.grants import Grants
from credd.broker.holding import Holding
from credd.broker.reporting import Served
from credd.broker.shelf import Shelf
from credd.broker.surroundings import Surroundings
from credd.core import schedule, trouble
from credd.core.instant import Instant, elapsed
from credd.core.model import PRIMARY, AccessToken, TokenKey
from credd.core.serving import Wish, decide
from credd.errors import CreddError

SHORTEST_LOOK = 0.05
"""Seconds between two looks of one waiting caller, at least: a due time that has just come to pass
must not turn into a loop."""


class Broker:
    """Answers everybody who asks about the holdings on `shelf`."""

    def __init__(
        self, shelf: Shelf, grants: Grants, flights: Flights, around: Surroundings
    ) -> None:
        self._shelf = shelf
        self._grants = grants
        self._flights = flights
        self._around = around

    # --- telling -----------------------------------------------------------------------------

    def describe(self, name: str) -> wire.CredentialReply:
        """Everything about one credential but its secrets."""
        return self._describe(self._shelf.find(name))

    def describe_all(self) -> list[wire.CredentialReply]:
        """The same for all of them, sorted by name."""
        return [self._describe(holding) for holding in self._shelf.all()]

    def _describe(self, holding: Holding) -> wire.CredentialReply:
        return reporting.describe(holding, self._around.now(), unlocked=self._shelf.may_tell())

    def lifetime(self, name: str, seconds: float) -> wire.LifetimeReply:
        """Whether the login lasts for `seconds` from now."""
        holding = self._shelf.find(name)
        return reporting.lifetime(
            holding, self._around.now(), seconds, unlocked=self._shelf.may_tell()
        )

    # --- handing out tokens ------------------------------------------------------------------

    async def token(
        self,
        name: str,
        key: TokenKey = PRIMARY,
        *,
        min_valid: float | None = None,
        max_wait: float = wire.MAX_WAIT,
    ) -> Served:
        """An access token that is good now, for at least `min_valid` seconds where that is given.

        Waits up to `max_wait` seconds for the issuer. Raises the error of the credential's state.
        """
        holding = self._shelf.find(name)
        start = now = self._around.now()
        while True:
            wish = Wish(min_valid, elapsed(start, now), max_wait)
            served, wait = self._look(holding, key, wish, now)
            if served is not None:
                return served
            await _wait(holding, wait)
            now = self._around.now()

    def _look(
        self, holding: Holding, key: TokenKey, wish: Wish, now: Instant
    ) -> tuple[Served | None, float]:
        """One look at the facts: an answer, or the seconds to wait before the next look."""
        token = holding.token_for(key)
        self._refuse_impossible(holding, key, wish, now)
        verdict = decide(token, wish, now)
        can_come = not verdict.serve and self._can_come(holding, verdict.wait, now)
        if token is not None and (verdict.serve or (verdict.good and not can_come)):
            if verdict.refresh:
                self._refresh_if_due(holding, key, now)
            return reporting.served(holding, token, now), 0.0
        # Also for who does not wait: nobody else may ask for this key. A flight can't be hurried.
        if can_come and holding.flight is None:
            self._hurry(holding, key, now)
        if verdict.wait <= 0 or not can_come:
            raise self._refusal(holding)
        return None, max(SHORTEST_LOOK, min(verdict.wait, _next_try(holding, now)))

    def _refuse_impossible(self, holding: Holding, key: TokenKey, wish: Wish, now: Instant) -> None:
        """Raise where no wait can help: closed vault, nobody logged in, an impossible wish."""
        state = holding.state(now, unlocked=self._shelf.may_tell())
        if not (state.serves or state.refreshes) or holding.is_too_old(now):
            raise self._refusal(holding)
        refused = holding.refusal_of(key, now)
        if refused is not None:
            raise reporting.callers_own(refused)
        reporting.check_wish(holding, key, wish)

    def _can_come(self, holding: Holding, wait: float, now: Instant) -> bool:
        """Whether a token that is good enough may come without a person, within `wait` seconds.
        Nobody waits for a try that is known to come later."""
        state, found = holding.state(now, unlocked=self._shelf.unlocked), holding.trouble
        if not state.refreshes or not holding.may_spend() or (found is not None and found.final):
            return False
        if found is None or holding.flight is not None or found.may_be_kicked():
            return True
        return found.due_in(now) <= wait

    def _hurry(self, holding: Holding, key: TokenKey, now: Instant) -> None:
        """Someone waits: shorten a back-off, once in a while, and start if the time has come."""
        self.kick(holding)
        self._refresh_if_due(holding, key, now)

    def _refresh_if_due(self, holding: Holding, key: TokenKey, now: Instant) -> None:
        if not holding.state(now, unlocked=self._shelf.unlocked).refreshes:
            return
        if holding.trouble is None or holding.trouble.due_in(now) <= 0:
            self._flights.fly(holding, key)

    def _refusal(self, holding: Holding) -> CreddError:
        if not self._shelf.may_tell():
            problem = self._shelf.why_shut() or self._shelf.why_locked()
            if problem is not None:
                return problem
        return reporting.refusal(holding, self._around.now(), unlocked=self._shelf.may_tell())

    # --- being told to refresh ---------------------------------------------------------------

    async def reject(
        self, name: str, generation: int, *, max_wait: float = wire.MAX_WAIT
    ) -> wire.RefreshReply:
        """A resource server refused this generation: get another, unless that was just done.

        Raises UpstreamUnavailable where too many were rejected lately, to the reporter alone; plain
        fetches go on.
        """
        holding = self._held(name)
        now = self._around.now()
        token = _of_generation(holding, generation)
        if token is None:
            return reporting.refresh_reply(holding, PRIMARY, "superseded")
        if not holding.may_spend():
            await self._suspect(holding)
            return reporting.refresh_reply(holding, token.key, "not-renewable")
        if elapsed(token.obtained, now) < schedule.rejection_age(token.lifetime):
            return reporting.refresh_reply(holding, token.key, "too-soon")
        if holding.flight is None or holding.flying != token.key:
            self._count_rejection(holding, now)  # else others reported the same a moment ago
        return await self._force(holding, token.key, max_wait)

    async def _suspect(self, holding: Holding) -> None:
        """A key that nothing can renew was rejected: that is shown, and it is still served."""
        if holding.suspect or holding.grant is None or holding.grant.renewable:
            return
        holding.suspect = True
        holding.announce()
        await self._flights.save(holding)

    def _count_rejection(self, holding: Holding, now: Instant) -> None:
        """Raise where a rejection may not cause a refresh now: too many did, or refreshing fails
        anyhow, and then the back-off decides and not the reporter."""
        if holding.trouble is not None:
            raise self._refusal(holding)
        pause = schedule.rejection_pause(holding.rejections, now)
        if pause > 0:
            raise reporting.rejected_too_often(holding, pause)
        holding.rejections = [*holding.rejections, now][-schedule.REJECTIONS_AN_HOUR :]

    async def refresh(self, name: str, *, max_wait: float = wire.MAX_WAIT) -> wire.RefreshReply:
        """Get a new token now, though not within the floor after the last one."""
        holding = self._held(name)
        if holding.grant is not None and not holding.grant.renewable:
            return reporting.refresh_reply(holding, PRIMARY, "not-renewable")
        now = self._around.now()
        if schedule.is_within_floor(holding.primary, now):
            return reporting.refresh_reply(holding, PRIMARY, "too-soon")
        pause = trouble.forced_pause(holding.trouble, now)
        if pause > 0:
            raise reporting.tried_just_now(holding, pause)
        return await self._force(holding, PRIMARY, max_wait)

    def _held(self, name: str) -> Holding:
        holding = self._shelf.find(name)
        usable = holding.grant is not None and holding.credential is not None
        is_barred = holding.is_estranged() or holding.is_too_old(self._around.now())
        if not usable or not self._shelf.may_tell() or is_barred:
            raise self._refusal(holding)
        return holding

    async def _force(self, holding: Holding, key: TokenKey, max_wait: float) -> wire.RefreshReply:
        """Start a refresh whatever the schedule says, and wait for its end."""
        start, before = self._around.now(), holding.tokens.get(key)
        is_mine = False
        while not is_mine and holding.tokens.get(key) is before:
            self._flights.fly(holding, key)  # unless another key's flight is still under way
            is_mine = holding.flight is None or holding.flying == key
            landed = await self._see_land(holding, start, max_wait)
            if not landed or holding.trouble is not None:
                break
        if holding.tokens.get(key) is before:
            raise reporting.refresh_failed(holding, self._around.now(), self._shelf.unlocked)
        return reporting.refresh_reply(holding, key, "refreshed")

    async def _see_land(self, holding: Holding, start: Instant, max_wait: float) -> bool:
        """Wait for the end of the flight under way. False where `max_wait` seconds since `start`
        are over before."""
        flight = holding.flight
        while flight is not None and holding.flight is flight:
            left = max_wait - elapsed(start, self._around.now())
            if left <= 0:
                return False
            await _wait(holding, left)
        return True

    def refresh_all(self) -> list[str]:
        """Refresh everything that has not been refreshed only just now, and wake every waiting
        retry; the names of those for which that did something."""
        return [holding.name for holding in self._shelf.all() if self._refresh_soon(holding)]

    def _refresh_soon(self, holding: Holding) -> bool:
        if holding.trouble is not None:
            return self.kick(holding)
        now = self._around.now()
        is_new = schedule.is_within_floor(holding.primary, now)
        if is_new or not self._shelf.unlocked or holding.is_too_old(now):
            return False
        self._flights.fly(holding, PRIMARY)
        return holding.flight is not None

    def kick_all(self) -> list[str]:
        """Wake every waiting retry: the network changed. What goes well is left alone."""
        return [holding.name for holding in self._shelf.all() if self.kick(holding)]

    def kick(self, holding: Holding) -> bool:
        """Something suggests that a try may succeed now. True where it shortened a wait."""
        before = holding.trouble
        if before is None or holding.flight is not None or not holding.may_spend():
            return False
        holding.trouble = trouble.kicked(before, self._around.now(), self._around.dice())
        if holding.trouble is before:
            return False
        self._shelf.stir()
        return True

    def wake(self) -> None:
        """The machine slept, or the network came back: look at everything, though not at once."""
        self._shelf.stagger(self._shelf.all())
        self.kick_all()
        self._shelf.stir()

    # --- letting go --------------------------------------------------------------------------

    async def forget(self, name: str, *, keep_going: bool = False) -> None:
        """End the login at its issuer and erase it (see `Grants.forget`)."""
        holding = self._shelf.find(name)
        if not self._shelf.may_tell():
            raise self._refusal(holding)
        await self._grants.forget(name, keep_going=keep_going)


async def _wait(holding: Holding, seconds: float) -> None:
    """Until the facts change, at most `seconds`. Who leaves ends nobody else's wait."""
    await asyncio.wait((holding.change(),), timeout=seconds)


def _next_try(holding: Holding, now: Instant) -> float:
    """Seconds until the next try may start; a flight under way announces its own end."""
    if holding.flight is not None or holding.trouble is None:
        return schedule.LONGEST_SLEEP
    return holding.trouble.due_in(now)


def _of_generation(holding: Holding, generation: int) -> AccessToken | None:
    """The current token of that generation; None where it has been replaced already."""
    for token in holding.tokens.values():
        if token.generation == generation:
            return token
    return None
