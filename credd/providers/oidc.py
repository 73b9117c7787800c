"""Any OpenID provider: the four verbs.

Knows what a grant needs after its login; how a login goes is told in oidc_login.py. The hard thing
is what a login sealed: the token endpoint it used. From then on the grant is posted there and
nowhere else, whatever the issuer's documents say later; a new path at the same origin is followed,
another origin never.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from credd.core.conversation import Authorization, Conversation, Renewal, Reply
from credd.core.failures import BY_CODE, Failed, Failure, Kind
from credd.core.importing import Handover
from credd.core.model import PRIMARY, AccessToken, Grant, TokenKey
from credd.providers import claims, id_token, oauth
from credd.providers.addresses import origin_of
from credd.providers.discovery import discover
from credd.providers.oidc_import import take_over
from credd.providers.oidc_login import AUTHORIZATION_CODE, DEVICE, log_in
from credd.providers.oidc_machine import (
    CLIENT_CREDENTIALS,
    TOKEN_EXCHANGE,
    exchange_form,
    log_in_by_client_credentials,
    log_in_by_exchange,
    read_exchanged,
    subject_token,
)
from credd.providers.registration import Registration, known_client
from credd.providers.token_reply import Asked, read_renewal

FLOWS = (AUTHORIZATION_CODE, DEVICE, CLIENT_CREDENTIALS, TOKEN_EXCHANGE)
"""The ways to log in. Which one is the default depends on the issuer and on where the browser
is."""


class OidcProvider:
    """One credential's way of talking to its issuer, from its checked settings."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._us = Registration.of(settings)

    def __repr__(self) -> str:
        return f"<OidcProvider {self._us.issuer} client_id={self._us.client_id}>"

    async def login(self, talk: Conversation, flow: str) -> Authorization:
        """Obtain a grant by `flow`, one of FLOWS. The default is the authorization code where a
        browser is near or nothing else is offered, else the device login."""
        if flow in ("", AUTHORIZATION_CODE, DEVICE):
            return await log_in(talk, self._us, flow)
        if flow == CLIENT_CREDENTIALS:
            return await log_in_by_client_credentials(talk, self._us)
        if flow == TOKEN_EXCHANGE:
            return await log_in_by_exchange(talk, self._us)
        raise Failed(Failure(Kind.MISCONFIGURED, "unsupported_grant_type"))

    async def take_over(self, talk: Conversation, handed: Handover) -> Authorization:
        """The grant of a refresh token from elsewhere; it is not posted here. Raises Failed."""
        return await take_over(talk, self._us, handed)

    async def refresh(self, talk: Conversation, grant: Grant, key: TokenKey) -> Renewal:
        """A new access token for `key`. Posts once, to the token endpoint sealed at login; only
        where nothing is there any more (404) once more, to the path that the issuer names now."""
        client, form = known_client(self._us, grant.private), await self._form(talk, grant, key)
        sealed = _text(grant, "token_endpoint") or (await discover(talk, self._us.issuer)).token
        reply = await client.post(talk, sealed, form)
        if _is_missing(reply):
            reply = await client.post(talk, await self._moved_to(talk, sealed), form)
        if _is_missing(reply):
            raise Failed(Failure(Kind.TRANSIENT, "not_found"))
        return self._judged(grant, reply, self._asked(grant, key))

    async def revoke(self, talk: Conversation, grant: Grant, token: AccessToken | None) -> None:
        """End the grant, where the issuer has a revocation endpoint. A refresh token takes the
        access tokens along (RFC 7009 2.1)."""
        endpoint = _text(grant, "revocation_endpoint")
        last = grant.refresh_token or (token.value if token else None)
        if endpoint and last is not None:
            hint = "refresh_token" if grant.refresh_token else "access_token"
            client = known_client(self._us, grant.private)
            await oauth.revoke(talk, endpoint, client, last, hint)

    def origin(self, grant: Grant) -> str:
        """`scheme://host:port` of the token endpoint."""
        return origin_of(_text(grant, "token_endpoint") or self._us.issuer)

    def spends(self, grant: Grant) -> bool:
        """True with a refresh token. A client secret and a subject token stay when they renew."""
        return grant.refresh_token is not None

    async def _form(self, talk: Conversation, grant: Grant, key: TokenKey) -> oauth.Fields:
        if grant.refresh_token is not None:
            form = oauth.refresh_form(grant.refresh_token)
            return self._us.narrowed(form, key.scope, key.audience)
        flow = grant.private.get("flow")
        if flow == TOKEN_EXCHANGE:
            form = exchange_form(self._us, await subject_token(talk, self._us, grant.private))
            return self._us.narrowed(form, key.scope or self._us.all_scopes(), key.audience)
        if flow != CLIENT_CREDENTIALS:
            raise Failed(Failure(Kind.REFUSED, "no_refresh_token"))
        form = oauth.client_credentials_form()
        return self._us.narrowed(form, key.scope or self._us.own_scope(), key.audience)

    def _asked(self, grant: Grant, key: TokenKey) -> Asked:
        audience = key.audience or self._us.audience
        return Asked(key.scope or grant.scope, audience, caller_named=key != PRIMARY)

    async def _moved_to(self, talk: Conversation, sealed: str) -> str:
        """Where the token endpoint is now. Raises Failed for another origin than at login."""
        try:
            now = (await discover(talk, self._us.issuer)).token
        except Failed as failed:
            if failed.failure.reason == "other_issuer":
                raise
            # The whole issuer may be gone for a moment, in the middle of a deployment.
            raise Failed(Failure(Kind.TRANSIENT, "not_found")) from None
        if origin_of(now) != origin_of(sealed):
            raise Failed(Failure(Kind.MISCONFIGURED, "other_origin"))
        if now == sealed:
            raise Failed(Failure(Kind.TRANSIENT, "not_found"))
        return now

    def _judged(self, grant: Grant, reply: Reply, asked: Asked) -> Renewal:
        if grant.refresh_token is None and grant.private.get("flow") == TOKEN_EXCHANGE:
            return dataclasses.replace(read_exchanged(reply, asked, self._us), refresh_token=None)
        renewal = read_renewal(reply, asked)
        if grant.refresh_token is None:
            return dataclasses.replace(renewal, refresh_token=None)
        if renewal.defect or self._is_same_person(grant, reply):
            return renewal
        # The refresh token stays in the renewal: a strange id token must not cost the login.
        return dataclasses.replace(renewal, access_token=None, defect="bad_id_token")

    def _is_same_person(self, grant: Grant, reply: Reply) -> bool:
        """Whether an id token in a refresh reply, if any, is about who logged in (OpenID Connect
        Core 12.2). It comes straight from the token endpoint, so its claims are enough (3.1.3.7,
        6), and no request stands between the new refresh token and the vault."""
        token = (reply.json() or {}).get("id_token")
        if token is None:
            return True
        said = claims.peek(token)
        try:
            id_token.check_who(said, self._us.issuer, self._us.client_id)
        except id_token.BadIdToken:
            return False
        return grant.subject in ("", said["sub"])


def _text(grant: Grant, name: str) -> str:
    value = grant.private.get(name, "")
    return value if isinstance(value, str) else ""


def _is_missing(reply: Reply) -> bool:
    """Whether nobody answers at this path. (A known OAuth error in a 404 is an answer; Keycloak's
    `{"error": "Realm does not exist"}` is not.)"""
    return reply.status == 404 and (reply.json() or {}).get("error") not in BY_CODE
