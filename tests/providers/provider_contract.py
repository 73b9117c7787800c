"""What every provider promises, whoever wrote it: run it against a row of your own.

    class TestMine(ProviderContract):
        async def world(self) -> World:
            return World(provider, talk, "flow", name)

The talk is an `IssuerConversation`, a `ScriptedConversation`, or anything of that shape that keeps
`clock`, `shown`, `pauses`. The hard thing that these promises protect: a refresh token is posted
at most once a call, and whoever calls can tell a request that was never sent from a lost reply.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from credd.core.conversation import (
    Authorization,
    Form,
    NeverSent,
    Provider,
    Renewal,
    Reply,
    ReplyLost,
)
from credd.core.failures import Failed, Kind
from credd.core.model import PRIMARY, AccessToken, Grant, Secret, TokenKey
from tests.fakes.conversation import People


@dataclass
class World:
    """A provider, a talk that answers it, and a flow that this talk can play."""

    provider: Provider
    talk: Any
    flow: str = ""


def grant_of(won: Authorization, renewal: Renewal | None = None) -> Grant:
    """The grant that the broker makes of a login, or of a login and a later renewal."""
    newest = renewal or won.renewal
    return Grant(
        number=1,
        refresh_token=newest.refresh_token or won.renewal.refresh_token,
        subject=won.subject,
        account=won.account,
        scope=won.scope or won.renewal.scope,
        obtained=won.renewal.sent,
        refreshed=newest.sent,
        renewable=won.renewable,
        login_lifetime=won.login_lifetime,
        private=won.private,
    )


def token_of(renewal: Renewal) -> AccessToken:
    """The access token that the broker makes of a renewal."""
    assert renewal.access_token is not None
    return AccessToken(
        renewal.access_token, renewal.token_type, 1, PRIMARY, renewal.scope, renewal.sent,
        renewal.lifetime, None,
    )  # fmt: skip


class Counting(People):
    """Passes everything on to another talk and counts how often each secret was posted."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner.clock)
        self.inner = inner
        self.posted: list[Secret] = []

    async def post(
        self, url: str, form: Form, *, headers: Mapping[str, str | Secret] | None = None
    ) -> Reply:
        self.posted += [value for value in form.values() if isinstance(value, Secret)]
        reply: Reply = await self.inner.post(url, form, headers=headers)
        return reply

    async def get(self, url: str, *, headers: Mapping[str, str | Secret] | None = None) -> Reply:
        reply: Reply = await self.inner.get(url, headers=headers)
        return reply


class Broken(People):
    """A talk in which every post ends in the same way, and every get too."""

    def __init__(self, outcome: Exception | tuple[int, bytes]) -> None:
        super().__init__()
        self.outcome = outcome

    async def post(
        self, url: str, form: Form, *, headers: Mapping[str, str | Secret] | None = None
    ) -> Reply:
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return Reply(self.outcome[0], {}, self.outcome[1], self.now())

    async def get(self, url: str, *, headers: Mapping[str, str | Secret] | None = None) -> Reply:
        return await self.post(url, {})


