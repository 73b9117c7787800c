"""A vault is checked, given other keys and another file, accepted, and taken away; never half."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from credd.core.keeping import Kept, KeptOutside, NotKept
from credd.core.model import Secret
from credd.errors import AnotherDaemon, CreddError, LoginRequired
from credd.vault.checking import Checked
from credd.vault.vault import Vault
from credd.vault.wraps import NOTHING, Offered
from tests.vault.homes import PASSPHRASE, Home, MemoryKeychain
from tests.vault.keeper_contract import ATTEMPT, the_one

CODE = Secret(base64.b32encode(bytes(range(20))).decode())
OTHER_CODE = Secret(base64.b32encode(bytes(range(1, 21))).decode())
NOW = 1_795_315_847.0
STAMP = "20261122T025047Z"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture
async def vault(home: Home) -> AsyncIterator[Vault]:
    """Open, by a key file: two records, an open attempt, a late reply."""
    async with home.opened() as opened:
        await opened.keep("home", b"home one" * 500, 0)
        await opened.keep("lab", b"lab one" * 500, 0)
        await opened.keep("lab", b"lab two" * 500, 1)
        await opened.journal("lab", ATTEMPT)
        await opened.put_aside("lab", b"late" * 500, "late_answer")
        yield opened


HELD = [Kept("home", 1, b"home one" * 500), Kept("lab", 2, b"lab two" * 500, ATTEMPT)]


def reason_of(error: pytest.ExceptionInfo[CreddError]) -> str:
    assert error.value.remedy
    return error.value.reason


async def refused(call: Awaitable[object]) -> str:
    """The reason for which it is refused; with a remedy to paste."""
    with pytest.raises(CreddError) as caught:
        await call
    return reason_of(caught)


def folder_bytes(home: Home) -> bytes:
    """Every byte of every file in the vault's folder."""
    places = sorted(place for place in home.path.parent.rglob("*") if place.is_file())
    return b"".join(place.read_bytes() for place in places)


def pieces(blob: bytes) -> list[bytes]:
    """What sealed bytes leave behind, wherever a page ends: pieces of their ciphertext."""
    return [blob[start : start + 48] for start in range(61, len(blob) - 48, 48)]


async def sealed_bytes(vault: Vault) -> list[bytes]:
    """Everything sealed that the file holds, the wraps of the data key included."""
    database = vault._database
    assert database is not None
    connection = database.connection
    tables = ("SELECT sealed FROM record", "SELECT sealed FROM journal", "SELECT sealed FROM aside",
              "SELECT value FROM meta WHERE name <> 'header'")  # fmt: skip
    found = []
    for query in tables:
        found += await vault._write(lambda q=query: connection.execute(q).fetchall())  # type: ignore[misc]
    wraps = [wrapped.sealed.hex().encode() for wrapped in database.header.wraps]
    return [row[0] for row in found] + [wrap + wrap for wrap in wraps]


def is_anywhere(home: Home, blobs: list[bytes]) -> bool:
    content = folder_bytes(home)
    return any(piece in content for blob in blobs for piece in pieces(blob))


# --- verify -----------------------------------------------------------------------------------


def wrong(parts: list[Checked]) -> list[tuple[str, str, str]]:
    return [(part.part, part.name, part.reason) for part in parts if part.verdict == "damaged"]


async def test_a_whole_vault_is_whole_in_every_part(vault: Vault) -> None:
    """The vault's own parts, each record, attempt and late reply by name, and each key source."""
    parts = await vault.check()
    assert wrong(parts) == []
    assert [(part.part, part.name) for part in parts] == [
        ("file", ""), ("header", ""), ("identity", ""), ("index", ""),
        ("record", "home"), ("record", "lab"), ("attempt", "lab"), ("late-reply", "lab"),
        ("reserve", ""), ("key-source", "file"),
    ]  # fmt: skip
    assert await vault.load() == HELD


