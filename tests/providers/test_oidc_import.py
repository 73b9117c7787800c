"""A refresh token from elsewhere: made a grant without being touched, then refreshed like any."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from credd.core.failures import Failed
from credd.core.importing import Handover, Importer
from credd.core.model import Secret
from credd.providers.static import StaticProvider
from demo.issuer_settings import BASIC_CLIENT, POST_CLIENT, Client
from tests.fakes.conversation import START, ScriptedConversation
from tests.providers.oidc_world import LASTING, Here
from tests.providers.provider_contract import grant_of


async def elsewhere(here: Here) -> Secret:
    """The refresh token that another program has won."""
    won = await here.login()
    assert won.renewal.refresh_token is not None
    return won.renewal.refresh_token


async def test_taking_over_posts_nothing() -> None:
    """It may be the only living token of its login: only discovery is asked."""
    here = Here()
    token = await elsewhere(here)
    before = here.core.record.count("token")
    won = await here.provider.take_over(here.talk, Handover(token, account="ada", scope="a b"))
    assert here.core.record.count("token") == before
    assert won.renewal.access_token is None
    assert (won.renewal.refresh_token, won.renewable) == (token, True)
    assert (won.account, won.scope) == ("ada", "a b")
    here.assert_clean()


async def test_what_was_taken_over_is_refreshed_like_any_login() -> None:
    """At the endpoint that discovery named, and replaced as ever."""
    here = Here()
    token = await elsewhere(here)
    grant = grant_of(await here.provider.take_over(here.talk, Handover(token)))
    renewal = await here.refresh(grant)
    assert renewal.access_token is not None
    assert renewal.refresh_token not in (None, token)
    again = await here.refresh(dataclasses.replace(grant, refresh_token=renewal.refresh_token))
    assert again.defect == ""
    here.assert_clean()


@pytest.mark.parametrize("client", [BASIC_CLIENT, POST_CLIENT], ids=lambda client: client.auth)
async def test_a_client_with_a_secret_proves_itself(client: Client) -> None:
    """By the registered method, with the secret that came along."""
    here = Here(client=client)
    handed = Handover(await elsewhere(here), Secret(client.secret))
    renewal = await here.refresh(grant_of(await here.provider.take_over(here.talk, handed)))
    assert renewal.access_token is not None
    here.assert_clean()


async def test_without_a_chosen_method_a_secret_means_the_usual_one() -> None:
    """client_secret_basic, which every issuer has to accept (RFC 6749 2.3.1)."""
    here = Here({"client_id": BASIC_CLIENT.client_id}, client=BASIC_CLIENT)
    handed = Handover(await elsewhere(here), Secret(BASIC_CLIENT.secret))
    unsaid = Here({"client_id": BASIC_CLIENT.client_id})
    won = await unsaid.provider.take_over(here.talk, handed)
    assert won.private["client_auth"] == "client_secret_basic"


async def test_a_client_that_must_prove_itself_needs_its_secret() -> None:
    """Refused before the token is posted, rather than by the issuer after it."""
    here = Here(client=BASIC_CLIENT)
    token = await elsewhere(here)
    with pytest.raises(Failed, match="no_client_secret"):
        await here.provider.take_over(here.talk, Handover(token))


@pytest.mark.parametrize("token", ["", "two words", "line\nline", "é", "x" * 65537])
async def test_t35_a_token_that_no_form_can_carry_is_refused(token: str) -> None:
    """Nothing at all is asked of the issuer."""
    here = Here()
    with pytest.raises(Failed, match="bad_refresh_token"):
        await here.provider.take_over(here.talk, Handover(Secret(token)))
    assert here.core.record.requests == []


@pytest.mark.parametrize("secret", ["two words", "line\nline"])
async def test_a_client_secret_that_no_header_can_carry_is_refused(secret: str) -> None:
    """And neither shown nor posted."""
    here = Here(client=BASIC_CLIENT)
    with pytest.raises(Failed, match="bad_client_secret"):
        await here.provider.take_over(here.talk, Handover(Secret("rt"), Secret(secret)))


@pytest.mark.parametrize("label", ["\x1b[31mada", "a\nb"])
async def test_labels_are_no_way_in(label: str) -> None:
    """What another program wrote is shown in tables: no escape sequence gets there."""
    here = Here()
    handed = Handover(await elsewhere(here), account=label, scope=label)
    won = await here.provider.take_over(here.talk, handed)
    assert (won.account, won.scope) == ("", " ".join(LASTING))


async def test_a_key_is_taken_over_as_it_is() -> None:
    """With the end that somebody wrote down, and no post at all."""
    async with ScriptedConversation() as talk:
        provider = StaticProvider({"expires_at": START + 60})
        won = await provider.take_over(talk, Handover(Secret("key-CANARY-1\n")))
    assert won.renewal.access_token == Secret("key-CANARY-1")
    assert (won.renewable, won.login_lifetime) == (False, 60.0)


@pytest.mark.parametrize("provider", [Here().provider, StaticProvider({})])
def test_both_providers_can_begin_with_a_secret(provider: Any) -> None:
    """As the broker asks them."""
    assert isinstance(provider, Importer)
