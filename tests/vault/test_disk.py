"""A disk that is full, read-only or broken never costs a refresh token."""

from __future__ import annotations

import json
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from credd.core.keeping import Attempt, Kept, KeptOutside, NotKept, Superseded
from credd.vault.spare import RESERVE_SIZE
from credd.vault.vault import Vault
from tests.vault.homes import Home
from tests.vault.keeper_contract import ATTEMPT, the_one

ROOT = Path(__file__).resolve().parents[2]
IN_NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount"]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture
async def vault(home: Home) -> AsyncIterator[Vault]:
    """An open vault that holds `lab`, number 1, with an open attempt."""
    async with home.opened() as opened:
        await opened.keep("lab", b"one", 0)
        await opened.journal("lab", ATTEMPT)
        yield opened


class BrokenConnection:
    """A connection whose writes fail with one of SQLite's codes, at COMMIT or at BEGIN."""

    def __init__(self, real: sqlite3.Connection, code: int, at: str = "COMMIT") -> None:
        self.real = real
        self.code = code
        self.at = at

    def execute(self, sql: str, *args: object) -> sqlite3.Cursor:
        if sql.startswith(self.at):
            error = sqlite3.OperationalError("the disk refuses")
            error.sqlite_errorcode = self.code
            raise error
        return self.real.execute(sql, *args)  # type: ignore[arg-type]


@contextmanager
def broken(vault: Vault, code: int, at: str = "COMMIT") -> Iterator[None]:
    """Every write of `vault` fails meanwhile."""
    assert vault._store is not None
    tables = vault._store._tables
    real = tables.connection
    tables.connection = BrokenConnection(real, code, at)  # type: ignore[assignment]
    try:
        yield
    finally:
        tables.connection = real


DISKS = [
    (sqlite3.SQLITE_FULL, "disk_full"),
    (sqlite3.SQLITE_READONLY, "read_only"),
    (sqlite3.SQLITE_IOERR_WRITE, "io"),
    (sqlite3.SQLITE_IOERR_FSYNC, "io"),
    (sqlite3.SQLITE_CORRUPT, "io"),
]


@pytest.mark.parametrize("at", ["BEGIN", "REPLACE", "COMMIT"])
@pytest.mark.parametrize(("code", "reason"), DISKS)
async def test_t29_a_record_the_disk_refuses_goes_to_the_runtime_folder(
    home: Home, vault: Vault, code: int, reason: str, at: str
) -> None:
    """Sealed and 0600, named by KeptOutside; the vault still holds the old one; the next start
    adopts it, clears the attempt that brought it, and erases the file."""
    with broken(vault, code, at), pytest.raises(KeptOutside) as caught:
        await vault.keep("lab", b"two", 1)
    assert caught.value.reason == reason
    assert await the_one_record(vault) == (1, b"one")
    outside = home.unsaved("lab")
    assert outside.stat().st_mode & 0o777 == 0o600
    assert outside.parent.stat().st_mode & 0o777 == 0o700
    assert b"two" not in outside.read_bytes()
    await vault.close()
    await vault.open()
    assert await the_one(vault) == Kept("lab", 2, b"two")
    assert not outside.exists()


async def the_one_record(vault: Vault) -> tuple[object, object]:
    """Number and payload of `lab` in the database itself, whatever lies outside."""
    store = vault._store
    assert store is not None
    row = await vault._write(store._read_row, "lab")
    return (row[0] if row else None, (await vault._write(store._opened, "lab", row))[0])


async def test_t29_trying_again_clears_what_lies_outside(home: Home, vault: Vault) -> None:
    """The broker tries every few seconds with the same number; once it works, no copy is left."""
    with broken(vault, sqlite3.SQLITE_IOERR_WRITE):
        for payload in (b"two", b"two, newer"):
            with pytest.raises(KeptOutside):
                await vault.keep("lab", payload, 1)
    assert await vault.keep("lab", b"two, newest", 1) == 2
    assert not home.unsaved("lab").exists()
    assert await the_one(vault) == Kept("lab", 2, b"two, newest")


