"""Whatever happens to the file: it is named, nothing false comes out, and nothing is written over.

Damage inside a record costs that record; damage to the file's structure closes the vault. Both
leave every byte that was there.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from credd.core.keeping import Attempt, Kept
from credd.errors import CreddError
from credd.vault.database import open_database
from credd.vault.fileformat import Unreadable
from credd.vault.keys import KeySources
from credd.vault.spare import Reserve, Unsaved
from credd.vault.store import Store
from tests.vault.homes import Home, NoKeychain
from tests.vault.keeper_contract import ATTEMPT, the_one

RECORDS = {"home": b"home " * 200, "lab": b"lab " * 300, "work": b"work " * 20}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A closed vault with three records."""
    made = Home(tmp_path)
    asyncio.run(made.fill(RECORDS))
    return made


def load(home: Home) -> list[Kept] | str:
    """What a start finds: the records, or why the file can't be read. Everything on one thread."""
    try:
        database = open_database(home.path)
    except Unreadable as fault:
        return fault.reason
    try:
        key = KeySources(home.key_file, {}, NoKeychain()).data_key(
            database.header, may_prompt=False
        )
        store = Store(database, key, Reserve(home.beside("reserve")), Unsaved(home.runtime))
        return store.load()
    except Unreadable as fault:
        return fault.reason
    finally:
        database.close()


def damages(found: list[Kept] | str) -> dict[str, str]:
    """Name -> what is wrong with it; the file must have been readable."""
    assert isinstance(found, list), found
    return {kept.name: kept.damage for kept in found if kept.damage}


def evidence(home: Home) -> list[tuple[str, str, bytes]]:
    """The damaged bytes that were kept, with name and reason."""
    with home.edit() as connection:
        query = "SELECT name, reason, sealed FROM aside WHERE kind = 'evidence' ORDER BY id"
        return connection.execute(query).fetchall()


def sample(size: int) -> Iterator[int]:
    """Positions worth trying: the whole of SQLite's header, the edges of pages, and a stride."""
    edges = {page + step for page in range(0, size, 4096) for step in (-1, 0, 1, 8)}
    return iter(sorted({*range(128), *range(0, size, 17), *edges} & set(range(size))))


# --- the whole file ---------------------------------------------------------------------------


@pytest.mark.parametrize("is_empty", [True, False], ids=["empty", "prefixes"])
def test_t24_a_vault_cut_off_anywhere_is_unreadable_and_left_alone(
    home: Home, is_empty: bool
) -> None:
    """Every prefix of the file is named, and the file stays exactly that prefix."""
    whole = home.path.read_bytes()
    for length in [0] if is_empty else [n for n in sample(len(whole)) if n]:
        home.path.write_bytes(whole[:length])
        reason = load(home)
        assert reason == "empty" if is_empty else reason in {"truncated", "damaged"}, length
        assert home.path.read_bytes() == whole[:length]


def test_t24_a_flipped_byte_never_gives_a_false_record(home: Home) -> None:
    """Each byte flipped in turn: the vault is unreadable and untouched, or every record is right
    or named."""
    whole = home.path.read_bytes()
    seen = set()
    for position in sample(len(whole)):
        flipped = bytearray(whole)
        flipped[position] ^= 0xFF
        home.path.write_bytes(flipped)
        found = load(home)
        if isinstance(found, str):
            seen.add(found)
            assert home.path.read_bytes() == flipped, f"changed although {found}: {position}"
            continue
        seen.update(damages(found).values())
        assert RECORDS.keys() <= {kept.name for kept in found}, f"a record is not named: {position}"
        for kept in found:
            assert kept.damage or kept.payload == RECORDS[kept.name], position
    assert {"damaged", "not_a_database", "header_damaged", "flipped"} <= seen


