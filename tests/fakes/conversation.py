"""Conversations for tests: one that follows a script, one that talks to the demo's strict issuer.

Both live on a clock of their own: `pause` moves it, nothing sleeps. Both hold a provider to
account: a secret handed over as plain text, a request nobody expected, or a script that was not
played to its end fails the test.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from credd.core.conversation import Form, IsOurs, NeverSent, Question, Reply, ReplyLost
from credd.core.instant import Instant
from credd.core.model import Secret
from demo import issuer_faults
from demo.issuer_core import IssuerCore

START = 1_750_000_000.0
"""Unix seconds at which every conversation begins."""

SECRET_FIELDS = frozenset({
    "refresh_token", "client_secret", "device_code", "token", "Authorization", "authorization",
    "code", "code_verifier", "client_assertion", "subject_token",
})  # fmt: skip

BACK = "http://127.0.0.1:41234/callback"
"""Where a fake listener listens, unless a redirect address with a port is configured."""


class VirtualClock:
    """Wall time and boot time that move only when told to."""

    def __init__(self, wall: float = START) -> None:
        self.wall = wall
        self.boottime = 1000.0

    def __repr__(self) -> str:
        return f"<VirtualClock {self.wall - START:+g} s>"

    def now(self) -> Instant:
        return Instant(self.wall, self.boottime, "boot-1")

    def advance(self, seconds: float) -> None:
        assert seconds >= 0, "time goes forward"
        self.wall += seconds
        self.boottime += seconds


def revealed(fields: Mapping[str, str | Secret]) -> dict[str, str]:
    """The fields as they travel. Fails the test where a secret was not wrapped in `Secret`."""
    for name, value in fields.items():
        if name in SECRET_FIELDS:
            assert isinstance(value, Secret), f"{name} is handed over as plain text"
    return {
        name: value.reveal() if isinstance(value, Secret) else value
        for name, value in fields.items()
    }


@dataclass
class Step:
    """One request that the script expects, and what comes of it.

    `url` may be the end of the real one. `form` holds the fields to check; None stands for a field
    that must be absent. `outcome` is a body (an object becomes JSON), or an exception to raise.
    """

    method: str
    url: str
    outcome: object
    status: int = 200
    form: Mapping[str, str | None] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def check(self, method: str, url: str, form: Mapping[str, str]) -> None:
        """Fail the test unless this is the request that was expected."""
        assert (method, url[-len(self.url) :]) == (self.method, self.url), f"got {method} {url}"
        for name, value in self.form.items():
            assert form.get(name) == value, f"{name} is {form.get(name)!r}, not {value!r}"

    def answer(self, sent: Instant) -> Reply:
        """The reply. Raises the exception, where the step is one."""
        if isinstance(self.outcome, Exception):
            raise self.outcome
        body = self.outcome if isinstance(self.outcome, bytes) else json.dumps(self.outcome)
        raw = body if isinstance(body, bytes) else body.encode()
        return Reply(self.status, dict(self.headers), raw, sent)


def get(url: str, outcome: object, status: int = 200) -> Step:
    """Expect a GET of an address that ends like this."""
    return Step("GET", url, outcome, status)


def post(
    url: str, outcome: object, status: int = 200, form: Mapping[str, str | None] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Step:  # fmt: skip
    """Expect a POST to an address that ends like this."""
    return Step("POST", url, outcome, status, form or {}, headers or {})


class Returning:
    """A redirect address that browsers visit: those of `visits`, in their order."""

    def __init__(self, redirect_uri: str, is_ours: IsOurs, visits: list[str]) -> None:
        self.redirect_uri = redirect_uri
        self.refused: list[str] = []
        self._is_ours = is_ours
        self._visits = visits

    async def answer(self) -> str:
        for query in self._visits:
            if self._is_ours(query):
                return query
            self.refused.append(query)
        raise AssertionError(f"nobody else comes by; refused: {self.refused}")


class People:
    """What every conversation has: a clock, answers to questions, what was shown, and browsers.

    `visits` are the queries with which browsers come back, in their order; `near` says where the
    browser is; `files` are the files that may be read.
    """

    def __init__(
        self, clock: VirtualClock | None = None, answers: Mapping[str, str] | None = None
    ) -> None:
        self.clock = clock or VirtualClock()
        self.answers = dict(answers or {})
        self.asked: list[Question] = []
        self.shown: list[Mapping[str, Any]] = []
        self.pauses: list[float] = []
        self.when_shown: Callable[[Mapping[str, Any]], None] = lambda event: None
        self.visits: list[str] = []
        self.near = True
        self.files: dict[str, str] = {}
        self.returning: list[Returning] = []
        self.is_listening = False
        self._secrets = 0

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.clock.advance(seconds)

    async def show(self, event: Mapping[str, Any]) -> None:
        self.shown.append(event)
        self.when_shown(event)

    async def ask(self, question: Question) -> Secret:
        self.asked.append(question)
        assert question.name in self.answers, f"nobody expected the question {question.name}"
        return Secret(self.answers[question.name])

    @asynccontextmanager
    async def listen(self, redirect_uri: str, is_ours: IsOurs) -> AsyncIterator[Returning]:
        fixed = redirect_uri if redirect_uri.count(":") > 1 else BACK
        self.returning.append(Returning(fixed, is_ours, self.visits))
        self.is_listening = True
        try:
            yield self.returning[-1]
        finally:
            self.is_listening = False

    def is_browser_near(self) -> bool:
        return self.near

    def new_secret(self) -> Secret:
        self._secrets += 1
        digest = hashlib.sha256(f"{id(self)} {self._secrets}".encode()).digest()
        return Secret(base64.urlsafe_b64encode(digest).rstrip(b"=").decode())

    async def read_file(self, path: str) -> Secret:
        assert path in self.files, f"nobody expected {path} to be read"
        return Secret(self.files[path])

    def now(self) -> Instant:
        return self.clock.now()

    def notes(self) -> list[str]:
        """The notes among what was shown."""
        return [str(event["text"]) for event in self.shown if event["type"] == "note"]


class ScriptedConversation(People):
    """Plays its steps in their order: `async with ScriptedConversation(get(...), post(...)) as t`.

    Leaving it fails the test if a step was not asked for.
    """

    def __init__(
        self, *steps: Step, answers: Mapping[str, str] | None = None,
        clock: VirtualClock | None = None,
    ) -> None:  # fmt: skip
        super().__init__(clock, answers)
        self.steps = list(steps)
        self.forms: list[dict[str, str]] = []
        self.headers: list[dict[str, str]] = []

    def __repr__(self) -> str:
        return f"<ScriptedConversation {len(self.steps)} steps left, {self.clock!r}>"

    async def __aenter__(self) -> ScriptedConversation:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        assert kind is not None or not self.steps, f"never asked for: {self.steps}"

    async def post(
        self, url: str, form: Form, *, headers: Mapping[str, str | Secret] | None = None
    ) -> Reply:
        self.forms.append(revealed(form))
        self.headers.append(revealed(headers or {}))
        return self._next("POST", url, self.forms[-1])

    async def get(self, url: str, *, headers: Mapping[str, str | Secret] | None = None) -> Reply:
        return self._next("GET", url, {})

    def _next(self, method: str, url: str, form: Mapping[str, str]) -> Reply:
        assert self.steps, f"nobody expected {method} {url}"
        step = self.steps.pop(0)
        step.check(method, url, form)
        return step.answer(self.now())


class IssuerConversation(People):
    """Talks to an IssuerCore, on a virtual clock, without a network.

    `approve` is the subject that approves each login as soon as it is shown; None for nobody.
    """

    def __init__(
        self, core: IssuerCore, clock: VirtualClock | None = None,
        answers: Mapping[str, str] | None = None, approve: str | None = "ada",
    ) -> None:  # fmt: skip
        super().__init__(clock, answers)
        self.core = core
        self.requests: list[tuple[str, str]] = []
        if approve is not None:
            self.when_shown = lambda event: self._approve(event, approve)

    def __repr__(self) -> str:
        return f"<IssuerConversation {len(self.requests)} requests, {self.clock!r}>"

    async def post(
        self, url: str, form: Form, *, headers: Mapping[str, str | Secret] | None = None
    ) -> Reply:
        return self._carry("POST", url, revealed(headers or {}), revealed(form))

    async def get(self, url: str, *, headers: Mapping[str, str | Secret] | None = None) -> Reply:
        return self._carry("GET", url, revealed(headers or {}), {})

    def _approve(self, event: Mapping[str, Any], subject: str) -> None:
        if event["type"] == "device-code":
            self.core.approve(event["user_code"], subject)
        if event["type"] == "authorization-url":
            assert self.is_listening, "nobody listens yet"
            back = self.core.browse(event["authorization_uri"], self.clock.wall, subject)
            self.visits.append(back.partition("?")[2])

    def _carry(
        self, method: str, url: str, headers: Mapping[str, str], form: Mapping[str, str]
    ) -> Reply:
        self.requests.append((method, url))
        assert url.startswith(self.core.url), f"{method} {url} goes to somebody else"
        try:
            status, answered, body = self.core.handle(method, url, headers, form, self.clock.wall)
        except issuer_faults.Away:
            raise NeverSent("connect") from None
        except issuer_faults.ReplyLost:
            raise ReplyLost("reset") from None
        lowered = {name.lower(): value for name, value in answered.items()}
        return Reply(status, lowered, body, self.now())
