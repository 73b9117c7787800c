"""Authorization codes: asked for by a browser's visit, approved by a person, exchanged once.

Knows RFC 6749 4.1, PKCE (RFC 7636) and RFC 9207. Refuses to know tokens; time is passed in. The one
hard thing: what a lax server forgives is what an attacker lives on. So a visit without S256, state
or nonce is refused and written down, and a code that comes twice ends the grant it gave.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit

from demo.issuer_record import Record
from demo.issuer_request import OAuthError
from demo.issuer_settings import CODE_MARK, Client, Settings

CODE_LIFETIME = 60.0  # seconds; RFC 6749 section 4.1.2 allows 10 minutes at most
SHORTEST_STATE = 22  # characters: 128 bits as base64url (RFC 6749 section 10.10)
CHALLENGE_LENGTH = 43  # characters: a SHA-256 as base64url without padding
LOOPBACK = ("127.0.0.1", "::1", "localhost")
KNOWN = frozenset({
    "response_type", "client_id", "redirect_uri", "scope", "state", "code_challenge",
    "code_challenge_method", "nonce", "prompt", "resource",
})  # fmt: skip


class Visit(NamedTuple):
    """What a browser asked for, as it stands in the address."""

    client_id: str
    redirect_uri: str
    scope: tuple[str, ...]
    resources: tuple[str, ...]
    state: str
    challenge: str
    nonce: str


@dataclass
class Code:
    """One code: what it was given for, and what became of it."""

    code: str = field(repr=False)
    visit: Visit
    subject: str
    given_at: float
    grant_id: str = ""


class BadVisit(Exception):
    """A visit that may not be answered by a redirect: whom it would reach is not known."""


class Codes:
    """All visits and codes of one issuer."""

    def __init__(self, url: str, settings: Settings, record: Record) -> None:
        self._url = url
        self._settings = settings
        self._record = record
        self._visits: dict[str, Visit] = {}
        self._codes: dict[str, Code] = {}
        self.names_itself = True

    def visit(self, query: str) -> str:
        """Take a browser in: the number under which a person decides.

        Raises BadVisit for an unknown client or redirect address, OAuthError for what the
        redirect address is told instead.
        """
        pairs = parse_qsl(query, keep_blank_values=True)
        given = dict(pairs)
        client = self._settings.client(given.get("client_id", ""))
        back = given.get("redirect_uri", "")
        if client is None or not _is_registered(client, back):
            self._record.violate("authorization: unknown client or redirect_uri")
            raise BadVisit
        self._inspect(pairs, given)
        scope = tuple(given.get("scope", "").split())
        if not set(scope) <= set(client.scopes):
            raise OAuthError("invalid_scope")
        if given.get("prompt") != "consent":  # OpenID Connect Core 1.0 section 11
            scope = tuple(one for one in scope if one != "offline_access")
        number = secrets.token_hex(8)
        resources = tuple(value for name, value in pairs if name == "resource")
        self._visits[number] = Visit(
            client.client_id, back, scope, resources, given["state"], given["code_challenge"],
            given.get("nonce", ""),
        )  # fmt: skip
        return number

    def _inspect(self, pairs: list[tuple[str, str]], given: dict[str, str]) -> None:
        """Write down every breach of form. Raises OAuthError for those that are not forgiven."""
        counts = Counter(name for name, _ in pairs if name != "resource")
        breaches = [f"unknown parameter {name}" for name in sorted(set(given) - KNOWN)]
        breaches += [f"parameter {name} is given twice" for name in counts if counts[name] > 1]
        breaches += [f"parameter {name} is empty" for name, value in pairs if not value]
        if len(given.get("state", "")) < SHORTEST_STATE:
            breaches.append("no state, or one that can be guessed")
        if given.get("code_challenge_method") != "S256":
            breaches.append("PKCE without S256")
        if len(given.get("code_challenge", "")) != CHALLENGE_LENGTH:
            breaches.append("no PKCE challenge")
        if "openid" in given.get("scope", "").split() and not given.get("nonce"):
            breaches.append("no nonce")
        if given.get("response_type") != "code":
            breaches.append("response_type is not code")
        for breach in breaches:
            self._record.violate(f"authorization: {breach}")
        if breaches:
            raise OAuthError("invalid_request", "; ".join(breaches))

    def approve(self, number: str, now: float, subject: str = "") -> str:
        """Be the person who says yes: the address to which the browser is sent. Raises KeyError."""
        visit = self._visits.pop(number)
        code = Code(
            CODE_MARK + secrets.token_urlsafe(24), visit, subject or self._settings.subject, now
        )
        self._codes[code.code] = code
        self._record.minted.append(code.code)
        return self.way_back(visit.redirect_uri, visit.state, code=code.code)

    def deny(self, number: str) -> str:
        """Be the person who says no. Raises KeyError."""
        visit = self._visits.pop(number)
        return self.way_back(visit.redirect_uri, visit.state, error="access_denied")

    def way_back(self, redirect_uri: str, state: str, **answer: str) -> str:
        """An answer as the address that carries it (RFC 6749 section 4.1.2, RFC 9207)."""
        fields = {**answer, "state": state}
        if self.names_itself:
            fields["iss"] = self._url
        return f"{redirect_uri}?{urlencode(fields)}"

    def exchange(
        self, code: str, client_id: str, redirect_uri: str, verifier: str, now: float
    ) -> Code:
        """The code's own facts, once. Raises OAuthError invalid_grant.

        A second exchange names the grant that must end (RFC 6749 section 4.1.2).
        """
        found = self._codes.get(code)
        if found is None or found.visit.client_id != client_id:
            raise OAuthError("invalid_grant", "unknown code")
        if found.grant_id:
            self._record.violate("authorization code posted twice")
            return found
        if redirect_uri != found.visit.redirect_uri:
            self._record.violate("token: redirect_uri differs from the visit's")
            raise OAuthError("invalid_grant", "another redirect_uri")
        if not hmac.compare_digest(_challenge(verifier), found.visit.challenge):
            self._record.violate("token: wrong code_verifier")
            raise OAuthError("invalid_grant", "wrong code_verifier")
        if now >= found.given_at + CODE_LIFETIME:
            raise OAuthError("invalid_grant", "the code has expired")
        return found


def _challenge(verifier: str) -> str:
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _is_registered(client: Client, redirect_uri: str) -> bool:
    """Whether it is one of the client's, on any port of this machine (RFC 8252 section 7.3)."""
    try:
        parts = urlsplit(redirect_uri)
        port = parts.port
    except ValueError:
        return False
    is_local = parts.scheme == "http" and parts.hostname in LOOPBACK and port is not None
    return is_local and parts.path in client.paths and not parts.query and not parts.fragment
