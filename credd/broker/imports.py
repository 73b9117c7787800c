"""Logins that move in: a refresh token or key that another program obtained.

Rules: nothing is said to be here before it is proven and durable, since whoever hands it over then
destroys the original. A refresh token is sealed before it is posted, and posted by an ordinary
flight, with its journal: a crash or a lost reply in between loses nothing. What is refused, or was
never sent, leaves no trace here.

The hard thing is the second time. After a lost answer the same token is handed over again, and by
then it may be the burnt one of a living login. So the digest of what came in is sealed with the
grant, and a token that is known is never posted anew.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from credd import wire
from credd.broker import reporting
from credd.broker.flights import Flights
from credd.broker.grants import Grants, see_through
from credd.broker.holding import Holding
from credd.broker.login_talk import Ask
from credd.broker.saving import Saving
from credd.broker.shelf import Shelf
from credd.broker.surroundings import Surroundings
from credd.core.conversation import Authorization, NeverSent, Provider, Question, ReplyLost
from credd.core.failures import Failed, Kind, detail_of, judge_exception
from credd.core.importing import Handover, Importer
from credd.core.keeping import Keeper, NotKept
from credd.core.model import PRIMARY, Credential, Secret
from credd.core.record import Record
from credd.errors import (
    BadRequest,
    CreddError,
    Locked,
    LoginRequired,
    Misconfigured,
    UpstreamUnavailable,
)

log = logging.getLogger(__name__)

IMPORTED = "imported"
"""Where a grant keeps the digest (SHA-256, hex) of the refresh token that it began with."""


@dataclass(frozen=True, slots=True)
class Plan:
    """An import that has been checked and may start. `keep_original`: whoever hands it over goes on
    using it."""

    credential: Credential
    provider: Provider
    handed: Handover
    keep_original: bool = False
    vault_key: str = ""

    @property
    def digest(self) -> str:
        """Names the secret without showing it."""
        return self.handed.secret.digest().hex()


@dataclass(frozen=True, slots=True)
class _Before:
    """What was there, to be put back if nothing comes of it."""

    credential: Credential | None
    record: Record | None


class Imports:
    """Takes over secrets, one after another: two imports of one token must not post it twice."""

    def __init__(
        self,
        shelf: Shelf,
        grants: Grants,
        flights: Flights,
        keeper: Keeper,
        around: Surroundings,
        open_vault: Callable[[str, Ask], Awaitable[None]],
    ) -> None:
        self._shelf = shelf
        self._grants = grants
        self._flights = flights
        self._keeper = keeper
        self._saving = Saving(keeper)
        self._around = around
        self._open_vault = open_vault
        self._turn = asyncio.Lock()

    async def take(self, plan: Plan) -> wire.ImportReply:
        """Take it over, whole and durably. Raises CreddError, and then whoever had it keeps it."""
        async with self._turn:
            await self._open_vault(plan.vault_key, _nobody)
            holding = self._shelf.place(plan.credential.name)
            try:
                rotated = await self._take(holding, plan)
                unlocked = self._shelf.unlocked
                now = reporting.describe(holding, self._around.now(), unlocked=unlocked)
                return {"credential": now, "rotated": rotated}
            finally:
                self._shelf.clear(holding)

    async def _take(self, holding: Holding, plan: Plan) -> bool:
        self._refuse_held_elsewhere(plan)
        before = _before(holding)
        if not _began_with(holding, plan.digest):
            won = await self._taken_over(plan)
            _refuse_two_holders(plan, won)
            _refuse_living(holding, won)
            await see_through(self._grants.adopt(plan.credential, won))
        elif holding.primary is None:  # an earlier import of it did not come to its end
            self._shelf.assign(holding, plan.credential)
        if not _has_lived(holding, plan):
            await self._fly(holding)
        return await self._verdict(holding, plan, before)

    def _refuse_held_elsewhere(self, plan: Plan) -> None:
        for holding in self._shelf.all():
            if holding.name != plan.credential.name and _began_with(holding, plan.digest):
                raise BadRequest(
                    f"credd holds this very secret already, as {holding.name}",
                    remedy=f"credd-ctl status {holding.name}",
                    reason="held_already",
                )

    async def _taken_over(self, plan: Plan) -> Authorization:
        if not isinstance(plan.provider, Importer):
            raise BadRequest(
                f"the provider {plan.credential.provider} takes over no logins of others",
                remedy=f"credd-ctl login {plan.credential.name}",
                reason="not_importable",
            )
        try:
            talk = self._around.talk(plan.credential.ca_file)
            won = await plan.provider.take_over(talk, plan.handed)
        except (NeverSent, ReplyLost, Failed) as error:
            failure = judge_exception(error)
            raise _said(plan, failure.kind, failure.reason) from None
        marked = {**won.private, IMPORTED: plan.digest}
        return dataclasses.replace(won, private=marked if won.renewable else won.private)

    async def _fly(self, holding: Holding) -> None:
        """The refresh that proves it: the refresher's, or ours, and only where it is due."""
        found = holding.trouble
        if holding.flight is None and found is not None and found.due_in(self._around.now()) > 0:
            return
        self._flights.fly(holding, PRIMARY)
        mine = holding.flight
        while mine is not None and holding.flight is mine:
            await asyncio.shield(holding.change())

    async def _verdict(self, holding: Holding, plan: Plan, before: _Before) -> bool:
        """Whether the issuer has replaced it. Raises where it is not safely here."""
        if holding.grant is not None and _has_lived(holding, plan):
            if holding.unsaved:
                raise _not_durable(plan)
            return holding.grant.renewable and holding.grant.refresh_token != plan.handed.secret
        found = holding.trouble
        if found is not None and found.reply_lost_at is not None and not found.final:
            raise _reply_lost(plan, found.due_in(self._around.now()))
        await see_through(self._undo(holding, before))
        if found is None:
            raise UpstreamUnavailable("credd is stopping", remedy=_again(plan), reason="closed")
        raise _said(plan, found.kind, found.reason)

    async def _undo(self, holding: Holding, before: _Before) -> None:
        """As if nothing had been handed over. The issuer is not told: the original lives on."""
        async with holding.writing:
            try:
                await self._put_back(holding, before.record)
            except NotKept as error:
                log.error("an import of %s left its record behind (%s)", holding.name, error)
        holding.credential = before.credential
        holding.announce()

    async def _put_back(self, holding: Holding, record: Record | None) -> None:
        holding.forget()
        if record is None:
            await self._keeper.forget(holding.name)
            return
        await self._saving.insist(holding, record)
        holding.remember(record, holding.number)


