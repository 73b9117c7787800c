"""Promises about the door: clients find the socket even where its folder was removed."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from pathlib import Path

import pytest

from credd.api.entrance import Entrance
from credd.daemon.door import Door
from credd.world.activation import bind


class Greeting(asyncio.Protocol):
    """Says one word to whoever comes."""

    def __init__(self, leave: object) -> None:
        pass

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"welcome")
        transport.close()


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A runtime folder that is yet to be made."""
    tmp_path.chmod(0o700)
    return tmp_path / "run"


def visit(path: str) -> bytes:
    """What is said at the door."""
    with socket.socket(socket.AF_UNIX) as visitor:
        visitor.settimeout(10)
        visitor.connect(path)
        return visitor.recv(100)


async def test_t77_a_vanished_folder_gets_a_new_socket(run: Path) -> None:
    """logind removes the runtime folder at the last logout; the daemon is found again."""
    path = str(run / "credd.sock")
    with bind(path) as listener:
        async with Entrance(
            listener, Greeting, uids=frozenset({os.geteuid()}), limit=10
        ) as entrance:
            with Door(path, entrance) as door:
                assert await asyncio.to_thread(visit, path) == b"welcome"
                shutil.rmtree(run)
                door.look()
                assert await asyncio.to_thread(visit, path) == b"welcome"
                assert os.stat(path).st_mode & 0o777 == 0o600
                assert os.stat(run).st_mode & 0o777 == 0o700


async def test_t77_what_can_not_be_mended_is_said_once(
    run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A folder that can't be made: one line in the log, and the next look tries again."""
    path = str(run / "credd.sock")
    with bind(path) as listener:
        async with Entrance(
            listener, Greeting, uids=frozenset({os.geteuid()}), limit=10
        ) as entrance:
            with Door(path, entrance) as door:
                shutil.rmtree(run)
                os.mknod(run)  # a file is in the way
                door.bind_anew()
                door.bind_anew()
                assert caplog.text.count("can't be made anew") == 1
                os.unlink(run)
                door.look()
                assert await asyncio.to_thread(visit, path) == b"welcome"
