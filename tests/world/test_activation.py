"""The listener: never wider than it should be, never taken from a living daemon."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from credd.errors import AnotherDaemon, CreddError, Misconfigured
from credd.world import activation


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """Where the socket goes; the folder is not there yet."""
    before = os.umask(0)  # the worst that a caller can have set
    yield tmp_path / "run" / "credd.sock"
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_the_socket_is_ours_alone(path: Path) -> None:
    """0600 in a 0700 folder that holds nothing else, and it listens under its own name."""
    with activation.bind(str(path)) as bound:
        assert (mode(path.parent), mode(path)) == (0o700, 0o600)
        assert os.listdir(path.parent) == ["credd.sock"]
        assert not bound.getblocking()
        assert not os.get_inheritable(bound.fileno())
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


def test_t17_socket_is_never_wider_than_0600(path: Path) -> None:
    """Not even for an instant: looked at all the time while it comes and goes."""
    path.parent.mkdir(mode=0o700)
    seen: set[int] = set()
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            for entry in os.scandir(path.parent):
                try:
                    seen.add(stat.S_IMODE(entry.stat(follow_symlinks=False).st_mode))
                except FileNotFoundError:
                    continue

    looking = threading.Thread(target=look)
    looking.start()
    until = time.monotonic() + 5
    while len(seen) == 0 or time.monotonic() < until - 4.5:
        activation.bind(str(path)).close()
    over.set()
    looking.join()
    assert seen == {0o600}


def test_t18_a_living_daemon_keeps_its_socket(path: Path) -> None:
    """The second one is told who is there, and the first goes on serving."""
    with activation.bind(str(path)) as first:
        inode = path.stat().st_ino
        with pytest.raises(AnotherDaemon) as caught:
            activation.bind(str(path))
        assert f"process {os.getpid()} on {socket.gethostname()}" in caught.value.detail
        assert path.stat().st_ino == inode
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            first.setblocking(True)
            first.accept()[0].close()


def test_a_daemon_too_busy_to_answer_is_alive(path: Path) -> None:
    """A full queue is no sign of death."""
    path.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as waiting:
        busy.bind(str(path))
        os.chmod(path, 0o600)
        busy.listen(0)
        waiting.connect(str(path))
        with pytest.raises(AnotherDaemon):
            activation.bind(str(path))


def test_a_dead_daemons_socket_is_replaced(path: Path) -> None:
    """The file stays when a daemon goes, and the next one takes its name."""
    activation.bind(str(path)).close()
    assert path.exists()
    with socket.socket(socket.AF_UNIX) as client:
        assert client.connect_ex(str(path)) != 0
    activation.bind(str(path)).close()


def test_a_client_always_finds_a_socket_file(path: Path) -> None:
    """While daemons come and go a client may hear "refused", but never "no such file"."""
    activation.bind(str(path)).close()
    errors: set[str] = set()
    over = threading.Event()

    def call() -> None:
        while not over.is_set():
            try:
                with socket.socket(socket.AF_UNIX) as client:
                    client.connect(str(path))
            except OSError as error:
                errors.add(type(error).__name__)

    calling = threading.Thread(target=call)
    calling.start()
    for _ in range(300):
        activation.bind(str(path)).close()
    over.set()
    calling.join()
    assert errors <= {"ConnectionRefusedError", "ConnectionResetError"}


def start_one(path: str) -> str:
    """In a process of its own: bind, and hold it for ever if we may."""
    try:
        start_one.kept = activation.bind(path)  # type: ignore[attr-defined]
    except AnotherDaemon:
        return "another"
    return "serves"


def test_t18_of_many_daemons_started_at_once_one_serves(path: Path) -> None:
    """The others say so, each time."""
    with ProcessPoolExecutor(8, mp_context=get_context("spawn")) as pool:
        for round_number in range(12):
            place = str(path.with_name(f"s{round_number}.sock"))
            outcomes = [*pool.map(start_one, [place] * 8)]
            assert outcomes.count("serves") == 1, outcomes


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_what_is_no_socket_is_left_alone(path: Path, kind: str) -> None:
    """Something else under our name is not removed."""
    path.parent.mkdir(mode=0o700)
    makers = {"file": path.touch, "folder": path.mkdir, "link": lambda: path.symlink_to("/dev")}
    makers[kind]()
    with pytest.raises(Misconfigured, match="something else lies"):
        activation.bind(str(path))
    assert os.path.lexists(path)


@pytest.mark.parametrize("fault", [0o755, 0o770, "link"])
def test_t16_an_unfit_folder_is_refused(path: Path, tmp_path: Path, fault: int | str) -> None:
    """Open to others, or a symbolic link: the daemon does not start."""
    if isinstance(fault, int):
        path.parent.mkdir()
        path.parent.chmod(fault)
    else:
        (tmp_path / "real").mkdir(mode=0o700)
        path.parent.symlink_to(tmp_path / "real")
    with pytest.raises(Misconfigured):
        activation.bind(str(path))


def test_t20_a_path_that_fits_no_address_is_named(tmp_path: Path) -> None:
    """The limit and the length are said, and nothing is made."""
    long = tmp_path / ("x" * 100) / "credd.sock"
    with pytest.raises(Misconfigured, match="bytes"):
        activation.bind(str(long))
    assert not long.parent.exists()


# --- handed over ----------------------------------------------------------------------------

HANDED = """
import os, sys
from credd.world import activation
from credd.errors import CreddError
os.environ["LISTEN_PID"] = str(os.getpid())
os.environ["LISTEN_FDNAMES"] = "api"
try:
    found = activation.activated(os.environ)
