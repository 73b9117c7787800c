"""Hooks: real commands that behave badly, and nothing that comes to harm by them."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from credd.world.desktop_notice import desktop_argv
from credd.world.hooks import AT_ONCE, WAITING, HookRunner, hook_environment, run_hook

ENVIRON = {"PATH": os.environ["PATH"]}


def run(script: str, within: float = 10.0, **told: str) -> str:
    """What became of a hook that is this shell script."""
    return run_hook(["sh", "-c", script], {**ENVIRON, **told}, threading.Event(), within)


def wait_until(true: Callable[[], bool]) -> None:
    """Return once it is true; fail after ten seconds."""
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline, "it has not come true"
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    """Whether a process runs. One that nobody has reaped yet does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text("ascii")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"


def pids_in(file: Path, count: int) -> list[int]:
    """The process ids that a hook has written down, once there are so many."""
    wait_until(lambda: file.exists() and len(file.read_text("ascii").split()) >= count)
    return [int(word) for word in file.read_text("ascii").split()]


def descriptors() -> int:
    """How many files this process has open."""
    return len(os.listdir("/proc/self/fd"))


def test_a_hook_that_does_well_is_not_spoken_of() -> None:
    """Exit status 0 in time is no news."""
    assert run("exit 0") == ""


def test_t46_a_hook_that_fails_harms_nothing() -> None:
    """Its status is told, and a signal that it died of."""
    assert run("exit 3") == "failed (exit status 3)"
    assert run("kill -9 $$") == "failed (exit status -9)"


def test_t46_a_hook_that_is_not_there_harms_nothing(tmp_path: Path) -> None:
    """Not found, not executable, a folder, an empty word: each is told and nothing is raised."""
    plain = tmp_path / "plain"
    plain.write_text("no program")
    for argv in (["no-such-program-x"], [str(plain)], [str(tmp_path)], [""], ["a\0b"]):
        assert run_hook(argv, ENVIRON, threading.Event()).startswith("could not be started")


def test_t46_a_hook_that_hangs_is_ended(tmp_path: Path) -> None:
    """In time, although it ignores every signal that can be ignored."""
    file = tmp_path / "pid"
    began = time.monotonic()
    fate = run(f"trap '' TERM INT HUP; echo $$ > {file}; while :; do sleep 1; done", within=0.5)
    assert fate == "took over 0.5 s"
    assert time.monotonic() - began < 5
    assert not is_alive(pids_in(file, 1)[0])


def test_t46_the_whole_group_of_a_hook_that_hangs_is_ended(tmp_path: Path) -> None:
    """Its children and theirs, too."""
    file = tmp_path / "pids"
    inner = f"echo $$ >> {file}; sleep 60"
    assert run(f"sh -c '{inner}' & sh -c '{inner}' & {inner}", within=1.0) == "took over 1 s"
    for pid in pids_in(file, 3):
        wait_until(lambda pid=pid: not is_alive(pid))


def test_t46_what_a_hook_leaves_behind_is_ended_with_it(tmp_path: Path) -> None:
    """A hook that forks and goes leaves nobody in its group."""
    file = tmp_path / "pids"
    script = f"(trap '' TERM HUP; echo x; exec sleep 60) & echo $! > {file}; exit 0"
    began = time.monotonic()
    assert run(script) == ""
    assert time.monotonic() - began < 5
    wait_until(lambda: not is_alive(pids_in(file, 1)[0]))


def test_t46_a_hook_that_forks_without_end_is_ended(tmp_path: Path) -> None:
    """A chain in which each one starts the next and goes away is broken by one signal."""
    file, script = tmp_path / "pids", tmp_path / "again"
    script.write_text(f'#!/bin/sh\necho $$ >> {file}\nsleep 0.02\n"$0" &\nwait\n')
    script.chmod(0o700)
    assert run_hook([str(script)], ENVIRON, threading.Event(), 0.7) == "took over 0.7 s"
    for pid in pids_in(file, 2):
        wait_until(lambda pid=pid: not is_alive(pid))
    told = file.read_text("ascii")
    time.sleep(0.2)  # ten generations' time, in which none may come
    assert file.read_text("ascii") == told


@pytest.mark.slow
def test_t46_a_hook_that_prints_a_gigabyte_harms_nothing() -> None:
    """All of it goes nowhere: no memory, no file, no log holds it."""
    before = open_memory()
    printing = "head -c 1073741824 /dev/zero; head -c 1048576 /dev/zero >&2"
    assert run(printing) == ""
    assert open_memory() - before < 64 * 1024 * 1024


