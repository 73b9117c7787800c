"""The vault's records: sealed, numbered, listed; lost ones are missed, broken ones are kept.

Knows when a record is whole; knows nothing of key sources or of what a payload means. Synchronous,
and used on one thread. The one hard thing: when `keep` is called, the issuer has already burnt the
old refresh token, so it tries everything before it gives up: the reserve on this disk, then the
runtime folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

from credd.core.keeping import Attempt, Kept, KeptOutside, NotKept, Superseded
from credd.vault import files
from credd.vault.aside import Aside
from credd.vault.checking import NOTED, WHOLE, Checked, check_vault
from credd.vault.database import Database, build_database
from credd.vault.fileformat import Unreadable, refusal
from credd.vault.header import Header, Wrap
from credd.vault.identity import Identity, is_same, read_identity, write_identity
from credd.vault.journal import Journal
from credd.vault.rekeying import copy_sealed
from credd.vault.seal import KEY_SIZE, Damaged, number_of
from credd.vault.spare import Reserve, Unsaved, is_name
from credd.vault.tables import Row, Tables, number_of_row
from credd.vault.wraps import NewKey, new_header, next_wraps, wrapped_by

LOST = "lost"
"""A name in the sealed list that has no record: somebody deleted it."""

UNLISTED = "unlisted"
"""A record that opens and is not in the sealed list: somebody put an old one back."""


def first_rows(
    connection: sqlite3.Connection, data_key: bytes, identity: Identity, names: set[str]
) -> Tables:
    """Write what every vault holds from the start: who it is, and the names of what it holds."""
    tables = Tables(connection, data_key)
    write_identity(tables, identity)
    _write_names(tables, names)
    return tables


class Store:
    """An open vault with its key. Methods raise NotKept where the file can't be read or written."""

    def __init__(
        self, database: Database, data_key: bytes, reserve: Reserve, unsaved: Unsaved
    ) -> None:
        """Raises Unreadable where the list of names was damaged: then nothing lost is noticed."""
        self._database = database
        self._reserve = reserve
        self._unsaved = unsaved
        self._waiting: dict[str, tuple[bytes, str]] = {}
        self._tables = Tables(database.connection, data_key)
        self._journal = Journal(self._tables)
        self._aside = Aside(self._tables)
        self._names = _read_names(self._tables)

    def __repr__(self) -> str:
        return f"<Store {str(self._database.path)!r} names={len(self._names)}>"

    # --- who this vault is --------------------------------------------------------------------

    def is_copy(self, machine: str) -> bool:
        """Whether this is another file, or another machine, than the vault was made as."""
        with self._tables.reading():
            sealed = read_identity(self._tables)
        return not is_same(sealed, self._identity(machine))

    def accept(self, machine: str) -> None:
        """From now on this file on this machine is the vault."""
        with self._tables.transaction():
            write_identity(self._tables, self._identity(machine))

    def _identity(self, machine: str) -> Identity:
        return Identity(self._database.path.lstat().st_ino, machine)

    # --- its care -----------------------------------------------------------------------------

    def check(self) -> list[Checked]:
        """Every part of it, and whether it is whole; see checking.py."""
        found = check_vault(self._database, self._tables, self._names, self._unsaved.read())
        try:
            self._reserve.ensure()
        except OSError as error:
            return [*found, Checked("reserve", "", NOTED, files.refusal(error))]
        return [*found, Checked("reserve", "", WHOLE)]

    def rewrap(self, keys: Sequence[NewKey], *, only: bool) -> list[Wrap]:
        """Wrap the data key by these, too, or by these `only`; the wraps that are no more.

        One transaction; nothing of the old header stays in the file or its log.
        """
        old = self._database.header
        fresh = [wrapped_by(key, old.vault_id, self._tables.data_key) for key in keys]
        header = Header(old.vault_id, next_wraps(old.wraps, fresh, only=only))
        with self._tables.transaction():
            self._tables.write_header(header.encode())
        self._database.header = header
        self._tables.truncate_log()
        return [wrapped for wrapped in old.wraps if wrapped not in header.wraps]

    def rekey(self, keys: Sequence[NewKey], machine: str) -> None:
        """Go on in a new file, under a new data key that is wrapped by `keys`.

        Raises NotKept or Unreadable. Whatever it raises, one whole vault is there, and this store
        goes on with it. What is asked for meanwhile waits for this thread, and then lands in the
        new file.
        """
        self._refuse_unsaved()
        data_key = os.urandom(KEY_SIZE)
        header = new_header(self._database.header.vault_id, keys, data_key)
        new = self._build_next(header, data_key, machine)
        try:
            with files.removed_on_failure(new):
                self._database.give_way(new, header)
        finally:
            if self._database.header is header:
                self._tables.data_key = data_key
            self._tables.connection = self._database.connection

    def _build_next(self, header: Header, data_key: bytes, machine: str) -> Path:
        path, old, names = self._database.path, self._tables, self._names

        def fill(connection: sqlite3.Connection, inode: int) -> None:
            new = first_rows(connection, data_key, Identity(inode, machine), names)
            copy_sealed(old, new, names)

        try:
            return build_database(path, header, fill)
        except (sqlite3.Error, OSError) as error:
            files.remove_unfinished(path)
            raise NotKept(refusal(error)) from None

    def _refuse_unsaved(self) -> None:
        """What lies outside is sealed under the old key, and the broker is about to save it."""
        for name, sealed in self._unsaved.read().items():
            if not self._is_foreign(name, sealed):
                raise NotKept("not_saved_yet")

    def _is_foreign(self, name: str, sealed: bytes) -> bool:
        try:
            self._tables.open("unsaved", name, number_of(sealed), sealed)
        except Damaged as damage:
            return damage.reason in ("other_key", "not_sealed")
        return False

    # --- reading ------------------------------------------------------------------------------

    def load(self) -> list[Kept]:
        """Everything: records, open attempts, and a name for each record that is lost or broken."""
        self._adopt_unsaved()
        rows, attempts = self._read_rows(), self._journal.read()
        self._keep_evidence(rows)
        names = self._names | rows.keys() | attempts.keys()
        return [self._kept(name, rows.get(name), attempts.get(name)) for name in sorted(names)]

    def _kept(self, name: str, row: Row | None, attempt: Attempt | None) -> Kept:
        if name in self._waiting:
            waiting, attempt_id = self._waiting[name]
            is_answered = attempt is None or attempt.id == attempt_id
            return Kept(name, number_of_row(row), waiting, None if is_answered else attempt)
        payload, damage = self._opened(name, row)
        return Kept(name, number_of_row(row), payload, attempt, damage)

    def _opened(self, name: str, row: Row | None) -> tuple[bytes | None, str]:
        """The payload, or None and what is wrong with the record."""
        if row is None:
            return None, LOST if name in self._names else ""
        try:
            payload = self._tables.open("record", name, *row)
        except Damaged as damage:
            return None, damage.reason
        return (payload, "") if name in self._names else (None, UNLISTED)

    def _read_rows(self) -> dict[str, Row]:
        with self._tables.reading() as connection:
            found = connection.execute("SELECT name, number, sealed FROM record").fetchall()
        return {name: (number, sealed) for name, number, sealed in found if is_name(name)}

    def _read_row(self, name: str) -> Row | None:
        query = "SELECT number, sealed FROM record WHERE name = ?"
        with self._tables.reading() as connection:
            row: Row | None = connection.execute(query, (name,)).fetchone()
        return row

    def _keep_evidence(self, rows: dict[str, Row]) -> None:
        """Copy every broken record aside, so that no later write is the end of it."""
        for name, row in rows.items():
            damage = self._opened(name, row)[1]
            if damage:
                with contextlib.suppress(NotKept):  # `keep` does it again before it overwrites
                    self._aside.put_evidence(name, damage, row[1])

    # --- writing ------------------------------------------------------------------------------

    def journal(self, name: str, attempt: Attempt) -> None:
        """See Keeper. Refused where the reserve can't be made: the result might find no room."""
        try:
            self._reserve.ensure()
        except OSError as error:
            raise NotKept(files.refusal(error)) from None
        self._journal.write(name, attempt)

    def settle(self, name: str) -> None:
        """See Keeper."""
        self._journal.settle(name)

    def keep(self, name: str, payload: bytes, expected: int) -> int:
        """See Keeper. `name` must be a credential's name (ValueError)."""
        if not is_name(name):
            raise ValueError("not a credential's name")
        number = expected + 1
        try:
            self._check_number(name, expected)
            self._write_with_reserve(lambda: self._write_record(name, number, payload))
        except NotKept as failure:
            self._keep_outside(name, number, payload, failure.reason)
        self._tidy(name)
        return number

    def _check_number(self, name: str, expected: int) -> None:
        # Outside the transaction: nobody else can write, and a full disk still says who is late.
        found = number_of_row(self._read_row(name))
        if found != expected:
            raise Superseded(f"{name}: number {found}, not {expected}")

    def _write_record(
        self, name: str, number: int, payload: bytes, attempt_id: str | None = None
    ) -> None:
        """One transaction: the record, its attempt (or only that of `attempt_id`), its listing."""
        row = self._read_row(name)
        damage = self._opened(name, row)[1]
        is_answered = attempt_id is None or attempt_id == self._journal.current_id(name)
        sealed = self._tables.seal("record", name, number, payload)
        with self._tables.transaction() as connection:
            if row is not None and damage:
                self._aside.add_evidence(name, damage, row[1])
            connection.execute("REPLACE INTO record VALUES (?, ?, ?)", (name, number, sealed))
            if is_answered:
                self._journal.clear(name)
            if name not in self._names:
                _write_names(self._tables, self._names | {name})
        self._names.add(name)

    def _write_with_reserve(self, write: Callable[[], None]) -> None:
        """Once more with the reserve's room, where the disk refuses. Raises NotKept."""
        try:
            write()
        except NotKept:
            # Whatever the reason says: a quota that is used up looks like any other error to us.
            if not self._reserve.release():
                raise
            write()

    def _keep_outside(self, name: str, number: int, payload: bytes, reason: str) -> None:
        """The runtime folder takes it, sealed, with the attempt that brought it. Always raises."""
        attempt_id = ""
        with contextlib.suppress(NotKept):
            attempt_id = self._journal.current_id(name)
        plain = attempt_id.encode() + b"\0" + payload
        try:
            self._unsaved.write(name, self._tables.seal("unsaved", name, number, plain))
        except (OSError, files.Unfit):
            raise NotKept(reason) from None
        raise KeptOutside(reason)

    def _tidy(self, name: str) -> None:
        """After a write that worked: what lay outside is old now, and the reserve is due again."""
        self._waiting.pop(name, None)
        with contextlib.suppress(OSError):
            self._unsaved.remove(name)
        with contextlib.suppress(OSError):
            self._reserve.ensure()

    def forget(self, name: str) -> None:
        """See Keeper. What is deleted is overwritten, in the file and in its log."""
        try:
            self._unsaved.remove(name)  # first: left behind, it would come back at the next start
        except OSError as error:
            raise NotKept(files.refusal(error)) from None
        self._write_with_reserve(lambda: self._erase(name))
        self._tidy(name)
        self._tables.truncate_log()

    def _erase(self, name: str) -> None:
        with self._tables.transaction() as connection:
            connection.execute("DELETE FROM record WHERE name = ?", (name,))
            self._journal.clear(name)
            self._aside.clear(name)
            if name in self._names:
                _write_names(self._tables, self._names - {name})
        self._names.discard(name)

    # --- the side slot ------------------------------------------------------------------------

    def put_aside(self, name: str, payload: bytes, reason: str) -> None:
        """See Keeper. A late reply may hold the only live refresh token: it may use the reserve."""
        self._write_with_reserve(lambda: self._aside.put_late(name, payload, reason))

    def look_aside(self, name: str) -> bytes | None:
        """See Keeper. A reply that was damaged is passed over."""
        return self._aside.newest_late(name)

    def drop_aside(self, name: str) -> None:
        """See Keeper."""
        self._aside.drop_late(name)

    # --- what lay outside ---------------------------------------------------------------------

    def _adopt_unsaved(self) -> None:
        for name, sealed in self._unsaved.read().items():
            try:
                number = number_of(sealed)
                plain = self._tables.open("unsaved", name, number, sealed)
            except Damaged as damage:
                self._set_unsaved_aside(name, damage.reason, sealed)
                continue
            attempt_id, _, payload = plain.partition(b"\0")
            self._adopt(name, number, payload, attempt_id.decode())

    def _adopt(self, name: str, number: int, payload: bytes, attempt_id: str) -> None:
        """Take it in if it is newer than the record, or the record is broken; else it is old."""
        row = self._read_row(name)
        found, is_broken = number_of_row(row), bool(self._opened(name, row)[1])
        if number > found or (is_broken and number == found):
            try:
                self._write_record(name, number, payload, attempt_id)
            except NotKept:
                self._waiting[name] = (payload, attempt_id)  # the disk still refuses; serve it
                return
        self._tidy(name)

    def _set_unsaved_aside(self, name: str, reason: str, sealed: bytes) -> None:
        if reason == "other_key":
            return  # another vault's, waiting for its own daemon
        with contextlib.suppress(NotKept, OSError):
            self._aside.put_evidence(name, reason, sealed)
            self._unsaved.remove(name)


def _write_names(tables: Tables, names: set[str]) -> None:
    tables.write_meta("names", json.dumps(sorted(names)).encode())


def _read_names(tables: Tables) -> set[str]:
    try:
        return set(json.loads(tables.read_meta("names")))
    except sqlite3.Error as error:
        raise Unreadable(refusal(error)) from None
    except (Damaged, TypeError, ValueError):
        raise Unreadable("names_damaged") from None
