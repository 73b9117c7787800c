"""Logins and their ends, at an OpenID provider that we did not write."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jwt.algorithms import ECAlgorithm

from tests.providers.keys import key, private_pem
from tests.system.harness import Home
from tests.system.lab import NAME, Lab
from tests.system.provider import OpenIDProvider, ProviderSettings

pytestmark = [pytest.mark.provider, pytest.mark.timeout(90)]


async def test_a_device_login_gives_a_good_token_to_every_command(lab: Lab) -> None:
    """`credd-token`, `credd-ctl token` and the socket serve one and the same."""
    served = (await lab.home.token(NAME)).body["access_token"]
    assert lab.is_active(served)
    for command in (("credd-token", NAME), ("credd-ctl", "token", NAME)):
        finished = await lab.home.run(*command)
        assert (finished.exit_code, finished.stdout, finished.stderr) == (0, served + "\n", "")


async def test_status_names_the_account_and_holds_no_secret(lab: Lab) -> None:
    """Who one is, from the verified id token; what one holds, never."""
    status = await lab.home.status(NAME)
    assert (status["state"], status["account"]) == ("fresh", "alice")
    text = str(status) + (await lab.home.ctl("status", NAME, "--json")).stdout
    assert (await lab.home.token(NAME)).body["access_token"] not in text


async def test_logout_revokes_at_the_provider_and_forgets(lab: Lab) -> None:
    """RFC 7009, for the refresh token that was the last; then the next command is a login."""
    served = (await lab.home.token(NAME)).body["access_token"]
    finished = await lab.home.ctl("logout", NAME, "--yes")
    assert finished.exit_code == 0, finished.stderr
    assert lab.provider.events("revocation")
    assert not lab.is_active(served)
    assert await lab.home.state(NAME) == "empty"
    assert (await lab.home.run("credd-token", NAME)).exit_code == 4


async def test_a_login_outlives_the_daemon_and_needs_no_person(lab: Lab) -> None:
    """Stopped and started again: the same grant, a good token."""
    assert await lab.home.terminate() == 0
    await lab.home.start()
    answer = await lab.home.token(NAME)
    assert answer.status == 200
    assert lab.is_active(answer.body["access_token"])


async def test_client_credentials_log_in_with_the_secret_from_standard_input(
    home: Home, openid_provider: OpenIDProvider
) -> None:
    """No refresh token: the client's own secret obtains each new token, after a restart too."""
    settings = openid_provider.settings
    home.configure(
        "bot",
        provider="oidc",
        issuer=openid_provider.issuer,
        client_id=settings.confidential_client_id,
        hosts=["127.0.0.1"],
    )
    await home.start()
    login = ("login", "bot", "--flow", "client-credentials", "--client-secret-stdin")
    finished = await home.ctl(*login, stdin=settings.confidential_client_secret + "\n")
    assert finished.exit_code == 0, finished.stderr
    await home.kill()
    await home.start()
    answer = await home.token("bot", min_valid=4)
    assert answer.status == 200
    assert openid_provider.introspect(answer.body["access_token"])["active"]


def public_jwk() -> dict[str, Any]:
    """What the signing client has registered."""
    return {**json.loads(ECAlgorithm.to_jwk(key("P-256").public_key())), "use": "sig"}


@pytest.mark.parametrize(
    "provider_settings", [ProviderSettings(signing_client_jwk=public_jwk())], ids=["signing"]
)
@pytest.mark.parametrize("audience", ["issuer", "endpoint"])
async def test_a_client_with_a_private_key_logs_in_and_renews(
    home: Home, openid_provider: OpenIDProvider, audience: str
) -> None:
    """private_key_jwt: the key comes once by standard input, each request has a new assertion."""
    settings = openid_provider.settings
    home.configure(
        "bot",
        provider="oidc",
        issuer=openid_provider.issuer,
        client_id=settings.signing_client_id,
        token_endpoint_auth_method="private_key_jwt",
        assertion_audience=audience,
        hosts=["127.0.0.1"],
    )
    await home.start()
    login = ("login", "bot", "--flow", "client-credentials", "--client-key-stdin")
    finished = await home.ctl(*login, stdin=private_pem())
    assert finished.exit_code == 0, finished.stderr
    await home.kill()
    await home.start()
    answer = await home.token("bot", min_valid=4)
    assert answer.status == 200
    assert openid_provider.introspect(answer.body["access_token"])["active"]
    statuses = [one["status"] for one in openid_provider.token_requests("client_credentials")]
    assert set(statuses) == {200}