def open_memory() -> int:
    """Bytes of this process that lie in memory now."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def test_a_hook_reads_nothing_and_holds_none_of_our_files(tmp_path: Path) -> None:
    """Standard input is empty, and of our descriptors it inherits not one."""
    file = tmp_path / "seen"
    with open(tmp_path / "secret", "w", encoding="ascii") as secret:
        os.set_inheritable(secret.fileno(), True)
        script = f"cat > {file}; ls -l /proc/self/fd >> {file}"
        assert run(script) == ""
    assert "secret" not in file.read_text("utf-8")


def test_hooks_leave_no_descriptor_and_no_process_behind() -> None:
    """After twenty of them, as many files are open and as many children there as before."""
    run("exit 0")
    before, family = descriptors(), children()
    for _ in range(20):
        run("exit 1")
    assert descriptors() == before
    assert children() == family


def children() -> set[str]:
    """Process ids of this process's children, the dead ones that nobody has waited for included."""
    threads = Path("/proc/self/task").glob("*/children")
    return {pid for thread in threads for pid in thread.read_text("ascii").split()}


def test_t55_a_hook_inherits_no_secret_of_the_daemons_environment() -> None:
    """What was in the daemon's environment stays there, but for what finds programs and desktop."""
    ours = {"PATH": "/bin", "HOME": "/home/ada", "LAB_CLIENT_SECRET": "hush", "LD_PRELOAD": "/x.so"}
    told = {"CREDD_CREDENTIAL": "lab"}
    assert hook_environment(ours, told) == {
        "PATH": "/bin", "HOME": "/home/ada", "CREDD_CREDENTIAL": "lab",
    }  # fmt: skip


def test_t46_no_shell_reads_what_a_hook_is_told(tmp_path: Path) -> None:
    """Words that a shell would obey arrive as words."""
    file = tmp_path / "seen"
    code = f"import os, sys; open({str(file)!r}, 'w').write(sys.argv[1] + os.environ['CREDD_X'])"
    argv = [sys.executable, "-c", code, "$(touch pwned); `id`"]
    assert run_hook(argv, {**ENVIRON, "CREDD_X": "; rm -rf $HOME"}, threading.Event()) == ""
    assert file.read_text("utf-8") == "$(touch pwned); `id`; rm -rf $HOME"


# --- many of them ---------------------------------------------------------------------------


@pytest.fixture
def runner() -> Iterator[HookRunner]:
    """A runner with a second of patience."""
    with closing(HookRunner({**ENVIRON, "HUSH": "secret"}, within=20.0)) as made:
        yield made


def test_starting_a_hook_waits_for_nothing(runner: HookRunner, tmp_path: Path) -> None:
    """The event loop goes on at once; the hook is told what it should know."""
    file = tmp_path / "seen"
    told: Mapping[str, str] = {"CREDD_CREDENTIAL": "lab"}
    began = time.monotonic()
    assert runner.start(["sh", "-c", "sleep 30"], {})
    assert runner.start(["sh", "-c", f"env > {file}.part; mv {file}.part {file}"], told)
    assert time.monotonic() - began < 1
    wait_until(file.exists)
    assert "CREDD_CREDENTIAL=lab" in file.read_text("utf-8")
    assert "HUSH" not in file.read_text("utf-8")


def test_hooks_that_hang_don_t_pile_up(runner: HookRunner) -> None:
    """A few run, some wait, the rest is left out; at the daemon's end all are gone at once."""
    started = [runner.start(["sleep", "60"], {}) for _ in range(AT_ONCE + WAITING + 10)]
    assert started.count(True) == AT_ONCE + WAITING
    began = time.monotonic()
    runner.close()
    assert time.monotonic() - began < 5
    assert not runner.start(["sleep", "60"], {})


# --- on the desktop -------------------------------------------------------------------------


def test_t46_a_notice_on_the_desktop_is_words_and_no_script() -> None:
    """Neither as an option nor as markup nor as AppleScript is any of it read."""
    linux = desktop_argv("--title", '<b>a & "b"</b>', "linux")
    assert linux[0] == "notify-send"
    assert linux[-3:] == ["--", "--title", '&lt;b&gt;a &amp; "b"&lt;/b&gt;']
    mac = desktop_argv('credd" & (do shell script "id")', "body", "darwin")
    assert mac[0] == "osascript"
    assert not any('do shell script "id"' in word for word in mac[:-2])
