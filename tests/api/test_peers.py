"""Who may ask: callers of our own uid, and nobody else gets a byte through."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from credd import wire
from credd.api.peers import Peer, peer_of
from tests.api.front import opened
from tests.world.other_uid import BECOME, needs_other_uid


def test_the_kernel_says_who_connected() -> None:
    """uid and pid of the other side, taken when it connected."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert peer_of(ours) == Peer(os.geteuid(), os.getpid())


def test_a_socket_without_a_peer_has_no_identity() -> None:
    """Where the kernel does not say, an OSError or nobody: never ourselves."""
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.create_connection(tcp.getsockname()) as client,
    ):
        try:
            peer = peer_of(client)
        except OSError:
            return
        assert peer.uid != os.geteuid()


async def test_t1_another_uid_is_refused_before_a_byte_is_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The connection is closed at once, even if the request is there already; the log says who."""
    stranger = Peer(os.geteuid() + 1, 4711)
    async with opened(tmp_path, read_peer=lambda _: stranger) as door:
        for _ in range(20):
            assert await door.say(b"GET /v1/live HTTP/1.0\r\n\r\n") == b""
        assert door.entrance.inside() == 0
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert said == [f"refused a caller of uid {stranger.uid} (pid 4711)"]
    assert door.fakes.calls == []


async def test_a_caller_whom_the_kernel_does_not_name_is_refused(tmp_path: Path) -> None:
    """No identity is nobody's identity."""

    def unknown(_: socket.socket) -> Peer:
        raise OSError(92, "Protocol not available")

    async with opened(tmp_path, read_peer=unknown) as door:
        assert await door.say(b"GET /v1/live HTTP/1.0\r\n\r\n") == b""


@needs_other_uid
async def test_t1_a_real_other_uid_is_refused(tmp_path: Path) -> None:
    """Even where folder and socket are opened for it, another user gets nothing."""
    with_rights = [tmp_path, *tmp_path.parents[:-2]]
    script = (
        "import socket, sys\n"
        "s = socket.socket(socket.AF_UNIX)\n"
        "s.connect(sys.argv[1])\n"
        "try:\n"
        "    s.sendall(b'GET /v1/credentials/lab/token HTTP/1.0\\r\\n\\r\\n')\n"
        "    print(s.recv(100))\n"
        "except OSError as error:\n"
        "    print(type(error).__name__)\n"
    )
    async with opened(tmp_path) as door:
        for folder in with_rights:
            os.chmod(folder, 0o755)
        os.chmod(door.path, 0o666)
        argv = [*BECOME, sys.executable, "-I", "-c", script, door.path]
        done = await asyncio.to_thread(
            subprocess.run, argv, capture_output=True, text=True, check=False
        )
        assert done.stdout.strip() in {"b''", "ConnectionResetError", "BrokenPipeError"}, done
        assert (await door.ask("GET", wire.LIVE))[0] == 200
    assert door.fakes.calls == []
