"""What is sealed for one credential: its grant, its access tokens, its troubles.

Rules: one record holds all that a restart must know, so that nothing of it can be lost alone: the
refresh token, the tokens that are still good, the generation they are counted by. This is the one
place besides a request where a refresh token is revealed, and the bytes go straight to the seal.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from credd.core.instant import Instant
from credd.core.model import PRIMARY, AccessToken, Grant, Secret, TokenKey
from credd.core.trouble import Trouble

FORMAT = 1
"""Rises when an older credd could not read a record; a newer one than ours is left alone."""


@dataclass(frozen=True, slots=True)
class Record:
    """One credential as it is kept. `identity` is that of the configuration it was obtained under;
    `settings` are the provider's, so that a login can be ended after its entry was removed."""

    provider: str
    identity: str
    settings: Mapping[str, Any]
    generation: int
    grant: Grant
    tokens: tuple[AccessToken, ...] = field(default=())
    trouble: Trouble | None = None
    ending: bool = False
    suspect: bool = False


NARROWED = 64
"""Narrowed tokens kept of one grant; a caller that makes up scopes must not fill the vault."""


def with_token(record: Record, token: AccessToken) -> Record:
    """The record with `token` as the newest of its key; the oldest narrowed ones go when too
    many."""
    others = [held for held in record.tokens if held.key != token.key]
    primary = [held for held in others if held.key == PRIMARY]
    narrowed = [held for held in others if held.key != PRIMARY][-(NARROWED - 1) :]
    return dataclasses.replace(record, tokens=(*primary, *narrowed, token))


def pack(record: Record) -> bytes:
    """The record as bytes, ready to be sealed."""
    plain = {
        "format": FORMAT,
        "provider": record.provider,
        "identity": record.identity,
        "settings": dict(record.settings),
        "generation": record.generation,
        "grant": _pack_grant(record.grant),
        "tokens": [_pack_token(token) for token in record.tokens],
        "trouble": record.trouble.to_json() if record.trouble else None,
        "ending": record.ending,
        "suspect": record.suspect,
    }
    return json.dumps(plain, default=list).encode()


def unpack(payload: bytes) -> Record:
    """The record that `pack` wrote. Raises ValueError on anything else, without quoting it."""
    try:
        return _unpack(json.loads(payload))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError("not a record that this credd can read") from None


def _unpack(plain: dict[str, Any]) -> Record:
    if plain["format"] > FORMAT:
        raise ValueError("written by a newer credd")
    return Record(
        provider=plain["provider"],
        identity=plain["identity"],
        settings=plain["settings"],
        generation=plain["generation"],
        grant=_unpack_grant(plain["grant"]),
        tokens=tuple(_unpack_token(token) for token in plain["tokens"]),
        trouble=Trouble.from_json(plain["trouble"]) if plain["trouble"] else None,
        ending=plain["ending"],
        suspect=plain["suspect"],
    )


def _pack_grant(grant: Grant) -> dict[str, Any]:
    return {
        "number": grant.number,
        "refresh_token": _reveal(grant.refresh_token),
        "subject": grant.subject,
        "account": grant.account,
        "scope": grant.scope,
        "obtained": grant.obtained.to_json(),
        "refreshed": grant.refreshed.to_json(),
        "renewable": grant.renewable,
        "login_lifetime": grant.login_lifetime,
        "refresh_lifetime": grant.refresh_lifetime,
        "first_lifetime": grant.first_lifetime,
        "private": {k: v for k, v in grant.private.items() if isinstance(v, str)},
        "secrets": {k: v.reveal() for k, v in grant.private.items() if isinstance(v, Secret)},
    }


def _unpack_grant(plain: dict[str, Any]) -> Grant:
    fields = dict(plain)
    secrets = {k: Secret(v) for k, v in fields.pop("secrets").items()}
    fields["private"] = {**fields["private"], **secrets}
    fields["refresh_token"] = _hide(fields["refresh_token"])
    fields["obtained"] = Instant.from_json(fields["obtained"])
    fields["refreshed"] = Instant.from_json(fields["refreshed"])
    return Grant(**fields)


def _pack_token(token: AccessToken) -> dict[str, Any]:
    return {
        "value": token.value.reveal(),
        "token_type": token.token_type,
        "generation": token.generation,
        "key": list(token.key),
        "scope": token.scope,
        "obtained": token.obtained.to_json(),
        "lifetime": token.lifetime,
        "soft_after": token.soft_after,
    }


def _unpack_token(plain: dict[str, Any]) -> AccessToken:
    fields = dict(plain)
    fields["value"] = Secret(fields["value"])
    fields["key"] = TokenKey(*fields["key"])
    fields["obtained"] = Instant.from_json(fields["obtained"])
    return AccessToken(**fields)


def _reveal(secret: Secret | None) -> str | None:
    return None if secret is None else secret.reveal()


def _hide(text: str | None) -> Secret | None:
    return None if text is None else Secret(text)
