"""One login and its conversation: what a provider shows and asks reaches whoever watches.

Rules: requests are the world's to perform, people are reached by events and answers. The hard thing
is a browser that comes back on another machine than ours: whoever logs in over ssh sees it end at
an address that answers nothing. So beside the listener stands a question for that very address, and
whichever is answered first counts, judged alike.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from credd import wire
from credd.core.conversation import (
    Conversation,
    Form,
    IsOurs,
    Provider,
    Question,
    Redirection,
    Reply,
)
from credd.core.instant import Instant
from credd.core.model import Credential, Secret

PASTED = Question("redirect-url", "Or paste the address at which your browser ended", secret=False)
NOT_OURS = "That is not the address at which this login ends; copy all of it."

ENDED = frozenset({"done", "failed"})

Ask = Callable[[Question], Awaitable[Secret]]


@dataclass
class Plan:
    """A login that has been checked and may start. `browser_near`: whoever started it can open a
    browser before the person."""

    credential: Credential
    provider: Provider
    flow: str
    timeout: float
    switch_account: bool
    vault_key: str
    browser_near: bool = False


@dataclass
class Login:
    """One login: what has happened so far, what it waits for, and the task that carries it."""

    id: str
    plan: Plan
    events: list[wire.LoginEvent] = field(default_factory=list)
    questions: dict[str, asyncio.Future[Secret]] = field(default_factory=dict)
    happened: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Login {self.plan.credential.name} events={len(self.events)}>"

    def is_over(self) -> bool:
        """Whether its last event has happened."""
        return bool(self.events) and self.events[-1]["type"] in ENDED

    def tell(self, event: wire.LoginEvent) -> None:
        """Add an event and wake whoever watches."""
        self.events.append(event)
        self.happened.set()
        self.happened = asyncio.Event()


class LoginTalk:
    """A conversation whose show and ask reach the people who watch a login."""

    def __init__(self, login: Login, world: Conversation) -> None:
        self._login = login
        self._world = world

    async def post(
        self, url: str, form: Form, *, headers: Mapping[str, str | Secret] | None = None
    ) -> Reply:
        """POST a form, as the world does."""
        return await self._world.post(url, form, headers=headers)

    async def get(self, url: str, *, headers: Mapping[str, str | Secret] | None = None) -> Reply:
        """GET a document, as the world does."""
        return await self._world.get(url, headers=headers)

    async def pause(self, seconds: float) -> None:
        """Wait, as a poll interval demands."""
        await asyncio.sleep(seconds)

    async def show(self, event: Mapping[str, Any]) -> None:
        """Tell whoever watches."""
        # A provider may be a third party's, so its event is a plain mapping until here.
        self._login.tell(wire.LoginEvent(**event))  # type: ignore[typeddict-item]

    async def ask(self, question: Question) -> Secret:
        """Ask whoever watches, and wait for the answer. Who no longer waits no longer asks."""
        waiting: asyncio.Future[Secret] = asyncio.get_running_loop().create_future()
        self._login.questions[question.name] = waiting
        self._login.tell(
            {
                "type": "question",
                "question": question.name,
                "prompt": question.prompt,
                "secret": question.secret,
            }
        )
        try:
            return await waiting
        finally:
            if self._login.questions.get(question.name) is waiting:
                del self._login.questions[question.name]

    @contextlib.asynccontextmanager
    async def listen(self, redirect_uri: str, is_ours: IsOurs) -> AsyncIterator[Redirection]:
        """Wait for a browser here, and beside it for a person who pastes where theirs ended."""
        async with self._world.listen(redirect_uri, is_ours) as listening:
            yield Returning(self, listening, is_ours)

    def is_browser_near(self) -> bool:
        """What whoever started the login says."""
        return self._login.plan.browser_near

    def new_secret(self) -> Secret:
        """256 unguessable bits, from the world."""
        return self._world.new_secret()

    async def read_file(self, path: str) -> Secret:
        """A small file, as the world reads it."""
        return await self._world.read_file(path)

    def now(self) -> Instant:
        """This moment."""
        return self._world.now()


class Returning:
    """A redirect address whose answer comes by a browser's visit, or by a person's hand."""

    def __init__(self, talk: LoginTalk, listening: Redirection, is_ours: IsOurs) -> None:
        self._talk = talk
        self._listening = listening
        self._is_ours = is_ours

    @property
    def redirect_uri(self) -> str:
        """Its address, as the issuer is told."""
        return self._listening.redirect_uri

    async def answer(self) -> str:
        """The first query that is ours, whichever way it came."""
        ways = [
            asyncio.ensure_future(self._listening.answer()),
            asyncio.ensure_future(self._pasted()),
        ]
        try:
            done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            return done.pop().result()
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _pasted(self) -> str:
        while True:
            text = (await self._talk.ask(PASTED)).reveal()
            query = query_of(text, self.redirect_uri)
            if self._is_ours(query):
                return query
            await self._talk.show({"type": "note", "text": NOT_OURS})


def query_of(address: str, redirect_uri: str) -> str:
    """The query of an address that a browser ended at; "" where it is another place's.

    A fragment is dropped: some issuers add an empty one, and browsers carry it along.
    """
    place, _, query = address.strip().partition("#")[0].partition("?")
    return query if place == redirect_uri else ""
