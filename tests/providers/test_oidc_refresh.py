"""Refreshes and revocations: against a strict issuer, and against ones that move, lie and fail."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from credd.core.conversation import NeverSent, ReplyLost
from credd.core.failures import Failed, Kind
from credd.core.model import PRIMARY, Secret, TokenKey
from credd.providers.claims import audiences
from credd.providers.oidc import OidcProvider
from demo.issuer_settings import (
    AUDIENCE,
    BASIC_CLIENT,
    OTHER_AUDIENCE,
    Settings,
)
from tests.fakes.conversation import ScriptedConversation, get, post
from tests.providers.oidc_world import ISSUER, LASTING, US, Here, said, sealed_grant
from tests.providers.provider_contract import grant_of, token_of


async def test_refreshes_follow_one_another_through_rotation() -> None:
    """Each uses the refresh token that the one before left; none is seen twice."""
    here = Here()
    won = await here.login()
    grant = grant_of(won)
    for _ in range(5):
        renewal = await here.refresh(grant)
        assert renewal.refresh_token != grant.refresh_token
        grant = grant_of(won, renewal)
    assert here.core.record.reuses == []
    here.assert_clean()


async def test_t50_an_issuer_that_does_not_rotate_is_fine_too() -> None:
    """No new refresh token in the reply: the old one goes on."""
    here = Here(issuer=Settings(rotate=False))
    won = await here.login()
    here.core.faults.omit_refresh_token(times=2)
    for _ in range(2):
        renewal = await here.refresh(grant_of(won))
        assert renewal.refresh_token is None
        assert renewal.access_token is not None
    here.assert_clean()


async def test_a_refresh_asks_nobody_but_the_token_endpoint() -> None:
    """One request: no discovery that could fail, be slow, or lie."""
    here = Here()
    won = await here.login()
    here.talk.requests.clear()
    await here.refresh(grant_of(won))
    assert here.talk.requests == [("POST", f"{here.core.url}/token")]


async def test_scope_is_sent_only_to_narrow() -> None:
    """RFC 6749 6: left out, it means all that was granted."""
    here = Here()
    won = await here.login()
    narrow = await here.refresh(grant_of(won), TokenKey(scope="metrics"))
    assert (narrow.scope, said(narrow)["scope"]) == ("metrics", "metrics")
    whole = await here.refresh(grant_of(won, narrow))
    assert whole.scope == " ".join(LASTING)
    here.assert_clean()


async def test_an_audience_is_asked_as_a_resource() -> None:
    """RFC 8707: at the login, at each refresh, and another one where a caller names it."""
    here = Here({"audience": AUDIENCE})
    won = await here.login()
    assert audiences(said(won.renewal)) == (AUDIENCE,)
    again = await here.refresh(grant_of(won))
    assert audiences(said(again)) == (AUDIENCE,)

    other = Here()
    won = await other.login()
    there = await other.refresh(grant_of(won), TokenKey(audience=OTHER_AUDIENCE))
    assert audiences(said(there)) == (OTHER_AUDIENCE,)
    here.assert_clean()
    other.assert_clean()


async def test_the_audience_may_have_another_name() -> None:
    """Some issuers know `audience` alone."""
    provider = OidcProvider(
        {"issuer": "https://a.example", "client_id": "c", "audience_parameter": "audience"}
    )
    answer = {"access_token": "opaque"}
    grant = sealed_grant()
    step = post("/token", answer, form={"audience": "api", "resource": None, "scope": None})
    async with ScriptedConversation(step) as talk:
        await provider.refresh(talk, grant, TokenKey(audience="api"))


@pytest.mark.parametrize(
    ("key", "reason", "kind"),
    [
        (TokenKey(scope="admin"), "invalid_scope", Kind.CALLER),
        (TokenKey(audience="https://x.example"), "invalid_target", Kind.CALLER),
    ],
)
async def test_t88_what_a_caller_named_and_is_refused_is_the_callers_own(
    key: TokenKey, reason: str, kind: Kind
) -> None:
    """Garbage from one job is that job's error, and costs the grant nothing."""
    here = Here()
    won = await here.login()
    with pytest.raises(Failed) as caught:
        await here.refresh(grant_of(won), key)
    assert (caught.value.failure.kind, caught.value.failure.reason) == (kind, reason)
    assert (await here.refresh(grant_of(won))).access_token is not None


async def test_t12_an_issuer_that_ignores_the_audience_is_found_out() -> None:
    """A token for somebody else is not served, and its refresh token is kept."""
    here = Here({"audience_parameter": "audience"})  # which this issuer does not know
    won = await here.login()
    renewal = await here.refresh(grant_of(won), TokenKey(audience=OTHER_AUDIENCE))
    assert (renewal.defect, renewal.access_token) == ("wrong_audience", None)
    assert renewal.refresh_token is not None


