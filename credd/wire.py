"""What the socket promises: routes, shapes, states, limits.

Daemon and clients both read this file, so that neither can promise something else. Times are Unix
seconds (floats), lifetimes are seconds. `/v1` only grows: clients ignore fields they don't know.
Standard library only, Python 3.9: it is imported inside training jobs.
"""

from __future__ import annotations

from typing import Any, Optional, TypedDict

API_VERSION = "1"

NAME_PATTERN = r"[a-z0-9][a-z0-9._-]{0,63}"
"""A credential's name: safe in a path, a shell line, a file name and a remedy."""

MAX_REQUEST = 256 * 1024
"""Bytes; what ssh-agent allows (AGENT_MAX_LEN). No request of ours comes near."""

CLIENT_DEADLINE = 60.0
"""Seconds a client waits in all, daemon restarts included."""

MAX_WAIT = 30.0
"""Seconds a fetch waits for a refresh when it names no `max_wait`: half the client's deadline."""

PROBLEM_MEDIA_TYPE = "application/problem+json"

AUDIT = "/v1/audit"
AUDIT_CHECK = "/v1/audit/check"
EVENTS = "/v1/events"
FINDINGS = "/v1/findings"
METRICS = "/v1/metrics"
LIVE = "/v1/live"
READY = "/v1/ready"
VERSION = "/v1/version"
OPENAPI = "/v1/openapi.json"
CREDENTIALS = "/v1/credentials"
CREDENTIAL = "/v1/credentials/{name}"
TOKEN = "/v1/credentials/{name}/token"
REJECTIONS = "/v1/credentials/{name}/rejections"
REFRESH = "/v1/credentials/{name}/refresh"
LIFETIME = "/v1/credentials/{name}/lifetime"
GRANT = "/v1/credentials/{name}/grant"
REFRESH_ALL = "/v1/refresh"
IMPORTS = "/v1/imports"
LOGINS = "/v1/logins"
LOGIN = "/v1/logins/{id}"
LOGIN_EVENTS = "/v1/logins/{id}/events"
LOGIN_ANSWERS = "/v1/logins/{id}/answers"
RELOAD = "/v1/reload"
LOCK = "/v1/lock"
UNLOCK = "/v1/unlock"
VAULT = "/v1/vault"
VAULT_ACCEPT = "/v1/vault/accept"
VAULT_REKEY = "/v1/vault/rekey"
VAULT_RESET = "/v1/vault/reset"
VAULT_REWRAP = "/v1/vault/rewrap"
VAULT_VERIFY = "/v1/vault/verify"
SOCKETS = "/v1/sockets"
SOCKET = "/v1/sockets/{id}"


class TokenReply(TypedDict):
    """`GET .../token`. Use the token only while receipt <= now < refresh_at, then ask again."""

    access_token: str
    token_type: str
    expires_at: Optional[float]
    obtained_at: float
    refresh_at: float
    generation: int
    stale: bool
    account: str
    scope: str
    hosts: list[str]


class Trouble(TypedDict):
    """The last failure of a credential, in our own words."""

    kind: str
    reason: str
    detail: str
    since: float
    attempts: int
    next_try_at: Optional[float]


class CredentialReply(TypedDict):
    """`GET .../credentials/{name}`: everything but secrets. `issuer` is whom tokens come from, ""
    where nobody is asked for them."""

    name: str
    provider: str
    issuer: str
    state: str
    meaning: str
    account: str
    scope: str
    hosts: list[str]
    generation: int
    grant: int
    token_expires_at: Optional[float]
    refresh_at: Optional[float]
    login_at: Optional[float]
    login_ends_at: Optional[float]
    logging_in: bool
    trouble: Optional[Trouble]
    remedy: str
    exit_code: int
    environment: dict[str, str]


class CredentialsReply(TypedDict):
    """`GET /v1/credentials`."""

    credentials: list[CredentialReply]


class RejectionRequest(TypedDict):
    """`POST .../rejections`: "the resource server said 401 to this generation"."""

    generation: int


class RefreshReply(TypedDict):
    """`POST .../rejections` and `POST .../refresh`: what was done, and which generation is current.

    `outcome`: `refreshed`, `superseded` (a newer generation was there already), `too-soon` (it was
    obtained only just now), `not-renewable` (a static key).
    """

    name: str
    outcome: str
    generation: int


