"""The authorization code with PKCE (RFC 6749 4.1, RFC 7636, RFC 8252): a browser goes and returns.

Knows what is asked of the issuer in an address, and which returning address is its answer. Refuses
to know sockets and browsers. The hard thing: anybody can make a browser visit our redirect address.
So an answer counts only with this login's own `state`, and, where issuers say who they are, with
this issuer's `iss` (RFC 9207). Whatever else comes is refused without ending the wait.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, urlencode

from credd.core.conversation import Conversation
from credd.core.failures import BY_CODE, Failed, Failure, Kind
from credd.core.model import Secret
from credd.providers.oauth import Fields
from credd.providers.token_reply import is_printable

LONGEST_ANSWER = 32 * 1024
"""Characters of a query; a code is a few thousand at most."""

MOST_FIELDS = 50
"""Of a query; issuers send four or five."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What belongs to one login alone. `verifier` is posted once, to the token endpoint, and shown
    nowhere; `state` ties the answer to this login, `nonce` the id token."""

    verifier: Secret
    state: Secret
    nonce: Secret

    @classmethod
    def begin(cls, talk: Conversation) -> Attempt:
        """Three secrets that nobody used before."""
        return cls(talk.new_secret(), talk.new_secret(), talk.new_secret())

    def challenge(self) -> str:
        """S256 of the verifier (RFC 7636 4.2): what the issuer keeps until it sees the verifier."""
        return base64.urlsafe_b64encode(self.verifier.digest()).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True)
class Request:
    """Whom a browser is sent to, and as whom."""

    endpoint: str
    client_id: str
    redirect_uri: str
    scope: str

    def address(self, attempt: Attempt, extra: Mapping[str, str]) -> str:
        """The whole address. `extra` goes along (an audience)."""
        scopes = self.scope.split()
        form = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self.redirect_uri,
            "scope": self.scope,
            "state": attempt.state.reveal(),
            "code_challenge": attempt.challenge(),
            "code_challenge_method": "S256",
            "nonce": attempt.nonce.reveal() if "openid" in scopes else "",
            # Without it the scope is dropped in silence (OpenID Connect Core 11).
            "prompt": "consent" if "offline_access" in scopes else "",
            **extra,
        }
        query = urlencode({key: value for key, value in form.items() if value}, quote_via=quote)
        return f"{self.endpoint}{'&' if '?' in self.endpoint else '?'}{query}"


@dataclass(frozen=True, slots=True)
class Expected:
    """How the rightful answer is told from every other visit. `must_name_issuer` is what the
    issuer advertises as `authorization_response_iss_parameter_supported`."""

    state: Secret
    issuer: str
    must_name_issuer: bool = False

    def is_ours(self, query: str) -> bool:
        """Whether this query answers our login, by a code or by an error. Never raises."""
        fields = parse_answer(query)
        # Compared in constant time, by Secret.
        if Secret(fields.get("state", "")) != self.state or not self.state:
            return False
        if fields.get("iss", "" if self.must_name_issuer else self.issuer) != self.issuer:
            return False
        return ("code" in fields) != ("error" in fields)


def parse_answer(query: str) -> Mapping[str, str]:
    """The fields of a query; none where it is far too long or names one twice (RFC 6749 3.1)."""
    if len(query) > LONGEST_ANSWER:
        return {}
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError:
        return {}
    fields = dict(pairs)
    return fields if len(fields) == len(pairs) else {}


def read_code(query: str) -> Secret:
    """The code in the answer. Raises Failed for an error in its place, told in our own words: an
    `error_description` goes nowhere."""
    fields = parse_answer(query)
    if "error" in fields:
        raise Failed(_judge(fields["error"]))
    if not is_printable(fields.get("code", "")):
        raise Failed(Failure(Kind.MISCONFIGURED, "bad_authorization_reply"))
    return Secret(fields["code"])


def _judge(code: str) -> Failure:
    if code == "unsupported_response_type":  # RFC 6749 4.1.2.1, which BY_CODE has no use for
        return Failure(Kind.MISCONFIGURED, "unsupported_grant_type")
    kind = BY_CODE.get(code)
    if kind is None:
        return Failure(Kind.MISCONFIGURED, "unknown_error_code")
    return Failure(Kind.MISCONFIGURED if kind is Kind.CALLER else kind, code)


def exchange_form(code: Secret, redirect_uri: str, attempt: Attempt) -> Fields:
    """RFC 6749 4.1.3 and RFC 7636 4.5."""
    return {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect_uri,
        "code_verifier": attempt.verifier,
    }
