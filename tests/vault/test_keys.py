"""A key that is missing, wrong or locked leaves everything as it is; none is ever replaced."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from credd.core.model import Secret
from credd.errors import CreddError, Locked, Misconfigured
from credd.vault import passphrase as argon2
from credd.vault.header import Header, HeaderDamaged, parse_header, unwrap, wrap
from credd.vault.seal import Damaged
from credd.vault.vault import VaultStatus
from tests.vault.homes import PASSPHRASE, Home, MemoryKeychain, put_fifo
from tests.vault.keeper_contract import the_one


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def whole(root: Path) -> dict[str, bytes]:
    """Every file below `root` but the lock, with its content."""
    return {
        str(place.relative_to(root)): place.read_bytes()
        for place in root.rglob("*")
        if place.is_file() and not place.is_symlink()
    }


# --- the key file -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (Path.unlink, "file_key_missing"),
        (lambda key: key.write_bytes(b""), "file_key_short"),
        (lambda key: key.write_bytes(key.read_bytes()[:20]), "file_key_short"),
        (lambda key: key.write_bytes(bytes(5000)), "file_key_long"),
        (lambda key: key.write_bytes(b"f" * 64 + b"\n"), "file_other_key"),
        (lambda key: key.write_bytes(key.read_bytes().strip()), "file_other_key"),
        (lambda key: key.chmod(0o640), "file_key_open_to_others"),
        (lambda key: (key.rename(f"{key}2"), key.symlink_to(f"{key}2")), "file_key_symlink"),
        (lambda key: (key.unlink(), key.mkdir()), "file_key_not_a_file"),
        (put_fifo, "file_key_not_a_file"),
    ],
)
async def test_t86_a_key_file_that_is_not_right_locks_and_changes_nothing(
    home: Home, spoil: Callable[[Path], object], reason: str
) -> None:
    """Missing, empty, cut, another's, open to others: locked with the reason, and no new key, no
    new vault; put back, the vault opens by itself."""
    await home.fill({"lab": b"one"})
    right = home.key_file.read_bytes()
    spoil(home.key_file)
    before = whole(home.root)
    vault = home.vault()
    assert await vault.open() == VaultStatus("locked", "file", reason)
    problem = vault.problem()
    assert isinstance(problem, Locked)
    assert problem.remedy
    with pytest.raises(Misconfigured):
        await vault.create("file")
    assert (await vault.retry()).state == "locked"
    assert {**whole(home.root), "state/vault.db-wal": b""} == {**before, "state/vault.db-wal": b""}
    put_back(home.key_file, right)
    assert (await vault.retry()).state == "open"
    assert (await the_one(vault)).payload == b"one"
    await vault.close()


def put_back(key_file: Path, content: bytes) -> None:
    if key_file.is_dir():
        key_file.rmdir()
    else:
        key_file.unlink(missing_ok=True)
    key_file.write_bytes(content)
    key_file.chmod(0o600)


async def test_t86_a_key_that_is_there_is_used_and_not_replaced(home: Home) -> None:
    """A vault that went away does not take its key with it: the next one is sealed with it too,
    so the old vault still opens."""
    await home.fill({"lab": b"one"})
    key = home.key_file.read_bytes()
    old = home.path.rename(home.root / "old.db")
    async with home.opened() as vault:
        assert vault.status().state == "open"
    assert home.key_file.read_bytes() == key
    home.path.unlink()
    old.rename(home.path)
    async with home.opened() as vault:
        assert (await the_one(vault)).payload == b"one"


async def test_t86_an_empty_key_file_is_not_filled(home: Home) -> None:
    """Somebody's half-made key is theirs; no vault is made over it."""
    home.key_file.parent.mkdir(mode=0o700)
    home.key_file.touch(0o600)
    with pytest.raises(Locked) as caught:
        await home.vault().create("file")
    assert caught.value.reason == "file_key_short"
    assert home.key_file.read_bytes() == b""
    assert not home.path.exists()


async def test_a_key_file_is_random_and_its_own(tmp_path: Path) -> None:
    """Two vaults have two keys, each of 256 bits."""
    homes = [Home(tmp_path / name) for name in ("one", "two")]
    for home in homes:
        await home.fill({})
    keys = {bytes.fromhex(home.key_file.read_text()) for home in homes}
    assert {len(key) for key in keys} == {32}
    assert len(keys) == 2


