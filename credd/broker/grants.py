"""Taking grants in, and letting go of them.

Rules: a new login replaces the old one only once it is durable, and never ends the old one at the
issuer by itself (two logins of one browser session may share it). A login of somebody else than
before needs to be asked for. Letting go means the issuer is told first; only a person who says so
forgets a login that the issuer still believes in.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging

from credd.broker.flights import new_token
from credd.broker.holding import Holding
from credd.broker.shelf import Shelf
from credd.broker.surroundings import Surroundings
from credd.core.conversation import Authorization, NeverSent, ReplyLost
from credd.core.failures import Failed, detail_of
from credd.core.keeping import Keeper, KeptOutside, NotKept
from credd.core.model import PRIMARY, AccessToken, Credential, Grant
from credd.core.record import Record, pack
from credd.errors import Denied, Misconfigured, UpstreamUnavailable

log = logging.getLogger(__name__)


class Grants:
    """Adopts what logins obtain, and forgets what people let go."""

    def __init__(self, shelf: Shelf, keeper: Keeper, around: Surroundings) -> None:
        self._shelf = shelf
        self._keeper = keeper
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
            number, unsaved = await self._keep(holding, record)
            self._shelf.assign(holding, credential)
            holding.remember(record, number)
            holding.unsaved, holding.restored, holding.hold_until = unsaved, False, None
            holding.refusals, holding.rejections = {}, []
        holding.announce()
        self._shelf.stir()

    async def _keep(self, holding: Holding, record: Record) -> tuple[int, bool]:
        """The record's new number, and whether it still waits to be saved in the vault."""
        try:
            number = await self._keeper.keep(holding.name, pack(record), holding.number)
            await self._keeper.drop_aside(holding.name)
        except KeptOutside:
            return holding.number, True
        except NotKept as error:
            raise Misconfigured(
                f"the login succeeded but could not be saved: {detail_of(error.reason)}",
                reason=error.reason,
                remedy=f"credd-ctl login {holding.name}",
            ) from None
        return number, False

    def _record_of(self, holding: Holding, credential: Credential, won: Authorization) -> Record:
        token = self._first_token(holding, credential, won)
        grant = dataclasses.replace(_grant(holding, won), first_lifetime=token.lifetime)
        return Record(
            provider=credential.provider,
            identity=credential.identity(),
            settings=credential.settings,
            generation=token.generation,
            grant=grant,
            tokens=(token,),
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
        holding = self._shelf.find(name)
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
            await self._revoke(holding, keep_going=keep_going)
            await self._keeper.forget(holding.name)
            holding.forget()

    async def _revoke(self, holding: Holding, *, keep_going: bool) -> None:
        if holding.grant is None or holding.provider is None:
            return
        try:
            talk = self._around.talk()
            await holding.provider.revoke(talk, holding.grant, holding.primary)
        except (NeverSent, ReplyLost, Failed) as error:
            if not keep_going:
                raise UpstreamUnavailable(
                    "the issuer could not be told, so the login is kept",
                    remedy=f"credd-ctl logout {holding.name} --keep-going",
                ) from None
            log.warning("%s is forgotten, though its issuer was not told: %s", holding.name, error)

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
