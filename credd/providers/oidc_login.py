"""The two ways to log in at an OpenID provider, step by step.

Knows the order of the steps; each step is told elsewhere (discovery, device, oauth, token_reply,
id_token). The hard thing is the moment after the code is exchanged: from then on a grant lives at
the issuer. So the keys for checking are fetched before it, and a grant that is refused after it is
revoked.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from credd.core.conversation import (
    Authorization,
    Conversation,
    NeverSent,
    Renewal,
    Reply,
    ReplyLost,
)
from credd.core.failures import Failed, Failure, Kind
from credd.core.model import Secret
from credd.providers import claims, device, id_token, oauth
from credd.providers.discovery import Endpoints, discover, fetch
from credd.providers.token_reply import Asked, read_renewal

DEVICE = "device"
CLIENT_CREDENTIALS = "client-credentials"

OF_PERSONS = frozenset({"openid", "offline_access"})
"""Scopes about a person, who is absent from client credentials: issuers refuse them there."""

NO_REFRESH_TOKEN = (
    "The issuer gave no refresh token, so this login ends with its access token. "
    'If the issuer offers it, add "offline_access" to scopes and log in again.'
)


@dataclasses.dataclass(frozen=True, slots=True)
class Registration:
    """How we are known to an issuer, from the settings. `scopes` is None, and `method` "", where
    nobody chose."""

    issuer: str
    client_id: str
    method: str = ""
    scopes: tuple[str, ...] | None = None
    audience: str = ""
    audience_parameter: str = "resource"

    def narrowed(self, form: oauth.Fields, scope: str = "", audience: str = "") -> oauth.Fields:
        """The form with this scope and audience, under this issuer's name for the latter."""
        return oauth.narrowed(form, scope, audience or self.audience, self.audience_parameter)

    def own_scope(self) -> str:
        """The configured scopes that make sense where no person is involved."""
        return " ".join(one for one in self.scopes or () if one not in OF_PERSONS)

    def wanted_scope(self, offered: frozenset[str]) -> str:
        """The configured scopes; else a login that lasts, where the issuer offers one."""
        if self.scopes is not None:
            return " ".join(self.scopes)
        return "openid offline_access" if "offline_access" in offered else "openid"


async def log_in_by_client_credentials(talk: Conversation, us: Registration) -> Authorization:
    """RFC 6749 4.4: the client secret is asked once, sealed, and renews ever after."""
    if us.method == "none":
        raise Failed(Failure(Kind.MISCONFIGURED, "no_client_secret"))
    # What every issuer has to accept from a client with a secret (RFC 6749, 2.3.1).
    us = dataclasses.replace(us, method=us.method or "client_secret_basic")
    found = await discover(talk, us.issuer)
    client = await _introduced(talk, us)
    form = us.narrowed(oauth.client_credentials_form(), us.own_scope())
    reply = await client.post(talk, found.token, form)
    renewal = _sound(read_renewal(reply, Asked(us.own_scope(), us.audience)))
    return Authorization(
        # A refresh token has no place here (RFC 6749 4.4.3): the secret renews, and does not burn.
        renewal=dataclasses.replace(renewal, refresh_token=None),
        subject=us.client_id,
        account=us.client_id,
        scope=renewal.scope,
        private=_sealed(CLIENT_CREDENTIALS, found, client),
    )


async def log_in_by_device(talk: Conversation, us: Registration) -> Authorization:
    """RFC 8628: show a code, wait until a person approves it."""
    found = await discover(talk, us.issuer)
    if not found.device:
        raise Failed(Failure(Kind.MISCONFIGURED, "unsupported_grant_type"))
    client = await _introduced(talk, us)
    asked = Asked(us.wanted_scope(found.scopes), us.audience)
    keys = await _keys(talk, found) if "openid" in asked.scope.split() else {}
    form = us.narrowed({}, asked.scope)
    shown = await device.start(talk, found.device, client, form, us.issuer)
    await talk.show(shown.event())
    reply = await device.wait(talk, found.token, client, shown, us.narrowed({}))
    return await _authorization(talk, us, found, client, reply, asked, keys)


