"""A stand-in for the daemon: the API on a real socket, strict about what it receives.

It knows the routes and shapes of `credd.wire` and nothing of OAuth: what it answers is set by the
test. Anything that the contract doesn't know (a route, a query, a field, a body that is no JSON)
is written down as a complaint, and `close` fails the test for it.
"""

from __future__ import annotations

import json
import os
import re
import socketserver
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from queue import SimpleQueue
from typing import Any, get_type_hints
from urllib.parse import parse_qsl, unquote, urlsplit

from credd import wire, wire_audit, wire_vault
from credd.errors import CreddError, UnknownCredential, to_problem

NAME = wire.NAME_PATTERN
QUERIES = {
    "token": {"min_valid", "audience", "scope", "max_wait", "format"},
    "lifetime": {"for"},
    "forget": {"keep_going"},
    "reset": {"erase"},
    "refresh": {"max_wait"},
    "audit": {"credential", "since", "cursor", "limit"},
}
BODIES: dict[str, set[str]] = {
    "login": set(wire.LoginRequest.__annotations__),
    "answer": set(wire.LoginAnswer.__annotations__),
    "unlock": set(wire.UnlockRequest.__annotations__),
    "rewrap": set(wire_vault.RewrapRequest.__annotations__),
    "rekey": set(wire_vault.RekeyRequest.__annotations__),
    "import_login": set(get_type_hints(wire.ImportRequest)),
}
ROUTES = [
    ("GET", wire.LIVE, "live"),
    ("GET", wire.READY, "ready"),
    ("GET", wire.VERSION, "version"),
    ("GET", wire.CREDENTIALS, "credentials"),
    ("GET", wire.CREDENTIAL, "credential"),
    ("GET", wire.TOKEN, "token"),
    ("GET", wire.AUDIT, "audit"),
    ("GET", wire.AUDIT_CHECK, "check_audit"),
    ("POST", wire.REFRESH, "refresh"),
    ("GET", wire.LIFETIME, "lifetime"),
    ("DELETE", wire.GRANT, "forget"),
    ("POST", wire.REFRESH_ALL, "refresh_all"),
    ("POST", wire.LOGINS, "login"),
    ("DELETE", wire.LOGIN, "cancel"),
    ("GET", wire.LOGIN_EVENTS, "events"),
    ("POST", wire.LOGIN_ANSWERS, "answer"),
    ("POST", wire.IMPORTS, "import_login"),
    ("POST", wire.RELOAD, "reload"),
    ("POST", wire.UNLOCK, "unlock"),
    ("GET", wire.VAULT, "vault"),
    ("POST", wire.VAULT_ACCEPT, "accept"),
    ("POST", wire.VAULT_VERIFY, "verify"),
    ("POST", wire.VAULT_REWRAP, "rewrap"),
    ("POST", wire.VAULT_REKEY, "rekey"),
    ("POST", wire.VAULT_RESET, "reset"),
]


def credential(name: str = "lab", **changes: Any) -> wire.CredentialReply:
    """A credential in good health; `changes` say what is different."""
    now = time.time()
    reply: dict[str, Any] = {
        "name": name,
        "provider": "oidc",
        "issuer": "https://login.example.org",
        "state": "fresh",
        "meaning": "a good token is at hand",
        "account": "ada@example.org",
        "scope": "openid offline_access",
        "hosts": ["mlflow.example.org"],
        "generation": 7,
        "grant": 2,
        "token_expires_at": now + 290,
        "refresh_at": now + 150,
        "login_at": now - 3600,
        "login_ends_at": now + 29 * 86400 + 3 * 3600 + 60,
        "logging_in": False,
        "trouble": None,
        "remedy": "",
        "exit_code": 0,
        "environment": {"MLFLOW_TRACKING_AUTH": "credd"},
    }
    return {**reply, **changes}  # type: ignore[typeddict-item]


def login_required(name: str = "lab", **changes: Any) -> wire.CredentialReply:
    """A credential whose login the issuer has ended."""
    now = time.time()
    trouble = {
        "kind": "refused", "reason": "invalid_grant", "detail": "the issuer ended this login",
        "since": now - 7300, "attempts": 3, "next_try_at": now + 600,
    }  # fmt: skip
    ended: dict[str, Any] = {
        "state": "login-required",
        "meaning": "a person must log in again",
        "token_expires_at": now - 60,
        "refresh_at": None,
        "login_ends_at": None,
        "trouble": trouble,
        "remedy": f"credd-ctl login {name}",
        "exit_code": 4,
    }
    return credential(name, **{**ended, **changes})


