"""credd.aio.get_token: the same answers, without holding up the event loop."""

from __future__ import annotations

import asyncio
import threading

import pytest

import credd
from credd.client import sync
from credd.client.sync import Client
from credd.errors import LoginRequired
from tests.client.stand_in import (
    Request,
    json_reply,
    problem_reply,
    standing_in,
    token_reply,
    wait_until,
)


@pytest.fixture(autouse=True)
def fresh_client(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The module's own client, asking at the test's socket, with nothing remembered."""
    monkeypatch.setattr(sync, "_client", Client(path, timeout=10))


def test_it_waits_beside_the_loop(path: str) -> None:
    """While the daemon thinks, other tasks run; then the token is there."""
    released = threading.Event()

    def answer(request: Request) -> bytes:
        released.wait()
        return json_reply(token_reply())

    async def main() -> str:
        asked = asyncio.create_task(credd.aio.get_token("lab"))
        await asyncio.to_thread(wait_until, lambda: len(daemon.requests) == 1)
        released.set()
        return await asked

    with standing_in(path, answer) as daemon:
        assert asyncio.run(main()) == "at-1"


def test_a_remembered_token_needs_no_thread(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is answered in the same turn of the loop."""

    async def main() -> str:
        await credd.aio.get_token("lab")
        monkeypatch.setattr(asyncio, "to_thread", None)
        return await credd.aio.get_token("lab")

    with standing_in(path, lambda request: json_reply(token_reply())) as daemon:
        assert asyncio.run(main()) == "at-1"
    assert len(daemon.requests) == 1


def test_many_tasks_ask_once(path: str) -> None:
    """100 tasks that find nothing share one question."""
    released = threading.Event()

    def answer(request: Request) -> bytes:
        released.wait()
        return json_reply(token_reply())

    async def main() -> list[str]:
        tasks = [asyncio.create_task(credd.aio.get_token("lab")) for _ in range(100)]
        await asyncio.to_thread(wait_until, lambda: len(daemon.requests) == 1)
        released.set()
        return await asyncio.gather(*tasks)

    with standing_in(path, answer) as daemon:
        assert set(asyncio.run(main())) == {"at-1"}
    assert len(daemon.requests) == 1


def test_an_error_is_the_same_error(path: str) -> None:
    """With its remedy, as from the synchronous client."""
    error = problem_reply(LoginRequired("log in", remedy="credd-ctl login lab"))
    with standing_in(path, lambda request: error), pytest.raises(LoginRequired) as caught:
        asyncio.run(credd.aio.get_token("lab", min_valid=5))
    assert caught.value.remedy == "credd-ctl login lab"
