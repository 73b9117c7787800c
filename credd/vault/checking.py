"""Looks at everything a vault holds, and says of each part whether it is whole.

Knows every part of the file and what can be wrong with it; changes nothing. The one hard thing: one
broken part must not hide the others, so each is read by itself, from the disk and not from what is
remembered of it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from credd.core.keeping import NotKept
from credd.vault.aside import EVIDENCE, LATE, Aside, Slot
from credd.vault.database import Database, find_inode
from credd.vault.header import HeaderDamaged, parse_header
from credd.vault.identity import read_identity
from credd.vault.journal import UNREADABLE, Journal
from credd.vault.seal import Damaged, number_of
from credd.vault.spare import is_name
from credd.vault.tables import Tables

WHOLE, NOTED, DAMAGED = "ok", "noted", "damaged"


class Checked(NamedTuple):
    """A part, by name, and how it was found.

    `part`: `file`, `header`, `identity`, `index`, `record`, `attempt`, `late-reply`, `evidence`,
    `unsaved`, `reserve`, `key-source`. `name`: whose it is, "" where it is the vault's own.
    `verdict`: WHOLE, DAMAGED, or NOTED (worth knowing). `reason`: one word, "" where WHOLE.
    """

    part: str
    name: str
    verdict: str
    reason: str = ""


def check_vault(
    database: Database, tables: Tables, names: set[str], outside: dict[str, bytes]
) -> list[Checked]:
    """Every part of an open vault, its own first; on the thread that may use it.

    `names`: the index as it is remembered. `outside`: what lies in the runtime folder.
    """
    return [
        _check_file(database, tables),
        _judged("header", "", lambda: _check_header(database, tables)),
        _judged("identity", "", lambda: _check_identity(tables)),
        _judged("index", "", lambda: _check_index(tables, names)),
        *_check_records(tables, names),
        *_check_attempts(tables),
        *_check_slots(Aside(tables)),
        *(_check_unsaved(tables, name, sealed) for name, sealed in outside.items()),
    ]


def _judged(part: str, name: str, look: Callable[[], object]) -> Checked:
    """Whatever goes wrong while looking is the part's damage."""
    try:
        look()
    except Damaged as damage:
        return Checked(part, name, DAMAGED, damage.reason)
    except (NotKept, sqlite3.Error):
        return Checked(part, name, DAMAGED, "unreadable")
    except (HeaderDamaged, ValueError, TypeError):
        return Checked(part, name, DAMAGED, "flipped")
    return Checked(part, name, WHOLE)


# --- the vault's own parts --------------------------------------------------------------------


def _check_file(database: Database, tables: Tables) -> Checked:
    found = find_inode(database.path)
    if found != database.inode:
        return Checked("file", "", DAMAGED, "missing" if found is None else "replaced")
    return _judged("file", "", lambda: _check_pages(tables))


def _check_pages(tables: Tables) -> None:
    tables.drop_cache()
    if tables.connection.execute("PRAGMA integrity_check(1)").fetchall() != [("ok",)]:
        raise Damaged("unreadable")


def _check_header(database: Database, tables: Tables) -> None:
    if parse_header(tables.read_header()) != database.header:
        raise Damaged("swapped")


def _check_identity(tables: Tables) -> None:
    if read_identity(tables) is None:
        raise Damaged("flipped")


def _check_index(tables: Tables, names: set[str]) -> None:
    if set(json.loads(tables.read_meta("names"))) != names:
        raise Damaged("swapped")


# --- what belongs to a credential -------------------------------------------------------------


def _check_records(tables: Tables, names: set[str]) -> Iterator[Checked]:
    for name in sorted(names | set(_readable(tables, "SELECT name FROM record"))):
        if not is_name(name):
            yield Checked("record", "", DAMAGED, "edited_name")
        elif name not in names:
            yield Checked("record", name, DAMAGED, "unlisted")
        else:
            yield _judged("record", name, partial(_check_record, tables, name))


def _check_record(tables: Tables, name: str) -> None:
    query = "SELECT number, sealed FROM record WHERE name = ?"
    row = tables.connection.execute(query, (name,)).fetchone()
    if row is None:
        raise Damaged("lost")
    tables.open("record", name, *row)


def _check_attempts(tables: Tables) -> Iterator[Checked]:
    try:
        attempts = Journal(tables).read()
    except NotKept:
        yield Checked("attempt", "", DAMAGED, "unreadable")
        return
    for name, attempt in attempts.items():
        is_damaged = attempt == UNREADABLE
        verdict, reason = (DAMAGED, "flipped") if is_damaged else (NOTED, "under_way")
        yield Checked("attempt", name, verdict, reason)


def _check_slots(aside: Aside) -> Iterator[Checked]:
    try:
        slots = aside.rows()
    except NotKept:
        yield Checked("late-reply", "", DAMAGED, "unreadable")
        return
    for slot in slots:
        yield _check_slot(aside, slot)


def _check_slot(aside: Aside, slot: Slot) -> Checked:
    name = slot.name if is_name(slot.name) else ""
    if slot.kind == EVIDENCE:
        return Checked("evidence", name, NOTED, "kept")
    if slot.kind != LATE or not name:
        return Checked("late-reply", name, DAMAGED, "edited_name")
    return _judged("late-reply", name, lambda: aside.opened(slot))


def _check_unsaved(tables: Tables, name: str, sealed: bytes) -> Checked:
    found = _judged("unsaved", name, lambda: _open_unsaved(tables, name, sealed))
    if found.verdict == WHOLE:
        return found._replace(verdict=NOTED, reason="not_saved_yet")
    return found._replace(verdict=NOTED) if found.reason == "other_key" else found


def _open_unsaved(tables: Tables, name: str, sealed: bytes) -> None:
    tables.open("unsaved", name, number_of(sealed), sealed)


def _readable(tables: Tables, query: str) -> Iterator[str]:
    """The names that can be read, up to the first broken page."""
    try:
        for (name,) in tables.connection.execute(query):
            yield str(name)
    except sqlite3.Error:
        return
