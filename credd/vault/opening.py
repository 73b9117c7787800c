"""A vault's file and its key: whether it is there, open, or locked, and how it gets so.

Knows when a vault may be opened, made and closed; leaves files, keys and records to its neighbours.
The one hard thing: nobody waits for somebody else's key. All SQL runs on one writer thread
(writer.py); keyrings and Argon2id have a thread of their own; so a locked keyring or a wrong
passphrase never holds up a rotated refresh token on its way to the disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, Self, TypeVar

from credd.core.keeping import NotKept
from credd.core.model import Secret
from credd.errors import CreddError
from credd.vault.database import Database, create_database, exists, open_database
from credd.vault.fileformat import NewerVault, Unreadable, beside, refusal
from credd.vault.files import Unfit, make_private_folder
from credd.vault.header import Header, HeaderDamaged
from credd.vault.identity import Identity, read_machine_id
from credd.vault.keychain import Keychain, KeyNotAtHand, SystemKeychain
from credd.vault.keys import KeySources
from credd.vault.reasons import problem
from credd.vault.seal import KEY_SIZE
from credd.vault.spare import Reserve, Unsaved
from credd.vault.store import Store, first_rows
from credd.vault.wraps import DAILY, Offered, new_header
from credd.vault.writer import Writer, one_thread, run

ABSENT, LOCKED, OPEN, UNREADABLE, NEWER = "absent", "locked", "open", "unreadable", "newer"

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class VaultStatus:
    """Where the vault stands.

    `state`: `absent` (none was made yet), `locked` (its key is not at hand), `open`, `unreadable`
    (the file can't be used; it was not changed), `newer` (nor was this). `key_source`: `systemd`,
    `keyring`, `file`, `passphrase` (the first of several), or "" where no header was read.
    `reason`: a row of reasons.py, "" when open. `restored`: this is a copy of the vault that was
    made, so rotating grants must not be posted until `accept`.
    """

    state: str
    key_source: str = ""
    reason: str = ""
    restored: bool = False


class Opening(Writer):
    """A vault as far as its file and its key go."""

    def __init__(
        self,
        path: Path,
        runtime_folder: Path,
        key_file: Path,
        *,
        environ: Mapping[str, str] = os.environ,
        keychain: Keychain | None = None,
        machine_id: Callable[[], str] = read_machine_id,
    ) -> None:
        """`path` is vault.db; `key_file` is where a key file is, or would be made.

        Unsaved records go below `runtime_folder`. The last three are for tests.
        """
        super().__init__()
        self.path = path
        self._key_file = key_file
        self._keychain = keychain or SystemKeychain()
        self._keys = KeySources(key_file, environ, self._keychain)
        self._machine_id = machine_id
        self._reserve = Reserve(beside(path, "reserve"))
        self._unsaved = Unsaved(runtime_folder)
        self._status = VaultStatus(ABSENT, reason="no_vault")
        self._database: Database | None = None
        self._changing = asyncio.Lock()
        self._locksmith = one_thread("credd-keys")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._status.state} {str(self.path)!r}>"

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # --- what state it is in ------------------------------------------------------------------

    def status(self) -> VaultStatus:
        """Where the vault stands, without touching it."""
        return self._status

    def problem(self) -> CreddError | None:
        """What to tell somebody who needs an open vault; None if it is open."""
        return self._problem(self._status.reason) if self._status.state != OPEN else None

    def sources(self) -> tuple[str, ...]:
        """Where its key may come from, in the order in which a start asks; none where no header
        was read."""
        wraps = self._database.header.wraps if self._database else ()
        return tuple(wrapped.source for wrapped in wraps)

    async def open(self) -> VaultStatus:
        """Open the file, and try the sources that need no person. Raises AnotherDaemon."""
        async with self._changing:
            await self._open_file()
            await self._try_sources(may_prompt=False)
            return self._status

    async def retry(self, *, may_prompt: bool = False) -> VaultStatus:
        """Look again, if it is locked or unreadable: a keyring may have been unlocked since.

        Call it every few seconds; with `may_prompt`, when a person has asked for it. Raises
        AnotherDaemon.
        """
        if self._status.state in (OPEN, ABSENT) or self._status.reason == "closed":
            return self._status
        async with self._changing:
            await self._open_file()
            await self._try_sources(may_prompt=may_prompt)
            return self._status

    async def create(self, source: str, passphrase: Secret | None = None) -> VaultStatus:
        """Make a vault whose key comes from `source`, and open it; its key is durable before it.

        `source`: `auto`, `systemd`, `keyring`, `file` or `passphrase`. Raises Misconfigured with
        `vault_exists` where anything is there already, `vault_key_undecided` where "auto" finds
        nothing to use; AnotherDaemon; or CreddError with the reason. Nothing is ever replaced.
        """
        if source not in (*DAILY, "auto"):
            raise self._problem("key_source_unknown")
        async with self._changing:
            if self._database is not None or exists(self.path):
                raise self._problem("vault_exists")
            if source == "file" and is_same_folder(self._key_file, self.path):
                raise self._problem("key_beside_vault")
            await self._create(source, passphrase)
            return self._status

    async def unlock(self, offered: Secret | Offered) -> VaultStatus:
        """Open a vault by what a person hands over: its passphrase, or its recovery code.

        The same work is done for every passphrase. Slowing down guessers is the caller's. Raises
        Locked (`wrong_passphrase` and its kind).
        """
        async with self._changing:
            if self._status.state == OPEN:
                return self._status
            if self._database is None:
                raise self._problem(self._status.reason)
            await self._unlock(self._database, _offered(offered))
            return self._status

    async def close(self) -> None:
        """Finish what was asked for, drop the key, let go of the file. `open` opens it again."""
        self._keychain.interrupt()
        async with self._changing:
            await self._let_go()

    # --- inside -------------------------------------------------------------------------------

    def _problem(self, reason: str) -> CreddError:
        return problem(reason, self.path, self._key_file)

    async def _ask(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """On the thread for keys."""
        return await run(self._locksmith, lambda: call(*args, **kwargs))

    @contextlib.contextmanager
    def _as_problems(self) -> Iterator[None]:
        """What files, keys and records raise becomes an error with a sentence and a remedy."""
        try:
            yield
        except (KeyNotAtHand, NotKept, Unfit, Unreadable) as failure:
            raise self._problem(failure.reason) from None
        except HeaderDamaged:
            raise self._problem("header_damaged") from None
        except FileExistsError:
            raise self._problem("vault_exists") from None
        except (OSError, sqlite3.Error) as error:
            raise self._problem(refusal(error)) from None

    def _at_hand(self) -> tuple[Store, Database]:
        if self._store is None or self._database is None:
            raise self._problem(self._status.reason)
        return self._store, self._database

    async def _let_go(self) -> None:
        """Finish what was asked for; without key and file from here on."""
        self._store = None
        if self._database is not None:
            database, self._database = self._database, None
            await self._write(database.close)
            self._status = VaultStatus(LOCKED, self._status.key_source, "closed")
        for thread in (self._writer, self._locksmith):
            thread.shutdown(wait=False)
        self._writer, self._locksmith = one_thread("credd-vault"), one_thread("credd-keys")

    async def _open_file(self) -> None:
        if self._database is not None:
            return
        if not exists(self.path):
            self._status = VaultStatus(ABSENT, reason="no_vault")
            return
        try:
            self._database = await self._write(open_database, self.path)
        except Unreadable as fault:
            state = NEWER if isinstance(fault, NewerVault) else UNREADABLE
            self._status = VaultStatus(state, reason=fault.reason)
        else:
            self._status = self._locked("closed")

    def _locked(self, reason: str) -> VaultStatus:
        wraps = self._database.header.wraps if self._database else ()
        return VaultStatus(LOCKED, wraps[0].source if wraps else "", reason)

    async def _try_sources(self, *, may_prompt: bool) -> None:
        database = self._database
        if database is None or self._store is not None:
            return
        try:
            data_key = await self._ask(self._keys.data_key, database.header, may_prompt=may_prompt)
        except KeyNotAtHand as failure:
            self._status = self._locked(failure.reason)
        else:
            await self._use(database, data_key)

    async def _unlock(self, database: Database, offered: Offered) -> None:
        with self._as_problems():
            data_key = await self._ask(self._keys.data_key_by_person, database.header, offered)
        await self._use(database, data_key)

    async def _use(self, database: Database, data_key: bytes) -> None:
        """The file with its key: from here on records are kept."""
        try:
            store, is_copy = await self._write(self._build_store, database, data_key)
        except (Unreadable, NotKept) as fault:
            self._database = None
            await self._write(database.close)
            self._status = VaultStatus(UNREADABLE, self._status.key_source, fault.reason)
            return
        self._store = store
        self._status = VaultStatus(OPEN, self._locked("").key_source, restored=is_copy)

    def _build_store(self, database: Database, data_key: bytes) -> tuple[Store, bool]:
        store = Store(database, data_key, self._reserve, self._unsaved)
        with contextlib.suppress(OSError):  # reading needs no reserve; `journal` insists on it
            self._reserve.ensure()
        return store, store.is_copy(self._machine_id())

    async def _create(self, source: str, passphrase: Secret | None) -> None:
        vault_id = os.urandom(16).hex()
        data_key = os.urandom(KEY_SIZE)
        with self._as_problems():
            # First, so that no key is left lying about for a vault that can't be made.
            await self._write(make_private_folder, self.path.parent)
            key = await self._ask(self._keys.make, source, vault_id, Offered(passphrase))
            header = new_header(vault_id, [key], data_key)
            await self._write(self._create_file, header, data_key)
        await self._open_file()
        if self._database is not None:
            await self._use(self._database, data_key)

    def _create_file(self, header: Header, data_key: bytes) -> None:
        machine = self._machine_id()

        def fill(connection: sqlite3.Connection, inode: int) -> None:
            first_rows(connection, data_key, Identity(inode, machine), set())

        create_database(self.path, header, fill)


def is_same_folder(one: Path, other: Path) -> bool:
    """Whether both files lie, or would lie, in one folder."""
    return one.parent.resolve() == other.parent.resolve()


def _offered(what: Secret | Offered) -> Offered:
    return what if isinstance(what, Offered) else Offered(what)