@pytest.mark.parametrize(
    "content", [b"SQLite format 3\0" + bytes(5000), b"# my notes\n" * 500, bytes(8192)]
)
def test_t24_another_kind_of_file_is_refused_and_left_alone(home: Home, content: bytes) -> None:
    """What is no vault of ours is not opened, and not replaced."""
    home.path.write_bytes(content)
    assert load(home) in {"not_a_database", "not_a_vault"}
    assert home.path.read_bytes() == content


def test_t24_another_programs_database_is_refused(home: Home) -> None:
    """A sound SQLite file without our application id is another program's."""
    home.path.unlink()
    connection = sqlite3.connect(home.path)
    connection.execute("CREATE TABLE bookmarks (url)")
    connection.commit()
    connection.close()
    home.path.chmod(0o600)
    assert load(home) == "not_a_vault"


async def test_t24_an_unreadable_vault_says_so_and_is_never_replaced(tmp_path: Path) -> None:
    """Its state has a reason and a remedy that erases nothing; create and unlock refuse."""
    home = Home(tmp_path)
    await home.fill(RECORDS)
    home.path.write_bytes(b"")
    vault = home.vault()
    status = await vault.open()
    assert (status.state, status.reason) == ("unreadable", "empty")
    problem = vault.problem()
    assert problem is not None
    assert problem.remedy == "credd-ctl vault reset"
    assert "rm " not in problem.remedy
    with pytest.raises(CreddError) as caught:
        await vault.create("file")
    assert caught.value.reason == "vault_exists"
    await vault.close()
    assert home.path.read_bytes() == b""


async def test_a_vault_that_lost_its_file_but_not_its_log_is_not_made_anew(tmp_path: Path) -> None:
    """A new database would swallow the old one's log."""
    home = Home(tmp_path)
    await home.fill(RECORDS)
    home.path.rename(home.path.with_name("elsewhere"))
    home.beside("wal").touch(0o600)
    assert (await home.look()).reason == "database_missing"


def test_t74_a_newer_vault_is_refused_before_it_is_touched(home: Home) -> None:
    """user_version 2: not one byte changes, no log appears."""
    with home.edit() as connection:
        connection.execute("PRAGMA user_version=2")
    before = home.path.read_bytes()
    assert load(home) == "newer"
    assert asyncio.run(home.look()).state == "newer"
    assert home.path.read_bytes() == before
    assert not home.beside("wal").exists()


def test_an_added_trigger_is_refused(home: Home) -> None:
    """A vault with more in its schema than ours could do something of its own at each write."""
    with home.edit() as connection:
        connection.execute("CREATE TRIGGER t AFTER INSERT ON journal BEGIN DELETE FROM record; END")
    assert load(home) == "damaged"


# --- single records ---------------------------------------------------------------------------


def test_t26_records_swapped_between_names_are_named(home: Home) -> None:
    """Two swapped records are both refused; the third is as it was."""
    with home.edit() as connection:
        rows = dict(connection.execute("SELECT name, sealed FROM record").fetchall())
        connection.execute("UPDATE record SET sealed = ? WHERE name = 'lab'", (rows["home"],))
        connection.execute("UPDATE record SET sealed = ? WHERE name = 'home'", (rows["lab"],))
    found = load(home)
    assert damages(found) == {"home": "swapped", "lab": "swapped"}
    assert found[2] == Kept("work", 1, RECORDS["work"])
    assert {(name, blob) for name, _, blob in evidence(home)} == {
        ("home", rows["lab"]),
        ("lab", rows["home"]),
    }