async def test_t29_while_the_disk_still_refuses_a_start_serves_what_lies_outside(
    home: Home, vault: Vault
) -> None:
    """Adopting needs the disk; serving does not. The number is still the old one, and keeping with
    it mends everything."""
    with broken(vault, sqlite3.SQLITE_READONLY):
        with pytest.raises(KeptOutside):
            await vault.keep("lab", b"two", 1)
        assert await the_one(vault) == Kept("lab", 1, b"two")
    assert home.unsaved("lab").exists()
    assert await vault.keep("lab", b"two, kept again", 1) == 2
    assert await the_one(vault) == Kept("lab", 2, b"two, kept again")
    assert not home.unsaved("lab").exists()


async def test_an_attempt_made_after_it_is_not_cleared_by_what_lay_outside(
    home: Home, vault: Vault
) -> None:
    """What lay outside answers the attempt that brought it, and no later one."""
    later = Attempt("later", 2, b"\x09" * 32, 5.0)
    with broken(vault, sqlite3.SQLITE_IOERR_WRITE), pytest.raises(KeptOutside):
        await vault.keep("lab", b"two", 1)
    await vault.journal("lab", later)
    assert await the_one(vault) == Kept("lab", 2, b"two", later)


async def test_an_older_copy_outside_is_erased_not_adopted(home: Home, vault: Vault) -> None:
    """A crash between commit and clean-up leaves a copy whose number is no news."""
    with broken(vault, sqlite3.SQLITE_IOERR_WRITE), pytest.raises(KeptOutside):
        await vault.keep("lab", b"old news", 1)
    old = home.unsaved("lab").read_bytes()
    await vault.keep("lab", b"two", 1)
    home.unsaved("lab").write_bytes(old)
    home.unsaved("lab").chmod(0o600)
    assert await the_one(vault) == Kept("lab", 2, b"two")
    assert not home.unsaved("lab").exists()


@pytest.mark.parametrize("damage", ["flip", "cut", "rename"])
async def test_t26_a_copy_outside_that_was_tampered_with_is_kept_as_evidence(
    home: Home, vault: Vault, damage: str
) -> None:
    """It is not adopted, by its own name or another's, and its bytes are not lost."""
    with broken(vault, sqlite3.SQLITE_IOERR_WRITE), pytest.raises(KeptOutside):
        await vault.keep("lab", b"two", 1)
    outside = home.unsaved("lab")
    content = bytearray(outside.read_bytes())
    if damage == "rename":
        outside.rename(home.unsaved("home"))
    else:
        content[-1] ^= 1
        outside.write_bytes(content if damage == "flip" else content[:-9])
        content = bytearray(outside.read_bytes())
    assert [kept.payload for kept in await vault.load()] == [b"one"]
    await vault.close()
    with home.edit() as connection:
        assert connection.execute("SELECT sealed FROM aside").fetchall() == [(bytes(content),)]
    assert not any(outside.parent.iterdir())


async def test_a_copy_outside_of_another_vault_is_left_alone(home: Home, vault: Vault) -> None:
    """Its own daemon will come for it."""
    with broken(vault, sqlite3.SQLITE_IOERR_WRITE), pytest.raises(KeptOutside):
        await vault.keep("lab", b"two", 1)
    await vault.close()
    home.path.rename(home.root / "moved.db")
    async with home.opened() as other:
        assert await other.load() == []
        assert home.unsaved("lab").exists()


async def test_forgetting_erases_the_copy_outside_too(home: Home, vault: Vault) -> None:
    """Or it would come back at the next start."""
    with broken(vault, sqlite3.SQLITE_IOERR_WRITE), pytest.raises(KeptOutside):
        await vault.keep("lab", b"two", 1)
    await vault.forget("lab")
    assert not home.unsaved("lab").exists()
    assert await vault.load() == []


