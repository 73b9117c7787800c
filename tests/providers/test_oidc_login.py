"""Logins at an OpenID provider: those that succeed, and those that must not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from credd.core.failures import Failed
from credd.core.model import Secret, TokenKey
from credd.providers.claims import audiences
from demo.issuer_settings import (
    BASIC_CLIENT,
    OTHER_AUDIENCE,
    POST_CLIENT,
    Client,
    Settings,
)
from tests.providers.oidc_world import LASTING, Here, said
from tests.providers.provider_contract import grant_of


async def test_a_login_by_device_brings_a_grant_that_lasts() -> None:
    """Who logged in, what was granted, and where the grant may be spent from now on."""
    here = Here()
    won = await here.login("device")
    assert (won.subject, won.account, won.scope) == ("ada", "ada", " ".join(LASTING))
    assert (won.renewable, won.login_lifetime) == (True, None)
    assert won.private == {
        "flow": "device", "token_endpoint": f"{here.core.url}/token",
        "revocation_endpoint": f"{here.core.url}/revoke",
    }  # fmt: skip
    assert here.provider.origin(grant_of(won)) == "http://127.0.0.1:1"
    assert here.talk.notes() == []
    here.assert_clean()


async def test_a_login_that_nobody_configured_scopes_for_asks_to_last() -> None:
    """offline_access is asked for where the issuer offers it, and nothing beyond."""
    here = Here({"scopes": None})
    assert (await here.login()).scope == "openid offline_access"
    here.core.faults.discovery(scopes_supported=["openid"])
    assert (await here.login()).scope == "openid"


async def test_a_login_without_a_refresh_token_says_so_and_when_it_ends() -> None:
    """It can't be renewed: it ends with its access token, and the person hears what to change."""
    here = Here({"scopes": ["openid"]})
    won = await here.login()
    assert (won.renewable, won.login_lifetime, won.renewal.lifetime) == (False, 10.0, 10.0)
    (note,) = here.talk.notes()
    assert "offline_access" in note
    with pytest.raises(Failed, match="no_refresh_token"):
        await here.refresh(grant_of(won))


async def test_a_login_with_fewer_scopes_than_asked_says_which_are_missing() -> None:
    """Later it would only be a 403 somewhere."""
    here = Here()
    here.core.faults.edit_reply({"scope": "openid offline_access metrics"})
    await here.login()
    assert here.talk.notes() == ["The issuer did not grant: artifacts"]


async def test_a_login_without_an_id_token_has_no_name() -> None:
    """Plain OAuth: nobody says who it is, and nothing is made up."""
    here = Here(issuer=Settings(id_token=False))
    won = await here.login()
    assert (won.subject, won.account) == ("", "")
    assert won.renewable


@pytest.mark.parametrize("client", [BASIC_CLIENT, POST_CLIENT], ids=lambda client: client.auth)
async def test_a_client_with_a_secret_proves_itself_everywhere(client: Client) -> None:
    """Device login, refresh and revocation, with a secret full of signs that need encoding."""
    here = Here(client=client)
    won = await here.login("device")
    renewal = await here.refresh(grant_of(won))
    await here.provider.revoke(here.talk, grant_of(won, renewal), None)
    assert [question.name for question in here.talk.asked] == ["client-secret"]
    assert won.private["client_secret"] == Secret(client.secret)
    here.assert_clean()


@pytest.mark.parametrize("client", [BASIC_CLIENT, POST_CLIENT], ids=lambda client: client.auth)
async def test_a_machine_logs_in_with_its_secret_alone(client: Client) -> None:
    """Client credentials: renewed with the sealed secret, which nobody burns."""
    here = Here(client=client)
    won = await here.login("client-credentials")
    grant = grant_of(won)
    assert (won.subject, won.account, won.renewable) == (client.client_id,) * 2 + (True,)
    assert won.scope == "metrics artifacts", "scopes about a person are left out"
    assert (grant.refresh_token, here.provider.spends(grant)) == (None, False)
    assert (await here.refresh(grant)).access_token is not None
    narrow = await here.refresh(grant, TokenKey("metrics", OTHER_AUDIENCE))
    assert (narrow.scope, audiences(said(narrow))) == ("metrics", (OTHER_AUDIENCE,))
    here.assert_clean()


async def test_a_refresh_token_among_client_credentials_is_left_alone() -> None:
    """RFC 6749 4.4.3 forbids it; using it would only make a grant that can be lost."""
    here = Here(client=BASIC_CLIENT)
    here.core.faults.edit_reply({"refresh_token": "rt-CANARY-odd"}, times=2)
    won = await here.login("client-credentials")
    assert won.renewal.refresh_token is None
    assert (await here.refresh(grant_of(won))).refresh_token is None


async def test_a_public_client_has_no_credentials_to_log_in_with() -> None:
    """It hears so before anybody is asked."""
    here = Here({"token_endpoint_auth_method": "none"})
    with pytest.raises(Failed, match="no_client_secret"):
        await here.login("client-credentials")
    assert here.talk.requests == []