async def test_an_audience_that_the_issuer_does_not_know_ends_the_login() -> None:
    """The person is still there to correct it."""
    with pytest.raises(Failed, match="invalid_target"):
        await Here({"audience": "https://nobody.example"}).login()


async def test_t82_a_refresh_with_another_persons_id_token_keeps_the_refresh_token() -> None:
    """The access token is not served; the refresh token, which may be the only one, is kept."""
    here = Here()
    won = await here.login()
    stranger = replace(grant_of(won), subject="bob")
    renewal = await here.refresh(stranger)
    assert (renewal.defect, renewal.access_token) == ("bad_id_token", None)
    assert renewal.refresh_token is not None
    here.core.faults.edit_reply({"id_token": "nonsense"})
    assert (await here.refresh(grant_of(won, renewal))).defect == "bad_id_token"


async def test_the_first_thing_that_is_wrong_is_the_one_that_is_told() -> None:
    """A strange id token beside a broken access token does not hide it."""
    here = Here()
    won = await here.login()
    here.core.faults.break_access_token()
    renewal = await here.refresh(replace(grant_of(won), subject="bob"))
    assert renewal.defect == "bad_access_token"


async def test_t49_a_refresh_behind_a_captive_portal_is_ambiguous() -> None:
    """Nothing says whether the request went through; the refresh token is kept."""
    here = Here()
    won = await here.login()
    here.core.faults.html()
    with pytest.raises(Failed) as caught:
        await here.refresh(grant_of(won))
    assert caught.value.failure.kind is Kind.AMBIGUOUS
    here.core.faults.html(on=False)
    assert (await here.refresh(grant_of(won))).access_token is not None


async def test_a_lost_reply_and_an_absent_issuer_are_told_apart() -> None:
    """Both pass through as they are."""
    here = Here()
    won = await here.login()
    here.core.faults.is_away = True
    with pytest.raises(NeverSent):
        await here.refresh(grant_of(won))
    here.core.faults.is_away = False
    here.core.faults.lose_reply()
    with pytest.raises(ReplyLost):
        await here.refresh(grant_of(won))


def moved(endpoint: str, **more: str) -> Any:
    """The discovery document, with its token endpoint there."""
    document = {"issuer": ISSUER, "token_endpoint": endpoint, **more}
    return get("/.well-known/openid-configuration", document)


GONE = post(f"{ISSUER}/token", b"", 404)
TOKENS = {"access_token": "at-1", "refresh_token": "rt-CANARY-2"}


@pytest.mark.parametrize("body", [b"", b"<html>", {"error": "Realm does not exist"}, []])
async def test_a_token_endpoint_with_a_new_path_is_followed_once(body: object) -> None:
    """Same origin, another path: an upgrade of the issuer, not somebody else."""
    gone = post(f"{ISSUER}/token", body, 404)
    there = post(f"{ISSUER}/v2/token", TOKENS, form={"refresh_token": "rt-CANARY-1"})
    async with ScriptedConversation(gone, moved(f"{ISSUER}/v2/token"), there) as talk:
        renewal = await US.refresh(talk, sealed_grant(), PRIMARY)
    assert renewal.refresh_token == Secret("rt-CANARY-2")


@pytest.mark.parametrize(
    "endpoint",
    ["https://evil.example/token", f"{ISSUER}:8443/token", "https://x.login.example.org/"],
)
async def test_t47_a_token_endpoint_at_another_origin_gets_nothing(endpoint: str) -> None:
    """The origin was sealed at login: no refresh token is ever posted anywhere else."""
    async with ScriptedConversation(GONE, moved(endpoint)) as talk:
        with pytest.raises(Failed) as caught:
            await US.refresh(talk, sealed_grant(), PRIMARY)
    assert caught.value.failure.reason == "other_origin"
    assert caught.value.failure.kind is Kind.MISCONFIGURED


@pytest.mark.parametrize(
    "steps",
    [
        [moved(f"{ISSUER}/token")],
        [get("openid-configuration", b"", 404)],
        [get("openid-configuration", b"", 503)],
        [moved("nonsense")],
        [moved(f"{ISSUER}/v2/token"), post(f"{ISSUER}/v2/token", b"", 404)],
    ],
    ids=["same", "document gone", "issuer down", "nonsense", "new path gone too"],
)
async def test_an_endpoint_that_is_gone_is_worth_another_try(steps: list[Any]) -> None:
    """A 404 posts nothing twice, and alone makes nobody misconfigured: the broker counts."""
    async with ScriptedConversation(GONE, *steps) as talk:
        with pytest.raises(Failed) as caught:
            await US.refresh(talk, sealed_grant(), PRIMARY)
    assert (caught.value.failure.kind, caught.value.failure.reason) == (Kind.TRANSIENT, "not_found")