EDITS = {
    "UPDATE record SET sealed = substr(sealed, 1, 100) WHERE name = 'lab'":
        ("record", "lab", "truncated"),
    "UPDATE record SET number = 7 WHERE name = 'lab'": ("record", "lab", "edited_number"),
    "UPDATE record SET sealed = x'00' WHERE name = 'lab'": ("record", "lab", "not_sealed"),
    "UPDATE record SET sealed = (SELECT sealed FROM record WHERE name = 'home'), number = 1"
    " WHERE name = 'lab'": ("record", "lab", "swapped"),
    "UPDATE record SET sealed = 'text' WHERE name = 'lab'": ("record", "lab", "not_sealed"),
    "DELETE FROM record WHERE name = 'lab'": ("record", "lab", "lost"),
    "INSERT INTO record SELECT 'old', number, sealed FROM record WHERE name = 'lab'":
        ("record", "old", "unlisted"),
    "UPDATE record SET name = 'no name' WHERE name = 'lab'": ("record", "", "edited_name"),
    "UPDATE journal SET sealed = x'00'": ("attempt", "lab", "flipped"),
    "UPDATE aside SET sealed = x'00'": ("late-reply", "lab", "not_sealed"),
    "UPDATE aside SET kind = 'other'": ("late-reply", "lab", "edited_name"),
    "UPDATE meta SET value = x'00' WHERE name = 'names'": ("index", "", "not_sealed"),
    "UPDATE meta SET value = x'00' WHERE name = 'identity'": ("identity", "", "flipped"),
    "UPDATE meta SET value = x'00' WHERE name = 'header'": ("header", "", "flipped"),
    "DELETE FROM meta WHERE name = 'header'": ("header", "", "flipped"),
}  # fmt: skip


@pytest.mark.parametrize("edit", EDITS)
async def test_t24_what_is_damaged_is_named_while_the_vault_is_in_use(
    vault: Vault, edit: str
) -> None:
    """Each part by itself: the others are still whole, and there are words for a person."""
    assert vault._database is not None
    connection = vault._database.connection
    await vault._write(lambda: connection.execute(edit))
    parts = await vault.check()
    assert EDITS[edit] in wrong(parts)
    assert ("record", "home", "") in {(p.part, p.name, p.reason) for p in parts}
    for part in parts:
        detail, remedy = vault.explain(part)
        assert bool(detail) == (part.verdict != "ok")
        assert not remedy or remedy.startswith("credd-ctl ")


async def test_t24_pages_that_rot_under_a_running_daemon_are_noticed(
    home: Home, vault: Vault
) -> None:
    """The look goes to the disk: what SQLite remembers of the file is not believed."""
    await vault.keep("big", b"x" * 40_000, 0)
    await vault._write(vault._store._tables.truncate_log)  # type: ignore[union-attr]
    with home.path.open("r+b") as file:
        file.seek(home.path.stat().st_size - 3 * 4096)
        file.write(b"\xa5" * 4096)
    assert wrong(await vault.check())


@pytest.mark.parametrize("edit", ["remove", "replace"])
async def test_a_file_that_was_taken_from_under_the_daemon_is_noticed(
    home: Home, vault: Vault, edit: str
) -> None:
    """Writing would go on into a file without a name, and nobody would know until the restart."""
    copy = home.path.read_bytes()
    home.path.unlink()
    if edit == "replace":
        home.path.write_bytes(copy)
        home.path.chmod(0o600)
    reason = {"remove": "missing", "replace": "replaced"}[edit]
    assert ("file", "", reason) in wrong(await vault.check())


async def test_an_unreadable_vault_is_one_damaged_part(home: Home) -> None:
    """Told as what it is, with the way on; nothing is opened."""
    await home.fill({"lab": b"one"})
    home.path.write_bytes(b"SQLite format 3\0")
    vault = home.vault()
    await vault.open()
    (part,) = await vault.check()
    assert (part.part, part.verdict, part.reason) == ("file", "damaged", "truncated")
    assert vault.explain(part)[1] == "credd-ctl vault reset"
    await vault.close()


