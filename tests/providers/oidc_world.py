"""A strict issuer and a provider that talks to it: what the OpenID provider's tests share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from credd.core.conversation import Authorization, Renewal
from credd.core.model import PRIMARY, Grant, Secret, TokenKey
from credd.providers.claims import peek
from credd.providers.oidc import OidcProvider
from demo.issuer_core import IssuerCore
from demo.issuer_settings import Client, Settings
from tests.fakes.conversation import IssuerConversation
from tests.providers.provider_contract import grant_of

LASTING = ["openid", "offline_access", "metrics", "artifacts"]
"""Scopes of a login that lasts."""


class Here:
    """A strict issuer, a provider that talks to it, and what the login won."""

    def __init__(
        self, settings: Mapping[str, Any] | None = None, issuer: Settings | None = None,
        client: Client | None = None,
    ) -> None:  # fmt: skip
        self.core = IssuerCore(issuer)
        own = {"issuer": self.core.url, "client_id": "demo-training", "scopes": LASTING}
        answers = {}
        if client is not None:
            own |= {"client_id": client.client_id, "token_endpoint_auth_method": client.auth}
            answers = {"client-secret": client.secret, "client-key": client.secret}
        self.provider = OidcProvider({**own, **(settings or {})})
        self.talk = IssuerConversation(self.core, answers=answers)

    async def login(self, flow: str = "device") -> Authorization:
        return await self.provider.login(self.talk, flow)

    async def refresh(self, grant: Grant, key: TokenKey = PRIMARY) -> Renewal:
        return await self.provider.refresh(self.talk, grant, key)

    def assert_clean(self) -> None:
        """The issuer has nothing to complain about."""
        assert self.core.record.violations == []


def said(renewal: Renewal) -> Mapping[str, Any]:
    """The claims of the renewal's access token."""
    assert renewal.access_token is not None
    return peek(renewal.access_token.reveal())


ISSUER = "https://login.example.org"


def sealed_grant(endpoint: str = f"{ISSUER}/token") -> Grant:
    """A grant from a login that used this token endpoint."""
    won = Authorization(
        Renewal(IssuerConversation(IssuerCore()).now(), Secret("rt-CANARY-1"), Secret("at-0")),
        subject="ada", private={"flow": "device", "token_endpoint": endpoint},
    )  # fmt: skip
    return grant_of(won)


US = OidcProvider({"issuer": ISSUER, "client_id": "training"})
"""A provider for scripts, at an issuer that nobody plays."""
