"""The end of a door: who is inside is answered, and what was begun is finished."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from credd import wire
from credd.api import app
from credd.errors import UpstreamUnavailable
from tests.api.front import Fakes, opened


async def until(fakes: Fakes, name: str) -> None:
    async with asyncio.timeout(10):
        while not any(call[0] == name for call in fakes.calls):  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_who_is_inside_is_answered_when_the_door_closes(tmp_path: Path) -> None:
    """A caller whose token is on its way gets it."""
    fakes = Fakes(hold=asyncio.Event())
    assert fakes.hold is not None
    async with opened(tmp_path, fakes) as door:
        answer = asyncio.create_task(
            door.say(b"GET /v1/credentials/lab/token?format=raw HTTP/1.1\r\nHost: x\r\n\r\n")
        )
        await until(fakes, "token")
        asyncio.get_running_loop().call_later(0.1, fakes.hold.set)
    assert b" 200 " in await answer


async def test_a_closing_door_does_not_wait_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waits for something that never comes is cut off after a while."""
    monkeypatch.setattr(app, "LEAVE_WITHIN", 0.1)
    fakes = Fakes(hold=asyncio.Event())
    async with asyncio.timeout(20), opened(tmp_path, fakes) as door:
        asking = asyncio.create_task(door.say(b"GET /v1/credentials/lab/token HTTP/1.0\r\n\r\n"))
        logout = b"DELETE /v1/credentials/lab/grant HTTP/1.0\r\n\r\n"
        leaving = asyncio.create_task(door.say(logout))
        await until(fakes, "token")
        await until(fakes, "forget")
    assert await asking == b""
    assert await leaving == b""


async def test_idle_connections_do_not_hold_the_door_open(tmp_path: Path) -> None:
    """A kept connection with nothing to say is closed at once."""
    async with opened(tmp_path) as door:
        reader, writer = await door.connect()
        assert (await door.ask("GET", wire.LIVE))[0] == 200
    assert await reader.read() == b""
    writer.close()


async def test_what_changes_something_is_finished_without_its_caller(tmp_path: Path) -> None:
    """Who hangs up during a logout does not leave half a grant behind."""
    fakes = Fakes(hold=asyncio.Event())
    assert fakes.hold is not None
    async with opened(tmp_path, fakes) as door:
        _, writer = await door.connect()
        writer.write(b"DELETE /v1/credentials/lab/grant HTTP/1.1\r\nHost: x\r\n\r\n")
        await until(fakes, "forget")
        writer.close()
        while door.entrance.inside():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        fakes.hold.set()
        await until(fakes, "held")
    assert fakes.calls[-1] == ("held", "forget", "lab", False)


@pytest.mark.parametrize(
    ("error", "logged"),
    [(UpstreamUnavailable("away"), 0), (ValueError("rt-CANARY-1"), 1)],
    ids=["ours", "a defect"],
)
async def test_a_failure_that_nobody_waits_for_is_no_lost_exception(
    error: Exception, logged: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An abandoned errand that fails is quiet; that it broke is logged, without a value."""

    class Failing(Fakes):
        async def forget(self, name: str, *, keep_going: bool) -> None:
            await super().forget(name, keep_going=keep_going)
            raise error

    fakes = Failing(hold=asyncio.Event())
    assert fakes.hold is not None
    async with opened(tmp_path, fakes) as door:
        _, writer = await door.connect()
        writer.write(b"DELETE /v1/credentials/lab/grant HTTP/1.1\r\nHost: x\r\n\r\n")
        await until(fakes, "forget")
        writer.close()
        while door.entrance.inside():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        fakes.hold.set()
        await until(fakes, "held")
    assert [record.name for record in caplog.records] == ["credd.api.problems"] * logged
    assert "CANARY" not in caplog.text


async def test_a_caller_who_leaves_waits_no_longer(tmp_path: Path) -> None:
    """A fetch is cancelled with its connection; the flight behind it is the broker's own."""
    fakes = Fakes(hold=asyncio.Event())
    async with opened(tmp_path, fakes) as door:
        before = len(asyncio.all_tasks())
        _, writer = await door.connect()
        writer.write(b"GET /v1/credentials/lab/token HTTP/1.1\r\nHost: x\r\n\r\n")
        await until(fakes, "token")
        writer.close()
        async with asyncio.timeout(10):
            while len(asyncio.all_tasks()) > before:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
    assert [call[0] for call in fakes.calls] == ["token"]


async def test_a_closing_door_waits_for_what_was_begun(tmp_path: Path) -> None:
    """A logout whose caller has gone is finished before the daemon goes."""
    fakes = Fakes(hold=asyncio.Event())
    assert fakes.hold is not None
    async with opened(tmp_path, fakes) as door:
        _, writer = await door.connect()
        writer.write(b"DELETE /v1/credentials/lab/grant HTTP/1.1\r\nHost: x\r\n\r\n")
        await until(fakes, "forget")
        writer.close()
        while door.entrance.inside():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        asyncio.get_running_loop().call_later(0.2, fakes.hold.set)
    assert fakes.calls[-1] == ("held", "forget", "lab", False)


async def test_the_listener_stays_its_owners(tmp_path: Path) -> None:
    """The socket's file is there when the door has closed: a client waits for the next daemon."""
    async with opened(tmp_path) as door:
        pass
    assert (tmp_path / "credd.sock").is_socket()
    assert door.entrance.inside() == 0