async def test_only_an_open_vault_can_be_checked_inside(home: Home) -> None:
    """Absent: log in. Locked: unlock."""
    vault = home.vault()
    await vault.open()
    assert await refused(vault.check()) == "no_vault"
    await vault.create("passphrase", PASSPHRASE)
    await vault.close()
    await vault.open()
    assert await refused(vault.check()) == "passphrase_needed"
    await vault.close()


async def test_a_source_that_would_not_open_the_vault_now_is_noted(
    home: Home, vault: Vault
) -> None:
    """It is not damage: the vault is open, and the next start would say `locked`."""
    home.key_file.write_text("0" * 64 + "\n")
    noted = [part for part in await vault.check() if part.verdict == "noted"]
    assert Checked("key-source", "file", "noted", "file_other_key") in noted


async def test_what_lies_outside_of_the_vault_is_noted(home: Home, vault: Vault) -> None:
    """A rotated token that waits in the runtime folder, whole or damaged."""
    store = vault._store
    assert store is not None
    with pytest.raises(KeptOutside):
        await vault._write(store._keep_outside, "lab", 3, b"lab three", "io")
    assert Checked("unsaved", "lab", "noted", "not_saved_yet") in await vault.check()
    home.unsaved("lab").write_bytes(home.unsaved("lab").read_bytes()[:-1])
    assert ("unsaved", "lab", "truncated") in wrong(await vault.check())


# --- rewrap -----------------------------------------------------------------------------------


async def test_a_source_is_added_and_the_others_stay(home: Home, vault: Vault) -> None:
    """Either of them opens the vault afterwards; the records are untouched."""
    before = await sealed_bytes(vault)
    await vault.rewrap(["passphrase"], NOTHING, Offered(PASSPHRASE))
    assert vault.sources() == ("file", "passphrase")
    assert (await sealed_bytes(vault))[:-2] == before[:-1]
    await vault.close()
    home.key_file.unlink()
    other = home.vault()
    assert (await other.open()).reason == "file_key_missing"
    await other.unlock(PASSPHRASE)
    assert await other.load() == HELD
    await other.close()


async def test_several_sources_at_once_and_no_other(home: Home, vault: Vault) -> None:
    """`only` drops the rest in the same step, and nothing of the old wrap stays in the folder."""
    dropped = [vault._database.header.wraps[0].sealed.hex().encode()]  # type: ignore[union-attr]
    assert dropped[0] in folder_bytes(home)
    await vault.rewrap(
        ["recovery-code", "passphrase"], NOTHING, Offered(PASSPHRASE, CODE), only=True
    )
    assert vault.sources() == ("passphrase", "recovery-code")
    assert vault.status().key_source == "passphrase"
    assert dropped[0] not in folder_bytes(home)
    assert home.key_file.exists()  # a person's file, and perhaps another vault's
    await vault.close()
    assert (await home.look()).state == "locked"


def in_groups(text: str) -> str:
    return "-".join(text[start : start + 4] for start in range(0, 32, 4))


@pytest.mark.parametrize("typed", [str.lower, in_groups, lambda text: f"  {text[:9]} {text[9:]}\n"])
async def test_a_recovery_code_opens_the_vault_however_it_is_typed(
    home: Home, vault: Vault, typed: Callable[[str], str]
) -> None:
    """In groups or not, in either case; the key file is gone."""
    await vault.rewrap(["recovery-code"], NOTHING, Offered(recovery_code=CODE))
    await vault.close()
    home.key_file.unlink()
    other = home.vault()
    assert (await other.open()).state == "locked"
    wrong_code = Offered(recovery_code=OTHER_CODE)
    assert await refused(other.unlock(wrong_code)) == "wrong_recovery_code"
    await other.unlock(Offered(recovery_code=Secret(typed(CODE.reveal()))))
    assert await other.load() == HELD
    await other.close()