async def _introduced(talk: Conversation, us: Registration) -> oauth.Client:
    if us.method in ("", "none"):
        return oauth.Client(us.client_id)
    secret = await oauth.ask_client_secret(talk, us.client_id)
    return oauth.Client(us.client_id, us.method, secret)


async def _authorization(
    talk: Conversation, us: Registration, found: Endpoints, client: oauth.Client, reply: Reply,
    asked: Asked, keys: Mapping[str, Any],
) -> Authorization:  # fmt: skip
    renewal = read_renewal(reply, asked)
    try:
        who = await _who(talk, us, found, reply, keys)
        _sound(renewal)
    except (Failed, NeverSent):
        await _discard(talk, found, client, renewal)
        raise
    await _tell(talk, renewal, asked)
    return Authorization(
        renewal=renewal,
        subject=str(who.get("sub", "")),
        account=id_token.account_name(who),
        scope=renewal.scope,
        renewable=renewal.refresh_token is not None,
        login_lifetime=None if renewal.refresh_token else renewal.lifetime,
        private=_sealed(DEVICE, found, client),
    )


def _sound(renewal: Renewal) -> Renewal:
    """A first token has to be usable: the person is still there to hear that it isn't."""
    if renewal.defect:
        raise Failed(Failure(Kind.MISCONFIGURED, renewal.defect))
    return renewal


def _sealed(flow: str, found: Endpoints, client: oauth.Client) -> Mapping[str, str | Secret]:
    """What later posts rely on, kept with the grant: where to, and how to prove who we are."""
    private: dict[str, str | Secret] = {"flow": flow, "token_endpoint": found.token}
    if found.revocation:
        private["revocation_endpoint"] = found.revocation
    if client.secret is not None:
        private["client_secret"] = client.secret
    return private


async def _keys(talk: Conversation, found: Endpoints) -> Mapping[str, Any]:
    return await fetch(talk, found.keys, "bad_discovery") if found.keys else {}


async def _who(
    talk: Conversation, us: Registration, found: Endpoints, reply: Reply, keys: Mapping[str, Any]
) -> Mapping[str, Any]:
    """The verified claims of the reply's id token; none where it has no id token."""
    token = (reply.json() or {}).get("id_token")
    if token is None:
        return {}
    now = claims.issuer_time(reply)
    at = reply.sent.wall if now is None else now
    try:
        with suppress(id_token.UnknownKey):
            return id_token.verify(token, keys, us.issuer, us.client_id, at)
        newest = await _keys(talk, found)  # the issuer may have changed keys since we looked
        return id_token.verify(token, newest, us.issuer, us.client_id, at)
    except id_token.BadIdToken:
        raise Failed(Failure(Kind.REFUSED, "bad_id_token")) from None


async def _discard(
    talk: Conversation, found: Endpoints, client: oauth.Client, renewal: Renewal
) -> None:
    """End a grant that was obtained and is refused, or it would live on unseen. At best effort."""
    if renewal.refresh_token is None or not found.revocation:
        return
    with suppress(Failed, NeverSent, ReplyLost):
        await oauth.revoke(talk, found.revocation, client, renewal.refresh_token, "refresh_token")


async def _tell(talk: Conversation, renewal: Renewal, asked: Asked) -> None:
    """Say at once what would be missed only later."""
    if renewal.refresh_token is None:
        await talk.show({"type": "note", "text": NO_REFRESH_TOKEN})
    missing = set(asked.scope.split()) - set(renewal.scope.split()) - OF_PERSONS
    if missing:
        text = "The issuer did not grant: " + ", ".join(sorted(missing))
        await talk.show({"type": "note", "text": text})
