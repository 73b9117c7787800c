"""One refresh at a time for one grant, however many ask.

Rules: a flight is the only way a refresh token is posted. It is a task of its own, so that whoever
asked may leave. The order inside is the promise: journal, post, keep, and only then memory and
waiters. A good refresh token is kept whatever else is wrong with the reply. Nothing here raises to
a caller: what went wrong becomes the holding's trouble, and everyone looks at the facts again.

The hard thing is what changes while a flight is under way: a login, a logout, a reload. So it
carries what it set out with, and compares before it acts.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable
from dataclasses import dataclass

from credd.broker.holding import Holding
from credd.broker.renewing import defect_of, new_token, renewed
from credd.broker.saving import Saving
from credd.broker.slots import Slots
from credd.broker.surroundings import Surroundings
from credd.core import schedule, trouble
from credd.core.conversation import NeverSent, Provider, Renewal, ReplyLost
from credd.core.deeds import Landing
from credd.core.failures import Failed, Failure, Kind, judge_defect, judge_exception
from credd.core.instant import Instant, elapsed
from credd.core.keeping import Attempt, Keeper, NotKept
from credd.core.model import PRIMARY, AccessToken, Grant, TokenKey
from credd.core.record import Record, unpack, with_token
from credd.core.serving import is_ending

log = logging.getLogger(__name__)

Told = Callable[[Landing], None]


@dataclass(frozen=True, slots=True)
class Errand:
    """What a flight set out with. `record` is the holding's at that moment."""

    holding: Holding
    key: TokenKey
    provider: Provider
    grant: Grant
    record: Record

    def is_current(self) -> bool:
        """Whether the holding still holds this grant: no login has replaced it, none was ended."""
        return self.holding.grant is self.grant

    @property
    def is_narrowed(self) -> bool:
        """Whether a caller named a scope or an audience."""
        return self.key != PRIMARY


