"""Logins at an OpenID provider that nobody has to approve: a client's own, and an exchanged token.

Knows client credentials (RFC 6749 4.4) and token exchange (RFC 8693). The hard thing they share:
what renews them does not burn. A client secret stays, and a subject token is somebody else's to
keep fresh, so no refresh token is kept beside what can be posted again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from credd.core.conversation import Authorization, Conversation, Question, Renewal, Reply
from credd.core.failures import Failed, Failure, Kind
from credd.core.model import Secret
from credd.providers import claims, oauth
from credd.providers.discovery import discover
from credd.providers.oidc_login import sound
from credd.providers.registration import (
    DEFAULT_METHOD,
    Registration,
    introduce,
    refuse_without_proof,
    sealed,
)
from credd.providers.token_reply import Asked, is_printable, read_renewal

CLIENT_CREDENTIALS = "client-credentials"
TOKEN_EXCHANGE = "token-exchange"

_TYPE = "urn:ietf:params:oauth:token-type:"

Private = Mapping[str, "str | Secret"]


async def log_in_by_client_credentials(talk: Conversation, us: Registration) -> Authorization:
    """RFC 6749 4.4: the client secret is asked once, sealed, and renews ever after."""
    refuse_without_proof(us)
    us = dataclasses.replace(us, method=us.method or DEFAULT_METHOD)
    found = await discover(talk, us.issuer)
    client = await introduce(talk, us)
    form = us.narrowed(oauth.client_credentials_form(), us.own_scope())
    reply = await client.post(talk, found.token, form)
    renewal = sound(read_renewal(reply, Asked(us.own_scope(), us.audience)))
    return Authorization(
        # A refresh token has no place here (RFC 6749 4.4.3): the secret renews, and does not burn.
        renewal=dataclasses.replace(renewal, refresh_token=None),
        subject=us.client_id,
        account=us.client_id,
        scope=renewal.scope,
        private=sealed(CLIENT_CREDENTIALS, found, client),
    )


async def log_in_by_exchange(talk: Conversation, us: Registration) -> Authorization:
    """RFC 8693: another issuer's token for one of this issuer's."""
    found = await discover(talk, us.issuer)
    client = await introduce(talk, us)
    subject = await _first_subject_token(talk, us)
    wanted = us.all_scopes()
    form = us.narrowed(exchange_form(us, subject), wanted)
    reply = await client.post(talk, found.token, form)
    renewal = sound(read_exchanged(reply, Asked(wanted, us.audience), us))
    private = sealed(TOKEN_EXCHANGE, found, client)
    if us.subject_token_file:
        renewal = dataclasses.replace(renewal, refresh_token=None)
    else:
        private["subject_token"] = subject
    return Authorization(
        renewal=renewal,
        scope=renewal.scope,
        login_lifetime=_life(us, subject, renewal),
        private=private,
    )


def exchange_form(us: Registration, subject: Secret) -> oauth.Fields:
    """RFC 8693 2.1."""
    return {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token": subject,
        "subject_token_type": _TYPE + us.subject_token_type,
        "requested_token_type": _TYPE + "access_token",
    }


def read_exchanged(reply: Reply, asked: Asked, us: Registration) -> Renewal:
    """What an exchange brought. Raises Failed.

    A subject token that the issuer no longer takes is `invalid_request` (RFC 8693 2.2.2) or
    `invalid_grant`. In a file it will be replaced by whoever keeps the file; else by a person.
    """
    try:
        return read_renewal(reply, asked)
    except Failed as failed:
        if failed.failure.reason not in ("invalid_request", "invalid_grant"):
            raise
        kind = Kind.MISCONFIGURED if us.subject_token_file else Kind.REFUSED
        raise Failed(Failure(kind, "subject_token_refused")) from None


async def subject_token(talk: Conversation, us: Registration, private: Private) -> Secret:
    """What an exchange is made with: the file as it is now, else what the login was given. Raises
    Failed."""
    if us.subject_token_file:
        return _checked(await talk.read_file(us.subject_token_file))
    kept = private.get("subject_token")
    if not isinstance(kept, Secret):
        raise Failed(Failure(Kind.REFUSED, "bad_subject_token"))
    return kept


async def _first_subject_token(talk: Conversation, us: Registration) -> Secret:
    if us.subject_token_file:
        return await subject_token(talk, us, {})
    answer = await talk.ask(Question("subject-token", "The token to exchange"))
    return _checked(Secret(answer.reveal().strip()))


def _checked(token: Secret) -> Secret:
    if not is_printable(token.reveal()):
        raise Failed(Failure(Kind.REFUSED, "bad_subject_token"))
    return token


def _life(us: Registration, subject: Secret, renewal: Renewal) -> float | None:
    """Seconds until the subject token itself ends, where it says so and nothing else renews."""
    end = claims.number(claims.peek(subject.reveal()).get("exp"))
    if us.subject_token_file or renewal.refresh_token is not None or end is None:
        return None
    return max(0.0, end - renewal.sent.wall)
