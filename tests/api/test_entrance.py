"""A crowd at the door: silent, slow, huge, too many. One normal caller is always answered."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from credd import wire
from credd.api import app, asking, connection
from credd.api.entrance import connection_limit
from credd.world.hardening import raise_file_limit
from tests.api.front import Door, Fakes, opened

ROOT = Path(__file__).parents[2]


async def until_empty(door: Door) -> None:
    """Wait until every connection has ended."""
    async with asyncio.timeout(20):
        while door.entrance.inside():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def answers(door: Door) -> bool:
    """Whether a normal caller, with a connection of its own, gets its answer."""
    said = await door.say(b"GET /v1/credentials/lab/token?format=raw HTTP/1.0\r\n\r\n")
    return said.split(b" ")[1:2] == [b"200"]


@pytest.mark.parametrize(
    "start",
    [b"", b"GET", b"GET /v1/live HTTP/1.1\r\nHost: x\r\n", b"POST /v1/refresh HTTP/1.1\r\nA:"],
)
async def test_t31_who_says_nothing_more_is_shown_out(
    start: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Silent from the start or in the middle of the headers: closed after the keep-alive time."""
    monkeypatch.setattr(app, "KEEPALIVE", 0.2)
    async with opened(tmp_path) as door:
        assert await door.say(start) == b""


async def test_t31_trickled_headers_have_an_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A byte now and then doesn't make a request."""
    monkeypatch.setattr(app, "KEEPALIVE", 0.3)
    async with opened(tmp_path) as door:
        reader, writer = await door.connect()

        async def trickle() -> None:
            writer.write(b"GET /v1/live HTTP/1.1\r\nX: ")
            while True:
                writer.write(b"a")
                await asyncio.sleep(0.02)

        task = asyncio.create_task(trickle())
        assert await asyncio.wait_for(reader.read(), 20) == b""
        task.cancel()
        writer.close()


async def test_t31_a_body_that_never_comes_is_not_awaited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """aiohttp would wait for ever; here a problem comes, and the connection ends."""
    monkeypatch.setattr(asking, "BODY_WITHIN", 0.2)
    monkeypatch.setattr(app, "LINGER", 0.2)
    async with opened(tmp_path) as door:
        head = b"POST /v1/refresh HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"
        answer = await door.say(head)
    assert b" 400 " in answer
    assert b'"reason": "slow_body"' in answer
    assert door.fakes.calls == []


@pytest.mark.parametrize("head", [b"Content-Length: 1073741824", b"Content-Length: 262145"])
async def test_t31_an_announced_gigabyte_is_refused_unread(head: bytes, tmp_path: Path) -> None:
    """413 at once, and the connection is closed without reading it."""
    async with opened(tmp_path) as door:
        answer = await door.say(b"POST /v1/refresh HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n{")
    assert b" 413 " in answer
    assert b"application/problem+json" in answer


async def test_t31_a_body_without_a_length_is_cut_off(tmp_path: Path) -> None:
    """Chunks without end: no more than 256 KiB are kept."""
    async with opened(tmp_path) as door:
        reader, writer = await door.connect()
        writer.write(b"POST /v1/refresh HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(30):
            writer.write(b"4000\r\n" + b" " * 0x4000 + b"\r\n")
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
        writer.close()
    assert b" 413 " in answer


@pytest.mark.parametrize(
    "flood",
    [
        b"".join(b"X-%d: y\r\n" % number for number in range(2000)),
        b"X: " + b"y" * 500_000 + b"\r\n",
        b"X" * 500_000,
    ],
    ids=["many", "long", "no end"],
)
async def test_t31_a_flood_of_headers_is_refused(flood: bytes, tmp_path: Path) -> None:
    """Too many or too long: a problem, closed, and nobody else notices."""
    async with opened(tmp_path) as door:
        answer = await door.say(b"GET /v1/live HTTP/1.1\r\nHost: x\r\n" + flood)
        assert b" 400 " in answer or answer == b""
        assert await answers(door)


async def test_a_thousand_requests_at_once_on_one_connection_are_answered(tmp_path: Path) -> None:
    """Pipelining is bounded, and in order."""
    async with opened(tmp_path) as door:
        one = b"GET /v1/live HTTP/1.1\r\nHost: x\r\n\r\n"
        answer = await door.say(one * 999 + one.replace(b"Host", b"Connection: close\r\nHost"))
    assert answer.count(b" 200 ") == 1000


async def test_t31_a_thousand_silent_callers_hold_up_nobody(tmp_path: Path) -> None:
    """While they sit there, a normal request is answered, many times."""
    assert raise_file_limit() > 2500
    async with opened(tmp_path) as door:
        silent = [await door.connect() for _ in range(1000)]
        assert door.entrance.inside() >= 990
        for _ in range(20):
            assert await answers(door)
        for _, writer in silent:
            writer.close()
        await until_empty(door)


async def test_those_who_wait_for_a_refresh_hold_up_nobody(tmp_path: Path) -> None:
    """Five hundred wait for an issuer; who asks whether the daemon lives hears it at once."""
    hold = asyncio.Event()
    async with opened(tmp_path, Fakes(hold=hold), backlog=1000) as door:
        waiting = [asyncio.create_task(answers(door)) for _ in range(500)]
        while len(door.fakes.calls) < 500:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert (await door.ask("GET", wire.LIVE))[0] == 200
        hold.set()
        assert all(await asyncio.gather(*waiting))


async def test_t33_who_leaves_leaves_nothing_behind(tmp_path: Path) -> None:
    """Two thousand callers who hang up at every stage: no descriptor and no task stays."""
    async with opened(tmp_path) as door:
        assert await answers(door)
        await until_empty(door)
        gc.collect()
        files, tasks = len(os.listdir("/proc/self/fd")), len(asyncio.all_tasks())
        request = b"GET /v1/credentials HTTP/1.1\r\nHost: x\r\n\r\n"
        for number in range(2000):
            with socket.socket(socket.AF_UNIX) as caller:
                caller.connect(door.path)
                caller.send(request[: number % len(request) + 1])
            if number % 10 == 0:
                await asyncio.sleep(0)
        await until_empty(door)
        assert await answers(door)
        await until_empty(door)
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) <= tasks
        assert len(os.listdir("/proc/self/fd")) <= files