async def test_client_credentials_prove_themselves_as_every_issuer_accepts() -> None:
    """Without a word in the configuration it is client_secret_basic (RFC 6749, 2.3.1)."""
    here = Here({"client_id": BASIC_CLIENT.client_id})
    here.talk.answers["client-secret"] = BASIC_CLIENT.secret
    won = await here.login("client-credentials")
    assert won.renewal.access_token is not None
    here.assert_clean()


@pytest.mark.parametrize("secret", ["", "\n", "a\nb", "a\x00b", "é", "s" * 4097])
async def test_a_client_secret_that_no_request_can_carry_is_refused(secret: str) -> None:
    """Before it is sent anywhere."""
    here = Here(client=BASIC_CLIENT)
    here.talk.answers["client-secret"] = secret
    with pytest.raises(Failed, match="bad_client_secret"):
        await here.login("client-credentials")
    assert here.core.record.count("token") == 0


async def test_a_line_end_after_the_client_secret_does_no_harm() -> None:
    """It comes from a pipe: `echo … | credd-ctl login --client-secret-stdin`."""
    here = Here(client=BASIC_CLIENT)
    here.talk.answers["client-secret"] += "\n"
    assert await here.login("client-credentials")


@pytest.mark.parametrize(
    "token", ["nonsense", "", 5, [], "eyJhbGciOiJub25lIn0.e30.", {"sub": "ada"}]
)
async def test_a_login_with_a_failing_id_token_is_refused_and_revoked(token: object) -> None:
    """Somebody who can't prove who they are gets no grant, and none lives on unseen."""
    here = Here()
    here.core.faults.edit_reply({"id_token": token})
    with pytest.raises(Failed, match="bad_id_token"):
        await here.login()
    assert here.core.record.count("revocation") == 1
    assert all(grant.ended == "revoked" for grant in here.core.endpoints.grants.by_id.values())


async def test_t43_an_id_token_of_another_issuer_is_refused() -> None:
    """Mix-up: signed by the very same key, named for somebody else."""
    here = Here()
    here.core.endpoints.url = "http://127.0.0.1:2"
    here.core.faults.discovery(**Here().core.endpoints.discovery())
    with pytest.raises(Failed, match="bad_id_token"):
        await here.login()


async def test_t47_a_login_at_a_document_of_another_issuer_is_refused() -> None:
    """Mix-up: nobody is shown a code of an issuer that they didn't choose."""
    here = Here()
    here.core.faults.discovery(issuer="https://evil.example")
    with pytest.raises(Failed, match="other_issuer"):
        await here.login()
    assert here.talk.shown == []


async def test_keys_that_were_changed_meanwhile_are_fetched_again() -> None:
    """An issuer may change its keys while a person approves."""
    here = Here()
    before = here.core.endpoints.signer.jwks()
    approve = here.talk.when_shown

    def change_keys(event: Mapping[str, Any]) -> None:
        here.core.endpoints.signer = type(here.core.endpoints.signer)("ES256")
        approve(event)

    here.talk.when_shown = change_keys
    assert (await here.login()).subject == "ada"
    assert here.core.endpoints.signer.jwks() != before
    assert here.core.record.count("jwks") == 2


async def test_keys_are_fetched_before_anything_can_be_lost() -> None:
    """Once the code is exchanged, no request stands between the grant and the vault."""
    here = Here()
    await here.login()
    paths = [url.removeprefix(here.core.url) for _, url in here.talk.requests]
    assert paths == [
        "/.well-known/openid-configuration", "/jwks", "/device_authorization", "/token"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"access_token": None}, "bad_access_token"),
        ({"token_type": "DPoP"}, "wrong_token_type"),
        ({"expires_in": 0}, "expired_on_arrival"),
    ],
)
async def test_a_login_with_a_useless_token_is_refused_and_revoked(
    changes: Mapping[str, object], reason: str
) -> None:
    """The person is still there to hear it."""
    here = Here()
    here.core.faults.edit_reply(changes)
    with pytest.raises(Failed, match=reason):
        await here.login()
    assert here.core.record.count("revocation") == 1


async def test_a_refusal_stays_the_same_when_revoking_fails() -> None:
    """Ending what was refused is a courtesy; the reason of the refusal is what counts."""
    here = Here()
    here.core.faults.edit_reply({"token_type": "DPoP"})
    here.core.faults.discovery(revocation_endpoint=f"{here.core.url}/token")
    with pytest.raises(Failed, match="wrong_token_type"):
        await here.login()


async def test_an_issuer_without_device_logins_says_so() -> None:
    """Before anybody is asked for anything."""
    here = Here(client=BASIC_CLIENT)
    here.core.faults.discovery(device_authorization_endpoint=None)
    with pytest.raises(Failed, match="unsupported_grant_type"):
        await here.login("device")
    assert here.talk.asked == []


async def test_a_denied_login_says_so() -> None:
    """The person said no."""
    here = Here()
    here.talk.when_shown = lambda event: here.core.deny(event["user_code"])
    with pytest.raises(Failed, match="access_denied"):
        await here.login()


async def test_a_login_survives_slow_downs_and_lost_polls() -> None:
    """Against the strict issuer, which fails the test for one poll too early."""
    here = Here()
    here.core.faults.slow_down(times=2)
    assert (await here.login()).subject == "ada"
    assert here.talk.pauses == [1, 6, 11]
    here.assert_clean()