# One in 256 bytes is a zero already, and would be replaced by itself.
OTHER = "CASE WHEN substr(sealed, 101, 1) = x'00' THEN x'01' ELSE x'00' END"
FLIPPED = f"sealed = CAST(substr(sealed, 1, 100) || {OTHER} || substr(sealed, 102) AS BLOB)"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("number = 99", "edited_number"),
        ("number = -1", "edited_number"),
        ("number = 9223372036854775807", "edited_number"),
        ("number = 'x'", "edited_number"),
        ("number = NULL", "edited_number"),
        ("sealed = substr(sealed, 1, 200)", "truncated"),
        ("sealed = x''", "truncated"),
        ("sealed = 'text'", "not_sealed"),
        ("sealed = NULL", "not_sealed"),
        (FLIPPED, ""),
    ],
)
async def test_t24_an_edited_record_is_named_kept_aside_and_can_be_replaced(
    tmp_path: Path, change: str, reason: str
) -> None:
    """The others go on; a new login writes over it, and what lay there is still to be found."""
    home = Home(tmp_path)
    await home.fill(RECORDS)
    with home.edit() as connection:
        connection.execute(f"UPDATE record SET {change} WHERE name = 'lab'")
        (lay_there,) = connection.execute("SELECT sealed FROM record WHERE name = 'lab'").fetchone()
    async with home.opened() as vault:
        lab = await the_one(vault)
        assert lab.payload is None
        assert lab.damage == reason or (not reason and lab.damage)
        assert await the_one(vault, "work") == Kept("work", 1, RECORDS["work"])
        number = await vault.keep("lab", b"logged in again", lab.number)
        assert await the_one(vault) == Kept("lab", number, b"logged in again")
    assert [blob for _, _, blob in evidence(home)] == [lay_there]


async def test_t24_evidence_is_kept_once(tmp_path: Path) -> None:
    """However often a start finds the same damage."""
    home = Home(tmp_path)
    await home.fill(RECORDS)
    with home.edit() as connection:
        connection.execute("UPDATE record SET number = 5 WHERE name = 'lab'")
    for _ in range(3):
        assert damages(load(home)) == {"lab": "edited_number"}
    assert len(evidence(home)) == 1


async def test_t24_a_deleted_record_is_missed(tmp_path: Path) -> None:
    """The sealed list of names knows of it, at every start, until it is kept or forgotten."""
    home = Home(tmp_path)
    await home.fill(RECORDS)
    with home.edit() as connection:
        connection.execute("DELETE FROM record WHERE name IN ('lab', 'work')")
    for _ in range(2):
        assert damages(load(home)) == {"lab": "lost", "work": "lost"}
    async with home.opened() as vault:
        assert await vault.keep("lab", b"again", 0) == 1
        await vault.forget("work")
        assert [kept.name for kept in await vault.load()] == ["home", "lab"]
    assert damages(load(home)) == {}


async def test_t25_a_record_that_was_put_back_is_not_believed(tmp_path: Path) -> None:
    """A forgotten grant doesn't return by copying its old row into the file."""
    home = Home(tmp_path)
    await home.fill(RECORDS)
    with home.edit() as connection:
        row = connection.execute("SELECT * FROM record WHERE name = 'lab'").fetchone()
    async with home.opened() as vault:
        await vault.forget("lab")
    with home.edit() as connection:
        connection.execute("INSERT INTO record VALUES (?, ?, ?)", row)
    assert damages(load(home)) == {"lab": "unlisted"}


async def test_a_damaged_attempt_is_still_an_attempt(tmp_path: Path) -> None:
    """Something was posted; which token, nobody can say any more."""
    home = Home(tmp_path)
    async with home.opened() as vault:
        await vault.keep("lab", b"one", 0)
        await vault.journal("lab", ATTEMPT)
    with home.edit() as connection:
        connection.execute("UPDATE journal SET sealed = x'00'")
    async with home.opened() as vault:
        lab = await the_one(vault)
        assert lab.payload == b"one"
        assert lab.attempt == Attempt("unreadable", 0, b"", 0.0)
        await vault.settle("lab")
        assert (await the_one(vault)).attempt is None


@pytest.mark.parametrize("change", ["DELETE FROM meta", "UPDATE meta SET value = x'00'"])
def test_without_its_list_of_names_a_vault_is_unreadable(home: Home, change: str) -> None:
    """Nobody could tell which records are missing."""
    with home.edit() as connection:
        connection.execute(f"{change} WHERE name = 'names'")
    assert load(home) == "names_damaged"
    assert asyncio.run(home.look()).state == "unreadable"