async def test_who_does_not_read_is_shown_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However little of an answer is left over when the socket's buffer is full."""
    monkeypatch.setattr(app, "KEEPALIVE", 0.2)
    monkeypatch.setattr(connection, "TAKEN_WITHIN", 0.4)
    request = b"GET /v1/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
    async with opened(tmp_path) as door:
        with contextlib.ExitStack() as stack:
            for number in (*range(1, 20), 100):
                deaf = stack.enter_context(socket.socket(socket.AF_UNIX))
                deaf.connect(door.path)
                deaf.send(request * number)
            while door.entrance.inside() < 20:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await until_empty(door)


async def test_a_slow_reader_is_served_to_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who takes a little each time is not shown out, though all of it takes longer."""
    monkeypatch.setattr(connection, "TAKEN_WITHIN", 0.6)
    async with opened(tmp_path) as door:
        with socket.socket(socket.AF_UNIX) as slow:
            slow.connect(door.path)
            slow.setblocking(False)
            last = b"GET /v1/openapi.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            slow.send(last.replace(b"Connection: close\r\n", b"") * 60 + last)
            loop, got = asyncio.get_running_loop(), b""
            while piece := await loop.sock_recv(slow, 40_000):
                got += piece
                await asyncio.sleep(0.04)
    assert got.count(b"HTTP/1.1 200") == 61


# --- more than may be in --------------------------------------------------------------------


async def test_who_comes_when_all_places_are_taken_waits(tmp_path: Path) -> None:
    """Nobody is refused: the connection stands in the queue, and is served when one leaves."""
    async with opened(tmp_path, limit=3) as door:
        inside = [await door.connect() for _ in range(3)]
        while door.entrance.inside() < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        waiting = asyncio.create_task(answers(door))
        done, _ = await asyncio.wait([waiting], timeout=0.3)
        assert not done
        assert door.entrance.inside() == 3
        inside[0][1].close()
        assert await asyncio.wait_for(waiting, 10)
        for _, writer in inside[1:]:
            writer.close()


def test_the_limit_leaves_room_for_everything_else() -> None:
    """Issuers, the vault and sinks need descriptors too."""
    assert [connection_limit(files) for files in (65536, 1024, 256, 64, 1)] == [
        65280, 768, 128, 32, 1,
    ]  # fmt: skip


EXHAUSTED = """
import asyncio, logging, resource, socket, sys, tempfile
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.api.front import opened

logging.basicConfig(stream=sys.stderr)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))

async def main():
    with tempfile.TemporaryDirectory() as folder:
        async with opened(Path(folder), limit=5000) as door:
            print(door.path, flush=True)
            await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts /proc")
def test_t32_out_of_descriptors_it_neither_spins_nor_dies() -> None:
    """With 64 descriptors and 200 callers: a line of log, next to no CPU, and back in a second."""
    command = [sys.executable, "-c", EXHAUSTED.format(root=str(ROOT))]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as daemon:
        assert daemon.stdin is not None
        assert daemon.stdout is not None
        assert daemon.stderr is not None
        path = daemon.stdout.readline().strip()
        callers = []
        for _ in range(150):
            callers.append(socket.socket(socket.AF_UNIX))
            callers[-1].connect(path)
        before = cpu_seconds(daemon.pid)
        time.sleep(2)
        spent = cpu_seconds(daemon.pid) - before
        for caller in callers:
            caller.close()
        with socket.socket(socket.AF_UNIX) as normal:
            normal.settimeout(20)
            normal.connect(path)
            normal.sendall(b"GET /v1/live HTTP/1.0\r\n\r\n")
            assert b" 200 " in normal.recv(1000)
        daemon.stdin.write("\n")
        daemon.stdin.flush()
        log = daemon.stderr.read()
        assert daemon.wait(20) == 0, log
    assert spent < 0.5
    assert len(log.splitlines()) == 1, log
    assert "can't accept connections: Too many open files" in log


def cpu_seconds(pid: int) -> float:
    """User and system time of a process (proc(5), fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
