"""A login's events: from the first one on, to the end, whatever the end is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from credd import wire
from credd.api import answers, app
from credd.errors import LoginRequired, UnknownCredential
from tests.api.front import Fakes, opened

CODE: wire.LoginEvent = {"type": "device-code", "user_code": "ABCD", "expires_at": 1.0}
NOTE: wire.LoginEvent = {"type": "note", "text": "line\nbreak \u2028 \x1b[31m"}
EVENTS = "/v1/logins/l-1/events"


async def lines(door: Any) -> list[dict[str, Any]]:
    status, text = await door.ask("GET", EVENTS)
    assert status == 200
    return [json.loads(line) for line in text.splitlines()]


@asynccontextmanager
async def watching(folder: Path, fakes: Fakes) -> AsyncIterator[aiohttp.ClientResponse]:
    """The answer to whoever follows the fakes' login."""
    async with opened(folder, fakes) as door, door.client.get(f"http://credd{EVENTS}") as answer:
        yield answer


async def test_all_events_come_a_line_each(tmp_path: Path) -> None:
    """NDJSON that ends with the login; nothing in an event can break a line."""
    async with opened(tmp_path, Fakes(told=[CODE, NOTE])) as door:
        first, second, last = await lines(door)
    assert (first, second, last["type"]) == (CODE, NOTE, "done")


async def test_an_event_comes_when_it_happens(tmp_path: Path) -> None:
    """Who watches sees the code while the login goes on."""
    hold = asyncio.Event()
    async with watching(tmp_path, Fakes(told=[CODE], hold=hold)) as answer:
        assert answer.content_type == "application/x-ndjson"
        assert json.loads(await answer.content.readline()) == CODE
        hold.set()
        assert json.loads(await answer.content.readline())["type"] == "done"
        assert await answer.content.readline() == b""


async def test_a_silent_login_is_no_dead_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer begins although nothing has happened yet."""
    monkeypatch.setattr(answers, "FIRST_EVENT_WITHIN", 0.01)
    hold = asyncio.Event()
    async with watching(tmp_path, Fakes(hold=hold)) as answer:
        assert answer.status == 200
        hold.set()
        assert json.loads(await answer.content.readline())["type"] == "done"


async def test_an_unknown_login_is_a_problem(tmp_path: Path) -> None:
    """Not a stream with nothing in it."""
    async with opened(tmp_path, Fakes(raises=UnknownCredential("no such login"))) as door:
        status, problem = await door.ask("GET", EVENTS)
    assert (status, problem["code"]) == (404, "unknown_credential")


@pytest.mark.parametrize(
    ("error", "code"),
    [(LoginRequired("too late"), "login_required"), (KeyError("pw-CANARY-1"), "internal_error")],
)
async def test_a_stream_that_breaks_says_so_in_its_last_line(
    error: Exception, code: str, tmp_path: Path
) -> None:
    """The answer has begun, so the problem comes as the event that ends it."""
    async with opened(tmp_path, Fakes(told=[CODE], break_after=error)) as door:
        *_, last = await lines(door)
    assert (last["type"], last["problem"]["code"]) == ("failed", code)
    assert "CANARY" not in json.dumps(last)


async def test_a_watcher_who_leaves_ends_only_the_watching(tmp_path: Path) -> None:
    """The daemon holds no connection and no task for it any more."""
    hold = asyncio.Event()
    async with opened(tmp_path, Fakes(told=[CODE], hold=hold)) as door:
        before = len(asyncio.all_tasks())
        reader, writer = await door.connect()
        writer.write(f"GET {EVENTS} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await reader.readuntil(b"device-code")
        assert door.entrance.inside() == 1
        writer.close()
        async with asyncio.timeout(10):
            while door.entrance.inside() or len(asyncio.all_tasks()) > before:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def test_a_closing_door_cuts_watchers_off(tmp_path: Path) -> None:
    """Nobody waits for a person at the end, and the stream breaks instead of looking complete."""
    hold = asyncio.Event()
    loop = asyncio.get_running_loop()
    async with opened(tmp_path, Fakes(told=[CODE], hold=hold)) as door:
        reader, writer = await door.connect()
        writer.write(f"GET {EVENTS} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await reader.readuntil(b"device-code")
        begun = loop.time()
    assert loop.time() - begun < app.LEAVE_WITHIN
    assert b"0\r\n\r\n" not in await reader.read()
    writer.close()
