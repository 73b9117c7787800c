"""The ground itself: npm oidc-provider behind the fault proxy, driven by plain HTTP.

What credd must survive is shown here without credd, so that a failure of the ground is not taken
for one of the daemon.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientConnectionError, ClientSession

from tests.fakes.fault_proxy import FaultProxy
from tests.fakes.token_request import sha256
from tests.system.approval import approve
from tests.system.provider import REQUIRED, OpenIDProvider

pytestmark = pytest.mark.provider

ROOT = Path(__file__).parents[2]
SCOPE = "openid offline_access runs:read runs:write"


@dataclass
class Client:
    """An OAuth client of a few lines, so that the ground is tested without credd."""

    http: ClientSession
    issuer: str
    client_id: str

    async def post(self, path: str, **form: str) -> dict[str, Any]:
        form["client_id"] = self.client_id
        async with self.http.post(self.issuer + path, data=form) as reply:
            return dict(await reply.json(content_type=None) or {})

    async def refresh(self, refresh_token: str, **form: str) -> dict[str, Any]:
        return await self.post(
            "/token", grant_type="refresh_token", refresh_token=refresh_token, **form
        )

    async def poll(self, device: dict[str, Any]) -> dict[str, Any]:
        grant_type = "urn:ietf:params:oauth:grant-type:device_code"
        return await self.post("/token", grant_type=grant_type, device_code=device["device_code"])


@pytest.fixture
async def client(openid_provider: OpenIDProvider) -> AsyncIterator[Client]:
    """A public client of the provider, which it knows by the proxy's URL."""
    async with ClientSession() as http:
        yield Client(http, openid_provider.issuer, openid_provider.settings.client_id)


@pytest.fixture
async def tokens(client: Client, openid_provider: OpenIDProvider) -> dict[str, Any]:
    """What a device login obtains."""
    device = await client.post("/device/auth", scope=SCOPE)
    await asyncio.to_thread(approve, openid_provider.url, device["user_code"])
    return await client.poll(device)


async def test_the_issuer_that_clients_see_is_the_proxy(
    client: Client, openid_provider: OpenIDProvider, fault_proxy: FaultProxy
) -> None:
    """Discovery names the proxy in every address, so nothing goes past it."""
    async with client.http.get(client.issuer + "/.well-known/openid-configuration") as reply:
        discovered = await reply.json()
    assert discovered["issuer"] == fault_proxy.url
    addresses = [value for key, value in discovered.items() if key.endswith("_endpoint")]
    assert addresses
    assert all(address.startswith(fault_proxy.url + "/") for address in addresses)


async def test_a_device_login_is_pending_until_a_person_approves(
    client: Client, openid_provider: OpenIDProvider
) -> None:
    """RFC 8628: authorization_pending, slow_down for who polls too fast, then tokens."""
    device = await client.post("/device/auth", scope=SCOPE)
    assert device["interval"] == openid_provider.settings.device_interval
    assert (await client.poll(device))["error"] == "authorization_pending"
    assert (await client.poll(device))["error"] == "slow_down"
    await asyncio.to_thread(approve, openid_provider.url, device["user_code"])
    tokens = await client.poll(device)
    assert tokens["expires_in"] == 6
    assert set(tokens["scope"].split()) == set(SCOPE.split())
    assert openid_provider.introspect(tokens["access_token"])["active"]


async def test_an_unknown_user_code_is_not_approved(openid_provider: OpenIDProvider) -> None:
    """The scripted person fails with the page's words instead of believing in success."""
    with pytest.raises(RuntimeError, match="code you entered is incorrect"):
        await asyncio.to_thread(approve, openid_provider.url, "WRNG-CODE")


async def test_reuse_of_a_rotated_refresh_token_kills_the_family(
    client: Client, tokens: dict[str, Any], openid_provider: OpenIDProvider
) -> None:
    """The old one is noticed, and then even the newest is dead. The events say which was reused."""
    first = tokens["refresh_token"]
    second = (await client.refresh(first))["refresh_token"]
    assert second != first
    assert openid_provider.refresh_tokens_seen_twice() == []
    assert (await client.refresh(first))["error"] == "invalid_grant"
    assert (await client.refresh(second))["error"] == "invalid_grant"
    assert openid_provider.refresh_tokens_seen_twice() == [sha256(first)]
    refreshes = openid_provider.token_requests("refresh_token")
    assert [one["reused"] for one in refreshes] == [False, True, False]
    assert refreshes[0]["next_refresh_token_sha256"] == sha256(second)
    assert openid_provider.events("grant.revoked")


