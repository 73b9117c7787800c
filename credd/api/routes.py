"""The whole menu: one table, a row for each route.

Knows: what may be asked, in which shape, and who answers. The server, the API's description and the
tests read this table and nothing else, so that they can't differ.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from credd import wire, wire_audit, wire_vault
from credd.api import answers, asking, locking, vault_answers
from credd.api.answers import Answer
from credd.api.asking import Asked, Parameter
from credd.api.interface import Front


@dataclass(frozen=True, slots=True)
class Route:
    """One row. `request` and `reply` are TypedDicts; a reply of None is an empty 204."""

    path: str
    method: str
    handler: Callable[[Front, Asked], Coroutine[Any, Any, Answer]]
    reply: type | None
    request: type | None = None
    query: tuple[Parameter, ...] = ()
    media: tuple[str, ...] = ("application/json",)
    status: int = 200
    bears_secret: bool = False

    @property
    def summary(self) -> str:
        """A line for people: the first one of the handler's own description."""
        return (self.handler.__doc__ or "").partition("\n")[0].rstrip(".")

    @property
    def name(self) -> str:
        """What the operation is called: in the API's description, in the audit trail, in counts."""
        return self.handler.__name__

    @property
    def is_kept(self) -> bool:
        """Whether it belongs into the audit trail: what hands out a secret, and what changes
        something."""
        return self.bears_secret or self.method != "GET"

    @property
    def is_open_while_locked(self) -> bool:
        """Whether it is answered although a person has locked credd."""
        return self.name in locking.WHILE_LOCKED

    @property
    def finishes(self) -> bool:
        """Whether it is carried out to the end although the caller has gone."""
        return self.method != "GET"


NUMBER = {"type": "number", "minimum": 0}
WAIT = Parameter(
    "max_wait", f"seconds, at most {asking.LONGEST_WAIT:.0f}", asking.parse_wait,
    {**NUMBER, "maximum": asking.LONGEST_WAIT, "default": wire.MAX_WAIT}, wire.MAX_WAIT,
)  # fmt: skip
MIN_VALID = Parameter("min_valid", "a number of seconds", asking.parse_seconds, NUMBER)
AUDIENCE = Parameter("audience", "visible text", asking.parse_text, {"type": "string"}, "")
SCOPE = Parameter(
    "scope", "scopes, separated by single spaces", asking.parse_scopes,
    {"type": "array", "items": {"type": "string"}}, is_many=True,
)  # fmt: skip
FORMAT = Parameter(
    "format", "json or raw", asking.parse_format,
    {"type": "string", "enum": ["json", "raw"], "default": "json"}, "json",
)  # fmt: skip
FOR = Parameter("for", "a number of seconds", asking.parse_seconds, NUMBER, is_required=True)
FLAG = {"type": "boolean", "default": False}
KEEP_GOING = Parameter("keep_going", "true or false", asking.parse_flag, FLAG, False)
ERASE = Parameter("erase", "true or false", asking.parse_flag, FLAG, False)

CREDENTIAL = Parameter(
    "credential", "a credential's name", asking.parse_name,
    {"type": "string", "pattern": f"^{wire.NAME_PATTERN}$"}, "",
)  # fmt: skip
SINCE = Parameter("since", "a time in Unix seconds", asking.parse_seconds, NUMBER, 0.0)
CURSOR = Parameter("cursor", "the cursor of a page", asking.parse_text, {"type": "string"}, "")
LIMIT = Parameter(
    "limit", "a number of lines from 1 to 1000", asking.parse_limit,
    {"type": "integer", "minimum": 1, "maximum": asking.MOST_LINES, "default": asking.MOST_LINES},
    asking.MOST_LINES,
)  # fmt: skip

JSON_OR_TEXT = ("application/json", "text/plain")
ASKED_OF_TOKEN = (MIN_VALID, AUDIENCE, SCOPE, WAIT, FORMAT)

