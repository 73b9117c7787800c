"""Whatever is asked is told: what, of which credential and generation, and what came of it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from credd import wire
from credd.api.peers import Peer
from credd.api.routes import ROUTES
from credd.core.deeds import Deed
from credd.errors import BY_CODE, CreddError, LoginRequired
from tests.api.front import Door, Fakes, opened


async def kept(door: Door) -> Deed:
    async with asyncio.timeout(10):
        while not door.fakes.deeds:  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0.005)
    return door.fakes.deeds.pop()


@pytest.mark.parametrize("query", ["", "?format=raw"])
async def test_a_fetch_is_told_with_its_generation(query: str, tmp_path: Path) -> None:
    """To the trail with who asked, to the counts without."""
    async with opened(tmp_path) as door:
        await door.ask("GET", f"/v1/credentials/lab/token{query}")
        deed = await kept(door)
    assert (deed.what, deed.credential, deed.generation, deed.result) == ("token", "lab", 7, "ok")
    assert (deed.asker.uid, deed.asker.pid, deed.asker.socket) == (os.geteuid(), os.getpid(), "")
    assert (door.fakes.begun, [one.what for one in door.fakes.seen]) == (["token"], ["token"])


@pytest.mark.parametrize("error", BY_CODE.values(), ids=lambda kind: kind.code)
async def test_a_refusal_is_told_by_its_code(error: type[CreddError], tmp_path: Path) -> None:
    """Every error we raise, and no word of it."""
    async with opened(tmp_path, Fakes(raises=error("words of CANARY"))) as door:
        await door.ask("GET", "/v1/credentials/lab/token")
        deed = await kept(door)
    assert (deed.result, deed.generation) == (error.code, 0)
    assert "CANARY" not in repr(deed)


async def test_a_defect_and_a_bad_request_are_told(tmp_path: Path) -> None:
    """Neither goes by unseen."""
    async with opened(tmp_path, Fakes(raises=ValueError("CANARY"))) as door:
        await door.ask("GET", "/v1/credentials/lab/token")
        defect = await kept(door)
        await door.ask("GET", "/v1/credentials/lab/token?nothing=1")
        bad = await kept(door)
        await door.ask("GET", "/v1/credentials/LAB/token")
        nameless = await kept(door)
    assert (defect.result, bad.result) == ("internal_error", "bad_request")
    assert (nameless.credential, nameless.result) == ("", "bad_request"), "what is no name"


async def test_a_caller_who_leaves_is_told(tmp_path: Path) -> None:
    """Waiting callers are counted down again."""
    fakes = Fakes(hold=asyncio.Event())
    async with opened(tmp_path, fakes) as door:
        _, writer = await door.connect()
        writer.write(b"GET /v1/credentials/lab/token HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(10):
            while not fakes.calls:  # noqa: ASYNC110 - nothing announces it
                await asyncio.sleep(0.005)
        writer.close()
        deed = await kept(door)
    assert deed.result == "left"
    assert len(fakes.begun) == len(fakes.seen)


async def test_what_hands_out_or_changes_something_is_kept(tmp_path: Path) -> None:
    """A look at a status is counted, and is no line of the trail."""
    loud = {route.name for route in ROUTES if route.is_kept}
    assert {"token", "reject", "refresh", "logout", "start_login", "unlock", "reload"} <= loud
    assert not loud & {"credentials", "credential", "live", "audit", "metrics", "events"}
    async with opened(tmp_path) as door:
        await door.ask("GET", wire.CREDENTIALS)
        assert [one.what for one in door.fakes.seen] == ["credentials"]
        await door.ask("POST", "/v1/credentials/lab/rejections", {"generation": 5})
        rejection = await kept(door)
        await door.ask("POST", wire.LOGINS, {"name": "lab"})
        login = await kept(door)
        await door.ask("POST", wire.UNLOCK, {"passphrase": "pw-CANARY"})
        unlocking = await kept(door)
    assert (rejection.what, rejection.generation) == ("reject", 5)
    assert (login.what, login.credential) == ("start_login", "lab")
    assert "CANARY" not in repr(unlocking)


async def test_t2_a_caller_who_is_shown_out_is_told(tmp_path: Path) -> None:
    """Root, other users, containers: the attempt is in the trail."""
    told = list[Deed]()
    stranger = Peer(os.geteuid() + 1, 4711)
    async with opened(tmp_path, read_peer=lambda _: stranger, refused=told.append) as door:
        await door.say(b"GET /v1/live HTTP/1.0\r\n\r\n")
    async with opened(tmp_path, find_fault=lambda _: "nested", refused=told.append) as door:
        await door.say(b"GET /v1/live HTTP/1.0\r\n\r\n")
    assert [(deed.what, deed.asker.uid, deed.result) for deed in told] == [
        ("connect", stranger.uid, "another_uid"), ("connect", os.geteuid(), "namespaces"),
    ]  # fmt: skip


async def test_a_page_of_the_trail_takes_its_filters(tmp_path: Path) -> None:
    """A name, a time, a cursor, a number of lines; nothing else."""
    async with opened(tmp_path) as door:
        query = "?credential=lab&since=5.5&cursor=1-90&limit=10"
        assert (await door.ask("GET", wire.AUDIT + query))[0] == 200
        for bad in ("credential=LAB", "since=x", "limit=0", "limit=1001", "limit=x", "cursor=",
                    "of=x"):  # fmt: skip
            assert (await door.ask("GET", f"{wire.AUDIT}?{bad}"))[0] == 400, bad
    assert door.fakes.calls == [("audit", "lab", 5.5, "1-90", 10)]


async def test_metrics_are_plain_text(tmp_path: Path) -> None:
    """The media type that Prometheus asks for."""
    async with opened(tmp_path) as door, door.client.get(f"http://x{wire.METRICS}") as answer:
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert await answer.text() == "credd_up 1\n"


async def test_a_watcher_is_cut_off_when_the_daemon_stops(tmp_path: Path) -> None:
    """A stream without an end does not hold the door open."""
    fakes = Fakes(hold=asyncio.Event())
    async with asyncio.timeout(10):
        async with opened(tmp_path, fakes) as door:
            reader, writer = await door.connect()
            writer.write(b"GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
            await reader.readuntil(b'"state": "fresh"')
        writer.close()


async def test_the_caller_of_an_expired_login_is_told_once(tmp_path: Path) -> None:
    """One request, one deed, whatever middleware it passed."""
    async with opened(tmp_path, Fakes(raises=LoginRequired())) as door:
        await door.ask("GET", "/v1/credentials/lab/token")
        await kept(door)
    assert door.fakes.deeds == []