class Flights:
    """Starts refreshes and sees them through."""

    def __init__(self, keeper: Keeper, around: Surroundings, slots: Slots) -> None:
        self._keeper = keeper
        self._saving = Saving(keeper)
        self._around = around
        self._slots = slots
        self._tasks: set[asyncio.Task[None]] = set()
        self._grounded = False
        self.landed: Callable[[Holding], None] = lambda _: None  # told after every flight
        self.told: Told = lambda _: None  # the same, with how it ended

    def fly(self, holding: Holding, key: TokenKey) -> None:
        """Start a refresh of `key`, unless one of this grant is under way or may not start.

        Where it is open whether the grant still lives, that is found out with its own scopes first:
        an issuer's refusal of a caller's wish must not pass for the end of the login.
        """
        if holding.flight is not None or self._grounded or not holding.may_spend():
            return
        grant, provider = holding.grant, holding.provider
        if grant is None or provider is None:
            return
        if holding.trouble is not None and holding.trouble.is_doubt():
            key = PRIMARY
        errand = Errand(holding, key, provider, grant, holding.record())
        holding.flying = key
        holding.flight = asyncio.create_task(self._flight(errand))
        self._tasks.add(holding.flight)
        holding.flight.add_done_callback(self._tasks.discard)

    def ground(self) -> None:
        """Start no more flights: the daemon is about to stop."""
        self._grounded = True

    async def drain(self) -> None:
        """Wait until the flights under way have ended; what was sent is awaited, not cut off."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def save(self, holding: Holding) -> None:
        """Write down what has changed besides the tokens, or what could not be written before."""
        await self._saving.save(holding)

    def under_way(self) -> int:
        """How many there are now."""
        return len(self._tasks)

    async def _flight(self, errand: Errand) -> None:
        holding, start = errand.holding, self._around.now()
        before = holding.tokens.get(errand.key)
        try:
            await self._attempt(errand)
        except Exception as error:  # noqa: BLE001 - a plug-in's defect must not end refreshing
            log.error("a refresh of %s broke: %s", holding.name, type(error).__name__)
            if errand.is_current():
                self._record_trouble(errand, Failure(Kind.AMBIGUOUS, "internal"))
        finally:
            holding.flight = holding.flying = None
            holding.announce()
            self.landed(holding)
            self.told(_landing(errand, before, elapsed(start, self._around.now())))

    async def _attempt(self, errand: Errand) -> None:
        async with self._slots.hold(errand.provider.origin(errand.grant)):
            if self._is_called_off(errand):
                return
            result = await self._exchange(errand)
        if isinstance(result, Failure):
            await self._failed(errand, result)
        else:
            await self._succeeded(errand, result)

    def _is_called_off(self, errand: Errand) -> bool:
        """Whether it must not be posted any more: the wait for a slot may have been long."""
        return self._grounded or not errand.is_current() or not errand.holding.may_spend()

    async def _exchange(self, errand: Errand) -> Renewal | Failure:
        """Journal, then post: what the issuer said, or how it failed."""
        grant = errand.grant
        try:
            if errand.provider.spends(grant):
                await self._keeper.journal(errand.holding.name, self._new_attempt(grant))
            talk = self._around.talk(errand.holding.ca_file)
            return await errand.provider.refresh(talk, grant, errand.key)
        except NotKept as error:
            return Failure(Kind.LOCAL, error.reason)
        except (NeverSent, ReplyLost, Failed) as error:
            return judge_exception(error)

    def _new_attempt(self, grant: Grant) -> Attempt:
        digest = grant.refresh_token.digest() if grant.refresh_token else b""
        return Attempt(self._around.new_id(), grant.number, digest, self._around.now().wall)

    # --- success -----------------------------------------------------------------------------

    async def _succeeded(self, errand: Errand, renewal: Renewal) -> None:
        holding = errand.holding
        async with holding.writing:
            if not errand.is_current():  # a login was adopted while we waited for answer or pen
                await self._put_aside(errand, renewal)
                return
            fresh, defect = self._judged(errand, renewal)
            if not await self._saving.keep(holding, fresh):
                return
        if defect:
            failure = judge_defect(defect, caller_named=errand.is_narrowed)
            self._record_trouble(errand, failure)
        else:
            self._settle_doubt(errand)

    def _judged(self, errand: Errand, renewal: Renewal) -> tuple[Record, str]:
        """The record after this success, and what was wrong with it. Its refresh token is in the
        record whatever that was, be it a plug-in's reply that makes no sense at all."""
        holding = errand.holding
        kept = dataclasses.replace(holding.record(), grant=renewed(errand.grant, renewal))
        usual = holding.credential.access_lifetime if holding.credential else 300.0
        try:
            defect = defect_of(renewal, usual, self._around.now())
            if not defect:
                return self._with_new_token(errand, kept, renewal, usual), ""
        except (TypeError, ValueError, AttributeError, ArithmeticError):
            defect = "bad_access_token"
        return dataclasses.replace(kept, trouble=trouble.answered(holding.trouble)), defect

    def _with_new_token(
        self, errand: Errand, record: Record, renewal: Renewal, usual: float
    ) -> Record:
        number, ending = record.generation + 1, record.ending
        token = new_token(renewal, errand.key, number, usual, self._around.dice())
        if not errand.is_narrowed:
            ending = is_ending(errand.holding.primary, token, errand.grant.first_lifetime)
        good = dataclasses.replace(record, trouble=None, suspect=False, ending=ending)
        return dataclasses.replace(with_token(good, token), generation=number)

    def _settle_doubt(self, errand: Errand) -> None:
        """The grant lives. If a narrowed key was refused before, the refusal was that key's own."""
        holding = errand.holding
        doubted, holding.doubted = holding.doubted, None
        if doubted is not None and not errand.is_narrowed:
            holding.refuse(doubted, Failure(Kind.CALLER, "scope_refused"), self._around.now())

    async def _put_aside(self, errand: Errand, renewal: Renewal) -> None:
        """A reply for a grant that is no longer the current one. It is sealed under the identity it
        was sent for, never under the one that is in force now."""
        if renewal.refresh_token is None:
            return
        late = dataclasses.replace(errand.record, grant=renewed(errand.grant, renewal), tokens=())
        log.warning("a late answer for %s is kept aside", errand.holding.name)
        await self._saving.put_aside(errand.holding.name, late, "late_answer")
        await self._settle(errand)

    # --- failure -----------------------------------------------------------------------------

    async def _failed(self, errand: Errand, failure: Failure) -> None:
        if not errand.is_current():
            await self._settle(errand)
            return
        if failure.kind is Kind.CALLER and not errand.is_narrowed:
            # Nobody asked for anything but what was granted; a refusal of that is everybody's.
            failure = dataclasses.replace(failure, kind=Kind.MISCONFIGURED)
        self._record_trouble(errand, failure)
        if failure.kind not in (Kind.AMBIGUOUS, Kind.LOCAL):
            await self._write_down(errand)

    def _record_trouble(self, errand: Errand, failure: Failure) -> None:
        holding, now = errand.holding, self._around.now()
        if failure.kind is Kind.CALLER:
            holding.refuse(errand.key, failure, now)
            return
        if failure.kind is Kind.REFUSED:
            holding.doubted = errand.key if errand.is_narrowed else None
        around = trouble.Circumstances(now, *_life(holding, errand.key, now), self._around.dice())
        holding.trouble = trouble.after(holding.trouble, failure, around)
        log.warning(
            "refresh of %s failed: %s (%s), next try in %.0f s",
            holding.name,
            failure.reason,
            holding.trouble.kind,
            holding.trouble.delay,
        )

    async def _write_down(self, errand: Errand) -> None:
        """After a definite answer: clear the journal, unless an earlier reply was lost, and keep a
        verdict for the restart."""
        now = errand.holding.trouble
        if now is not None and now.final:
            await self._refused(errand)
        elif now is None or now.reply_lost_at is None:
            await self._settle(errand)

    async def _settle(self, errand: Errand) -> None:
        try:
            await self._keeper.settle(errand.holding.name)
        except NotKept as error:
            # At the next start it looks like a lost reply, and costs one request.
            log.error("the journal of %s could not be cleared (%s)", errand.holding.name, error)

    async def _refused(self, errand: Errand) -> None:
        """A final refusal: try what lies in the side slot once, else write the verdict down."""
        holding = errand.holding
        async with holding.writing:
            late = await self._late_grant(errand)
            if not errand.is_current():
                return
            if late is None:
                await self._saving.rewrite(holding)
                return
            log.warning("%s was refused; a late answer kept aside is tried instead", holding.name)
            record = dataclasses.replace(holding.record(), grant=late, trouble=None, ending=False)
            if await self._saving.keep(holding, record):
                await self._drop_aside(errand)

    async def _late_grant(self, errand: Errand) -> Grant | None:
        """The grant in the side slot, where it is of the same issuer, client and person, and not
        the very one that was just refused."""
        try:
            payload = await self._keeper.look_aside(errand.holding.name)
            late = unpack(payload) if payload is not None else None
        except (NotKept, ValueError):
            return None
        mine = errand.grant
        if late is None or late.identity != errand.holding.identity:
            return None
        if late.grant.subject != mine.subject or late.grant.refresh_token == mine.refresh_token:
            return None
        return dataclasses.replace(late.grant, number=mine.number)

    async def _drop_aside(self, errand: Errand) -> None:
        try:
            await self._keeper.drop_aside(errand.holding.name)
        except NotKept as error:
            log.error("the side slot of %s could not be cleared (%s)", errand.holding.name, error)


def _landing(errand: Errand, before: AccessToken | None, seconds: float) -> Landing:
    """How a flight has ended, read off the facts that it left."""
    holding, key = errand.holding, errand.key
    token = holding.tokens.get(key)
    is_ours = holding.grant is not None and holding.grant.number == errand.grant.number
    outcome, reason = "called-off", ""
    if is_ours and token is not None and token is not before:
        outcome = "refreshed"
    elif is_ours and key in holding.refusals:
        outcome, reason = Kind.CALLER.value, holding.refusals[key][0].reason
    elif is_ours and holding.trouble is not None:
        outcome, reason = holding.trouble.kind.value, holding.trouble.reason
    return Landing(holding.name, outcome, reason, token.generation if token else 0, seconds)


def _life(holding: Holding, key: TokenKey, now: Instant) -> tuple[float, float]:
    """Lifetime and time left (seconds) that a back-off is measured by: the token's, else since when
    there has been none."""
    token = holding.tokens.get(key) or holding.primary
    if token is not None and token.lifetime is not None:
        return token.lifetime, schedule.remaining(token, now)
    usual = holding.credential.access_lifetime if holding.credential else 300.0
    since = holding.trouble.first if holding.trouble else now
    return usual, -elapsed(since, now)
