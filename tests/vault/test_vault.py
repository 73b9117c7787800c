"""The vault keeps every keeper's promises, and its own about states and keys."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from credd.core.keeping import Kept, NotKept
from credd.errors import LoginRequired, Misconfigured
from credd.vault.vault import Vault, VaultStatus
from tests.vault.homes import PASSPHRASE, Home, MemoryKeychain, put_fifo
from tests.vault.keeper_contract import ATTEMPT, KeeperContract, the_one


@pytest.fixture
async def keeper(tmp_path: Path) -> AsyncIterator[Vault]:
    """A real vault on a real disk."""
    async with Home(tmp_path).opened() as vault:
        yield vault


class TestVaultAsKeeper(KeeperContract):
    """Every promise of the contract."""


# --- states -----------------------------------------------------------------------------------


async def test_without_a_vault_the_state_is_absent_and_nothing_is_made(tmp_path: Path) -> None:
    """Opening never makes anything: no folder, no lock, no key."""
    vault = Home(tmp_path).vault()
    assert (await vault.open()).state == "absent"
    assert isinstance(vault.problem(), LoginRequired)
    assert os.listdir(tmp_path) == []
    await vault.close()


async def test_an_absent_or_locked_vault_keeps_nothing(tmp_path: Path) -> None:
    """Every method of the keeper says "locked"; none hangs, none answers with nothing."""
    vault = Home(tmp_path).vault()
    for call in (
        vault.load(),
        vault.journal("lab", ATTEMPT),
        vault.keep("lab", b"one", 0),
        vault.settle("lab"),
        vault.put_aside("lab", b"late", "superseded"),
        vault.look_aside("lab"),
        vault.drop_aside("lab"),
        vault.forget("lab"),
    ):
        with pytest.raises(NotKept) as caught:
            await call
        assert caught.value.reason == "locked"


@pytest.mark.parametrize("source", ["file", "passphrase", "systemd", "keyring"])
async def test_what_is_kept_is_found_after_a_restart(tmp_path: Path, source: str) -> None:
    """With each source of keys; a passphrase has to be given again, the others need nobody."""
    home, places = Home(tmp_path), {"environ": systemd(tmp_path), "keychain": MemoryKeychain()}
    passphrase = PASSPHRASE if source == "passphrase" else None
    first = home.vault(**places)  # type: ignore[arg-type]
    assert (await first.create(source, passphrase)).state == "open"
    await first.keep("lab", b"one", 0)
    await first.close()
    second = home.vault(**places)  # type: ignore[arg-type]
    status = await second.open()
    if source == "passphrase":
        assert status == VaultStatus("locked", "passphrase", "passphrase_needed")
        status = await second.unlock(PASSPHRASE)
    assert status == VaultStatus("open", source)
    assert second.problem() is None
    assert await the_one(second) == Kept("lab", 1, b"one")
    await second.close()


def systemd(folder: Path) -> dict[str, str]:
    """The environment of a unit with LoadCredential=credd-key."""
    (folder / "credd-key").write_bytes(bytes(range(32)))
    return {"CREDENTIALS_DIRECTORY": str(folder)}


async def test_closing_drops_the_key_and_opening_takes_it_again(tmp_path: Path) -> None:
    """A closed vault is locked to everybody, and retrying does not open it behind one's back."""
    async with Home(tmp_path).opened() as vault:
        await vault.keep("lab", b"one", 0)
        await vault.close()
        assert vault.status() == VaultStatus("locked", "file", "closed")
        assert (await vault.retry()).state == "locked"
        with pytest.raises(NotKept):
            await vault.load()
        assert (await vault.open()).state == "open"
        assert await the_one(vault) == Kept("lab", 1, b"one")


async def test_a_cancelled_keep_is_kept(tmp_path: Path) -> None:
    """Whoever asked may leave; the token he brought is written all the same."""
    async with Home(tmp_path).opened() as vault:
        release = threading.Event()
        vault._writer.submit(release.wait)
        keeping = asyncio.create_task(vault.keep("lab", b"one", 0))
        await asyncio.sleep(0)
        keeping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await keeping
        release.set()
        assert await the_one(vault) == Kept("lab", 1, b"one")


async def test_t87_a_key_that_takes_its_time_holds_nobody_up(tmp_path: Path) -> None:
    """While the thread for keys is busy, records are kept and read."""
    async with Home(tmp_path).opened() as vault:
        release = threading.Event()
        vault._locksmith.submit(release.wait)
        assert await vault.keep("lab", b"one", 0) == 1
        assert await the_one(vault) == Kept("lab", 1, b"one")
        release.set()


@pytest.mark.parametrize("name", ["", "../lab", "Lab", ".new-lab", "lab/x", "l\0ab", "a" * 65])
async def test_only_a_credentials_name_can_be_kept(tmp_path: Path, name: str) -> None:
    """A name becomes a file's name when the disk is full, so no other ever gets that far."""
    async with Home(tmp_path).opened() as vault:
        with pytest.raises(ValueError, match="name"):
            await vault.keep(name, b"one", 0)


