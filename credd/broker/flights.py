"""One refresh at a time for one grant, however many ask.

Rules: a flight is the only way a refresh token is posted. It is a task of its own, so that whoever
asked may leave. The order inside is the promise: journal, post, keep, and only then memory and
waiters. A good refresh token is kept whatever else is wrong with the reply. Nothing here raises to
a caller: what went wrong becomes the holding's trouble, and everyone looks at the facts again.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable

from credd.broker.holding import Holding
from credd.broker.slots import Slots
from credd.broker.surroundings import Surroundings
from credd.core import schedule, trouble
from credd.core.conversation import NeverSent, Provider, Renewal, ReplyLost
from credd.core.failures import Failed, Failure, Kind, judge_defect, judge_exception
from credd.core.instant import Instant, elapsed
from credd.core.keeping import Attempt, Keeper, KeptOutside, NotKept, Superseded
from credd.core.model import PRIMARY, AccessToken, Grant, TokenKey
from credd.core.record import Record, pack, unpack, with_token
from credd.core.serving import is_ending

log = logging.getLogger(__name__)


class Flights:
    """Starts refreshes and sees them through."""

    def __init__(self, keeper: Keeper, around: Surroundings, slots: Slots) -> None:
        self._keeper = keeper
        self._around = around
        self._slots = slots
        self._tasks: set[asyncio.Task[None]] = set()
        self._grounded = False
        self.landed: Callable[[Holding], None] = lambda _: None  # told after every flight

    def fly(self, holding: Holding, key: TokenKey) -> None:
        """Start a refresh of `key`, unless one of this grant is under way or may not start."""
        if holding.flight is not None or self._grounded or not holding.may_spend():
            return
        holding.flight = asyncio.create_task(self._flight(holding, key))
        self._tasks.add(holding.flight)
        holding.flight.add_done_callback(self._tasks.discard)

    def ground(self) -> None:
        """Start no more flights: the daemon is about to stop."""
        self._grounded = True

    async def drain(self) -> None:
        """Wait until the flights under way have ended; what was sent is awaited, not cut off."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _flight(self, holding: Holding, key: TokenKey) -> None:
        try:
            await self._attempt(holding, key)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - a plug-in's defect must not end refreshing
            log.error("a refresh of %s broke: %s", holding.name, type(error).__name__)
            self._record_trouble(holding, key, Failure(Kind.AMBIGUOUS, "internal"))
        finally:
            holding.flight = None
            holding.announce()
            self.landed(holding)

    async def _attempt(self, holding: Holding, key: TokenKey) -> None:
        grant, provider, was = holding.grant, holding.provider, holding.identity
        if grant is None or provider is None:
            return
        async with self._slots.hold(provider.origin(grant)):
            result = await self._exchange(holding, provider, grant, key)
        if isinstance(result, Failure):
            await self._failed(holding, grant, key, result)
        elif holding.grant is grant and holding.identity == was:
            await self._succeeded(holding, grant, key, result)
        else:
            await self._put_aside(holding, grant, result)

    async def _exchange(
        self, holding: Holding, provider: Provider, grant: Grant, key: TokenKey
    ) -> Renewal | Failure:
        """Journal, then post: what the issuer said, or how it failed."""
        try:
            if provider.spends(grant):
                await self._keeper.journal(holding.name, self._new_attempt(grant))
            return await provider.refresh(self._around.talk(), grant, key)
        except NotKept as error:
            return Failure(Kind.LOCAL, error.reason)
        except (NeverSent, ReplyLost, Failed) as error:
            return judge_exception(error)

    def _new_attempt(self, grant: Grant) -> Attempt:
        digest = grant.refresh_token.digest() if grant.refresh_token else b""
        return Attempt(self._around.new_id(), grant.number, digest, self._around.now().wall)

    # --- success -----------------------------------------------------------------------------

    async def _succeeded(
        self, holding: Holding, grant: Grant, key: TokenKey, renewal: Renewal
    ) -> None:
        async with holding.writing:
            if holding.grant is not grant:  # a login was adopted while we waited for the pen
                await self._put_aside(holding, grant, renewal)
                return
            fresh = self._renewed_record(holding, grant, key, renewal)
            await self._keep(holding, fresh)
        if renewal.defect or renewal.access_token is None:
            named = key != PRIMARY
            failure = judge_defect(renewal.defect or "bad_access_token", caller_named=named)
            self._record_trouble(holding, key, failure)

    def _renewed_record(
        self, holding: Holding, grant: Grant, key: TokenKey, renewal: Renewal
    ) -> Record:
        record = dataclasses.replace(
            holding.record(), grant=renewed(grant, renewal), trouble=None, suspect=False
        )
        if renewal.access_token is None or renewal.defect:
            return dataclasses.replace(record, trouble=trouble.answered(holding.trouble))
        default = holding.credential.access_lifetime if holding.credential else 300.0
        number = record.generation + 1
        token = new_token(renewal, key, number, default, self._around.dice())
        ending = holding.ending
        if key == PRIMARY:
            ending = is_ending(holding.primary, token, grant.first_lifetime)
        return dataclasses.replace(with_token(record, token), generation=number, ending=ending)

    async def _keep(self, holding: Holding, fresh: Record) -> None:
        """Seal and commit; then, and only then, remember. A full disk costs durability, said aloud,
        but never the token: the issuer has already burnt the old one."""
        number, unsaved = holding.number, False
        try:
            number = await self._keeper.keep(holding.name, pack(fresh), holding.number)
        except (NotKept, Superseded) as error:
            unsaved = True
            safe = isinstance(error, KeptOutside)
            log.error("%s is not saved in the vault yet (%s)", holding.name, error)
            log.error("its newest secret lies %s", "in the runtime folder" if safe else "in memory")
        holding.remember(fresh, number)
        holding.unsaved = unsaved

    async def save_again(self, holding: Holding) -> None:
        """Try once more to write what could not be written."""
        async with holding.writing:
            if holding.unsaved and holding.grant is not None:
                await self._keep(holding, holding.record())
        holding.announce()

    async def _put_aside(self, holding: Holding, grant: Grant, renewal: Renewal) -> None:
        """A reply for a grant that is no longer the current one: its refresh token may be the only
        living one of that login, so it goes into the side slot."""
        if renewal.refresh_token is None or holding.grant is None:
            return
        late = dataclasses.replace(holding.record(), grant=renewed(grant, renewal), tokens=())
        log.warning("a late answer for %s is kept aside", holding.name)
        try:
            await self._keeper.put_aside(holding.name, pack(late), "late_answer")
            await self._keeper.settle(holding.name)
        except NotKept as error:
            log.error("a late answer for %s could not be kept aside (%s)", holding.name, error)

    # --- failure -----------------------------------------------------------------------------

    async def _failed(
        self, holding: Holding, grant: Grant, key: TokenKey, failure: Failure
    ) -> None:
        if holding.grant is not grant:
            return
        if failure.kind is Kind.CALLER:
            holding.refuse(key, failure, self._around.now())
        else:
            self._record_trouble(holding, key, failure)
        await self._write_down(holding, failure)

    def _record_trouble(self, holding: Holding, key: TokenKey, failure: Failure) -> None:
        if failure.kind is Kind.CALLER:
            holding.refuse(key, failure, self._around.now())
            return
        now = self._around.now()
        around = trouble.Circumstances(now, *_life(holding, key, now), self._around.dice())
        holding.trouble = trouble.after(holding.trouble, failure, around)
        log.warning(
            "refresh of %s failed: %s (%s), next try in %.0f s",
            holding.name,
            failure.reason,
            holding.trouble.kind,
            holding.trouble.delay,
        )

    async def _write_down(self, holding: Holding, failure: Failure) -> None:
        """Clear the journal where the answer was definite, and keep a verdict for the restart."""
        now = holding.trouble
        if failure.kind in (Kind.AMBIGUOUS, Kind.LOCAL):
            return
        try:
            if now is not None and now.final:
                await self._refused(holding)
            elif now is None or now.reply_lost_at is None:
                await self._keeper.settle(holding.name)
        except (NotKept, Superseded) as error:
            log.error("the vault could not note a failure of %s (%s)", holding.name, error)

    async def _refused(self, holding: Holding) -> None:
        """A final refusal: try what lies in the side slot once, else write the verdict down."""
        async with holding.writing:
            payload = await self._keeper.look_aside(holding.name)
            record = holding.record()
            if payload is not None:
                record = dataclasses.replace(record, grant=unpack(payload).grant, trouble=None)
            holding.number = await self._keeper.keep(holding.name, pack(record), holding.number)
            holding.remember(record, holding.number)
            if payload is not None:
                await self._keeper.drop_aside(holding.name)


