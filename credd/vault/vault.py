"""The vault as the rest of the daemon sees it: async, locked or open, and looked after.

Knows what may be done to a vault as a whole: checked, accepted, given other keys, taken away; how
it is opened stands in opening.py, how records are kept in writer.py. The one hard thing: whatever
changes a vault either completes or leaves it as it was, wherever it is stopped.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from credd.core.keeping import NotKept
from credd.errors import CreddError
from credd.vault import resetting
from credd.vault.checking import DAMAGED, NOTED, WHOLE, Checked
from credd.vault.database import Database, exists, lock_vault
from credd.vault.files import probe
from credd.vault.header import Header
from credd.vault.opening import (
    ABSENT,
    LOCKED,
    NEWER,
    OPEN,
    UNREADABLE,
    Opening,
    VaultStatus,
    is_same_folder,
)
from credd.vault.reasons import explain
from credd.vault.store import Store
from credd.vault.wraps import DAILY, NOTHING, SOURCES, Offered, needs_person

__all__ = ["ABSENT", "LOCKED", "NEWER", "OPEN", "UNREADABLE", "Offered", "Vault", "VaultStatus"]


class Vault(Opening):
    """A Keeper (see Writer), and what is asked of the vault itself."""

    async def check(self) -> list[Checked]:
        """Every part of it, and whether it is whole. Raises the problem of one that isn't open."""
        async with self._changing:
            if self._status.state == UNREADABLE:
                return [Checked("file", "", DAMAGED, self._status.reason)]
            store, database = self._at_hand()
            parts = await self._write(store.check)
            if self._status.restored:
                parts.append(Checked("identity", "", NOTED, "restored_copy"))
            return parts + await self._ask(self._check_sources, database.header)

    def explain(self, part: Checked) -> tuple[str, str]:
        """What was found, in words, and a command to paste, or ""."""
        return explain(part.part, part.name, part.reason, self.path, self._key_file)

    async def accept(self) -> VaultStatus:
        """A person says that this copy is the vault from now on. Raises Locked, NotKept."""
        async with self._changing:
            store, _ = self._at_hand()
            await self._write(store.accept, self._machine_id())
            self._status = replace(self._status, restored=False)
            return self._status

    async def rewrap(
        self, sources: Sequence[str], proof: Offered, new: Offered, *, only: bool = False
    ) -> VaultStatus:
        """Let the vault be opened by these sources too, or by these `only`; its records stay.

        A source that is named gets a new key, and `new` is what a person gives for it. Where only
        a person can open the vault, `proof` must open it: else whoever may speak to the daemon
        could add a key of their own. One transaction; raises Misconfigured, Locked, NotKept.
        """
        async with self._changing:
            store, database = self._to_be_changed()
            self._check_choice(sources, only=only)
            vault_id = database.header.vault_id
            with self._as_problems():
                await self._ask(self._prove, database.header, proof)
                keys = await self._ask(self._keys.make_all, sources, vault_id, new)
                try:
                    dropped = await self._write(store.rewrap, keys, only=only)
                except NotKept:
                    await self._ask(self._keys.unmake_all, keys)
                    raise
            await self._ask(self._keys.unmake_all, dropped)
            self._status = replace(self._status, key_source=self.sources()[0])
            return self._status

    async def rekey(self, offered: Offered = NOTHING) -> VaultStatus:
        """A new data key, and a new file in the place of the old one, which is overwritten.

        `offered`: the passphrase, where it is one of the sources, and a new recovery code, where
        there is one. What is kept meanwhile waits, and is kept in the new file. Raises Locked,
        Misconfigured; then the vault is as it was.
        """
        async with self._changing:
            store, database = self._to_be_changed()
            with self._as_problems():
                keys = await self._ask(self._keys.make_again, database.header, offered)
                await self._write(store.rekey, keys, self._machine_id())
            return self._status

    async def reset(self, at: float, *, erase: bool = False) -> Path | None:
        """Take the vault out of its place, whatever state it is in; where it lies now.

        `at`: Unix seconds, for its new name. With `erase` it is overwritten and removed. Raises
        LoginRequired where there is none, Misconfigured where the disk refuses, AnotherDaemon.
        """
        self._keychain.interrupt()
        async with self._changing:
            if self._database is None and not exists(self.path):
                raise self._problem("no_vault")
            header = self._database.header if self._database else None
            aside = await self._reset(at, erase)
            if erase and header is not None:
                await self._ask(self._keys.unmake_all, header.wraps)
            self._status = VaultStatus(ABSENT, reason="no_vault")
            return aside

    # --- inside -------------------------------------------------------------------------------

    def _to_be_changed(self) -> tuple[Store, Database]:
        """Open, and no copy: what is a copy's key source may be the original's, too."""
        found = self._at_hand()
        if self._status.restored:
            raise self._problem("restored_copy")
        return found

    def _check_choice(self, sources: Sequence[str], *, only: bool) -> None:
        if not sources or not set(sources) <= set(SOURCES) or len(set(sources)) < len(sources):
            raise self._problem("key_source_unknown")
        if only and not set(sources) & set(DAILY):
            raise self._problem("recovery_code_alone")
        if "file" in sources and is_same_folder(self._key_file, self.path):
            raise self._problem("key_beside_vault")

    def _prove(self, header: Header, proof: Offered) -> None:
        if needs_person(header) or proof != NOTHING:
            self._keys.data_key_by_person(header, proof)

    def _check_sources(self, header: Header) -> list[Checked]:
        looks = self._keys.look(header)
        return [Checked("key-source", s, NOTED if why else WHOLE, why) for s, why in looks]

    async def _reset(self, at: float, erase: bool) -> Path | None:
        """Let go of the file and take it away; where that fails, it is opened again."""
        with self._as_problems():
            await self._write(probe, self.path)  # before anything is closed
        await self._let_go()
        try:
            with self._as_problems():
                return await self._write(self._take_away, at, erase)
        except CreddError:
            await self._open_file()
            await self._try_sources(may_prompt=False)
            raise

    def _take_away(self, at: float, erase: bool) -> Path | None:
        lock = lock_vault(self.path)
        try:
            if erase:
                resetting.erase(self.path, self._unsaved.folder)
                return None
            return resetting.set_aside(self.path, self._unsaved.folder, at)
        finally:
            os.close(lock)