async def test_nothing_shows_its_secret(tmp_path: Path) -> None:
    """Reprs tell the state; neither key nor payload is in them."""
    async with Home(tmp_path).opened() as vault:
        await vault.keep("lab", b"canary-payload", 0)
        key = home_key(Home(tmp_path))
        for thing in (vault, vault._store, vault._keys, vault._database, await the_one(vault)):
            assert "canary-payload" not in repr(thing)
            assert key not in repr(thing)


def home_key(home: Home) -> str:
    """What is in the key file."""
    return home.key_file.read_text().strip()


# --- files ------------------------------------------------------------------------------------


async def test_t30_every_file_is_ours_alone_whatever_the_umask(tmp_path: Path) -> None:
    """0600 in 0700, with umask 000, while the vault is open and after it was closed."""
    home, before = Home(tmp_path), os.umask(0)
    try:
        async with home.opened() as vault:
            await vault.keep("lab", b"one", 0)
            await vault.journal("lab", ATTEMPT)
            assert modes(tmp_path) == ALONE | {"state/vault.db-wal": 0o600}
    finally:
        os.umask(before)
    assert modes(tmp_path) == ALONE


ALONE = {
    "config": 0o700,
    "config/vault.key": 0o600,
    "state": 0o700,
    "state/vault.db": 0o600,
    "state/vault.db-lock": 0o600,
    "state/vault.db-reserve": 0o600,
}


def modes(root: Path) -> dict[str, int]:
    return {str(place.relative_to(root)): place.stat().st_mode & 0o777 for place in root.rglob("*")}


async def test_t27_no_key_lies_beside_the_vault(tmp_path: Path) -> None:
    """Neither as text nor as bytes, in no file of the state folder; nor does a payload."""
    home = Home(tmp_path)
    async with home.opened() as vault:
        await vault.keep("lab", b"canary-payload", 0)
        data_key = vault._store._tables.data_key  # type: ignore[union-attr]
        text = home_key(home)
        for place in home.path.parent.iterdir():
            content = place.read_bytes()
            for secret in (text.encode(), bytes.fromhex(text), data_key, b"canary-payload"):
                assert secret not in content, place


async def test_t27_a_key_file_beside_the_vault_is_refused(tmp_path: Path) -> None:
    """A backup of the state folder would hold both."""
    home = Home(tmp_path)
    vault = Vault(home.path, home.runtime, home.path.with_name("vault.key"), environ={})
    with pytest.raises(Misconfigured) as caught:
        await vault.create("file")
    assert caught.value.reason == "key_beside_vault"
    assert not home.path.parent.exists()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda home: home.path.chmod(0o640), "open_to_others"),
        (lambda home: os.chown(home.path, 12345, -1), "foreign_owner"),
        (lambda home: home.path.parent.chmod(0o770), "open_folder"),
        (lambda home: os.chown(home.path.parent, 12345, -1), "foreign_folder"),
        (lambda home: os.link(home.path, home.root / "second"), "hard_linked"),
        (lambda home: home.beside("wal").symlink_to(home.key_file), "symlink"),
        (
            lambda home: home.path.rename(home.root / "v") and home.path.symlink_to("../v"),
            "symlink",
        ),
        (lambda home: home.path.unlink() or home.path.mkdir(), "not_a_file"),
        (lambda home: put_fifo(home.path), "not_a_file"),
    ],
)
async def test_t16_files_that_others_had_a_hand_in_are_refused(
    tmp_path: Path, spoil: Callable[[Home], object], reason: str
) -> None:
    """Wide modes, foreign owners, links: the state is unreadable and the reason says which."""
    home = Home(tmp_path)
    await home.fill({"lab": b"one"})
    try:
        spoil(home)
    except PermissionError:
        pytest.skip("only root can give files away")
    status = await home.look()
    assert (status.state, status.reason) == ("unreadable", reason)


async def test_a_mode_that_was_mended_is_noticed_by_itself(tmp_path: Path) -> None:
    """The remedy works on the running daemon: it looks again every few seconds."""
    home = Home(tmp_path)
    await home.fill({"lab": b"one"})
    home.path.chmod(0o644)
    async with home.opened() as vault:
        problem = vault.problem()
        assert problem is not None
        assert problem.remedy == f"chmod 600 {home.path}*"
        home.path.chmod(0o600)
        assert (await vault.retry()).state == "open"


async def test_a_vault_is_made_once(tmp_path: Path) -> None:
    """While there is one, open or not, no second is made, whichever source is named."""
    home = Home(tmp_path)
    async with home.opened() as vault:
        before = home.path.stat().st_ino
        for source in ("file", "passphrase", "auto"):
            with pytest.raises(Misconfigured) as caught:
                await vault.create(source, PASSPHRASE)
            assert caught.value.reason == "vault_exists"
    with pytest.raises(Misconfigured):
        await home.vault().create("file")
    assert home.path.stat().st_ino == before