async def test_t29_where_nothing_takes_it_notkept_says_why(home: Home, vault: Vault) -> None:
    """Neither disk nor runtime folder: NotKept with the disk's reason, and nothing half written."""
    home.runtime.write_bytes(b"a file where the folder should be")
    with broken(vault, sqlite3.SQLITE_READONLY), pytest.raises(NotKept) as caught:
        await vault.keep("lab", b"two", 1)
    assert (type(caught.value), caught.value.reason) == (NotKept, "read_only")
    assert await the_one(vault) == Kept("lab", 1, b"one", ATTEMPT)


async def test_a_full_disk_still_tells_who_is_late(vault: Vault) -> None:
    """A superseded writer is refused and nothing of his goes to the runtime folder."""
    with broken(vault, sqlite3.SQLITE_FULL), pytest.raises(Superseded):
        await vault.keep("lab", b"late", 0)


async def test_t22_without_a_reserve_nothing_is_journalled(home: Home, vault: Vault) -> None:
    """So nothing is spent whose result might find no room."""
    home.beside("reserve").unlink()
    home.beside("reserve").mkdir()
    with pytest.raises(NotKept):
        await vault.journal("lab", Attempt("next", 1, b"", 0.0))
    home.beside("reserve").rmdir()
    await vault.journal("lab", ATTEMPT)
    assert home.beside("reserve").stat().st_size == RESERVE_SIZE


async def test_the_reserve_is_real_and_comes_back(home: Home, vault: Vault) -> None:
    """1 MiB that no file system can compress or leave out; a write that needed it gives it back."""
    reserve = home.beside("reserve")
    assert reserve.stat().st_blocks * 512 >= RESERVE_SIZE
    assert len(set(reserve.read_bytes())) == 256
    reserve.unlink()
    await vault.keep("lab", b"two", 1)
    assert reserve.stat().st_size == RESERVE_SIZE


async def test_t29_a_real_write_error_is_survived(home: Home, vault: Vault) -> None:
    """The kernel refuses to let the log grow (RLIMIT_FSIZE): outside now, in the vault later."""
    large = bytes(range(256)) * 400
    for number in range(1, 4):
        await vault.keep("lab", large, number)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (home.beside("wal").stat().st_size, hard))
    try:
        with pytest.raises(KeptOutside) as caught:
            await vault.keep("lab", large + b"!", 4)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.reason in {"io", "disk_full"}
    assert await vault.keep("lab", large + b"!!", 4) == 5


def has_namespaces() -> bool:
    """Whether this machine lets us mount a disk of our own without asking anybody."""
    if shutil.which("unshare") is None:
        return False
    probe = [*IN_NAMESPACE, "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not has_namespaces(), reason="a tmpfs of one's own needs user namespaces")
def test_t29_a_disk_with_any_room_left_takes_what_was_journalled(tmp_path: Path) -> None:
    """On a real disk, filled to every level: whatever could be journalled could be kept. A disk
    too full says so before anything is spent, and has its reserve back afterwards."""
    disk, runtime = tmp_path / "disk", tmp_path / "elsewhere"
    disk.mkdir()
    runtime.mkdir(mode=0o700)
    mount_and_play = 'mount -t tmpfs -o size=16m,mode=700 none "$1" && exec "$2" -m "$3" "$1" "$4"'
    play = [
        "sh",
        "-c",
        mount_and_play,
        "sh",
        str(disk),
        sys.executable,
        "tests.vault.full_disk_play",
    ]
    run = subprocess.run(
        [*IN_NAMESPACE, *play, str(runtime)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    *levels, end = [json.loads(line) for line in run.stdout.splitlines()]
    assert {level["journal"] for level in levels} == {"not kept: disk_full", "ok"}
    assert {level["keep"] for level in levels if level["journal"] == "ok"} == {"ok"}
    assert {level["after"] for level in levels} == {"ok"}
    assert end == {"reserve": RESERVE_SIZE}
