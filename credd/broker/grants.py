"""Taking grants in, and letting go of them.

Rules: a new login replaces the old one only once it is durable, and never ends the old one at the
issuer by itself (two logins of one browser session may share it). A login of somebody else than
before needs to be asked for. Letting go means the issuer is told first; only a person who says so
forgets a login that the issuer still believes in.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from credd.broker.holding import Holding
from credd.broker.renewing import new_token
from credd.broker.saving import Saving
from credd.broker.shelf import Shelf
from credd.broker.surroundings import Surroundings
from credd.core.conversation import Authorization, NeverSent, ReplyLost
from credd.core.failures import Failed, detail_of
from credd.core.keeping import Keeper, NotKept
from credd.core.model import PRIMARY, AccessToken, Credential, Grant
from credd.core.record import Record
from credd.errors import Denied, Misconfigured, UpstreamUnavailable

log = logging.getLogger(__name__)


class Grants:
    """Adopts what logins obtain, and forgets what people let go."""

    def __init__(self, shelf: Shelf, keeper: Keeper, around: Surroundings) -> None:
        self._shelf = shelf
        self._keeper = keeper
        self._saving = Saving(keeper)
        self._around = around

    def expect(self, name: str, login: str) -> None:
        """Note that the login `login` (its id) is under way for `name`."""
        holding = self._shelf.place(name)
        holding.login = login
        holding.announce()

    def expect_no_more(self, name: str) -> None:
        """The login of `name` has ended, one way or the other."""
        holding = self._shelf.place(name)
        holding.login = ""
        holding.announce()
        self._shelf.clear(holding)

    async def adopt(
        self, credential: Credential, won: Authorization, *, switch_account: bool = False
    ) -> None:
        """Take in what a login obtained.

        Raises Denied where it is somebody else's than before and that was not asked for, and
        Misconfigured where nothing can be written: then the old login stands as it was.
        """
        holding = self._shelf.place(credential.name)
        async with holding.writing:
            if not switch_account:
                _check_account(holding, won)
            record = self._record_of(holding, credential, won)
            saved = await self._keep(holding, record)
            self._shelf.assign(holding, credential)
            holding.remember(record, holding.number)
            holding.unsaved, holding.restored, holding.hold_until = not saved, False, None
            holding.refusals, holding.rejections, holding.doubted = {}, [], None
            if saved:
                await self._drop_aside(holding)
        holding.announce()
        self._shelf.stir()

    async def _keep(self, holding: Holding, record: Record) -> bool:
        """Whether the record is in the vault (else it lies safely outside, and waits)."""
        try:
            return await self._saving.insist(holding, record)
        except NotKept as error:
            raise Misconfigured(
                f"the login succeeded but could not be saved: {detail_of(error.reason)}",
                reason=error.reason,
                remedy=f"credd-ctl login {holding.name}",
            ) from None

    async def _drop_aside(self, holding: Holding) -> None:
        try:
            await self._keeper.drop_aside(holding.name)
        except NotKept as error:  # the login stands all the same
            log.error("the side slot of %s could not be cleared (%s)", holding.name, error)

    def _record_of(self, holding: Holding, credential: Credential, won: Authorization) -> Record:
        record = Record(
            provider=credential.provider,
            identity=credential.identity(),
            settings=credential.settings,
            generation=holding.generation,
            grant=_grant(holding, won),
        )
        if won.renewal.access_token is None:  # imported: the first refresh will bring one
            return record
        token = self._first_token(holding, credential, won)
        grant = dataclasses.replace(record.grant, first_lifetime=token.lifetime)
        return dataclasses.replace(
            record, generation=token.generation, grant=grant, tokens=(token,)
        )

    def _first_token(
        self, holding: Holding, credential: Credential, won: Authorization
    ) -> AccessToken:
        number, dice = holding.generation + 1, self._around.dice()
        token = new_token(won.renewal, PRIMARY, number, credential.access_lifetime, dice)
        if won.renewable:
            return token
        # A static key: nothing renews it, and only what it says itself ends it.
        return dataclasses.replace(token, lifetime=won.renewal.lifetime, soft_after=None)

    # --- letting go --------------------------------------------------------------------------

    async def forget(self, name: str, *, keep_going: bool = False) -> None:
        """End the login at its issuer and erase it here.

        Raises UpstreamUnavailable where the issuer can't be told, and then nothing is erased,
        unless `keep_going`. A flight under way is awaited: its answer may hold the only living
        token.
        """
        await see_through(self._forget(self._shelf.find(name), keep_going=keep_going))

    async def _forget(self, holding: Holding, *, keep_going: bool) -> None:
        holding.leaving = True
        try:
            await self._let_go(holding, keep_going=keep_going)
        finally:
            holding.leaving = False
            holding.announce()
        self._shelf.clear(holding)

    async def _let_go(self, holding: Holding, *, keep_going: bool) -> None:
        while holding.flight is not None:
            await asyncio.shield(holding.change())
        async with holding.writing:
            told = holding.grant is None or await self._revoke(holding, holding.grant)
            if not told and not keep_going:
                raise UpstreamUnavailable(
                    "the issuer could not be told, so the login is kept",
                    remedy=f"credd-ctl logout {holding.name} --keep-going",
                )
            await self._erase(holding)
            holding.forget()

    async def _erase(self, holding: Holding) -> None:
        try:
            await self._keeper.forget(holding.name)
        except NotKept as error:
            raise Misconfigured(
                f"the login could not be erased here: {detail_of(error.reason)}",
                reason=error.reason,
                remedy=f"credd-ctl logout {holding.name} --keep-going",
            ) from None

    async def _revoke(self, holding: Holding, grant: Grant) -> bool:
        """Whether the issuer knows now. It is told by a provider of the settings under which the
        grant was obtained: an old secret is never offered to a new address."""
        provider = self._shelf.provider_of_grant(holding)
        if provider is None:
            log.error("the provider of %s is not installed any more", holding.name)
            return False
        try:
            talk = self._around.talk(holding.ca_file)
            await provider.revoke(talk, grant, holding.primary)
        except (NeverSent, ReplyLost, Failed) as error:
            log.warning("the issuer of %s was not told of its end: %s", holding.name, error)
            return False
        return True

    async def drop_all(self, take_away: Callable[[], Awaitable[None]]) -> list[str]:
        """Let go of everything at once, telling no issuer: `take_away` takes the vault away.

        Flights under way are awaited, so that what they bring is in the vault that goes. Returns
        the names that must be logged in again: all that are configured, where the vault was never
        read. What `take_away` raises leaves everything as it was.
        """
        holdings = self._shelf.all()
        for holding in holdings:
            holding.leaving = True
        try:
            return await self._drop(holdings, take_away)
        finally:
            for holding in holdings:
                holding.leaving = False
                holding.announce()

    async def _drop(
        self, holdings: list[Holding], take_away: Callable[[], Awaitable[None]]
    ) -> list[str]:
        names = [holding.name for holding in holdings if self._is_to_be_won_again(holding)]
        async with contextlib.AsyncExitStack() as pens:
            for holding in holdings:
                while holding.flight is not None:
                    await asyncio.shield(holding.change())
                await pens.enter_async_context(holding.writing)
            await take_away()
            self._shelf.empty()
        return names

    def _is_to_be_won_again(self, holding: Holding) -> bool:
        if not self._shelf.loaded:
            return holding.credential is not None
        was_damaged = holding.trouble is not None and holding.trouble.final
        return holding.grant is not None or was_damaged

    def accept(self) -> None:
        """The copied vault is to be used from here on."""
        for holding in self._shelf.all():
            holding.restored = False
            holding.announce()
        self._shelf.stir()


def _grant(holding: Holding, won: Authorization) -> Grant:
    return Grant(
        number=holding.grant.number + 1 if holding.grant else 1,
        refresh_token=won.renewal.refresh_token,
        subject=won.subject,
        account=won.account,
        scope=won.scope or won.renewal.scope,
        obtained=won.renewal.sent,
        refreshed=won.renewal.sent,
        renewable=won.renewable,
        login_lifetime=won.login_lifetime,
        refresh_lifetime=won.renewal.refresh_lifetime,
        private=won.private,
    )


def _check_account(holding: Holding, won: Authorization) -> None:
    before = holding.grant.subject if holding.grant and not holding.is_estranged() else ""
    if not before or not won.subject or before == won.subject:
        return
    raise Denied(
        "this login belongs to another account than the one before",
        reason="other_account",
        remedy=f"credd-ctl login {holding.name} --switch-account",
    )


async def see_through(step: Coroutine[Any, Any, None]) -> None:
    """Finish a step even if its caller is cancelled meanwhile, as often as they may be: a grant
    whose record is being written or erased is there or not, never half."""
    task = asyncio.ensure_future(step)
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise
    task.result()