# Sorted by path. What changes something is no GET. One row bears a secret.
ROUTES: tuple[Route, ...] = (
    Route(wire.AUDIT, "GET", answers.audit, wire_audit.AuditReply,
          query=(CREDENTIAL, SINCE, CURSOR, LIMIT)),
    Route(wire.AUDIT_CHECK, "GET", answers.check_audit, wire_audit.AuditCheckReply),
    Route(wire.CREDENTIALS, "GET", answers.credentials, wire.CredentialsReply),
    Route(wire.CREDENTIAL, "GET", answers.credential, wire.CredentialReply),
    Route(wire.GRANT, "DELETE", answers.logout, None, query=(KEEP_GOING,)),
    Route(wire.LIFETIME, "GET", answers.lifetime, wire.LifetimeReply, query=(FOR,)),
    Route(wire.REFRESH, "POST", answers.refresh, wire.RefreshReply, query=(WAIT,)),
    Route(wire.REJECTIONS, "POST", answers.reject, wire.RefreshReply, wire.RejectionRequest,
          query=(WAIT,)),
    Route(wire.TOKEN, "GET", answers.token, wire.TokenReply,
          query=ASKED_OF_TOKEN, media=JSON_OR_TEXT, bears_secret=True),
    Route(wire.EVENTS, "GET", answers.events, wire_audit.Event, media=(answers.NDJSON,)),
    Route(wire.FINDINGS, "GET", answers.findings, wire_audit.FindingsReply),
    Route(wire.IMPORTS, "POST", answers.import_login, wire.ImportReply, wire.ImportRequest),
    Route(wire.LIVE, "GET", answers.live, answers.LiveReply),
    Route(wire.LOCK, "POST", locking.lock, None, wire.LockRequest),
    Route(wire.LOGINS, "POST", answers.start_login, wire.LoginReply, wire.LoginRequest, status=201),
    Route(wire.LOGIN, "DELETE", answers.cancel_login, None),
    Route(wire.LOGIN_ANSWERS, "POST", answers.answer_login, None, wire.LoginAnswer),
    Route(wire.LOGIN_EVENTS, "GET", answers.login_events, wire.LoginEvent, media=(answers.NDJSON,)),
    Route(wire.METRICS, "GET", answers.metrics, str, media=("text/plain",)),
    Route(wire.OPENAPI, "GET", answers.openapi, dict),
    Route(wire.READY, "GET", answers.ready, answers.ReadyReply),
    Route(wire.REFRESH_ALL, "POST", answers.refresh_all, wire.RefreshAllReply),
    Route(wire.RELOAD, "POST", answers.reload, wire.ReloadReply),
    Route(wire.SOCKETS, "GET", answers.list_sockets, wire.SocketsReply),
    Route(wire.SOCKETS, "POST", answers.create_socket, wire.SocketReply, wire.SocketRequest,
          status=201),
    Route(wire.SOCKET, "DELETE", answers.remove_socket, None),
    Route(wire.UNLOCK, "POST", vault_answers.unlock, None, wire.UnlockRequest),
    Route(wire.VAULT, "GET", vault_answers.vault, wire_vault.VaultReply),
    Route(wire.VAULT_ACCEPT, "POST", vault_answers.accept_vault, None),
    Route(wire.VAULT_REKEY, "POST", vault_answers.rekey_vault, wire_vault.VaultReply,
          wire_vault.RekeyRequest),
    Route(wire.VAULT_RESET, "POST", vault_answers.reset_vault, wire_vault.ResetReply,
          query=(ERASE,)),
    Route(wire.VAULT_REWRAP, "POST", vault_answers.rewrap_vault, wire_vault.VaultReply,
          wire_vault.RewrapRequest),
    Route(wire.VAULT_VERIFY, "POST", vault_answers.verify_vault, wire_vault.VerifyReply),
    Route(wire.VERSION, "GET", answers.version, wire.VersionReply),
)  # fmt: skip