class RefreshAllReply(TypedDict):
    """`POST /v1/refresh`: the credentials whose refresh was started or whose retry was woken."""

    woken: list[str]


class LifetimeReply(TypedDict):
    """`GET .../lifetime?for=SECONDS`. `verdict`: `lasts`, `ends`, or `unknown`."""

    name: str
    verdict: str
    ends_at: Optional[float]
    needed_until: float
    remedy: str


class LoginRequest(TypedDict, total=False):
    """`POST /v1/logins`. Secrets are not in it: they are answers to questions of the login.

    `browser` is `near` where one opened by the client would appear before the person, on this
    machine, and `far` (or absent) elsewhere; the default flow depends on it.
    """

    name: str
    provider: str
    settings: dict[str, Any]
    flow: str
    switch_account: bool
    timeout: float
    vault_key: str
    browser: str


class LoginReply(TypedDict):
    """`POST /v1/logins`: where to listen. An unfinished login of the same name is found again."""

    id: str
    name: str
    resumed: bool


class LoginEvent(TypedDict, total=False):
    """One NDJSON line of `GET /v1/logins/{id}/events`. `type`: `device-code`, `authorization-url`,
    `question`, `note`, `done`, `failed`; the other fields depend on it.

    An `authorization-url` is for a browser; its answer comes to `redirect_uri` by itself. Where
    that browser is on another machine, the question `redirect-url` takes the address it ended at.
    """

    type: str
    verification_uri: str
    verification_uri_complete: str
    user_code: str
    authorization_uri: str
    redirect_uri: str
    expires_at: float
    question: str
    prompt: str
    secret: bool
    text: str
    credential: CredentialReply
    problem: dict[str, Any]


class _ImportAlways(TypedDict):
    """What every `POST /v1/imports` says."""

    name: str
    secret: str


class ImportRequest(_ImportAlways, total=False):
    """`POST /v1/imports`: a login that another program obtained moves in.

    `secret` is its refresh token, or a key; `client_secret` proves the client, where the issuer
    wants that. `account` and `scope` are labels that the other program had. `keep_original`: it
    goes on using it, which only a key allows. Provider and settings are those of a new credential.
    """

    provider: str
    settings: dict[str, Any]
    client_secret: str
    account: str
    scope: str
    keep_original: bool
    vault_key: str


class ImportReply(TypedDict):
    """`POST /v1/imports`: it is here, proven and durable. `rotated`: the issuer has replaced the
    secret, so that the original is worth nothing any more."""

    credential: CredentialReply
    rotated: bool


class LoginAnswer(TypedDict):
    """`POST /v1/logins/{id}/answers`."""

    question: str
    answer: str


class Finding(TypedDict):
    """Something wrong with the configuration: where, what, and what to do."""

    place: str
    message: str
    remedy: str


class ReloadReply(TypedDict):
    """`POST /v1/reload`. With findings, the old configuration stays in force."""

    applied: bool
    findings: list[Finding]


class VersionReply(TypedDict):
    """`GET /v1/version`. `installed` is what a restart would run."""

    version: str
    installed: str
    api: str
    pid: int
    started_at: float
    vault: str
    key_source: str


class UnlockRequest(TypedDict, total=False):
    """`POST /v1/unlock`: one of the two."""

    passphrase: str
    recovery_code: str


class LockRequest(TypedDict, total=False):
    """`POST /v1/lock`. `seal`: drop keys and tokens, too; where the vault has a passphrase of its
    own, none is needed here then."""

    passphrase: str
    seal: bool


class _SocketFolder(TypedDict):
    """What every request for a job socket names (Python 3.9 knows no Required)."""

    folder: str
    credentials: list[str]


class SocketRequest(_SocketFolder, total=False):
    """`POST /v1/sockets`: a job socket in `folder` (absolute), for these credentials and no others.

    `ttl` is in seconds, none given means until it is removed. `uid` may connect, besides our own.
    """

    ttl: Optional[float]
    uid: Optional[int]


class SocketReply(TypedDict):
    """One job socket. `ends_at` is in Unix seconds; not `listening`: `trouble` says why."""

    id: str
    path: str
    credentials: list[str]
    uid: Optional[int]
    created_at: float
    ends_at: Optional[float]
    listening: bool
    trouble: str


class SocketsReply(TypedDict):
    """`GET /v1/sockets`."""

    sockets: list[SocketReply]
