"""A strict OpenID issuer as one pure function: a request and the time in, an answer out.

Knows routes, and in which order a request meets strictness, faults and endpoints. Refuses to
know sockets, event loops and clocks, so that a unit test can be its only caller. The one hard
thing: a fault between "carried out" and "answered" must leave the state as if all had gone
well, because that is exactly what makes a lost reply so expensive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import parse_qsl, urlsplit

from demo.issuer_codes import BadVisit
from demo.issuer_endpoints import DEVICE_GRANT, EXCHANGE_GRANT, Content, Endpoints
from demo.issuer_faults import Faults, ReplyLost
from demo.issuer_record import Record, Seen
from demo.issuer_request import (
    Form,
    OAuthError,
    Reply,
    Request,
    authenticate,
    inspect,
    inspect_frame,
    json_reply,
    read_request,
)
from demo.issuer_settings import Client, Settings

ROUTES: dict[tuple[str, str], str] = {
    ("GET", "/.well-known/openid-configuration"): "discovery",
    ("GET", "/jwks"): "jwks",
    ("GET", "/userinfo"): "userinfo",
    ("GET", "/authorize"): "authorization",
    ("POST", "/authorize/approve"): "authorization_approve",
    ("POST", "/authorize/deny"): "authorization_deny",
    ("GET", "/device"): "approval_page",
    ("POST", "/device/approve"): "approve",
    ("POST", "/device/deny"): "deny",
    ("POST", "/device_authorization"): "device_authorization",
    ("POST", "/token"): "token",
    ("POST", "/revoke"): "revocation",
    ("POST", "/introspect"): "introspection",
}
GRANT_TYPES = {
    DEVICE_GRANT: "device_code",
    EXCHANGE_GRANT: "token_exchange",
    "authorization_code": "authorization_code",
    "refresh_token": "refresh_token",
    "client_credentials": "client_credentials",
}
PROTECTED = frozenset({"device_authorization", "token", "revocation", "introspection"})

APPROVAL_PAGE = b"""<!doctype html><title>Demo issuer</title>
<form method="post" action="device/approve"><label>Code <input name="user_code"></label>
<button>Approve</button> <button formaction="device/deny">Deny</button></form>"""
CONSENT_PAGE = """<!doctype html><title>Demo issuer</title>
<form method="post" action="authorize/approve"><input type="hidden" name="visit" value="{}">
<button>Approve</button> <button formaction="authorize/deny">Deny</button></form>"""
HTML = {"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store"}


class IssuerCore:
    """The whole issuer without its network. ``url`` is the issuer, as clients configure it."""

    def __init__(self, settings: Settings | None = None, url: str = "http://127.0.0.1:1") -> None:
        self.settings = settings or Settings()
        self.url = url
        self.record = Record()
        self.faults = Faults()
        self.endpoints = Endpoints(url, self.settings, self.record, self.faults)

    def __repr__(self) -> str:
        return f"<IssuerCore {self.url} violations={len(self.record.violations)}>"

    def handle(
        self, method: str, path: str, headers: Mapping[str, str], form: Form, now: float
    ) -> Reply:
        """Answer one request at this Unix time: (status, headers, body).

        ``path`` may be a full URL of this issuer; ``form`` is a mapping, or pairs in the order
        they came. Raises Away and ReplyLost while those faults are on.
        """
        request = self.read(method, path, headers, form)
        with self.flight(request, lambda: now):
            return self.answer(request, now)

    def read(self, method: str, path: str, headers: Mapping[str, str], form: Form) -> Request:
        """A request with its path made relative to the issuer."""
        prefix = urlsplit(self.url).path.rstrip("/")
        local = path.removeprefix(self.url)
        if local == path and prefix:
            local = path.removeprefix(prefix)
        return read_request(method, local, headers, form)

    @contextmanager
    def flight(self, request: Request, clock: Callable[[], float]) -> Iterator[None]:
        """Count a token request as in flight; what is no token request passes through."""
        if not self.kind(request).startswith("token"):
            yield
            return
        try:
            with self.record.flight(self._flight_key(request)):
                yield
        finally:
            self.record.token_request_ended_at = clock()

    def answer(self, request: Request, now: float) -> Reply:
        """Answer a request that was read and counted. Raises Away and ReplyLost."""
        kind = self.kind(request)
        try:
            reply, error = self._judge(request, kind, now), ""
        except OAuthError as refusal:
            reply, error = refusal.reply(), refusal.error
        except ReplyLost:
            self.lose(request)
            self.record.requests.append(Seen(kind, now, 0, "reply lost"))
            raise
        self.record.requests.append(Seen(kind, now, reply.status, error))
        return reply

    def kind(self, request: Request) -> str:
        """The name under which a request is counted; a token request says its grant type too."""
        kind = ROUTES.get((request.method, request.path.partition("?")[0]), "unknown")
        if kind != "token":
            return kind
        return f"token/{GRANT_TYPES.get(request.get('grant_type'), 'unknown')}"

    def approve(self, user_code: str, subject: str = "") -> None:
        """Be the person who says yes, as this subject. Raises KeyError for an unknown code."""
        self.endpoints.devices.decide(user_code, "approved", subject)

    def deny(self, user_code: str) -> None:
        """Be the person who says no. Raises KeyError for an unknown code."""
        self.endpoints.devices.decide(user_code, "denied")

    def browse(self, address: str, now: float, subject: str = "") -> str:
        """Be the browser and the person in it who says yes: the address they are sent back to.

        Raises what the endpoint raises.
        """
        number = self.endpoints.codes.visit(address.partition("?")[2])
        return self.endpoints.codes.approve(number, now, subject)

    def lose(self, request: Request) -> None:
        """The reply to this request never arrived, so its repetition is nobody's fault."""
        self.endpoints.grants.lose(request.get("refresh_token"))
        device = self.endpoints.devices.find(request.get("device_code"))
        if device is not None:
            device.lost = True

    def _flight_key(self, request: Request) -> str:
        """Two requests with the same key must never be in flight at once."""
        grant = self.endpoints.grants.find(request.get("refresh_token"))
        device = self.endpoints.devices.find(request.get("device_code"))
        if grant is not None:
            return grant.id
        return f"device {device.user_code}" if device else f"request {len(self.record.requests)}"

    def _judge(self, request: Request, kind: str, now: float) -> Reply:
        instead = self.faults.before(kind.startswith("token"))
        if instead is not None:
            return instead
        if kind.partition("/")[0] in PROTECTED:
            return self._protected(request, kind, now)
        if kind.startswith("authorization"):
            return self._browser(request, kind, now)
        return self._open(request, kind, now)

    def _browser(self, request: Request, kind: str, now: float) -> Reply:
        """What a browser is shown, or where it is sent."""
        codes = self.endpoints.codes
        try:
            if kind == "authorization":
                return self._visit(request.path.partition("?")[2])
            number = request.get("visit")
            is_yes = kind == "authorization_approve"
            return _sent(codes.approve(number, now) if is_yes else codes.deny(number))
        except (BadVisit, KeyError):
            return Reply(400, HTML, b"<!doctype html><title>Demo issuer</title>Not possible.")

    def _visit(self, query: str) -> Reply:
        try:
            number = self.endpoints.codes.visit(query)
        except OAuthError as refusal:
            given = dict(parse_qsl(query))
            back, state = given["redirect_uri"], given.get("state", "")
            return _sent(self.endpoints.codes.way_back(back, state, error=refusal.error))
        return Reply(200, HTML, CONSENT_PAGE.format(number).encode())

    def _protected(self, request: Request, kind: str, now: float) -> Reply:
        grant_type = kind.rpartition("/")[2]
        if grant_type == "unknown":
            raise self._unknown_grant_type(request)
        inspect(request, kind, self.record)
        client = self._client(request, kind, now)
        content: Content = getattr(self.endpoints, grant_type)(request, client, now)
        if not kind.startswith("token"):
            return json_reply(200, content)
        content = self.faults.edit(content)
        self.faults.after()
        return json_reply(200, content)

    def _client(self, request: Request, kind: str, now: float) -> Client:
        if request.get("client_assertion"):
            return self.endpoints.assertions.client(request, kind, self.url, now)
        return authenticate(request, kind, self.settings, self.record)

    def _unknown_grant_type(self, request: Request) -> OAuthError:
        inspect_frame(request, "token", self.record)
        wanted = request.get("grant_type")
        self.record.violate(f"token: grant_type {wanted or 'missing'}")
        return OAuthError("unsupported_grant_type" if wanted else "invalid_request")

    def _open(self, request: Request, kind: str, now: float) -> Reply:
        match kind:
            case "discovery":
                return json_reply(200, self._discovery())
            case "jwks":
                return json_reply(200, self.endpoints.signer.jwks())
            case "userinfo":
                bearer = request.headers.get("authorization", "")
                return json_reply(200, self.endpoints.userinfo(bearer, now))
            case "approval_page":
                return Reply(200, {"Content-Type": "text/html"}, APPROVAL_PAGE)
            case "approve" | "deny":
                return self._decide(request, kind)
        return self._not_found(request)

    def _discovery(self) -> Content:
        changed = self.endpoints.discovery() | self.faults.discovery_changes
        return {name: value for name, value in changed.items() if value is not None}

    def _decide(self, request: Request, kind: str) -> Reply:
        user_code = request.get("user_code").strip().upper()
        try:
            self.approve(user_code) if kind == "approve" else self.deny(user_code)
        except KeyError:
            return json_reply(404, {"error": "no such code"})
        return json_reply(200, {"user_code": user_code, "decided": kind})

    def _not_found(self, request: Request) -> Reply:
        # Looking for other well-known documents is fair; any other unknown path is a mistake.
        if not request.path.startswith("/.well-known/"):
            self.record.violate(f"no such route: {request!r}")
        return json_reply(404, {"error": "not found"})


def _sent(address: str) -> Reply:
    """Send the browser on (303: with a GET, whatever it came by)."""
    return Reply(303, {"Location": address, "Cache-Control": "no-store"}, b"")