except CreddError as error:
    print(error.code, "|", error.detail)
    sys.exit()
print(found and (found.fileno(), os.get_inheritable(3), found.getblocking()),
      [name for name in os.environ if name.startswith("LISTEN")])
"""


def handed(sock: socket.socket | None, count: str = "1") -> str:
    """What a process says that was given `sock` as descriptor 3."""

    def put_in_place() -> None:
        if sock is not None:
            os.dup2(sock.fileno(), 3)

    done = subprocess.run(
        [sys.executable, "-c", HANDED],
        env={**os.environ, "LISTEN_FDS": count},
        preexec_fn=put_in_place,
        pass_fds=[3] if sock is not None else [],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    return done.stdout.strip()


def test_a_socket_handed_over_is_taken_and_kept_from_children(tmp_path: Path) -> None:
    """Descriptor 3, closed on exec, non-blocking; the variables are gone."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        listening.listen()
        assert handed(listening) == "(3, False, False) []"


def test_what_is_handed_over_must_be_one_listening_unix_socket(tmp_path: Path) -> None:
    """A unit with another kind of socket is a mistake that is named."""
    with socket.socket(socket.AF_UNIX) as idle, socket.create_server(("127.0.0.1", 0)) as tcp:
        idle.bind(str(tmp_path / "s"))
        assert handed(idle).startswith("misconfigured | the socket that was handed over")
        assert handed(tcp).startswith("misconfigured | the socket that was handed over")
        assert handed(tcp, "2").startswith("misconfigured | 2 sockets were handed over")


@pytest.mark.parametrize("environ", [{}, {"LISTEN_PID": "1", "LISTEN_FDS": "1"}])
def test_a_socket_for_someone_else_is_left_alone(environ: dict[str, str], path: Path) -> None:
    """Variables inherited from a parent are not for us: we bind our own, and unset them."""
    with activation.listener(str(path), environ) as bound:
        assert bound.getsockname()
        assert environ == {}


def test_every_refusal_names_a_code() -> None:
    """What is raised here travels to a person."""
    assert issubclass(AnotherDaemon, CreddError)
    assert (AnotherDaemon.exit_code, Misconfigured.exit_code) == (10, 9)


@pytest.mark.parametrize(("euid", "mode"), [(0, 0o600), (1000, 0o666)])
def test_a_guest_may_connect_whoever_runs_the_daemon(
    euid: int, mode: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root gives the file to the guest; nobody else can, and opens it to all."""
    path = tmp_path / "credd.sock"
    path.touch(mode=0o600)
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(activation.os, "geteuid", lambda: euid)
    monkeypatch.setattr(activation.os, "chown", lambda _, uid, gid: given.append((uid, gid)))
    activation._open_to(4711, str(path))
    assert path.stat().st_mode & 0o777 == mode
    assert given == ([(4711, -1)] if euid == 0 else [])