class Standin:
    """The daemon's place taken: `credentials` and the other attributes are what it answers."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "credd.sock"
        self.credentials: dict[str, wire.CredentialReply] = {}
        self.tokens: dict[str, str] = {}
        self.errors: dict[str, CreddError] = {}
        self.versions = {"version": "0.1.0", "installed": "0.1.0"}
        self.key_source = "keyring"
        self.sources = ["keyring"]
        self.restored = False
        self.parts: list[wire_vault.VaultPart] = []
        self.verdict = "lasts"
        self.audit_pages: list[wire_audit.AuditReply] = []
        self.audit_faults: list[wire_audit.AuditFault] = []
        self.outcome = "refreshed"
        self.reload_findings: list[list[wire.Finding]] = []
        self.login_events: list[list[dict[str, Any]]] = []
        self.resumed = False
        self.rotates = True
        self.on_reload: Any = None
        self.requests: list[tuple[str, str, dict[str, Any]]] = []
        self.complaints: list[str] = []
        self.cancelled = threading.Event()
        self.answers: SimpleQueue[dict[str, Any]] = SimpleQueue()
        folder.mkdir(mode=0o700, exist_ok=True)
        self._server = _Server(str(self.socket), self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> Standin:
        os.chmod(self.socket, 0o600)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()
        assert not self.complaints, self.complaints

    def stop(self) -> None:
        """Go away, as a daemon does that was killed."""
        self.cancelled.set()
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def asked(self, route: str) -> list[dict[str, Any]]:
        """What was received at a route: body and query of each request."""
        return [given for name, _, given in self.requests if name == route]

    def complain(self, text: str) -> None:
        """Note what no client of ours may send."""
        self.complaints.append(text)

    # What it answers

    def reply(self, route: str, parts: dict[str, str], given: dict[str, Any]) -> Any:
        """The JSON of one route; raises the CreddError the test has set for it."""
        if route in self.errors:
            raise self.errors[route]
        name = parts.get("name", "")
        if name and name not in self.credentials:
            raise UnknownCredential(f"no credential {name}", remedy="credd-ctl status")
        return getattr(self, f"_{route}")(name, given)

    def _live(self, name: str, given: dict[str, Any]) -> Any:
        return {"live": True}

    def _ready(self, name: str, given: dict[str, Any]) -> Any:
        return {"ready": True}

    def _version(self, name: str, given: dict[str, Any]) -> wire.VersionReply:
        return {
            **self.versions, "api": "1", "pid": os.getpid(), "started_at": time.time() - 60,
            "vault": "open", "key_source": self.key_source,
        }  # type: ignore[typeddict-item]  # fmt: skip

    def _credentials(self, name: str, given: dict[str, Any]) -> wire.CredentialsReply:
        return {"credentials": list(self.credentials.values())}

    def _credential(self, name: str, given: dict[str, Any]) -> wire.CredentialReply:
        return self.credentials[name]

    def _token(self, name: str, given: dict[str, Any]) -> wire.TokenReply:
        now = time.time()
        return {
            "access_token": self.tokens.get(name, f"token-of-{name}"),
            "token_type": "Bearer", "expires_at": now + 290, "obtained_at": now - 10,
            "refresh_at": now + 150, "generation": 7, "stale": False,
            "account": "ada@example.org", "scope": "openid", "hosts": ["mlflow.example.org"],
        }  # fmt: skip

    def _audit(self, name: str, given: dict[str, Any]) -> wire_audit.AuditReply:
        """The pages that the test has set, then empty ones."""
        if self.audit_pages:
            return self.audit_pages.pop(0)
        return {"entries": [], "pending": [], "cursor": given.get("cursor", "1-0"),
                "more": False, "lost": 0, "trouble": ""}  # fmt: skip

    def _check_audit(self, name: str, given: dict[str, Any]) -> wire_audit.AuditCheckReply:
        faults = self.audit_faults
        return {"intact": not faults, "lines": 9, "first": 1, "last": 9, "faults": faults}

    def _refresh(self, name: str, given: dict[str, Any]) -> wire.RefreshReply:
        return {"name": name, "outcome": self.outcome, "generation": 8}

    def _refresh_all(self, name: str, given: dict[str, Any]) -> wire.RefreshAllReply:
        return {"woken": list(self.credentials)}

    def _lifetime(self, name: str, given: dict[str, Any]) -> wire.LifetimeReply:
        until = time.time() + float(given["for"])
        ends = {"lasts": until + 9e5, "ends": until - 3600, "unknown": None}[self.verdict]
        remedy = f"credd-ctl login {name}" if self.verdict == "ends" else ""
        return {
            "name": name, "verdict": self.verdict, "ends_at": ends, "needed_until": until,
            "remedy": remedy,
        }  # fmt: skip

    def _forget(self, name: str, given: dict[str, Any]) -> Any:
        del self.credentials[name]
        return None

    def _login(self, name: str, given: dict[str, Any]) -> wire.LoginReply:
        assert re.fullmatch(NAME, given["name"])
        return {"id": "login-1", "name": given["name"], "resumed": self.resumed}

    def _import_login(self, name: str, given: dict[str, Any]) -> wire.ImportReply:
        account = given.get("account", "ada@example.org")
        moved = credential(given["name"], account=account, provider=given.get("provider", "oidc"))
        self.credentials[given["name"]] = moved
        return {"credential": moved, "rotated": self.rotates}

    def _cancel(self, name: str, given: dict[str, Any]) -> Any:
        self.cancelled.set()
        return None

    def _answer(self, name: str, given: dict[str, Any]) -> Any:
        self.answers.put(given)
        return None

    def _reload(self, name: str, given: dict[str, Any]) -> wire.ReloadReply:
        if self.on_reload is not None:
            self.on_reload()
        findings = self.reload_findings.pop(0) if self.reload_findings else []
        return {"applied": not findings, "findings": findings}

    def _unlock(self, name: str, given: dict[str, Any]) -> Any:
        return None

    def _accept(self, name: str, given: dict[str, Any]) -> Any:
        return None

    def _vault(self, name: str, given: dict[str, Any]) -> wire_vault.VaultReply:
        return {
            "state": "open", "reason": "", "detail": "", "remedy": "", "sources": self.sources,
            "restored": self.restored, "file": "/state/vault.db",
        }  # fmt: skip

    def _verify(self, name: str, given: dict[str, Any]) -> wire_vault.VerifyReply:
        damaged = [part for part in self.parts if part["verdict"] == "damaged"]
        remedy = damaged[0]["remedy"] if damaged else ""
        return {"parts": self.parts, "damaged": len(damaged), "remedy": remedy}

    def _rewrap(self, name: str, given: dict[str, Any]) -> wire_vault.VaultReply:
        kept = [] if given["only"] else self.sources
        self.sources = [*kept, *(one for one in given["sources"] if one not in kept)]
        return self._vault(name, given)

    def _rekey(self, name: str, given: dict[str, Any]) -> wire_vault.VaultReply:
        return self._vault(name, given)

    def _reset(self, name: str, given: dict[str, Any]) -> wire_vault.ResetReply:
        aside = "" if given.get("erase") else "/state/vault.db.aside-20261122T025047Z"
        return {"aside": aside, "login_again": sorted(self.credentials)}


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, path: str, owner: Standin) -> None:
        self.owner = owner
        super().__init__(path, _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_DELETE = do_GET  # noqa: N815 - http.server's names

    def _serve(self) -> None:
        route, parts = self._route()
        given = self._query(route) | self._body(route)
        owner = self.server.owner
        owner.requests.append((route, self.path, given))
        if route == "events":
            self._stream()
            return
        try:
            status = 201 if route == "login" else 200
            self._send(status, owner.reply(route, parts, given), "application/json")
        except CreddError as error:
            self._send(error.status, to_problem(error), wire.PROBLEM_MEDIA_TYPE)

    def _route(self) -> tuple[str, dict[str, str]]:
        path = urlsplit(self.path).path
        for method, template, name in ROUTES:
            pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template)
            match = re.fullmatch(pattern, path)
            if match and method == self.command:
                return name, {key: unquote(part) for key, part in match.groupdict().items()}
        self.server.owner.complain(f"no route {self.command} {self.path}")
        return "live", {}

    def _query(self, route: str) -> dict[str, Any]:
        query = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        if query.keys() - QUERIES.get(route, set()):
            self.server.owner.complain(f"{route}: unknown query {sorted(query)}")
        return query

    def _body(self, route: str) -> dict[str, Any]:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else {}
        if body.keys() - BODIES.get(route, set()):
            self.server.owner.complain(f"{route}: unknown fields {sorted(body)}")
        return dict(body)

    def _send(self, status: int, reply: Any, media_type: str) -> None:
        """A reply of None is an empty 204."""
        body = b"" if reply is None else json.dumps(reply).encode()
        self.send_response(204 if reply is None else status)
        if body:
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self) -> None:
        """NDJSON, chunked. `{"type": "wait-answer"}` and `{"type": "hang"}` hold it up."""
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        owner = self.server.owner
        for event in owner.login_events.pop(0):
            if event["type"] == "hang":
                owner.cancelled.wait(30)
                return
            if event["type"] == "wait-answer":
                event["answer"] = owner.answers.get(timeout=30)
                continue
            if event["type"] == "done":
                owner.credentials[event["credential"]["name"]] = event["credential"]
            self._chunk(json.dumps(event).encode() + b"\n")
        self._chunk(b"")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%X\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()
