"""Telling systemd: what is said, to whom, and what happens when nobody listens."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from credd.world.sd_notify import Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A socket that hears, and its address as systemd would give it."""
    name = f"credd-test-{os.getpid()}"
    is_path = request.param == "path"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as hears:
        hears.settimeout(5)
        hears.bind(str(tmp_path / "n") if is_path else f"\0{name}")
        yield hears, str(tmp_path / "n") if is_path else f"@{name}"


def test_the_manager_hears_every_stage(manager: tuple[socket.socket, str]) -> None:
    """Each message in sd_notify's words; a status is one line whatever it holds."""
    hears, address = manager
    environ = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}
    notifier = Notifier(environ)
    assert environ == {}  # no child may speak for us
    assert notifier.watchdog == 30.0
    notifier.ready("2 credentials")
    notifier.status("all\nfresh")
    notifier.alive()
    notifier.stopping("waiting for 1 refresh")
    assert [hears.recv(500) for _ in range(4)] == [
        b"READY=1\nSTATUS=2 credentials", b"STATUS=all fresh", b"WATCHDOG=1",
        b"STOPPING=1\nSTATUS=waiting for 1 refresh",
    ]  # fmt: skip
    notifier.reloading()
    assert hears.recv(500).startswith(b"RELOADING=1\nMONOTONIC_USEC=")


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "relative"},
                                     {"NOTIFY_SOCKET": "/nowhere/at/all"}])  # fmt: skip
def test_nobody_has_to_listen(environ: dict[str, str]) -> None:
    """Without a manager, or with one that has gone, telling is no error."""
    notifier = Notifier(environ)
    notifier.ready("fine")
    assert notifier.watchdog is None
    assert repr(notifier).startswith("<Notifier ")


def test_a_manager_that_does_not_read_holds_nobody_up(tmp_path: Path) -> None:
    """A full queue drops the message and the daemon goes on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(str(tmp_path / "n"))
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "n")})
        for _ in range(1000):
            notifier.alive()