async def _nobody(_question: Question) -> Secret:
    """An import asks nobody; a vault that needs a person is opened by that person first."""
    raise Locked("an import can't ask for the vault's passphrase", remedy="credd-ctl unlock")


def _before(holding: Holding) -> _Before:
    record = holding.record() if holding.grant is not None else None
    return _Before(holding.credential, record)


def _began_with(holding: Holding, digest: str) -> bool:
    """Whether this holding has, or once had, that very secret."""
    grant = holding.grant
    if grant is None or grant.refresh_token is None:
        return False
    return digest in (grant.private.get(IMPORTED), grant.refresh_token.digest().hex())


def _has_lived(holding: Holding, plan: Plan) -> bool:
    """Whether what is held has been proven: it brought a token, or was replaced by the issuer."""
    grant = holding.grant
    if grant is None:
        return False
    return holding.primary is not None or grant.refresh_token != plan.handed.secret


def _refuse_two_holders(plan: Plan, won: Authorization) -> None:
    if plan.keep_original and won.renewable:
        raise BadRequest(
            "a refresh token can't be in two places: its issuer may replace it at each use, takes "
            "the old one for stolen, and ends the login of both",
            remedy=_again(plan), reason="rotates",
        )  # fmt: skip


def _refuse_living(holding: Holding, won: Authorization) -> None:
    """Raise where a login is here that nobody asked to replace."""
    name, grant, found = holding.name, holding.grant, holding.trouble
    if holding.login:
        raise BadRequest(
            f"a login of {name} is under way", remedy=f"credd-ctl login {name}", reason="logging_in"
        )
    if grant is None or holding.is_estranged() or (found is not None and found.final):
        return
    if grant.renewable or won.renewable:
        raise BadRequest(
            f"{name} is logged in already; log out first, or choose another name",
            remedy=f"credd-ctl logout {name}",
            reason="logged_in_already",
        )


def _again(plan: Plan) -> str:
    """The import once more; who asked knows the rest of the line."""
    return f"credd-ctl import {plan.credential.name}"


def _not_durable(plan: Plan) -> CreddError:
    return Misconfigured(
        "the login works, but could not be written to the vault yet; keep the original until "
        "this succeeds",
        remedy=_again(plan), reason="unsaved",
    )  # fmt: skip


def _reply_lost(plan: Plan, pause: float) -> CreddError:
    return UpstreamUnavailable(
        "the issuer's reply was lost; credd holds the token and goes on trying",
        remedy=_again(plan), reason="reply_lost", retry_after=max(1.0, pause),
    )  # fmt: skip


def _said(plan: Plan, kind: Kind, reason: str) -> CreddError:
    """What an import failed with, and what to do next."""
    said = f"nothing was taken over: {detail_of(reason)}"
    if kind is Kind.REFUSED:
        return LoginRequired(said, remedy=f"credd-ctl login {plan.credential.name}", reason=reason)
    if kind in (Kind.MISCONFIGURED, Kind.CALLER, Kind.LOCAL):
        return Misconfigured(said, remedy=_again(plan), reason=reason)
    return UpstreamUnavailable(said, remedy=_again(plan), reason=reason)
