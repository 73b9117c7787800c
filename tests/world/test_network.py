"""News of the network: a burst is told once, and a system without news is no error."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from credd.world import network

ROOT = Path(__file__).parents[2]


class Told:
    """Counts what it is told."""

    def __init__(self, source: socket.socket | None = None) -> None:
        self.source = source
        self.times = 0
        self.left_over = 0
        self.news = asyncio.Event()

    async def __call__(self) -> None:
        self.times += 1
        if self.source is not None:
            with contextlib.suppress(BlockingIOError):
                self.left_over += len(self.source.recv(100, socket.MSG_PEEK))
        self.news.set()
        if self.times == 1:
            raise OSError("the first call fails")

    async def next(self) -> None:
        await asyncio.wait_for(self.news.wait(), 10)
        self.news.clear()


async def test_a_burst_is_told_once_and_the_next_again() -> None:
    """Dozens of messages are one change; a failed call does not end the listening."""
    ours, kernels = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    ours.setblocking(False)
    told = Told(ours)
    with kernels:
        async with network.watch_network(
            told, settled_after=0.1, open_socket=lambda: ours
        ) as is_heard:
            assert is_heard
            for _ in range(10):
                kernels.send(b"new route")
            await told.next()
            kernels.send(b"new address")
            await told.next()
    assert (told.times, told.left_over) == (2, 0)
    assert ours.fileno() == -1


async def test_without_news_nothing_is_told() -> None:
    """Another system, or a sandbox without netlink: no error, and it is said."""
    told = Told()
    async with network.watch_network(told, open_socket=lambda: None) as is_heard:
        assert not is_heard
    assert told.times == 0


def test_a_refused_socket_is_no_news(monkeypatch: pytest.MonkeyPatch) -> None:
    """RestrictAddressFamilies answers EAFNOSUPPORT; macOS has no such family at all."""

    def refuse(*_: object) -> socket.socket:
        raise OSError(97, "Address family not supported by protocol")

    monkeypatch.setattr(network.socket, "socket", refuse)
    assert network.open_route_socket() is None
    monkeypatch.delattr(network.socket, "AF_NETLINK", raising=False)
    assert network.open_route_socket() is None


LINK_COMES_UP = """
import asyncio, fcntl, socket, struct
from credd.world.network import watch_network

async def main():
    heard = asyncio.Event()
    async def on_change():
        heard.set()
    async with watch_network(on_change, settled_after=0.05) as is_heard:
        assert is_heard
        SIOCSIFFLAGS, IFF_UP = 0x8914, 1
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
        await asyncio.wait_for(heard.wait(), 10)
    print("heard")

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="rtnetlink is Linux's")
@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("unshare"), reason="needs root, for a network of its own"
)
def test_a_real_link_that_comes_up_is_heard() -> None:
    """In a network namespace of its own, where nobody else's network is touched."""
    command = ["unshare", "--net", sys.executable, "-c", LINK_COMES_UP]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stdout == "heard\n", done.stderr
