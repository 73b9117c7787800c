"""How a provider meets the world: only through the Conversation it is handed.

Rules: a provider never opens a socket, reads a clock or prints. It posts, gets, pauses, shows,
asks and listens. So a device login with `slow_down` is tested in ten lines, and whoever performs
the talk (`world.http` for requests, `world.loopback` for a browser's return, `broker.logins` for
people) can tell the one difference that decides whether a refresh token was burnt: *nothing was
sent* against *no reply came*.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from credd.core.instant import Instant
from credd.core.model import AccessToken, Grant, Secret, TokenKey

Form = Mapping[str, "str | Secret"]
"""Form fields in the order to send them; secrets are revealed by the one who sends."""


class NeverSent(Exception):
    """The request did not leave: name look-up, connection or TLS failed. `reason` is one word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ReplyLost(Exception):
    """A byte of the request may have left and no whole reply came. `reason` is one word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole HTTP reply. Header names are lower case. `sent` is when the request left."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    sent: Instant

    def json(self) -> dict[str, Any] | None:
        """The body as a JSON object, or None where it is anything else (a captive portal's
        page)."""
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            return None
        return value if isinstance(value, dict) else None


@dataclass(frozen=True, slots=True)
class Question:
    """Something a login must ask a person. `name` is stable (`client-secret`), `prompt` is for
    eyes."""

    name: str
    prompt: str
    secret: bool = True


IsOurs = Callable[[str], bool]
"""Whether a query (`code=…&state=…`, as it came) is the answer that a login waits for."""


class Redirection(Protocol):
    """A place on this machine to which an issuer sends a person's browser back (RFC 8252, 7.3)."""

    @property
    def redirect_uri(self) -> str:
        """Its address, as the issuer is told."""
        ...

    async def answer(self) -> str:
        """The first query that `is_ours` said yes to."""
        ...


class Conversation(Protocol):
    """What a provider may do. Every method may raise NeverSent or ReplyLost where it sends."""

    async def post(
        self, url: str, form: Form, *, headers: Mapping[str, str | Secret] | None = None
    ) -> Reply:
        """POST a form. Follows no redirect, retries nothing, sends each byte at most once."""
        ...

    async def get(self, url: str, *, headers: Mapping[str, str | Secret] | None = None) -> Reply:
        """GET a document: discovery, keys, user information."""
        ...

    async def pause(self, seconds: float) -> None:
        """Wait, as a poll interval demands."""
        ...

    async def show(self, event: Mapping[str, Any]) -> None:
        """Show a login event (the shapes of `wire.LoginEvent`) to whoever is attached."""
        ...

    async def ask(self, question: Question) -> Secret:
        """Ask a person; answers with what they said. Only during a login."""
        ...

    def listen(
        self, redirect_uri: str, is_ours: IsOurs
    ) -> AbstractAsyncContextManager[Redirection]:
        """Wait for a browser on the loopback addresses, until the context is left. Only during a
        login.

        `redirect_uri` is the registered one; where it has no port, or is "", any free port is
        taken. What `is_ours` says no to is refused, and the wait goes on. Entering raises Failed
        where nobody can listen there.
        """
        ...

    def is_browser_near(self) -> bool:
        """Whether a browser opened by whoever logs in would appear before them, on this machine."""
        ...

    def new_secret(self) -> Secret:
        """256 unguessable bits: 43 of the letters A-Z a-z 0-9 - _ (RFC 7636, 4.1)."""
        ...

    async def read_file(self, path: str) -> Secret:
        """The text of a small file that belongs to this user or root and that nobody else may
        write. Raises Failed where it is anything else."""
        ...

    def now(self) -> Instant:
        """This moment."""
        ...


@dataclass(frozen=True, slots=True)
class Renewal:
    """What a token endpoint's success said, before it is judged.

    `refresh_token` is None where the reply had none (the old one is kept). `access_token` is None
    where it was broken; then `defect` says why (an own constant). A renewal with a refresh token is
    always kept first, whatever `defect` says. Lifetimes in seconds; `lifetime` is None where
    nothing says.
    """

    sent: Instant
    refresh_token: Secret | None = None
    access_token: Secret | None = None
    token_type: str = "Bearer"
    scope: str = ""
    lifetime: float | None = None
    refresh_in: float | None = None
    refresh_lifetime: float | None = None
    defect: str = ""


@dataclass(frozen=True, slots=True)
class Authorization:
    """What a login obtained: the material of a Grant, and its first access token.

    `renewable` is False for a static key, whose access token is the key itself.
    """

    renewal: Renewal
    subject: str = ""
    account: str = ""
    scope: str = ""
    renewable: bool = True
    login_lifetime: float | None = None
    private: Mapping[str, str | Secret] = field(default_factory=dict)


class Provider(Protocol):
    """One identity service's way of talking: four verbs. Built once a credential, from its
    settings.

    Failures are raised as `credd.core.failures.Failed`, or pass through as NeverSent / ReplyLost.
    """

    async def login(self, talk: Conversation, flow: str) -> Authorization:
        """Obtain a grant by `flow` ("" is the provider's default)."""
        ...

    async def refresh(self, talk: Conversation, grant: Grant, key: TokenKey) -> Renewal:
        """Obtain a new access token for `key`. Posts the grant's refresh token at most once."""
        ...

    async def revoke(self, talk: Conversation, grant: Grant, token: AccessToken | None) -> None:
        """End the grant at the issuer (RFC 7009), where it can be ended."""
        ...

    def origin(self, grant: Grant) -> str:
        """`scheme://host:port` of the issuer, for the limit on requests in flight an issuer."""
        ...

    def spends(self, grant: Grant) -> bool:
        """Whether a refresh posts a secret that the issuer may burn: then it is journalled
        first."""
        ...
