"""Our own rows keep the promises that every provider makes."""

from __future__ import annotations

from credd.providers.catalog import load_catalog
from demo.issuer_core import IssuerCore
from demo.issuer_settings import BASIC_CLIENT, Settings
from tests.fakes.conversation import IssuerConversation, ScriptedConversation
from tests.providers.provider_contract import ProviderContract, World

CATALOG = load_catalog([]).catalog


class TestDevice(ProviderContract):
    """A person's login, with rotation."""

    async def world(self) -> World:
        core = IssuerCore()
        settings = {"issuer": core.url, "client_id": "demo-training"}
        return World(CATALOG["oidc"].build(settings), IssuerConversation(core), "device")


class TestAuthorizationCode(ProviderContract):
    """A person's login by browser, with rotation."""

    async def world(self) -> World:
        core = IssuerCore()
        settings = {"issuer": core.url, "client_id": "demo-training"}
        return World(
            CATALOG["oidc"].build(settings), IssuerConversation(core), "authorization-code"
        )


class TestDeviceWithoutOfflineAccess(ProviderContract):
    """A login that ends with its access token."""

    async def world(self) -> World:
        core = IssuerCore()
        settings = {"issuer": core.url, "client_id": "demo-training", "scopes": ["openid"]}
        return World(CATALOG["oidc"].build(settings), IssuerConversation(core), "device")


class TestClientCredentials(ProviderContract):
    """A machine's login, renewed with its secret."""

    async def world(self) -> World:
        core = IssuerCore(Settings())
        settings = {
            "issuer": core.url, "client_id": BASIC_CLIENT.client_id,
            "token_endpoint_auth_method": "client_secret_basic",
        }  # fmt: skip
        talk = IssuerConversation(core, answers={"client-secret": BASIC_CLIENT.secret})
        return World(CATALOG["oidc"].build(settings), talk, "client-credentials")


class TestStatic(ProviderContract):
    """A key."""

    async def world(self) -> World:
        talk = ScriptedConversation(answers={"key": "key-CANARY-1"})
        return World(CATALOG["static"].build({}), talk, "key")
