"""The main socket is for our own namespaces: a container is refused before a byte is read."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from credd.api import namespaces
from tests.api.front import opened

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="namespaces are Linux's")

ASK = textwrap.dedent("""
    import socket, sys
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[1])
    try:
        s.sendall(b"GET /v1/live HTTP/1.0\\r\\n\\r\\n")
        print(s.recv(12))
    except OSError as error:
        print(type(error).__name__)
""")

REFUSED = {"b''", "ConnectionResetError", "BrokenPipeError"}


def may_unshare(*kinds: str) -> bool:
    """Whether this machine lets us make such namespaces."""
    argv = ["unshare", *kinds, "true"]
    has_it = shutil.which("unshare") is not None
    return has_it and subprocess.run(argv, capture_output=True, check=False).returncode == 0


async def asked(path: str, *prefix: str) -> str:
    """What a process says that asks at `path`, started by `prefix`."""
    argv = [*prefix, sys.executable, "-I", "-c", ASK, path]
    done = await asyncio.to_thread(
        subprocess.run, argv, capture_output=True, text=True, check=False, timeout=30
    )
    return done.stdout.strip() or done.stderr


async def test_a_child_of_the_same_namespaces_is_let_in(tmp_path: Path) -> None:
    """The ordinary case: a process of the same person."""
    async with opened(tmp_path) as door:
        assert await asked(door.path) == "b'HTTP/1.0 200'"


@pytest.mark.parametrize(
    "kinds",
    [("--user", "--map-root-user"), ("--user", "--map-root-user", "--pid", "--fork")],
    ids=" ".join,
)
async def test_t15_a_nested_namespace_is_refused(kinds: tuple[str, ...], tmp_path: Path) -> None:
    """A user namespace of its own, or a pid namespace: closed before a byte is read."""
    if not may_unshare(*kinds):
        pytest.skip(f"unshare {' '.join(kinds)} is not allowed here")
    async with opened(tmp_path) as door:
        assert await asked(door.path, "unshare", *kinds) in REFUSED
        assert await asked(door.path) == "b'HTTP/1.0 200'"
    assert door.fakes.calls == []


async def test_t15_a_pid_namespace_alone_is_refused(tmp_path: Path) -> None:
    """As a container that runs as us without a user namespace has it."""
    if os.geteuid() != 0 or not may_unshare("--pid", "--fork"):
        pytest.skip("needs root, to make a pid namespace alone")
    async with opened(tmp_path) as door:
        assert await asked(door.path, "unshare", "--pid", "--fork") in REFUSED


async def test_t15_a_mount_namespace_alone_is_let_in(tmp_path: Path) -> None:
    """It changes what a process sees, and not who it is: systemd gives one to many a service."""
    if os.geteuid() != 0 or not may_unshare("--mount"):
        pytest.skip("needs root, to make a mount namespace alone")
    async with opened(tmp_path) as door:
        assert await asked(door.path, "unshare", "--mount") == "b'HTTP/1.0 200'"


def test_t5_a_connector_that_is_dead_is_refused() -> None:
    """Its child holds the connection, and nobody can say where the dead one lived."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("")  # an abstract name of the kernel's own choice
        listener.listen()
        connector = os.fork()
        if connector == 0:
            connecting = socket.socket(socket.AF_UNIX)
            connecting.connect(listener.getsockname())
            os._exit(0)
        os.waitpid(connector, 0)
        connection, _ = listener.accept()
        with connection:
            assert namespaces.fault_of(connection) == namespaces.UNREADABLE


def test_t4_what_was_read_of_a_process_that_died_meanwhile_does_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its number may be another's already when the files of /proc are read."""
    ours, theirs = socket.socketpair()
    monkeypatch.setattr(namespaces, "is_over", lambda handle: True)
    with ours, theirs:
        assert namespaces.fault_of(ours) == namespaces.UNREADABLE


def test_what_cant_be_read_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that hides itself could be one of a container."""

    def closed(pid: int, kind: str) -> bool:
        raise PermissionError(errno.EACCES, "no")

    ours, theirs = socket.socketpair()
    monkeypatch.setattr(namespaces, "_is_same", closed)
    with ours, theirs:
        assert namespaces.fault_of(ours) == namespaces.UNREADABLE


def test_a_look_leaves_no_descriptor_behind() -> None:
    """The handle of a caller is closed, whatever came out."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        namespaces.fault_of(ours)
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(100):
            assert namespaces.fault_of(ours) == ""
        assert len(os.listdir("/proc/self/fd")) == before