# --- pure parts ------------------------------------------------------------------------------


def renewed(grant: Grant, renewal: Renewal) -> Grant:
    """The grant after a success; a reply without a refresh token keeps the old one (RFC 6749,
    6)."""
    if renewal.refresh_token is None:
        return grant
    return dataclasses.replace(
        grant,
        refresh_token=renewal.refresh_token,
        refreshed=renewal.sent,
        refresh_lifetime=renewal.refresh_lifetime or grant.refresh_lifetime,
    )


def new_token(
    renewal: Renewal, key: TokenKey, generation: int, default_lifetime: float, dice: float
) -> AccessToken:
    """The access token of a success, with the moment of its next refresh drawn."""
    if renewal.access_token is None:
        raise ValueError("a renewal without an access token makes no token")
    lifetime = renewal.lifetime or default_lifetime
    return AccessToken(
        value=renewal.access_token,
        token_type=renewal.token_type,
        generation=generation,
        key=key,
        scope=renewal.scope,
        obtained=renewal.sent,
        lifetime=lifetime,
        soft_after=schedule.soft_after(
            lifetime, dice, renewal.refresh_in, renewal.refresh_lifetime
        ),
    )


def _life(holding: Holding, key: TokenKey, now: Instant) -> tuple[float, float]:
    """Lifetime and time left (seconds) that a back-off is measured by: the token's, else since when
    there has been none."""
    token = holding.tokens.get(key) or holding.primary
    if token is not None and token.lifetime is not None:
        return token.lifetime, schedule.remaining(token, now)
    usual = holding.credential.access_lifetime if holding.credential else 300.0
    since = holding.trouble.first if holding.trouble else now
    return usual, -elapsed(since, now)