@pytest.mark.parametrize(
    "code", ["", "abc", "correct horse", "A" * 24, "0" * 32, "é" * 32, "A" * 9999]
)
async def test_a_code_that_somebody_made_up_is_none(vault: Vault, code: str) -> None:
    """160 bits or nothing: what is short, or no base32, never becomes a key."""
    offered = Offered(recovery_code=Secret(code))
    assert await refused(vault.rewrap(["recovery-code"], NOTHING, offered)) == (
        "recovery_code_malformed"
    )
    assert vault.sources() == ("file",)


CHOICES = [
    ([], False, "key_source_unknown"),
    (["paper"], False, "key_source_unknown"),
    (["file", "file"], False, "key_source_unknown"),
    (["recovery-code"], True, "recovery_code_alone"),
    (["keyring"], False, "keyring_absent"),
    (["systemd", "file"], True, "systemd_key_missing"),
    (["passphrase"], True, "passphrase_empty"),
]


@pytest.mark.parametrize(("sources", "only", "reason"), CHOICES)
async def test_a_choice_that_could_lock_its_person_out_changes_nothing(
    home: Home, vault: Vault, sources: list[str], only: bool, reason: str
) -> None:
    """Refused before anything is written, with the reason."""
    before = folder_bytes(home)
    assert await refused(vault.rewrap(sources, NOTHING, Offered(None, CODE), only=only)) == reason
    assert vault.sources() == ("file",)
    assert folder_bytes(home) == before


async def test_a_vault_that_only_a_person_opens_takes_no_other_key_from_anybody_else(
    home: Home,
) -> None:
    """Whoever may speak to the daemon could else add a key of their own, and take the file."""
    vault = home.vault()
    await vault.create("passphrase", PASSPHRASE)
    theirs = Offered(Secret("theirs"))
    assert await refused(vault.rewrap(["file"], NOTHING, NOTHING)) == "passphrase_needed"
    assert await refused(vault.rewrap(["passphrase"], theirs, theirs)) == "wrong_passphrase"
    assert vault.sources() == ("passphrase",)
    await vault.rewrap(["passphrase"], Offered(PASSPHRASE), theirs)
    await vault.close()
    assert await refused(_opened_by(home, PASSPHRASE)) == "wrong_passphrase"
    await _opened_by(home, Secret("theirs"))


async def _opened_by(home: Home, passphrase: Secret) -> None:
    vault = home.vault()
    await vault.open()
    try:
        await vault.unlock(passphrase)
    finally:
        await vault.close()


async def test_a_keyring_is_left_by_its_key(home: Home) -> None:
    """A key of its own for each wrap; one that opens nothing any more is taken out."""
    keychain = MemoryKeychain()
    vault = home.vault(keychain=keychain)
    await vault.create("keyring")
    (first,) = keychain.entries
    await vault.rewrap(["keyring"], NOTHING, NOTHING)
    (second,) = keychain.entries
    assert first != second
    await vault.rewrap(["file"], NOTHING, NOTHING, only=True)
    assert keychain.entries == {}
    await vault.close()
    assert (await home.look()).state == "open"


