"""Killed at any moment, the vault holds what it said it holds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from credd.core.keeping import Attempt, Kept
from credd.errors import AnotherDaemon
from tests.vault.homes import Home
from tests.vault.keeper_contract import the_one
from tests.vault.writing_process import payload

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def writing(home: Home, mode: str) -> Iterator[subprocess.Popen[str]]:
    """The process, killed (SIGKILL) at the end."""
    argv = [sys.executable, "-m", "tests.vault.writing_process", str(home.root), mode]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(process: subprocess.Popen[str]) -> str:
    """The next thing it says; "" when it was killed in the middle of saying it."""
    assert process.stdout is not None
    line = process.stdout.readline()
    return line.strip() if line.endswith("\n") else ""


async def test_t23_the_journal_survives_sigkill(tmp_path: Path) -> None:
    """An attempt that was journalled is found by the next start, in every detail."""
    home = Home(tmp_path)
    await home.fill({"lab": b"one"})
    with writing(home, "journal") as process:
        assert line_of(process) == "journalled"
    async with home.opened() as vault:
        attempt = Attempt("to-2", 1, b"\x07" * 32, 1.0)
        assert await the_one(vault) == Kept("lab", 1, b"one", attempt)


async def test_t23_whatever_was_said_to_be_kept_is_kept(tmp_path: Path) -> None:
    """Killed while it writes: the record is the last one it named, or the one after, and whole; an
    open attempt is the one for the record that would have come next."""
    home = Home(tmp_path)
    said = 0
    for lines in (1, 2, 7, 30, 90):
        with writing(home, "keep") as process:
            for _ in range(lines):
                said = int(line_of(process).removeprefix("kept "))
            process.kill()
            assert process.stdout is not None
            for line in process.stdout:  # what it still said before it died
                said = int(line.removeprefix("kept ")) if line.endswith("\n") else said
        async with home.opened() as vault:
            kept = await the_one(vault)
        assert kept.number in (said, said + 1)
        assert kept.payload == payload(kept.number)
        assert kept.attempt is None or kept.attempt.id == f"to-{kept.number + 1}"


async def test_t24_damage_after_a_crash_leaves_file_and_log_alone(tmp_path: Path) -> None:
    """Even with a log to be read back, a file that can't be read is not written to."""
    home = Home(tmp_path)
    await home.fill({"lab": b"one"})
    with writing(home, "journal") as process:
        line_of(process)
    broken = bytearray(home.path.read_bytes())
    broken[4096 * 2 : 4096 * 4] = b"\xa5" * 8192
    home.path.write_bytes(broken)
    log = home.beside("wal").read_bytes()
    assert len(log) > 0
    assert (await home.look()).state == "unreadable"
    assert home.path.read_bytes() == broken
    assert home.beside("wal").read_bytes() == log


async def test_t18_a_second_opener_is_refused(tmp_path: Path) -> None:
    """In another process or in this one; the first goes on, and its end opens the door."""
    home = Home(tmp_path)
    with writing(home, "journal") as process:
        line_of(process)
        with pytest.raises(AnotherDaemon):
            await home.vault().open()
    async with home.opened() as first:
        with pytest.raises(AnotherDaemon) as caught:
            await home.vault().open()
        assert str(os.getpid()) in caught.value.detail
        assert os.uname().nodename in caught.value.detail
        assert await first.keep("lab", b"still mine", 0) == 1
    async with home.opened() as second:
        assert (await the_one(second)).payload == b"still mine"


async def test_a_creation_that_was_killed_leaves_nothing_that_matters(tmp_path: Path) -> None:
    """Half-made files go, the key file that was ready is used, and the vault is made."""
    home = Home(tmp_path)
    async with home.opened():
        pass
    key = home.key_file.read_bytes()
    home.path.rename(home.path.with_name("vault.db.new-0badcafe"))
    assert (await home.look()).state == "absent"
    async with home.opened() as vault:
        assert vault.status().state == "open"
    assert home.key_file.read_bytes() == key
    assert not list(home.path.parent.glob("*.new-*"))


# --- killed before each line of a change ------------------------------------------------------

WHOLE = ["vault.db", "vault.db-lock", "vault.db-reserve", "vault.db-wal"]
BEFORE: dict[str, Any] = {
    "state": "open", "restored": False, "files": WHOLE, "sources": ["file"],
    "records": {"home": "home one", "lab": "lab one"}, "attempts": ["lab"], "late": "late",
    "damaged": [], "next": 2,
}  # fmt: skip
AFTER: dict[str, dict[str, Any]] = {
    "rewrap": BEFORE | {"sources": ["systemd", "recovery-code"]},
    "rekey": BEFORE,
    "forget": BEFORE | {"records": {"home": "home one"}, "attempts": [], "late": ""},
    "reset": {
        "state": "absent", "restored": False, "sources": [],
        "files": ["vault.db-lock", "vault.db-reserve", "vault.db.aside-20261122T025047Z"],
    },
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("change", AFTER)
def test_t73_a_change_that_is_killed_at_any_line_is_done_or_not_done(
    tmp_path: Path, change: str
) -> None:
    """There is one whole vault, which goes on; nothing half-made is left; the index agrees."""
    argv = [sys.executable, "-m", "tests.vault.killed_play", str(tmp_path), change]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    deaths = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(deaths) > 15
    after = {death.pop("line"): death for death in deaths}
    assert after.pop(None) == AFTER[change]
    for line, found in after.items():
        assert found in (BEFORE, AFTER[change]), line
    assert BEFORE in after.values()


@pytest.mark.slow
def test_t73_a_reset_that_is_killed_never_parts_a_file_from_its_log(tmp_path: Path) -> None:
    """A log holds what its file doesn't have yet: both lie there under one name, or the other."""
    argv = [sys.executable, "-m", "tests.vault.killed_play", str(tmp_path), "reset-newer"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    names = ("vault.db", "vault.db.aside-20261122T025047Z")
    deaths = [json.loads(line) for line in done.stdout.splitlines()]
    for death in deaths:
        assert any({name, f"{name}-wal"} <= set(death["files"]) for name in names), death
    assert deaths[0]["state"] == "newer"
    assert deaths[-1]["state"] == "absent"


async def test_t73_a_vault_that_is_rekeyed_without_end_survives_sigkill(tmp_path: Path) -> None:
    """Killed at any moment, inside SQLite too: what was said to be kept is kept."""
    home = Home(tmp_path)
    said = 0
    for lines in (1, 2, 5, 9):
        with writing(home, "rekey") as process:
            for _ in range(lines):
                said = int(line_of(process).removeprefix("kept "))
        async with home.opened() as vault:
            kept = await the_one(vault)
            assert not [part for part in await vault.check() if part.verdict == "damaged"]
        assert kept.number >= said
        assert kept.payload == payload(kept.number)