async def test_a_scope_named_at_refresh_narrows_the_access_token_alone(
    client: Client, tokens: dict[str, Any]
) -> None:
    """The next refresh token still stands for the whole grant (RFC 6749, 6)."""
    narrow = await client.refresh(tokens["refresh_token"], scope="runs:read")
    assert narrow["scope"] == "runs:read"
    whole = await client.refresh(narrow["refresh_token"])
    assert set(whole["scope"].split()) == set(SCOPE.split())


async def test_two_refreshes_of_one_grant_at_once_cost_the_login(
    client: Client, tokens: dict[str, Any]
) -> None:
    """Why credd sends them one after the other."""
    both = [
        client.refresh(tokens["refresh_token"], scope=f"runs:{one}") for one in ("read", "write")
    ]
    answers = await asyncio.gather(*both)
    assert sorted(answer.get("error", "") for answer in answers) == ["", "invalid_grant"]
    (won,) = [answer for answer in answers if "refresh_token" in answer]
    assert (await client.refresh(won["refresh_token"]))["error"] == "invalid_grant"


async def test_a_revoked_refresh_token_is_refused(
    client: Client, tokens: dict[str, Any], openid_provider: OpenIDProvider
) -> None:
    """RFC 7009: what logout asks for."""
    await client.post("/token/revocation", token=tokens["refresh_token"])
    assert (await client.refresh(tokens["refresh_token"]))["error"] == "invalid_grant"
    (revocation,) = openid_provider.events("revocation")
    assert revocation["token_sha256"] == sha256(tokens["refresh_token"])


def test_client_credentials_obtain_a_token(openid_provider: OpenIDProvider) -> None:
    """The confidential client's own grant: an access token and nothing to renew it with."""
    tokens = openid_provider.post("/token", {"grant_type": "client_credentials"}, confidential=True)
    assert openid_provider.introspect(tokens["access_token"])["active"]
    assert "refresh_token" not in tokens


async def test_a_token_ends_when_its_lifetime_does(
    client: Client, tokens: dict[str, Any], openid_provider: OpenIDProvider
) -> None:
    """Introspection is strict: no second of grace."""
    introspected = openid_provider.introspect(tokens["access_token"])
    assert introspected["exp"] - introspected["iat"] == 6


async def test_a_lost_reply_has_spent_the_refresh_token(
    client: Client, tokens: dict[str, Any], openid_provider: OpenIDProvider, fault_proxy: FaultProxy
) -> None:
    """The provider rotated, the client never heard of it: one more try is final."""
    fault_proxy.drop_reply()
    with pytest.raises(ClientConnectionError):
        await client.refresh(tokens["refresh_token"])
    assert fault_proxy.refreshes()[-1].outcome == "reply-lost"
    assert (await client.refresh(tokens["refresh_token"]))["error"] == "invalid_grant"
    assert openid_provider.token_requests("refresh_token")[-1]["reused"]


async def test_a_request_that_was_never_forwarded_has_spent_nothing(
    client: Client, tokens: dict[str, Any], openid_provider: OpenIDProvider, fault_proxy: FaultProxy
) -> None:
    """For the client it looks the same as a lost reply; for the provider it never was."""
    fault_proxy.hold_request().drop()
    with pytest.raises(ClientConnectionError):
        await client.refresh(tokens["refresh_token"])
    assert fault_proxy.refreshes()[-1].outcome == "never-forwarded"
    assert "refresh_token" in await client.refresh(tokens["refresh_token"])
    assert openid_provider.refresh_tokens_seen_twice() == []


@pytest.mark.parametrize(("required", "outcome"), [("", "skipped"), ("1", "error")])
def test_a_missing_node_is_named(tmp_path: Path, required: str, outcome: str) -> None:
    """Skipped by name with the reason; a failure where CREDD_REQUIRE_PROVIDER=1 asks for it."""
    this = f"{Path(__file__).relative_to(ROOT)}::test_client_credentials_obtain_a_token"
    run = subprocess.run(
        check=False,
        args=[sys.executable, "-m", "pytest", "-p", "no:cacheprovider", this],
        cwd=ROOT,
        env={"PATH": str(tmp_path), "TMPDIR": str(tmp_path), REQUIRED: required},
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert f"1 {outcome}" in run.stdout
    assert "npm oidc-provider can't be started here: node is not on PATH" in run.stdout
