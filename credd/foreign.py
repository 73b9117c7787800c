"""Files and texts in which other programs keep tokens, read: text in, what it holds out.

It knows formats: a bare token, and the JSON of a token reply (RFC 6749, 5.1) under the names that
programs give to its parts. It refuses to open anything, and to believe: what an id token says of an
account is a label here, nobody has checked it. The hard thing: the text holds a secret, so that
neither an error nor a repr repeats a word of it. Standard library, Python 3.9.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import Any

LONGEST = 128 * 1024
"""Characters; a file beyond holds more than one login, and would not fit into a request."""

_TOKEN = re.compile(r"[\x21-\x7e]+")  # VSCHAR of RFC 6749, A, without the space

REFRESH_TOKEN = ("refresh_token", "refreshToken", "RefreshToken")
KEY = ("access_token", "accessToken", "api_key", "apiKey", "key", "token")
CLIENT_ID = ("client_id", "clientId", "clientID")
CLIENT_SECRET = ("client_secret", "clientSecret")
ISSUER = ("issuer", "iss")
ACCOUNT = ("account", "username", "email", "preferred_username", "name", "sub")


class Tokens:
    """What a text holds, "" where it doesn't. Its repr names the parts alone.

    `bare` is a text that is one token, of whatever kind. `refresh_token` and `key` (an access
    token, or a key that is one) come from JSON that says so. `account` is a label.
    """

    __slots__ = (
        "account", "bare", "client_id", "client_secret", "issuer", "key", "refresh_token", "scope",
    )  # fmt: skip

    def __init__(
        self,
        *,
        bare: str = "",
        refresh_token: str = "",
        key: str = "",
        client_id: str = "",
        client_secret: str = "",
        issuer: str = "",
        scope: str = "",
        account: str = "",
    ) -> None:
        self.bare = bare
        self.refresh_token = refresh_token
        self.key = key
        self.client_id = client_id
        self.client_secret = client_secret
        self.issuer = issuer
        self.scope = scope
        self.account = account

    def __repr__(self) -> str:
        parts = [name for name in self.__slots__ if getattr(self, name)]
        return f"<Tokens with {', '.join(parts) or 'nothing'}>"


def parse_tokens(text: str) -> Tokens:
    """What the text holds. Raises ValueError, whose sentence repeats nothing of it."""
    text = text.strip().lstrip("\ufeff")
    if not text:
        raise ValueError("it is empty")
    if len(text) > LONGEST:
        raise ValueError("it is far too long for a login")
    if text[0] in "{[":
        return _from_json(text)
    if not _TOKEN.fullmatch(text):
        raise ValueError("it is neither one token nor JSON")
    return Tokens(bare=text)


def _from_json(text: str) -> Tokens:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("it begins like JSON, and is none") from None
    if not isinstance(value, dict):
        raise ValueError("it is JSON, and no object with a refresh_token or a key")  # noqa: TRY004
    found = _from_object(value)
    if not found.refresh_token and not found.key:
        raise ValueError("it holds neither a refresh_token nor a key")
    return found


def _from_object(value: Mapping[str, Any]) -> Tokens:
    said = claims_of(_text(value, ("id_token", "idToken")))
    audience = said.get("aud")
    return Tokens(
        refresh_token=_secret(value, REFRESH_TOKEN),
        key=_secret(value, KEY),
        client_id=_text(value, CLIENT_ID) or (audience if isinstance(audience, str) else ""),
        client_secret=_text(value, CLIENT_SECRET),
        issuer=_text(value, ISSUER) or _text(said, ("iss",)),
        scope=_scope(value),
        account=_text(said, ACCOUNT[1:]) or _text(value, ACCOUNT[:3]),
    )


def claims_of(token: str) -> Mapping[str, Any]:
    """What a JWT says, unverified; nothing where it is none."""
    parts = token.split(".")
    if len(parts) != 3 or not token.isascii():
        return {}
    try:
        middle = parts[1] + "=" * (-len(parts[1]) % 4)
        said = json.loads(base64.urlsafe_b64decode(middle))
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _secret(value: Mapping[str, Any], names: tuple[str, ...]) -> str:
    """The first of these that is there. Raises ValueError for one that no request can carry."""
    text = _text(value, names)
    if text and not _TOKEN.fullmatch(text):
        raise ValueError("its token holds spaces or signs that no request can carry")
    return text


def _text(value: Mapping[str, Any], names: tuple[str, ...]) -> str:
    found = (value.get(name) for name in names)
    return next((one for one in found if isinstance(one, str) and one), "")


def _scope(value: Mapping[str, Any]) -> str:
    """As RFC 6749, 3.3 writes it, or as a list."""
    scopes = value.get("scopes")
    if isinstance(scopes, list):
        return " ".join(one for one in scopes if isinstance(one, str))
    return _text(value, ("scope", "scopes"))
