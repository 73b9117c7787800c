"""The stage clears away what it started, whatever happens on it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from pathlib import Path

import pytest

from demo.__main__ import parse_seconds
from demo.issuer_settings import CANARIES
from demo.job import Tally, quantile
from demo.processes import LONGEST_SOCKET, SOCKET, Service, Stage, StageFailure, make_folder, search

SLEEPER = ("-c", "import time; time.sleep(600)")


async def test_the_stage_leaves_nothing_behind() -> None:
    """Folder and processes are gone after a failure on stage."""
    with contextlib.suppress(ZeroDivisionError):
        async with Stage() as stage:
            child = await stage.start("sleeper", *SLEEPER)
            assert stage.folder.stat().st_mode & 0o777 == 0o700
            _ = 1 / 0
    assert not stage.folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(child.process.pid, 0)


async def test_children_see_a_home_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that a person's own credd is told reaches the demo's."""
    monkeypatch.setenv("CREDD_SOCK", "/run/user/1/credd/credd.sock")
    async with Stage() as stage:
        environment = stage.environment()
        assert environment["CREDD_HOME"] == str(stage.home)
        assert "CREDD_SOCK" not in environment


async def test_a_child_that_ends_early_is_shown_with_its_last_words() -> None:
    """Waiting for it stops at once, and its log is in the message."""
    async with Stage() as stage:
        child = await stage.start("mourned", "-c", "raise SystemExit('no such luck')")
        with pytest.raises(StageFailure, match="mourned: no such luck"):
            await stage.places(child, stage.folder / "never")


async def test_a_service_comes_back_after_sigkill() -> None:
    """As a service manager would do it, with a new process id."""
    async with Stage() as stage:
        service = Service(stage, "sleeper", *SLEEPER)
        await service.start()
        keeping = asyncio.create_task(service.keep())
        killed = service.kill()
        while service.pid in (0, killed):  # noqa: ASYNC110  # a process id announces nothing
            await asyncio.sleep(0.02)
        assert service.starts == 2
        keeping.cancel()


def test_the_folder_is_short_enough_for_a_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long TMPDIR is passed over, not failed on."""
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    folder = make_folder()
    try:
        assert len(os.fsencode(folder / "home" / SOCKET)) <= LONGEST_SOCKET
        assert list(long.iterdir()) == []
    finally:
        folder.rmdir()


def test_a_secret_in_any_file_is_found(tmp_path: Path) -> None:
    """Deep below the folder, in bytes that are no text."""
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "vault.db").write_bytes(b"\xff\x00rt-CANARY-x\xfe")
    (tmp_path / "config.toml").write_text("nothing")
    assert search(tmp_path, CANARIES) == (2, ["vault.db"])


def test_quantiles_are_of_the_nearest_rank() -> None:
    """The longest is the last; an empty list has none."""
    assert quantile([], 0.5) == 0.0
    assert quantile([float(n) for n in range(100)], 0.99) == 99.0
    assert quantile([1.0, 2.0], 1.0) == 2.0


def test_tallies_add_up() -> None:
    """Reports of all workers become one line."""
    total = Tally()
    total.add(Tally(3, 0, [], [0.1, 0.2]))
    total.add(Tally(2, 1, ["Denied: no"], [0.3]))
    summary = total.summary()
    assert (summary["steps"], summary["rejected"], summary["errors"]) == (5, 1, 1)
    assert (summary["last_error"], summary["longest"]) == ("Denied: no", 0.3)


@pytest.mark.parametrize("text", ["soon", "3", "nan", "inf", "-60"])
async def test_a_run_that_cannot_be_played_is_refused(text: str) -> None:
    """Exit status 2 and a sentence, before anything is started."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "demo", "--seconds", text,
        stderr=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    _, complaint = await process.communicate()
    assert process.returncode == 2
    assert b"seconds" in complaint
    assert parse_seconds("20") == 20
