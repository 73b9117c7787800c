"""One request as a strict issuer reads it: nothing twice, nothing unknown, nothing in the URL.

Knows RFC 6749's rules for parameters and client authentication. Refuses to know any grant.
The one hard thing: the standard tells servers to forgive much of this. We forgive where we
must (the answer stays the standard's), but we write each breach down, so that a test fails.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn
from urllib.parse import unquote_plus

from demo.issuer_record import Record
from demo.issuer_settings import Client, Settings

FORM = "application/x-www-form-urlencoded"
Form = Mapping[str, str] | Iterable[tuple[str, str]]

CLIENT_PARAMETERS = frozenset(
    {"client_id", "client_secret", "client_assertion", "client_assertion_type"}
)
# What each kind of request may carry; everything else is a violation.
PARAMETERS: dict[str, frozenset[str]] = {
    "device_authorization": frozenset({"scope", "resource"}),
    "token/device_code": frozenset({"grant_type", "device_code", "resource"}),
    "token/authorization_code": frozenset(
        {"grant_type", "code", "redirect_uri", "code_verifier", "resource"}
    ),
    "token/token_exchange": frozenset(
        {
            "grant_type",
            "subject_token",
            "subject_token_type",
            "requested_token_type",
            "scope",
            "resource",
        }
    ),
    "token/refresh_token": frozenset({"grant_type", "refresh_token", "scope", "resource"}),
    "token/client_credentials": frozenset({"grant_type", "scope", "resource"}),
    "revocation": frozenset({"token", "token_type_hint"}),
    "introspection": frozenset({"token", "token_type_hint"}),
}
REPEATABLE = frozenset({"resource"})  # RFC 8707 section 2


class Reply(NamedTuple):
    """An answer: HTTP status, headers, body."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, parsed. Raises ValueError where it is no JSON."""
        return json.loads(self.body)


def json_reply(status: int, content: object, **headers: str) -> Reply:
    """An answer that no cache may keep (RFC 6749 section 5.1)."""
    fixed = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    return Reply(status, fixed | headers, json.dumps(content).encode())


class OAuthError(Exception):
    """A refusal in the standard's words (RFC 6749 section 5.2)."""

    def __init__(self, error: str, description: str = "", status: int = 400) -> None:
        super().__init__(error)
        self.error, self.description, self.status = error, description, status

    def reply(self) -> Reply:
        """The refusal as an answer; 401 names the scheme that was expected."""
        content = {"error": self.error}
        if self.description:
            content["error_description"] = self.description
        challenge = {"WWW-Authenticate": 'Basic realm="demo"'} if self.status == 401 else {}
        return json_reply(self.status, content, **challenge)


@dataclass(frozen=True)
class Request:
    """A request with its parameters in the order they came; headers in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    pairs: tuple[tuple[str, str], ...]

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.path.partition('?')[0]}>"

    def get(self, name: str) -> str:
        """The first value of a parameter, or the empty string."""
        return next((value for key, value in self.pairs if key == name), "")

    def values(self, name: str) -> tuple[str, ...]:
        """All values of a repeatable parameter."""
        return tuple(value for key, value in self.pairs if key == name)

    def require(self, name: str) -> str:
        """The value of a parameter that must be there. Raises OAuthError invalid_request."""
        if value := self.get(name):
            return value
        raise OAuthError("invalid_request", f"{name} is missing")


def read_request(method: str, path: str, headers: Mapping[str, str], form: Form) -> Request:
    """Bring what came over the wire, or from a test, into one shape."""
    pairs = form.items() if isinstance(form, Mapping) else form
    lowered = {name.lower(): value for name, value in headers.items()}
    return Request(method.upper(), path, lowered, tuple((key, value) for key, value in pairs))


def inspect(request: Request, kind: str, record: Record) -> None:
    """Write down every breach of form. Raises OAuthError for those no server may forgive."""
    inspect_frame(request, kind, record)
    counts = Counter(name for name, _ in request.pairs)
    unknown = sorted(set(counts) - PARAMETERS.get(kind, frozenset()) - CLIENT_PARAMETERS)
    for name in unknown:
        record.violate(f"{kind}: unknown parameter {name}")
    for name in sorted(name for name, value in request.pairs if not value):
        record.violate(f"{kind}: parameter {name} is empty")
    twice = sorted(name for name in counts if counts[name] > 1 and name not in REPEATABLE)
    if twice:
        _refuse(record, f"{kind}: parameter {', '.join(twice)} is given twice")


def inspect_frame(request: Request, kind: str, record: Record) -> None:
    """Parameters belong into a form body. Raises OAuthError invalid_request."""
    if "?" in request.path:
        _refuse(record, f"{kind}: parameters in the URL")
    content_type = request.headers.get("content-type", FORM).partition(";")[0].strip().lower()
    if content_type != FORM:
        _refuse(record, f"{kind}: content type is {content_type or 'missing'}, not {FORM}")


def _refuse(record: Record, what: str) -> NoReturn:
    record.violate(what)
    raise OAuthError("invalid_request", what)


def authenticate(request: Request, kind: str, settings: Settings, record: Record) -> Client:
    """Which client is asking (RFC 6749 section 2.3). Raises OAuthError invalid_client."""
    header = request.headers.get("authorization")
    if header is None:
        return _by_parameters(request, kind, settings, record)
    if request.get("client_secret"):
        _refuse(record, f"{kind}: two ways of client authentication at once")
    client_id, secret = _parse_basic(header, kind, record)
    client = settings.client(client_id)
    if client is not None and client.auth != "client_secret_basic":
        record.violate(f"{kind}: Authorization header from {client.auth} client {client_id}")
    return _check_secret(client, "client_secret_basic", secret)


def _by_parameters(request: Request, kind: str, settings: Settings, record: Record) -> Client:
    if not request.get("client_id"):
        _refuse(record, f"{kind}: client_id is missing")
    client = settings.client(request.get("client_id"))
    secret = request.get("client_secret")
    if client is not None and client.auth == "none" and secret:
        _refuse(record, f"{kind}: client_secret from a public client")
    return _check_secret(client, "client_secret_post" if secret else "none", secret)


def _check_secret(client: Client | None, method: str, secret: str) -> Client:
    if client is None or client.auth != method:
        raise OAuthError("invalid_client", "no such client, or not this way", 401)
    if not hmac.compare_digest(client.secret.encode(), secret.encode()):
        raise OAuthError("invalid_client", "wrong client secret", 401)
    return client


def _parse_basic(header: str, kind: str, record: Record) -> tuple[str, str]:
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        _refuse(record, f"{kind}: unexpected Authorization header ({scheme})")
    try:
        client_id, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        _refuse(record, f"{kind}: unreadable Authorization header")
    return unquote_plus(client_id), unquote_plus(secret)
