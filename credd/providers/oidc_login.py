"""The two ways in which a person logs in at an OpenID provider, step by step.

Knows the order of the steps; each step is told elsewhere (discovery, device, authorization_code,
registration, token_reply, id_token). The hard thing is the moment after the code is exchanged: from
then on a grant lives at the issuer. So the keys for checking are fetched before it, and a grant
that is refused after it is revoked.
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
from credd.providers import authorization_code, claims, device, id_token, oauth
from credd.providers.discovery import Endpoints, discover, fetch
from credd.providers.registration import OF_PERSONS, Registration, introduce, sealed
from credd.providers.token_reply import Asked, read_renewal

AUTHORIZATION_CODE = "authorization-code"
DEVICE = "device"

NO_REFRESH_TOKEN = (
    "The issuer gave no refresh token, so this login ends with its access token. "
    'If the issuer offers it, add "offline_access" to scopes and log in again.'
)


async def log_in(talk: Conversation, us: Registration, flow: str) -> Authorization:
    """Log a person in by `flow`; "" chooses by what the issuer offers and where the browser is."""
    found = await discover(talk, us.issuer)
    by_code = flow == AUTHORIZATION_CODE or (not flow and _prefers_code(talk, found))
    if not (found.authorization if by_code else found.device):
        raise Failed(Failure(Kind.MISCONFIGURED, "unsupported_grant_type"))
    asked = Asked(us.wanted_scope(found.scopes), us.audience)
    client = await introduce(talk, us)
    keys = await _keys(talk, found) if "openid" in asked.scope.split() else {}
    login = _Login(talk, us, found, client, asked, keys)
    return await (_by_code(login) if by_code else _by_device(login))


def _prefers_code(talk: Conversation, found: Endpoints) -> bool:
    """A browser on this machine comes back by itself; one elsewhere is better off with a code to
    type than with an address to paste."""
    return bool(found.authorization) and (talk.is_browser_near() or not found.device)


@dataclasses.dataclass(frozen=True, slots=True)
class _Login:
    """What all steps of one login share. `keys` are the issuer's, for its id tokens."""

    talk: Conversation
    us: Registration
    found: Endpoints
    client: oauth.Client
    asked: Asked
    keys: Mapping[str, Any]


async def _by_device(login: _Login) -> Authorization:
    """RFC 8628: show a code, wait until a person approves it."""
    talk, us, found, client = login.talk, login.us, login.found, login.client
    form = us.narrowed({}, login.asked.scope)
    shown = await device.start(talk, found.device, client, form, us.issuer)
    await talk.show(shown.event())
    reply = await device.wait(talk, found.token, client, shown, us.narrowed({}))
    return await _authorization(login, DEVICE, reply, None)


async def _by_code(login: _Login) -> Authorization:
    """RFC 8252: send a browser to the issuer, and wait until it comes back with a code."""
    attempt = authorization_code.Attempt.begin(login.talk)
    code, redirect_uri = await _wait_for_code(login, attempt)
    form = authorization_code.exchange_form(code, redirect_uri, attempt)
    reply = await login.client.post(login.talk, login.found.token, login.us.narrowed(form))
    try:
        return await _authorization(login, AUTHORIZATION_CODE, reply, attempt.nonce)
    except Failed as failed:
        if failed.failure.reason != "invalid_grant":
            raise
        raise Failed(Failure(Kind.REFUSED, "code_refused")) from None


async def _wait_for_code(login: _Login, attempt: authorization_code.Attempt) -> tuple[Secret, str]:
    """The code, and the address that it was sent to."""
    us, found = login.us, login.found
    expected = authorization_code.Expected(attempt.state, us.issuer, found.names_itself)
    async with login.talk.listen(us.redirect_uri, expected.is_ours) as redirection:
        back = redirection.redirect_uri
        request = authorization_code.Request(
            found.authorization, us.client_id, back, login.asked.scope
        )
        address = request.address(attempt, oauth.plain(us.narrowed({})))
        await login.talk.show(
            {"type": "authorization-url", "authorization_uri": address, "redirect_uri": back}
        )
        return authorization_code.read_code(await redirection.answer()), back


# --- after the code was exchanged ------------------------------------------------------------


async def _authorization(
    login: _Login, flow: str, reply: Reply, nonce: Secret | None
) -> Authorization:
    renewal = read_renewal(reply, login.asked)
    try:
        who = await _who(login, reply, nonce)
        sound(renewal)
    except (Failed, NeverSent):
        await _discard(login, renewal)
        raise
    await _tell(login, renewal)
    return Authorization(
        renewal=renewal,
        subject=str(who.get("sub", "")),
        account=id_token.account_name(who),
        scope=renewal.scope,
        renewable=renewal.refresh_token is not None,
        login_lifetime=None if renewal.refresh_token else renewal.lifetime,
        private=sealed(flow, login.found, login.client),
    )


def sound(renewal: Renewal) -> Renewal:
    """The renewal; a first token has to be usable, as the person is still there to hear that it
    isn't. Raises Failed."""
    if renewal.defect:
        raise Failed(Failure(Kind.MISCONFIGURED, renewal.defect))
    return renewal


async def _keys(talk: Conversation, found: Endpoints) -> Mapping[str, Any]:
    return await fetch(talk, found.keys, "bad_discovery") if found.keys else {}


async def _who(login: _Login, reply: Reply, nonce: Secret | None) -> Mapping[str, Any]:
    """The verified claims of the reply's id token; none where it has no id token."""
    token = (reply.json() or {}).get("id_token")
    if token is None:
        return {}
    now = claims.issuer_time(reply)
    at = reply.sent.wall if now is None else now
    try:
        who = await _verified(login, token, at)
        if nonce is not None:
            id_token.check_nonce(who, nonce)
        return who
    except id_token.BadIdToken:
        raise Failed(Failure(Kind.REFUSED, "bad_id_token")) from None


async def _verified(login: _Login, token: object, at: float) -> Mapping[str, Any]:
    us = login.us
    with suppress(id_token.UnknownKey):
        return id_token.verify(token, login.keys, us.issuer, us.client_id, at)
    newest = await _keys(login.talk, login.found)  # they may have changed since we looked
    return id_token.verify(token, newest, us.issuer, us.client_id, at)


async def _discard(login: _Login, renewal: Renewal) -> None:
    """End a grant that was obtained and is refused, or it would live on unseen. At best effort."""
    endpoint, token = login.found.revocation, renewal.refresh_token
    if token is None or not endpoint:
        return
    with suppress(Failed, NeverSent, ReplyLost):
        await oauth.revoke(login.talk, endpoint, login.client, token, "refresh_token")


async def _tell(login: _Login, renewal: Renewal) -> None:
    """Say at once what would be missed only later."""
    if renewal.refresh_token is None:
        await login.talk.show({"type": "note", "text": NO_REFRESH_TOKEN})
    missing = set(login.asked.scope.split()) - set(renewal.scope.split()) - OF_PERSONS
    if missing:
        text = "The issuer did not grant: " + ", ".join(sorted(missing))
        await login.talk.show({"type": "note", "text": text})
