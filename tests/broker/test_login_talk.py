"""A browser's return within a login: by itself, or by a person's hand, whichever comes first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from credd.broker.login_talk import Login, LoginTalk, Plan, query_of
from credd.core.conversation import IsOurs
from credd.core.model import Secret
from tests.fakes.conversation import BACK, People
from tests.fakes.house import credential
from tests.fakes.strict_issuer import StrictIssuer
from tests.fakes.virtual_time import virtual

RIGHT = "code=c1&state=right"


class World(People):
    """A listener that hears what a test says, when it says it."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    @asynccontextmanager
    async def listen(self, redirect_uri: str, is_ours: IsOurs) -> AsyncIterator[World]:  # type: ignore[override]
        self.is_listening = True
        try:
            yield self
        finally:
            self.is_listening = False

    redirect_uri = BACK

    async def answer(self) -> str:
        return await self.heard


class Scene:
    """One login that waits for its browser."""

    def __init__(self, near: bool = True) -> None:
        plan = Plan(credential(), StrictIssuer(), "", 300.0, False, "", browser_near=near)
        self.login = Login("login-1", plan)
        self.world = World()
        self.talk = LoginTalk(self.login, self.world)  # type: ignore[arg-type]
        self.task = asyncio.create_task(self._wait())

    async def _wait(self) -> str:
        async with self.talk.listen("", lambda query: query == RIGHT) as redirection:
            assert redirection.redirect_uri == BACK
            return await redirection.answer()

    async def paste(self, text: str) -> None:
        """Answer the question that is open."""
        await asyncio.sleep(0.1)
        self.login.questions.pop("redirect-url").set_result(Secret(text))
        await asyncio.sleep(0.1)

    def kinds(self) -> list[str]:
        return [event["type"] for event in self.login.events]


@virtual
async def test_the_browsers_own_return_is_taken_and_the_question_withdrawn() -> None:
    """Nobody has to paste anything, and nobody can any more."""
    scene = Scene()
    await asyncio.sleep(0.1)
    assert list(scene.login.questions) == ["redirect-url"]
    scene.world.heard.set_result(RIGHT)
    assert await scene.task == RIGHT
    assert scene.login.questions == {}
    assert not scene.world.is_listening


@virtual
async def test_a_pasted_address_is_taken_and_the_listener_closed() -> None:
    """Over ssh the browser ends at an address that answers nothing."""
    scene = Scene()
    await scene.paste(f"  {BACK}?{RIGHT}#_=_\n")
    assert await scene.task == RIGHT
    assert scene.kinds() == ["question"]
    assert not scene.login.events[0]["secret"]
    assert not scene.world.is_listening


@pytest.mark.parametrize(
    "text",
    [
        "", "c1", RIGHT, f"?{RIGHT}", "x" * 100_000, BACK, f"{BACK}?code=c1&state=wrong",
        f"https://evil.example/callback?{RIGHT}", f"{BACK}/x?{RIGHT}", f"{BACK}#{RIGHT}",
        BACK.replace("41234", "41235") + f"?{RIGHT}", f"{BACK}?error=x&error_description=<script>",
    ],
)  # fmt: skip
@virtual
async def test_t40_another_pasted_address_is_refused_and_asked_for_again(text: str) -> None:
    """With a note that repeats nothing of it; the rightful one is taken after it."""
    scene = Scene()
    await scene.paste(text)
    assert scene.kinds() == ["question", "note", "question"]
    assert scene.login.events[1]["text"].startswith("That is not the address")
    await scene.paste(f"{BACK}?{RIGHT}")
    assert await scene.task == RIGHT


@virtual
async def test_a_cancelled_login_leaves_neither_listener_nor_question() -> None:
    """Nor a task that waits for either."""
    scene = Scene()
    await asyncio.sleep(0.1)
    before = asyncio.all_tasks() - {scene.task}
    assert len(before) == 3, "this test, and two that wait"
    scene.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await scene.task
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert scene.login.questions == {}
    assert not scene.world.is_listening


@virtual
async def test_where_the_browser_is_comes_from_whoever_started_the_login() -> None:
    """The daemon has no screen to look at."""
    for near in (True, False):
        scene = Scene(near)
        assert scene.talk.is_browser_near() is near
        scene.task.cancel()
        await asyncio.gather(scene.task, return_exceptions=True)


def test_an_address_gives_its_query_only_where_it_is_ours() -> None:
    """Compared whole: neither a prefix nor another spelling."""
    assert query_of(f"{BACK}?a=b?c", BACK) == "a=b?c"
    assert query_of(BACK.upper() + "?a=b", BACK) == ""
    assert query_of("http://localhost:41234/callback?a=b", BACK) == ""
