"""Client assertions: a JWT that a client signs to prove who it is (RFC 7523, OIDC Core 9).

Knows the public keys of clients and the assertions that were used. Refuses to know secrets; time is
passed in. The one hard thing: an assertion is good once, for this issuer alone, and not for long.
"""

from __future__ import annotations

from typing import Any, NoReturn

import jwt

from demo.issuer_record import Record
from demo.issuer_request import OAuthError, Request
from demo.issuer_settings import Client, Settings

TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LONGEST = 300.0  # seconds an assertion may live; it is used within one
SLACK = 5.0  # seconds by which two clocks may differ here: tests have one
_SIGNATURE_ALONE: Any = {
    "verify_exp": False, "verify_iat": False, "verify_aud": False, "verify_nbf": False,
    "verify_sub": False, "verify_jti": False, "verify_iss": False,
}  # fmt: skip


class Assertions:
    """The assertions that this issuer has seen."""

    def __init__(self, settings: Settings, record: Record) -> None:
        self._settings = settings
        self._record = record
        self._used: set[str] = set()

    def client(self, request: Request, kind: str, url: str, now: float) -> Client:
        """Who asserts. Raises OAuthError invalid_client."""
        token = request.get("client_assertion")
        client = self._settings.client(request.get("client_id"))
        if request.get("client_assertion_type") != TYPE:
            self._refuse(f"{kind}: client_assertion_type is wrong")
        if client is None or client.auth != "private_key_jwt":
            self._refuse(f"{kind}: an assertion from no such client")
        try:
            claims = jwt.decode(
                token, client.public_key, algorithms=["ES256", "RS256"], options=_SIGNATURE_ALONE
            )
        except jwt.PyJWTError:
            raise OAuthError("invalid_client", "the assertion is not signed by you", 401) from None
        self._check(claims, client, kind, url, now)
        return client

    def _check(
        self, claims: dict[str, Any], client: Client, kind: str, url: str, now: float
    ) -> None:
        number, end = claims.get("jti", ""), claims.get("exp", 0)
        if (claims.get("iss"), claims.get("sub")) != (client.client_id, client.client_id):
            self._refuse(f"{kind}: the assertion is about somebody else")
        if claims.get("aud") not in (url, f"{url}/token"):
            self._refuse(f"{kind}: the assertion is for somebody else")
        if not now - SLACK < end <= now + LONGEST:
            self._refuse(f"{kind}: the assertion has expired, or lives too long")
        if not number or number in self._used:
            self._refuse(f"{kind}: the assertion was used before")
        self._used.add(number)

    def _refuse(self, what: str) -> NoReturn:
        self._record.violate(what)
        raise OAuthError("invalid_client", what, 401)