# --- the passphrase ---------------------------------------------------------------------------


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2id at its least cost, for tests that derive often."""
    monkeypatch.setattr(argon2, "MEMORY_KIB", 64)
    monkeypatch.setattr(argon2, "PASSES", 1)


@pytest.mark.usefixtures("cheap")
async def test_a_wrong_passphrase_is_named_and_changes_nothing(home: Home) -> None:
    """Locked, `wrong_passphrase`, with the remedy; the right one still opens."""
    vault = home.vault()
    await vault.create("passphrase", PASSPHRASE)
    await vault.keep("lab", b"one", 0)
    await vault.close()
    await vault.open()
    for guess in ("", "Correct horse battery staple", "x" * 10_000, "\0"):
        with pytest.raises(Locked) as caught:
            await vault.unlock(Secret(guess))
        assert (caught.value.reason, caught.value.remedy) == (
            "wrong_passphrase",
            "credd-ctl unlock",
        )
        assert guess == "" or guess not in str(caught.value)
        assert vault.status() == VaultStatus("locked", "passphrase", "passphrase_needed")
    assert (await vault.unlock(PASSPHRASE)).state == "open"
    assert (await the_one(vault)).payload == b"one"
    await vault.close()


@pytest.mark.usefixtures("cheap")
async def test_a_passphrase_is_the_same_from_every_keyboard(home: Home) -> None:
    """Composed or decomposed, é is é."""
    vault = home.vault()
    await vault.create("passphrase", Secret("cafe\u0301"))
    await vault.close()
    await vault.open()
    assert (await vault.unlock(Secret("caf\u00e9"))).state == "open"
    await vault.close()


@pytest.mark.parametrize("passphrase", [None, Secret("")])
async def test_an_empty_passphrase_makes_no_vault(home: Home, passphrase: Secret | None) -> None:
    """It would protect nothing, and look as if it did."""
    with pytest.raises(Misconfigured) as caught:
        await home.vault().create("passphrase", passphrase)
    assert caught.value.reason == "passphrase_empty"
    assert not home.path.exists()


async def test_a_passphrase_does_not_open_what_it_does_not_seal(home: Home) -> None:
    """A vault with a key file says so, instead of letting somebody guess for ever."""
    await home.fill({})
    home.key_file.unlink()
    vault = home.vault()
    await vault.open()
    with pytest.raises(Locked) as caught:
        await vault.unlock(PASSPHRASE)
    assert caught.value.reason == "no_passphrase_set"
    await vault.close()


def test_argon2id_costs_what_the_rfc_says() -> None:
    """RFC 9106, 4: the second recommended option; every vault has a salt of its own."""
    one, other = argon2.new_parameters(), argon2.new_parameters()
    assert (one["memory_kib"], one["passes"], one["lanes"]) == (64 * 1024, 3, 4)
    assert one["salt"] != other["salt"]
    assert len(argon2.derive_key(PASSPHRASE, one)) == 32
    assert argon2.derive_key(PASSPHRASE, one) != argon2.derive_key(PASSPHRASE, other)


@pytest.mark.parametrize(
    "edit",
    [
        {"memory_kib": 2**31},
        {"memory_kib": 0},
        {"memory_kib": "64"},
        {"passes": 10**6},
        {"lanes": -1},
        {"salt": "not hex"},
        {"salt": ""},
    ],
)
def test_an_edited_cost_is_refused_before_it_is_paid(edit: dict[str, object]) -> None:
    """Nobody makes the daemon take 2 TiB by editing a file."""
    with pytest.raises(HeaderDamaged):
        argon2.derive_key(PASSPHRASE, {**argon2.new_parameters(), **edit})  # type: ignore[dict-item]


# --- systemd ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "systemd_key_missing"),
        (b"", "systemd_key_short"),
        (b"x" * 31, "systemd_key_short"),
        (b"x" * 5000, "systemd_key_long"),
        (b"y" * 32, "systemd_other_key"),
    ],
)
async def test_t86_a_systemd_credential_that_is_not_right_locks(
    home: Home, tmp_path: Path, content: bytes | None, reason: str
) -> None:
    """As for a key file; and a vault made with it is not opened with anything else."""
    credential = tmp_path / "credd-key"
    credential.write_bytes(b"x" * 32)
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    vault = home.vault(environ=environ)
    assert (await vault.create("auto")).key_source == "systemd"
    await vault.close()
    credential.unlink()
    if content is not None:
        credential.write_bytes(content)
    assert await vault.open() == VaultStatus("locked", "systemd", reason)
    await vault.close()
    credential.write_bytes(b"x" * 32)
    assert (await vault.open()).state == "open"
    await vault.close()


async def test_outside_systemd_there_is_no_such_key(home: Home) -> None:
    """No CREDENTIALS_DIRECTORY: named, and nothing made."""
    with pytest.raises(Locked) as caught:
        await home.vault().create("systemd")
    assert caught.value.reason == "systemd_key_missing"
    assert not home.path.exists()


# --- auto -------------------------------------------------------------------------------------


async def test_auto_takes_the_keyring_where_systemd_gave_nothing(home: Home) -> None:
    """Chosen once; from then on the vault's header says so."""
    keychain = MemoryKeychain()
    vault = home.vault(keychain=keychain)
    assert (await vault.create("auto")).key_source == "keyring"
    assert len(keychain.entries) == 1
    await vault.close()