class ProviderContract:
    """The promises. `world` gives each test a provider and a talk of its own."""

    async def world(self) -> World:
        """A fresh provider and a talk that answers it."""
        raise NotImplementedError

    async def test_a_login_brings_a_token_that_can_be_served(self) -> None:
        """Its first access token is there, printable, and knows when it was asked for."""
        here = await self.world()
        won = await here.provider.login(here.talk, here.flow)
        assert won.renewal.defect == ""
        assert won.renewal.access_token is not None
        assert re.fullmatch(r"[\x21-\x7e]+", won.renewal.access_token.reveal())
        assert won.renewal.sent.wall <= here.talk.now().wall

    async def test_nothing_it_makes_shows_a_secret(self) -> None:
        """Neither the provider nor what a login brings has a secret in its repr."""
        here = await self.world()
        won = await here.provider.login(here.talk, here.flow)
        secrets = [won.renewal.access_token, won.renewal.refresh_token, *won.private.values()]
        shown = repr(here.provider) + repr(won) + repr(grant_of(won))
        for secret in secrets:
            assert not isinstance(secret, Secret) or secret.reveal() not in shown

    async def test_what_it_keeps_for_itself_can_be_sealed(self) -> None:
        """`private` holds text and secrets by name, nothing else."""
        here = await self.world()
        won = await here.provider.login(here.talk, here.flow)
        for name, value in won.private.items():
            assert isinstance(name, str)
            assert isinstance(value, str | Secret)

    async def test_the_origin_is_one(self) -> None:
        """`scheme://host:port`, or nothing where no issuer is asked."""
        here = await self.world()
        won = await here.provider.login(here.talk, here.flow)
        assert re.fullmatch(r"(https?://[^/]+:\d+)?", here.provider.origin(grant_of(won)))

    async def test_a_flow_it_does_not_know_is_refused(self) -> None:
        """Before anybody is asked anything."""
        here = await self.world()
        with pytest.raises(Failed) as caught:
            await here.provider.login(here.talk, "no-such-flow")
        assert caught.value.failure.kind is Kind.MISCONFIGURED
        assert not here.talk.asked

    async def test_a_refresh_posts_what_it_spends_at_most_once(self) -> None:
        """And says beforehand that it spends; the old refresh token is no longer needed after."""
        here = await self.world()
        won = await here.provider.login(here.talk, here.flow)
        if not won.renewable:
            return
        grant, counting = grant_of(won), Counting(here.talk)
        renewal = await here.provider.refresh(counting, grant, PRIMARY)
        spent = counting.posted.count(grant.refresh_token) if grant.refresh_token else 0
        assert spent == int(here.provider.spends(grant))
        assert renewal.access_token is not None
        again = await here.provider.refresh(here.talk, grant_of(won, renewal), PRIMARY)
        assert again.access_token is not None

    @pytest.mark.parametrize("error", [NeverSent("connect"), ReplyLost("reset")])
    async def test_unsent_and_lost_are_told_apart(self, error: Exception) -> None:
        """Both pass through a refresh as they are: the difference decides what happens next."""
        here = await self.world()
        won = await here.provider.login(here.talk, here.flow)
        if won.renewable:
            with pytest.raises(type(error)):
                await here.provider.refresh(Broken(error), grant_of(won), PRIMARY)

    @pytest.mark.parametrize(
        ("outcome", "kinds"),
        [
            ((200, b"<html>portal"), {Kind.AMBIGUOUS}),
            ((500, b""), {Kind.AMBIGUOUS}),
            ((302, b""), {Kind.TRANSIENT}),
            ((404, b""), {Kind.TRANSIENT}),
            ((429, b""), {Kind.TRANSIENT}),
            ((400, b'{"error": "invalid_grant"}'), {Kind.REFUSED}),
        ],
    )
    async def test_a_strange_answer_is_a_failure_it_can_name(
        self, outcome: tuple[int, bytes], kinds: set[Kind]
    ) -> None:
        """Nothing an issuer answers is anything but a failure of a known kind."""
        here = await self.world()
        won = await here.provider.login(here.talk, here.flow)
        if not won.renewable:
            return
        with pytest.raises(Failed) as caught:
            await here.provider.refresh(Broken(outcome), grant_of(won), PRIMARY)
        assert caught.value.failure.kind in kinds

    async def test_a_grant_that_is_not_renewable_says_so(self) -> None:
        """A refresh of it is refused, and asks nobody."""
        here = await self.world()
        won = await here.provider.login(here.talk, here.flow)
        if won.renewable:
            return
        nobody = Broken(AssertionError("nobody is to be asked"))
        with pytest.raises(Failed) as caught:
            await here.provider.refresh(nobody, grant_of(won), TokenKey("x"))
        assert caught.value.failure.kind is Kind.REFUSED
        assert not here.provider.spends(grant_of(won))

    async def test_a_grant_can_be_ended(self) -> None:
        """Revocation returns; where it can't be known to have worked, it raises."""
        here = await self.world()
        won = await here.provider.login(here.talk, here.flow)
        await here.provider.revoke(here.talk, grant_of(won), token_of(won.renewal))
