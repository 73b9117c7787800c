"""The real world, in the shape that the broker asks for."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from credd.core.conversation import Conversation, Form, IsOurs, Question, Redirection, Reply
from credd.core.instant import Instant
from credd.core.model import Secret
from credd.world.clock import Clock
from credd.world.http import HttpWorld
from credd.world.loopback import listening
from credd.world.reading import read_file

SECRET_BYTES = 32
"""Of a state, nonce or PKCE verifier: 256 bits, as RFC 7636, 4.1 recommends."""


class RealSurroundings:
    """Clock, dice, names, and conversations over HTTP."""

    def __init__(self, clock: Clock, http: HttpWorld) -> None:
        self._clock = clock
        self._http = http

    def now(self) -> Instant:
        """This moment, on both clocks."""
        return self._clock.now()

    def dice(self) -> float:
        """A number from 0 to 1."""
        return self._clock.dice()

    def new_id(self) -> str:
        """128 unguessable bits: a login's id is all that its answers are checked by."""
        return secrets.token_hex(16)

    def talk(self, ca_file: str = "") -> Conversation:
        """A conversation that can post and get, and has nobody to show things to or to ask."""
        return _Talk(self._clock, self._http, ca_file)


class _Talk:
    """A conversation without people. `listen` is here because only the world can; who may use it,
    and beside what, is for the login to say."""

    def __init__(self, clock: Clock, http: HttpWorld, ca_file: str) -> None:
        self._clock = clock
        self._http = http
        self._ca_file = ca_file

    async def post(
        self, url: str, form: Form, *, headers: Mapping[str, str | Secret] | None = None
    ) -> Reply:
        """POST a form."""
        return await self._http.post(url, form, headers=headers, ca_file=self._ca_file)

    async def get(self, url: str, *, headers: Mapping[str, str | Secret] | None = None) -> Reply:
        """GET a document."""
        return await self._http.get(url, headers=headers, ca_file=self._ca_file)

    async def pause(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)

    async def show(self, event: Mapping[str, Any]) -> None:
        """Nobody watches a refresh; a provider that shows something then is mistaken, not wrong."""

    async def ask(self, question: Question) -> Secret:
        """Nobody can be asked during a refresh."""
        raise RuntimeError(f"a refresh can't ask for {question.name}")

    def listen(
        self, redirect_uri: str, is_ours: IsOurs
    ) -> AbstractAsyncContextManager[Redirection]:
        """Wait for a browser on the loopback addresses."""
        return listening(redirect_uri, is_ours)

    def is_browser_near(self) -> bool:
        """Nobody is there at all."""
        return False

    def new_secret(self) -> Secret:
        """256 bits of the system's randomness, as base64url."""
        return Secret(secrets.token_urlsafe(SECRET_BYTES))

    async def read_file(self, path: str) -> Secret:
        """A small file of this user's."""
        return await asyncio.to_thread(read_file, path)

    def now(self) -> Instant:
        """This moment."""
        return self._clock.now()
