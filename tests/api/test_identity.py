"""Who connected, as the kernel shows it; what can't be read is empty, and never a match."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from credd.api import identity, namespaces
from credd.api.identity import Scripts, asker_of, read_script, script_of
from credd.core.deeds import Asker
from tests.api.front import Door, opened

PYTHON = os.path.realpath(sys.executable)
linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
FETCH = (
    "import socket,sys,time\n"
    "s=socket.socket(socket.AF_UNIX);s.connect(sys.argv[1])\n"
    "s.sendall(b'GET /v1/credentials/lab/token HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n"
    "\\r\\n')\n"
    "while s.recv(9999): pass\n"
)


async def fetched_by(door: Door, *argv: str) -> Asker:
    """The asker that is told of a process which fetches a token."""
    done = await asyncio.to_thread(subprocess.run, argv, check=False, capture_output=True)
    assert done.returncode == 0, done.stderr
    async with asyncio.timeout(10):
        while not door.fakes.deeds:  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0.01)
    return door.fakes.deeds.pop().asker


@linux
async def test_a_script_is_told_with_its_interpreter(tmp_path: Path) -> None:
    """The executable is the kernel's word, the script's name the process's own."""
    script = tmp_path / "train.py"
    script.write_text(FETCH)
    async with opened(tmp_path) as door:
        asker = await fetched_by(door, sys.executable, str(script), door.path, "sk-CANARY-argument")
    assert asker.uid == os.geteuid()
    assert asker.executable == PYTHON
    assert asker.script == "train.py"
    assert asker.cgroup.startswith("/")
    assert asker.pid > 0


@linux
@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not there")
async def test_a_program_without_a_script_is_told_alone(tmp_path: Path) -> None:
    """curl's arguments hold a URL, and are nobody's business."""
    async with opened(tmp_path) as door:
        asker = await fetched_by(
            door, "curl", "-sS", "--unix-socket", door.path, "http://x/v1/credentials/lab/token"
        )
    assert (os.path.basename(asker.executable), asker.script) == ("curl", "")


@linux
async def test_t7_a_renamed_executable_is_seen_through(tmp_path: Path) -> None:
    """The link of /proc says where the file lies now, and that it was deleted."""
    copy = tmp_path / "python-of-my-own"
    shutil.copy(PYTHON, copy)
    environ = {"PYTHONHOME": sys.base_prefix}
    script = f"import os; os.unlink({str(copy)!r})\n" + FETCH
    async with opened(tmp_path) as door:
        argv = ["env", *(f"{k}={v}" for k, v in environ.items()), str(copy), "-c", script,
                door.path]  # fmt: skip
        asker = await fetched_by(door, *argv)
    assert asker.executable == f"{copy} (deleted)"
    assert asker.script == ""


@linux
def test_t5_a_connector_that_is_dead_is_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever has its number now is somebody else: nothing of it is told."""
    import socket

    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert asker_of(ours).executable
        monkeypatch.setattr(namespaces, "is_over", lambda handle: True)
        asker = asker_of(ours)
    assert (asker.executable, asker.cgroup) == ("", "")


@linux
def test_t4_without_a_pidfd_the_start_time_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    """On older kernels: a number whose process has changed meanwhile is nobody."""
    import socket

    ours, theirs = socket.socketpair()
    monkeypatch.setattr(namespaces, "handle_of", lambda connection: None)
    with ours, theirs:
        assert asker_of(ours).executable == PYTHON
        times = iter(["1", "2"])
        monkeypatch.setattr(identity, "started_at", lambda pid: next(times))
        assert asker_of(ours).executable == ""


@linux
@pytest.mark.skipif(not shutil.which("sleep"), reason="sleep is not there")
def test_t6_a_process_with_a_strange_name_confuses_nobody(tmp_path: Path) -> None:
    """`a) R 1 1` is a name like any other."""
    strange = tmp_path / "a) R 1 1"
    shutil.copy(os.path.realpath(shutil.which("sleep") or ""), strange)
    process = subprocess.Popen([str(strange), "60"])
    try:
        plain, odd = identity.started_at(os.getpid()), identity.started_at(process.pid)
        assert int(odd) >= int(plain) > 1
    finally:
        process.kill()
        process.wait()


@linux
def test_t54_a_process_that_hides_itself_has_no_executable(tmp_path: Path) -> None:
    """What can't be read is empty."""
    assert identity._executable(2**22 + 1) == ""
    assert identity._cgroup(2**22 + 1) == ""
    assert read_script(2**22 + 1) == ""


@pytest.mark.parametrize(
    ("arguments", "script"),
    [
        (["python", "train.py", "--lr", "1"], "train.py"),
        (["python3", "-u", "-W", "ignore", "/home/me/jobs/train.py"], "train.py"),
        (["bash", "-eu", "run.sh"], "run.sh"),
        (["python", "-c", "print('train.py')", "train.py"], ""),
        (["python", "-m", "train", "secret.py"], ""),
        (["python", "sk-CANARY-argument"], ""),
        (["python", "--token=x.py"], ""),
        (["python", "-"], ""),
        (["python", "a b.py"], ""),
        (["python", "\x1b[2Jtrain.py"], ""),
        (["python", "x" * 100 + ".py"], ""),
        (["curl", "-H", "Authorization: Bearer sk-CANARY", "http://x/a.py?sk-CANARY"], ""),
        (["python"], ""),
        ([""], ""),
        ([], ""),
    ],
)
def test_t53_only_a_scripts_bare_name_is_ever_kept(arguments: list[str], script: str) -> None:
    """The first argument that is no option, if it looks like a script; any other may be secret."""
    assert script_of(arguments) == script


def test_a_process_that_makes_its_reader_wait_holds_up_nobody() -> None:
    """The reader hangs; asking returns at once, and so do all later ones."""
    hold, told = threading.Event(), list[str]()

    def read(pid: int) -> str:
        hold.wait(20)
        return f"{pid}.py"

    scripts = Scripts(read)
    for pid in range(2 * identity.WAITING_AT_MOST):
        scripts.ask(Asker(1000, pid, "/bin/x"), told.append)
    assert told == []
    assert scripts._queue.qsize() <= identity.WAITING_AT_MOST
    hold.set()


def test_a_script_is_read_once_for_a_process() -> None:
    """Later fetches of the same process wake no thread; the memory of it is bounded."""
    read = list[int]()
    done = threading.Semaphore(0)

    def look(pid: int) -> str:
        read.append(pid)
        return f"{pid}.py"

    def tell(script: str) -> None:
        done.release()

    scripts = Scripts(look)
    for _ in range(5):
        scripts.ask(Asker(1000, 7, "/bin/x"), tell)
        assert done.acquire(timeout=10)
    scripts.ask(Asker(1000, 7, "/bin/y"), tell)
    assert done.acquire(timeout=10)
    assert read == [7, 7]
    for pid in range(10, 10 + identity.KNOWN_AT_MOST):
        scripts.ask(Asker(1000, pid, "/bin/x"), tell)
        assert done.acquire(timeout=10)
    assert len(scripts._known) == identity.KNOWN_AT_MOST


async def test_a_deed_is_told_although_its_script_is_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A moment later, without the hint."""
    from credd.api import connection

    monkeypatch.setattr(connection.SCRIPTS, "ask", lambda asker, tell: None)
    async with opened(tmp_path) as door:
        await door.ask("GET", "/v1/credentials/lab/token")
        async with asyncio.timeout(5):
            while not door.fakes.deeds:  # noqa: ASYNC110 - nothing announces it
                await asyncio.sleep(0.005)
    assert door.fakes.deeds[0].asker.script == ""
