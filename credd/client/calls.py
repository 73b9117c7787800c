"""A method for each route of the daemon's socket.

It knows routes, JSON, and the patience it was given. It refuses to remember anything (that is
`source`) and to talk to a person. The hard thing is which questions may be asked twice: a lost
reply is asked for again only where doing it twice does no more than doing it once.

Every method raises children of credd.CreddError and nothing else: DaemonUnreachable, Denied,
Misconfigured from this side, and whatever the daemon answers.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Optional, Union, cast

from credd import paths, wire
from credd.client import patience, raw, stream
from credd.errors import BadRequest, CreddError

if TYPE_CHECKING:  # shapes that no job needs, and that `exec` does not hand to it
    from credd import wire_audit

Scope = Optional[Union[str, Sequence[str]]]
"""What may be asked for: a space-separated string (RFC 6749, 3.3), a sequence, or the default."""

Asked = Optional[Union[str, float, bool]]
"""A value in a query; None is left out."""


class Calls:
    """The daemon at one socket. Each call has a connection of its own; there is nothing to close.

    `socket` is a path, None for the ordered search at each call. `timeout` bounds a whole call in
    seconds, the daemon's restarts included; `refused` and `absent` are `patience.Patience`'s.
    """

    def __init__(
        self,
        socket: str | os.PathLike[str] | None = None,
        timeout: float = patience.DEADLINE,
        *,
        refused: float | None = None,
        absent: float = patience.ABSENT,
    ) -> None:
        if not 0 < timeout < float("inf"):
            raise BadRequest(f"a timeout is a number of seconds above 0, not {timeout!r}")
        self._socket = None if socket is None else os.path.abspath(os.fspath(socket))
        self._patience = patience.Patience(timeout, refused=refused, absent=absent)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._socket or 'at the usual socket'}>"

    # --- the daemon ---

    def live(self) -> dict[str, Any]:
        """`GET /v1/live`: it answers."""
        return self._get(wire.LIVE)

    def ready(self) -> dict[str, Any]:
        """`GET /v1/ready`: it serves tokens; waits for that until the deadline."""
        return self._get(wire.READY)

    def version(self) -> wire.VersionReply:
        """`GET /v1/version`: what runs, and what a restart would run."""
        return cast(wire.VersionReply, self._get(wire.VERSION))

    def openapi(self) -> dict[str, Any]:
        """`GET /v1/openapi.json`."""
        return self._get(wire.OPENAPI)

    def reload(self) -> wire.ReloadReply:
        """`POST /v1/reload`: read the configuration again; with findings the old one stays."""
        return cast(wire.ReloadReply, self._post(wire.RELOAD, is_idempotent=True))

    def lock(self, passphrase: str | None = None, *, seal: bool = False) -> dict[str, Any]:
        """`POST /v1/lock`: shut everything that bears a secret; `seal` drops keys and tokens."""
        body: wire.LockRequest = {"seal": seal}
        if passphrase is not None:
            body["passphrase"] = passphrase
        return self._post(wire.LOCK, body)

    def unlock(self, passphrase: str) -> dict[str, Any]:
        """`POST /v1/unlock`: open the vault."""
        return self._post(wire.UNLOCK, {"passphrase": passphrase}, is_idempotent=True)

    def recover(self, code: str) -> dict[str, Any]:
        """`POST /v1/unlock`: open the vault by its recovery code."""
        return self._post(wire.UNLOCK, {"recovery_code": code}, is_idempotent=True)

    def vault(self) -> dict[str, Any]:
        """`GET /v1/vault`: where it stands (the shapes of these are in credd.wire_vault)."""
        return self._get(wire.VAULT)

    def verify_vault(self) -> dict[str, Any]:
        """`POST /v1/vault/verify`: look at every part of it."""
        return self._post(wire.VAULT_VERIFY, is_idempotent=True)

    def rewrap_vault(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """`POST /v1/vault/rewrap`: change where its key comes from."""
        return self._post(wire.VAULT_REWRAP, request)

    def rekey_vault(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """`POST /v1/vault/rekey`: seal everything anew."""
        return self._post(wire.VAULT_REKEY, request)

    def reset_vault(self, *, erase: bool = False) -> dict[str, Any]:
        """`POST /v1/vault/reset`: take it out of its place."""
        return self._post(wire.VAULT_RESET + query(erase=erase or None))

    def accept_vault(self) -> dict[str, Any]:
        """`POST /v1/vault/accept`: a copied vault may spend its refresh tokens from now on."""
        return self._post(wire.VAULT_ACCEPT, is_idempotent=True)

    # --- credentials ---

    def credentials(self) -> wire.CredentialsReply:
        """`GET /v1/credentials`: all of them, without secrets."""
        return cast(wire.CredentialsReply, self._get(wire.CREDENTIALS))

    def credential(self, name: str) -> wire.CredentialReply:
        """`GET /v1/credentials/{name}`: everything but secrets."""
        return cast(wire.CredentialReply, self._get(_route(wire.CREDENTIAL, name)))

    def token(
        self,
        name: str,
        *,
        min_valid: float | None = None,
        audience: str | None = None,
        scope: Scope = None,
        max_wait: float | None = None,
        within: patience.Patience | None = None,
    ) -> wire.TokenReply:
        """`GET .../token`: a token with all that is known about it.

        `min_valid`: valid for so many more seconds, or an error. `max_wait`: seconds the daemon
        waits for a refresh. `within` is another patience than this client's for this call.
        """
        route = _route(wire.TOKEN, name)
        scopes = joined(scope)

        def compose(left: float) -> bytes:
            wait = patience.shorter_wait(left) if max_wait is None else max_wait
            asked = query(
                min_valid=min_valid, audience=audience or None, scope=scopes, max_wait=wait
            )
            return raw.bare_request("GET", route + asked)

        return cast(wire.TokenReply, self._settled(compose, within=within))

    def reject(self, name: str, generation: int) -> wire.RefreshReply:
        """`POST .../rejections`: "the resource server said 401 to this generation"."""
        body = {"generation": generation}
        # Twice is once: the second finds the generation superseded.
        route = _route(wire.REJECTIONS, name)
        reply = self._post(route, body, is_idempotent=True, waits=True)
        return cast(wire.RefreshReply, reply)

    def refresh(self, name: str) -> wire.RefreshReply:
        """`POST .../refresh`: now, unless it was obtained only just now."""
        return cast(wire.RefreshReply, self._post(_route(wire.REFRESH, name), waits=True))

    def refresh_all(self) -> wire.RefreshAllReply:
        """`POST /v1/refresh`: all, waking every retry that waits."""
        return cast(wire.RefreshAllReply, self._post(wire.REFRESH_ALL))

    def lifetime(self, name: str, seconds: float) -> wire.LifetimeReply:
        """`GET .../lifetime`: will the login last for so many seconds?"""
        route = _route(wire.LIFETIME, name) + query(for_=seconds)
        return cast(wire.LifetimeReply, self._get(route))

    def logout(self, name: str, **options: Asked) -> dict[str, Any]:
        """`DELETE .../grant`: revoke at the issuer and forget.

        `options` go into the query: `keep_going=True` forgets even if the issuer can't be reached.
        """
        return self._bare("DELETE", _route(wire.GRANT, name) + query(**options))

    def import_secret(self, request: wire.ImportRequest) -> wire.ImportReply:
        """`POST /v1/imports`: hand over what another program obtained.

        Asked once, even where the problem says that asking again may help: who has the original
        decides that. Destroy it only after this has returned.
        """
        content = json.dumps(request).encode()
        reply = patience.ask(
            self.socket_path(),
            lambda _: raw.json_request("POST", wire.IMPORTS, content),
            self._patience,
            raw.read_reply,
            is_idempotent=False,
        )
        if not 200 <= reply.status < 300:
            from credd.client.problems import error_of, read_problem

            raise error_of(reply, read_problem(reply))
        return cast(wire.ImportReply, _object(reply.body))

    # --- logins ---

    def start_login(self, request: wire.LoginRequest) -> wire.LoginReply:
        """`POST /v1/logins`: begin one, or find the unfinished one of the same name again."""
        return cast(wire.LoginReply, self._post(wire.LOGINS, request, is_idempotent=True))

    def login_events(self, login_id: str) -> Iterator[wire.LoginEvent]:
        """`GET /v1/logins/{id}/events`: what happens in it, as it happens, to the end.

        Waits as long as the daemon lives. Raises DaemonUnreachable where the stream breaks off.
        """
        route = _route(wire.LOGIN_EVENTS, login_id)
        for line in stream.objects(self.socket_path(), route, self._patience):
            yield cast(wire.LoginEvent, line)

    def answer_login(self, login_id: str, question: str, answer: str) -> dict[str, Any]:
        """`POST /v1/logins/{id}/answers`: a person's answer to a question."""
        body = {"question": question, "answer": answer}
        return self._post(_route(wire.LOGIN_ANSWERS, login_id), body)

    def cancel_login(self, login_id: str) -> dict[str, Any]:
        """`DELETE /v1/logins/{id}`: end it; nothing is kept of it."""
        return self._bare("DELETE", _route(wire.LOGIN, login_id))

    # --- job sockets ---

    def create_socket(self, request: wire.SocketRequest) -> wire.SocketReply:
        """`POST /v1/sockets`: a job socket for these credentials."""
        return cast(wire.SocketReply, self._post(wire.SOCKETS, request))

    def sockets(self) -> wire.SocketsReply:
        """`GET /v1/sockets`: all of them."""
        return cast(wire.SocketsReply, self._get(wire.SOCKETS))

    def remove_socket(self, socket_id: str) -> dict[str, Any]:
        """`DELETE /v1/sockets/{id}`: end it."""
        return self._bare("DELETE", _route(wire.SOCKET, socket_id))

    # --- what there was to see ---

    def audit(
        self,
        credential: str | None = None,
        *,
        since: float | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> wire_audit.AuditReply:
        """`GET /v1/audit`: a page of the trail, of one credential or of all."""
        asked = query(credential=credential, since=since, cursor=cursor, limit=limit)
        return cast("wire_audit.AuditReply", self._get(wire.AUDIT + asked))

    def check_audit(self) -> wire_audit.AuditCheckReply:
        """`GET /v1/audit/check`: is each line of the trail as it was written?"""
        return cast("wire_audit.AuditCheckReply", self._get(wire.AUDIT_CHECK))

    def events(self) -> Iterator[wire_audit.Event]:
        """`GET /v1/events`: how things are, and then what happens, as it happens.

        Waits as long as the daemon lives. Raises DaemonUnreachable where the stream breaks off.
        """
        for line in stream.objects(self.socket_path(), wire.EVENTS, self._patience):
            yield cast("wire_audit.Event", line)

    def findings(self) -> wire_audit.FindingsReply:
        """`GET /v1/findings`: what the daemon itself finds wrong."""
        return cast("wire_audit.FindingsReply", self._get(wire.FINDINGS))

    def metrics(self) -> str:
        """`GET /v1/metrics`: all counts, in Prometheus' text format."""
        reply = patience.settle(
            self.socket_path(),
            lambda _: raw.bare_request("GET", wire.METRICS),
            self._patience,
            is_idempotent=True,
        )
        return reply.body.decode()

    # --- how ---

    def socket_path(self) -> str:
        """Where this client asks."""
        return self._socket or paths.current_socket_path()

    def _get(self, target: str) -> dict[str, Any]:
        return self._settled(lambda _: raw.bare_request("GET", target))

    def _bare(self, method: str, target: str) -> dict[str, Any]:
        return self._settled(lambda _: raw.bare_request(method, target), is_idempotent=False)

    def _post(
        self,
        target: str,
        body: Mapping[str, Any] | None = None,
        *,
        is_idempotent: bool = False,
        waits: bool = False,
    ) -> dict[str, Any]:
        """`waits`: the daemon waits for a refresh, and is told if that may not take long."""
        content = json.dumps(body or {}).encode()

        def compose(left: float) -> bytes:
            shorter = query(max_wait=patience.shorter_wait(left)) if waits else ""
            return raw.json_request("POST", target + shorter, content)

        return self._settled(compose, is_idempotent=is_idempotent)

    def _settled(
        self,
        compose: Callable[[float], bytes],
        *,
        is_idempotent: bool = True,
        within: patience.Patience | None = None,
    ) -> dict[str, Any]:
        reply = patience.settle(
            self.socket_path(), compose, within or self._patience, is_idempotent=is_idempotent
        )
        return _object(reply.body) if reply.body else {}


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise CreddError("the daemon's answer is no JSON object", remedy="credd-ctl version")
    return found


def _route(template: str, value: str) -> str:
    """A route with its one place filled in. Raises BadRequest for what can't be a name."""
    if "{name}" in template and not re.fullmatch(wire.NAME_PATTERN, value):
        raise BadRequest(f"{value!r} can't be a credential's name", remedy="credd-ctl status")
    return template.replace("{name}", value).replace("{id}", raw.quoted(value))


def query(**asked: Asked) -> str:
    """The query of a request: what is None is left out; "" where nothing is left."""
    given = {name.strip("_"): value for name, value in asked.items() if value is not None}
    parts = [f"{name}={raw.quoted(_text(value))}" for name, value in given.items()]
    return "?" + "&".join(parts) if parts else ""


def _text(value: Asked) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def joined(scope: Scope) -> str | None:
    """Scopes as one string, separated by spaces (RFC 6749, 3.3); None for none."""
    return (scope if scope is None or isinstance(scope, str) else " ".join(scope)) or None