async def test_a_vault_that_cannot_be_made_says_why(tmp_path: Path) -> None:
    """An open folder is refused before a key is made for it."""
    home = Home(tmp_path)
    home.path.parent.mkdir()
    home.path.parent.chmod(0o777)
    with pytest.raises(Misconfigured) as caught:
        await home.vault().create("file")
    assert caught.value.reason == "open_folder"
    assert not home.key_file.exists()
    with pytest.raises(Misconfigured) as caught:
        await home.vault().create("moon")
    assert caught.value.reason == "key_source_unknown"


# --- copies -----------------------------------------------------------------------------------


async def test_t84_a_copied_vault_is_restored_until_it_is_accepted(tmp_path: Path) -> None:
    """A copy of the folder opens, and says that it is a copy, at each start, until a person
    accepts it; from then on it is the vault."""
    home, copy = Home(tmp_path / "one"), Home(tmp_path / "two")
    await home.fill({"lab": b"one"})
    shutil.copytree(home.root, copy.root)
    assert (await home.look()).restored is False
    for _ in range(2):
        assert await copy.look() == VaultStatus("open", "file", restored=True)
    async with copy.opened() as vault:
        assert await the_one(vault) == Kept("lab", 1, b"one")
        assert (await vault.accept()).restored is False
    assert (await copy.look()).restored is False


async def test_t84_a_vault_on_another_machine_is_restored(tmp_path: Path) -> None:
    """The same file with another machine id: a disk that moved, or a network home."""
    home = Home(tmp_path)
    await home.fill({"lab": b"one"})
    home.machine = "machine-two"
    assert (await home.look()).restored is True


async def test_a_machine_without_an_id_is_no_reason_for_alarm(tmp_path: Path) -> None:
    """macOS and many containers have none; the inode then decides alone."""
    home = Home(tmp_path)
    await home.fill({"lab": b"one"})
    home.machine = ""
    assert (await home.look()).restored is False


async def test_t84_an_identity_that_was_removed_proves_nothing(tmp_path: Path) -> None:
    """A copy does not become the original by deleting what says that it is one."""
    home = Home(tmp_path)
    await home.fill({"lab": b"one"})
    with home.edit() as connection:
        connection.execute("DELETE FROM meta WHERE name = 'identity'")
    assert (await home.look()).restored is True


async def test_only_an_open_vault_can_be_accepted(tmp_path: Path) -> None:
    """Sealing a new identity needs the key."""
    vault = Home(tmp_path).vault()
    await vault.open()
    with pytest.raises(LoginRequired):
        await vault.accept()


# --- the database -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pragma", "value"),
    [
        ("journal_mode", "wal"),
        ("locking_mode", "exclusive"),
        ("synchronous", 2),  # FULL
        ("fullfsync", 1),
        ("checkpoint_fullfsync", 1),
        ("secure_delete", 1),
        ("trusted_schema", 0),
        ("user_version", 1),
        ("application_id", int.from_bytes(b"CRDD", "big")),
    ],
)
async def test_the_database_is_set_up_to_keep_what_it_was_given(
    tmp_path: Path, pragma: str, value: object
) -> None:
    """What is promised of durability and erasure is in force on the connection that writes."""
    async with Home(tmp_path).opened() as vault:
        connection = vault._database.connection  # type: ignore[union-attr]
        found = await vault._write(lambda: connection.execute(f"PRAGMA {pragma}").fetchone())
        assert found == (value,)


async def test_what_was_forgotten_is_in_no_file_any_more(tmp_path: Path) -> None:
    """Not even sealed: neither in the database nor in its log, and without waiting for a close."""
    home = Home(tmp_path)
    async with home.opened() as vault:
        await vault.keep("home", b"stays", 0)
        await vault.keep("lab", b"one" * 900, 0)
        await vault.put_aside("lab", b"late" * 900, "superseded")
        sealed = await vault._write(sealed_bytes, vault)
        assert len(sealed) == 2
        assert any(blob[61:200] in content for blob in sealed for content in contents(home))
        await vault.forget("lab")
        for blob in sealed:
            for start in range(61, len(blob) - 64, 64):
                assert not any(blob[start : start + 64] in content for content in contents(home))
        assert await the_one(vault, "home") == Kept("home", 1, b"stays")


def sealed_bytes(vault: Vault) -> list[bytes]:
    """Everything sealed that belongs to `lab`, as it lies in the file."""
    connection = vault._database.connection  # type: ignore[union-attr]
    query = "SELECT sealed FROM record WHERE name='lab' UNION SELECT sealed FROM aside"
    return [row[0] for row in connection.execute(query).fetchall()]


def contents(home: Home) -> list[bytes]:
    return [place.read_bytes() for place in (home.path, home.beside("wal"))]