async def test_an_issuer_that_became_another_is_misconfigured() -> None:
    """Its document names somebody else now: a person has to look."""
    lie = get("openid-configuration", {"issuer": "https://evil.example"})
    async with ScriptedConversation(GONE, lie) as talk:
        with pytest.raises(Failed, match="other_issuer"):
            await US.refresh(talk, sealed_grant(), PRIMARY)


async def test_a_lost_document_does_not_look_like_a_lost_refresh_token() -> None:
    """The 404 was definite; losing the document afterwards changes nothing about that."""
    lost = get("openid-configuration", ReplyLost("time_out"))
    async with ScriptedConversation(GONE, lost) as talk:
        with pytest.raises(NeverSent):
            await US.refresh(talk, sealed_grant(), PRIMARY)


async def test_a_known_error_in_a_404_is_an_answer() -> None:
    """Strange, but definite."""
    answer = post(f"{ISSUER}/token", {"error": "invalid_grant"}, 404)
    async with ScriptedConversation(answer) as talk:
        with pytest.raises(Failed, match="invalid_grant"):
            await US.refresh(talk, sealed_grant(), PRIMARY)


async def test_t47_a_redirect_is_not_followed() -> None:
    """No secret is sent again to wherever the token endpoint points."""
    there = post(f"{ISSUER}/token", b"", 307, headers={"location": "https://evil.example/"})
    async with ScriptedConversation(there) as talk:
        with pytest.raises(Failed, match="redirect"):
            await US.refresh(talk, sealed_grant(), PRIMARY)


async def test_a_grant_without_a_sealed_endpoint_looks_it_up() -> None:
    """One that was imported; from its issuer's own document, checked like at a login."""
    steps = moved(f"{ISSUER}/token"), post(f"{ISSUER}/token", TOKENS)
    async with ScriptedConversation(*steps) as talk:
        assert await US.refresh(talk, replace(sealed_grant(), private={}), PRIMARY)


async def test_a_logout_ends_the_family_at_the_issuer() -> None:
    """The refresh token is revoked, and takes the access tokens along (RFC 7009 2.1)."""
    here = Here()
    won = await here.login()
    await here.provider.revoke(here.talk, grant_of(won), token_of(won.renewal))
    assert here.core.record.count("revocation") == 1
    with pytest.raises(Failed, match="invalid_grant"):
        await here.refresh(grant_of(won))
    here.assert_clean()


async def test_without_a_refresh_token_the_access_token_is_revoked() -> None:
    """What there is to end is ended."""
    here = Here(client=BASIC_CLIENT)
    won = await here.login("client-credentials")
    await here.provider.revoke(here.talk, grant_of(won), token_of(won.renewal))
    (access,) = here.core.endpoints.grants.access.values()
    assert access.revoked
    await here.provider.revoke(here.talk, grant_of(won), None)
    assert here.core.record.count("revocation") == 1


async def test_where_nothing_can_be_revoked_nothing_is_asked() -> None:
    """Not every issuer has a revocation endpoint."""
    async with ScriptedConversation() as talk:
        await US.revoke(talk, sealed_grant(), None)


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (200, b"", ""), (200, b"<html>", ""), (204, b"", ""),
        (400, {"error": "invalid_grant"}, ""), (400, {"error": "invalid_token"}, ""),
        (400, {"error": "unsupported_token_type"}, "unsupported_token_type"),
        (401, {"error": "invalid_client"}, "invalid_client"),
        (503, b"", "no_oauth_answer"), (302, b"", "redirect"), (404, b"", "not_found"),
    ],
)  # fmt: skip
async def test_a_revocation_that_was_not_heard_is_not_taken_for_done(
    status: int, body: object, reason: str
) -> None:
    """Only the issuer's yes, or its word that the token is gone already, ends it."""
    grant = replace(sealed_grant(), private={"revocation_endpoint": f"{ISSUER}/revoke"})
    wanted = {"token": "rt-CANARY-1", "token_type_hint": "refresh_token", "client_id": "training"}
    async with ScriptedConversation(post("/revoke", body, status, wanted)) as talk:
        if not reason:
            await US.revoke(talk, grant, None)
            return
        with pytest.raises(Failed, match=reason):
            await US.revoke(talk, grant, None)


def test_a_provider_shows_no_secret() -> None:
    """Its repr names the issuer and the client."""
    assert repr(US) == f"<OidcProvider {ISSUER} client_id=training>"