async def test_a_new_key_that_can_not_be_written_down_is_taken_back(
    home: Home, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk refuses: no key is left in the keyring, and the old sources go on."""
    keychain = MemoryKeychain()
    monkeypatch.setattr(vault._keys, "_keychain", keychain)
    store = vault._store
    assert store is not None

    def refuse(*_: object, **__: object) -> None:
        raise NotKept("disk_full")

    monkeypatch.setattr(store, "rewrap", refuse)
    assert await refused(vault.rewrap(["keyring"], NOTHING, NOTHING)) == "disk_full"
    assert await refused(vault.rewrap(["keyring", "systemd"], NOTHING, NOTHING)) == (
        "systemd_key_missing"
    )
    assert keychain.entries == {}


# --- rekey ------------------------------------------------------------------------------------


async def test_a_rekeyed_vault_holds_the_same_under_another_key_in_another_file(
    home: Home, vault: Vault
) -> None:
    """Records with their numbers, open attempts, late replies; and it goes on at once."""
    inode, key = home.path.stat().st_ino, vault._store._tables.data_key  # type: ignore[union-attr]
    await vault.rekey()
    assert home.path.stat().st_ino != inode
    assert vault._store._tables.data_key != key  # type: ignore[union-attr]
    assert await vault.load() == HELD
    assert await vault.look_aside("lab") == b"late" * 500
    assert await vault.keep("lab", b"lab three", 2) == 3
    assert wrong(await vault.check()) == []
    await vault.close()
    async with home.opened() as again:
        assert again.status().state == "open"
        assert not again.status().restored
        assert await again.load() == [HELD[0], Kept("lab", 3, b"lab three")]
    names = sorted(place.name for place in home.path.parent.iterdir())
    assert names == ["vault.db", "vault.db-lock", "vault.db-reserve"]
    assert home.path.stat().st_mode & 0o777 == 0o600


async def test_after_rekeying_the_old_sealed_bytes_are_nowhere_in_the_folder(
    home: Home, vault: Vault
) -> None:
    """Not a piece of one record, reply, attempt or wrap; not even in what the old file was."""
    old = await sealed_bytes(vault)
    held = os.open(home.path, os.O_RDONLY)  # the old file, by a name that is not in the folder
    assert is_anywhere(home, old)
    await vault.rekey()
    assert not is_anywhere(home, old)
    assert not any(os.pread(held, 1 << 20, 0))
    os.close(held)
    await vault.close()
    assert not is_anywhere(home, old)


async def test_what_is_kept_during_a_rekey_lands_in_the_new_file(home: Home, vault: Vault) -> None:
    """A rotated token that comes meanwhile waits its turn, and is there after a restart."""
    rekeying = asyncio.create_task(vault.rekey())
    keeping = []
    while not rekeying.done():
        number = 2 + len(keeping)
        keeping.append(await vault.keep("lab", b"lab %d" % number, number))
        await asyncio.sleep(0)
    await rekeying
    last = keeping[-1]
    await vault.close()
    async with home.opened() as again:
        assert await the_one(again) == Kept("lab", last, b"lab %d" % (last - 1))


async def test_rekeying_asks_for_what_only_a_person_has(home: Home) -> None:
    """The passphrase, since it is wrapped anew; a recovery code is a new one, and the old is
    void."""
    vault = home.vault()
    await vault.create("passphrase", PASSPHRASE)
    await vault.rewrap(["recovery-code"], Offered(PASSPHRASE), Offered(None, CODE))
    await vault.keep("lab", b"one", 0)
    assert await refused(vault.rekey()) == "passphrase_needed"
    assert await refused(vault.rekey(Offered(Secret("no"), OTHER_CODE))) == "wrong_passphrase"
    assert await refused(vault.rekey(Offered(PASSPHRASE))) == "recovery_code_malformed"
    await vault.rekey(Offered(PASSPHRASE, OTHER_CODE))
    await vault.close()
    again = home.vault()
    await again.open()
    old_code = Offered(recovery_code=CODE)
    assert await refused(again.unlock(old_code)) == "wrong_recovery_code"
    await again.unlock(Offered(recovery_code=OTHER_CODE))
    assert await the_one(again) == Kept("lab", 1, b"one")
    await again.close()
    await _opened_by(home, PASSPHRASE)


async def test_a_source_that_does_not_answer_stops_a_rekey(home: Home, vault: Vault) -> None:
    """It would no longer open the vault; nothing was changed."""
    before = folder_bytes(home)
    home.key_file.rename(home.key_file.with_name("elsewhere"))
    assert await refused(vault.rekey()) == "file_key_missing"
    assert folder_bytes(home) == before
    assert await vault.load() == HELD


@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE record SET sealed = x'00' WHERE name = 'home'",
        "INSERT INTO record SELECT 'old', number, sealed FROM record WHERE name = 'lab'",
    ],
)
async def test_t24_damage_stops_a_rekey(home: Home, vault: Vault, edit: str) -> None:
    """A damaged record may be the last copy of something: it is not left behind; and an old one
    that somebody put back is not made good."""
    await vault._write(lambda: vault._database.connection.execute(edit))  # type: ignore[union-attr]
    before = await sealed_bytes(vault)
    assert await refused(vault.rekey()) == "records_damaged"
    assert await sealed_bytes(vault) == before
    assert not list(home.path.parent.glob("*.new-*"))
    assert await vault.keep("lab", b"lab three", 2) == 3


async def test_what_lies_outside_stops_a_rekey(home: Home, vault: Vault) -> None:
    """It is sealed under the old key, and the broker saves it every few seconds; another vault's
    is none of our business."""
    home.unsaved("other").parent.mkdir(mode=0o700, parents=True)
    other = Home(home.root / "another")
    async with other.opened() as foreign:
        await foreign.keep("x", b"x", 0)
        blob = (await sealed_bytes(foreign))[0]
    home.unsaved("other").write_bytes(blob)
    home.unsaved("other").chmod(0o600)
    store = vault._store
    assert store is not None
    with pytest.raises(KeptOutside):
        await vault._write(store._keep_outside, "lab", 3, b"lab three", "io")
    assert await refused(vault.rekey()) == "not_saved_yet"
    assert await vault.keep("lab", b"lab three", 2) == 3
    await vault.rekey()
    assert home.unsaved("other").read_bytes() == blob


async def test_a_name_whose_record_is_gone_is_missed_after_a_rekey_too(vault: Vault) -> None:
    """And an attempt that can't be read still says that something was posted."""
    connection = vault._database.connection  # type: ignore[union-attr]
    await vault._write(lambda: connection.execute("DELETE FROM record WHERE name = 'home'"))
    await vault._write(lambda: connection.execute("UPDATE journal SET sealed = x'00'"))
    before = await vault.load()
    assert [(kept.name, kept.damage) for kept in before] == [("home", "lost"), ("lab", "")]
    await vault.rekey()
    assert await vault.load() == before
    assert before[1].attempt is not None


async def test_a_vault_that_was_removed_under_the_daemon_is_saved_by_a_rekey(
    home: Home, vault: Vault
) -> None:
    """The open file still holds everything, and its rekeyed copy gets the name."""
    home.path.unlink()
    await vault.rekey()
    await vault.close()
    async with home.opened() as again:
        assert await again.load() == HELD


async def test_a_file_that_somebody_put_in_the_vaults_place_stays(home: Home, vault: Vault) -> None:
    """It may be a backup: it is not overwritten, and the daemon goes on with its own."""
    backup = home.path.read_bytes()
    home.path.unlink()
    home.path.write_bytes(backup)
    assert await refused(vault.rekey()) == "replaced"
    assert home.path.read_bytes() == backup
    assert await vault.load() == HELD
    home.path.rename(home.path.with_name("vault.db.other"))
    await vault.rekey()
    assert await vault.load() == HELD


@pytest.mark.parametrize("step", ["fsync", "rename", "link_log"])
async def test_t73_a_rekey_that_fails_leaves_the_vault_as_it_was(
    home: Home, vault: Vault, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Wherever the disk refuses, the old file goes on, and no half-made one stays."""

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        if step == "fsync":
            broken.setattr("credd.vault.files.sync", refuse)
        elif step == "rename":
            broken.setattr(Path, "rename", refuse)
        else:
            broken.setattr("credd.vault.database.Database._refuse_log", refuse)
        assert await refused(vault.rekey()) == "disk_full"
    assert not list(home.path.parent.glob("*.new-*"))
    assert await vault.load() == HELD
    assert await vault.keep("lab", b"lab three", 2) == 3
    await vault.close()
    async with home.opened() as again:
        assert (await the_one(again)).payload == b"lab three"


# --- copies -----------------------------------------------------------------------------------


async def test_t84_a_copy_is_changed_by_nobody_until_it_is_accepted(home: Home) -> None:
    """Its key source may be the original's: dropping a key there would close the original."""
    await home.fill({"lab": b"one"})
    backup = home.path.with_name("backup")
    backup.write_bytes(home.path.read_bytes())
    backup.chmod(0o600)
    backup.rename(home.path)
    async with home.opened() as vault:
        assert vault.status().restored
        assert await refused(vault.rewrap(["file"], NOTHING, NOTHING)) == "restored_copy"
        assert await refused(vault.rekey()) == "restored_copy"
        assert Checked("identity", "", "noted", "restored_copy") in await vault.check()
        assert wrong(await vault.check()) == []
        await vault.accept()
        await vault.rekey()
    assert (await home.look()).restored is False


# --- reset ------------------------------------------------------------------------------------


def aside(home: Home, part: str = "") -> Path:
    return home.path.with_name(f"vault.db.aside-{STAMP}{part}")


async def test_a_reset_moves_the_vault_aside_and_erases_nothing(home: Home, vault: Vault) -> None:
    """Under the time at which it was done, 0600; moved back, it is the vault it was."""
    assert await vault.reset(NOW) == aside(home)
    assert vault.status().state == "absent"
    assert aside(home).stat().st_mode & 0o777 == 0o600
    with pytest.raises(NotKept):
        await vault.load()
    await vault.create("file")
    assert await vault.load() == []
    await vault.close()
    home.path.unlink()
    aside(home).rename(home.path)
    async with home.opened() as again:
        assert not again.status().restored
        assert await again.load() == HELD


async def test_two_resets_in_one_second_are_two_vaults(home: Home) -> None:
    """No name is ever given twice."""
    async with home.opened() as vault:
        first = await vault.reset(NOW)
        await vault.create("file")
        second = await vault.reset(NOW)
    assert first is not None
    assert second is not None
    assert first != second
    assert len(list(home.path.parent.glob("*.aside-*"))) == 2


async def test_t24_a_vault_in_any_state_can_be_reset(home: Home) -> None:
    """Locked, cut off, with a log alone, newer, a link, a folder: it is moved as it was found."""
    await home.fill({"lab": b"one"})
    good = home.path.read_bytes()

    def put(content: bytes | None) -> None:
        home.path.write_bytes(content or b"")
        home.path.chmod(0o644)

    newer = bytearray(good)
    newer[60:64] = (99).to_bytes(4, "big")
    for number, (content, state) in enumerate(
        [(good[:5000], "unreadable"), (b"", "unreadable"), (bytes(newer), "newer")]
    ):
        put(content)
        home.path.chmod(0o600)
        home.beside("wal").write_bytes(b"log %d" % number)
        home.beside("wal").chmod(0o600)
        vault = home.vault()
        assert (await vault.open()).state == state
        moved = await vault.reset(NOW + number)
        assert moved is not None
        assert moved.read_bytes() == content
        assert moved.with_name(moved.name + "-wal").read_bytes() == b"log %d" % number
        assert not home.path.exists()
        assert not home.beside("wal").exists()
        assert (await vault.create("file")).state == "open"
        await vault.close()
        home.path.unlink()


@pytest.mark.parametrize("kind", ["link", "folder", "log alone", "open to others"])
async def test_whatever_lies_in_the_vaults_place_is_moved_aside(home: Home, kind: str) -> None:
    """As it is; what a link points to is left alone."""
    home.path.parent.mkdir(mode=0o700)
    elsewhere = home.root / "elsewhere"
    elsewhere.write_bytes(b"mine")
    if kind == "link":
        home.path.symlink_to(elsewhere)
    elif kind == "folder":
        home.path.mkdir()
    elif kind == "log alone":
        home.beside("wal").write_bytes(b"log")
    else:
        home.path.write_bytes(b"x" * 200)
        home.path.chmod(0o644)
    vault = home.vault()
    assert (await vault.open()).state == "unreadable"
    moved = await vault.reset(NOW)
    assert moved is not None
    assert vault.status().state == "absent"
    found = aside(home, "-wal") if kind == "log alone" else moved
    assert found.name in os.listdir(home.path.parent)
    assert elsewhere.read_bytes() == b"mine"
    if kind == "open to others":
        assert moved.stat().st_mode & 0o777 == 0o600
    await vault.close()


async def test_a_locked_vault_is_reset_without_its_key(home: Home) -> None:
    """Whoever forgot the passphrase starts anew."""
    vault = home.vault()
    await vault.create("passphrase", PASSPHRASE)
    await vault.close()
    await vault.open()
    assert vault.status().state == "locked"
    assert await vault.reset(NOW) == aside(home)
    assert vault.status().state == "absent"
    await vault.close()


async def test_what_lay_outside_goes_aside_with_its_vault(home: Home, vault: Vault) -> None:
    """A new vault's record of the same name would else erase it."""
    store = vault._store
    assert store is not None
    with pytest.raises(KeptOutside):
        await vault._write(store._keep_outside, "lab", 3, b"lab three", "io")
    sealed = home.unsaved("lab").read_bytes()
    await vault.reset(NOW)
    moved = home.runtime / f"unsaved.aside-{STAMP}" / "lab"
    assert moved.read_bytes() == sealed
    assert not home.unsaved("lab").exists()


async def test_erased_means_overwritten_and_gone(home: Home) -> None:
    """File, log, reserve, what lay outside, and the key in the keyring; the lock is left."""
    keychain = MemoryKeychain()
    vault = home.vault(keychain=keychain)
    await vault.create("keyring")
    await vault.keep("lab", b"one" * 500, 0)
    store = vault._store
    assert store is not None
    with pytest.raises(KeptOutside):
        await vault._write(store._keep_outside, "lab", 2, b"two", "io")
    held = os.open(home.path, os.O_RDONLY)
    assert await vault.reset(NOW, erase=True) is None
    assert not any(os.pread(held, 1 << 20, 0))
    os.close(held)
    assert [place.name for place in home.path.parent.iterdir()] == ["vault.db-lock"]
    assert not home.unsaved("lab").exists()
    assert keychain.entries == {}
    assert vault.status().state == "absent"


async def test_erasing_leaves_what_has_another_name(home: Home) -> None:
    """A hard link is somebody's copy: the vault's name goes, the content stays."""
    await home.fill({"lab": b"one"})
    os.link(home.path, home.root / "copy")
    content = home.path.read_bytes()
    vault = home.vault()
    assert (await vault.open()).reason == "hard_linked"
    await vault.reset(NOW, erase=True)
    assert (home.root / "copy").read_bytes() == content
    assert not home.path.exists()


async def test_where_there_is_no_vault_there_is_nothing_to_reset(home: Home) -> None:
    """Log in."""
    vault = home.vault()
    await vault.open()
    with pytest.raises(LoginRequired):
        await vault.reset(NOW)


async def test_t73_a_reset_that_the_disk_refuses_leaves_the_vault_open(
    home: Home, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes on as it was, whether the disk says so at once or in the middle."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    for place in ("credd.vault.files.create_private", "credd.vault.resetting.set_aside"):
        with monkeypatch.context() as broken:
            broken.setattr(place, refuse)
            assert await refused(vault.reset(NOW)) == "read_only"
        assert vault.status().state == "open"
        assert await vault.load() == HELD


async def test_t18_another_daemons_vault_is_not_reset(home: Home) -> None:
    """It is in use."""
    async with home.opened():
        other = home.vault()
        with pytest.raises(AnotherDaemon):
            await other.reset(NOW)
        assert home.path.exists()


async def test_nothing_of_this_shows_a_secret(vault: Vault) -> None:
    """Neither a key nor a code has a repr."""
    key = vault._keys.make("recovery-code", "id", Offered(PASSPHRASE, CODE))
    shown = repr([Offered(PASSPHRASE, CODE), key, vault, vault._database, vault._store])
    assert CODE.reveal() not in shown
    assert PASSPHRASE.reveal() not in shown
    assert repr(key.kek)[2:-1] not in shown