async def test_auto_asks_where_neither_can_be_used(home: Home) -> None:
    """`vault_key_undecided`, in plain words; never a plain file in silence."""
    with pytest.raises(CreddError) as caught:
        await home.vault().create("auto")
    assert caught.value.reason == "vault_key_undecided"
    assert "passphrase" in caught.value.detail
    assert not home.root.joinpath("config").exists()
    assert not home.path.exists()


async def test_auto_does_not_pass_over_a_credential_that_is_broken(
    home: Home, tmp_path: Path
) -> None:
    """Somebody meant it to be used; falling back to the keyring would hide the mistake."""
    (tmp_path / "credd-key").write_bytes(b"short")
    vault = home.vault(environ={"CREDENTIALS_DIRECTORY": str(tmp_path)}, keychain=MemoryKeychain())
    with pytest.raises(CreddError) as caught:
        await vault.create("auto")
    assert caught.value.reason == "systemd_key_short"
    assert not home.path.exists()


# --- the header -------------------------------------------------------------------------------


def test_a_data_key_is_unwrapped_by_its_own_key_vault_and_parameters_only() -> None:
    """A wrap moved into another vault, or with another salt, is as good as none."""
    wrapped = wrap(b"k" * 32, "vault-one", "file", {"salt": "aa"}, b"d" * 32)
    assert unwrap(b"k" * 32, "vault-one", wrapped) == b"d" * 32
    for kek, vault_id in ((b"K" * 32, "vault-one"), (b"k" * 32, "vault-two")):
        with pytest.raises(Damaged):
            unwrap(kek, vault_id, wrapped)


def test_a_header_comes_back_as_it_was_written() -> None:
    """Also with sources that this credd does not know."""
    wraps = [wrap(b"k" * 32, "v", source, {"a": 1}, b"d" * 32) for source in ("file", "moonlight")]
    header = Header("v", tuple(wraps))
    assert parse_header(header.encode()) == header


@pytest.mark.parametrize("blob", [None, b"", b"{}", 3, "text", b"[]\n" + b"0" * 64])
def test_what_is_no_header_is_damage(blob: object) -> None:
    """Anything a cell may hold after somebody edited the file, huge numbers included."""
    with pytest.raises(HeaderDamaged):
        parse_header(blob)
    with pytest.raises(HeaderDamaged):
        parse_header(2**62)


async def test_a_vault_with_only_unknown_sources_is_locked(home: Home) -> None:
    """A later credd's recovery code, say: locked, and it says so."""
    await home.fill({})
    header = Header("v", (wrap(b"k" * 32, "v", "moonlight", {}, b"d" * 32),))
    with home.edit() as connection:
        connection.execute("UPDATE meta SET value = ? WHERE name = 'header'", (header.encode(),))
    assert await home.look() == VaultStatus("locked", "moonlight", "no_known_source")
