"""A vault in a folder of its own, for the tests that need one: build it, open it, break it."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from credd.core.model import Secret
from credd.vault.keychain import KeyNotAtHand
from credd.vault.vault import Vault, VaultStatus

PASSPHRASE = Secret("correct horse battery staple")


class NoKeychain:
    """A session without a keyring."""

    def find(self, account: str, *, may_prompt: bool) -> str | None:
        raise KeyNotAtHand("keyring_absent")

    def store(self, account: str, text: str) -> None:
        raise KeyNotAtHand("keyring_absent")

    def remove(self, account: str) -> None:
        raise KeyNotAtHand("keyring_absent")

    def interrupt(self) -> None:
        pass


class MemoryKeychain:
    """A keyring in memory that can be locked; counts how often it would have asked a person."""

    def __init__(self) -> None:
        self.entries: dict[str, str] = {}
        self.is_locked = False
        self.prompts = 0

    def find(self, account: str, *, may_prompt: bool) -> str | None:
        self._unlock(may_prompt)
        return self.entries.get(account)

    def store(self, account: str, text: str) -> None:
        self._unlock(may_prompt=True)
        self.entries[account] = text

    def remove(self, account: str) -> None:
        self._unlock(may_prompt=False)
        self.entries.pop(account, None)

    def interrupt(self) -> None:
        pass

    def _unlock(self, may_prompt: bool) -> None:
        if self.is_locked and may_prompt:
            self.prompts += 1
        if self.is_locked:
            raise KeyNotAtHand("keyring_locked")


def put_fifo(place: Path) -> None:
    """A FIFO where a file was: whoever opens it for reading would wait for ever."""
    place.unlink()
    os.mkfifo(place, 0o600)


@dataclass
class Home:
    """`config/vault.key`, `state/vault.db`, `runtime/` below one folder."""

    root: Path
    machine: str = "machine-one"

    @property
    def path(self) -> Path:
        return self.root / "state" / "vault.db"

    @property
    def key_file(self) -> Path:
        return self.root / "config" / "vault.key"

    @property
    def runtime(self) -> Path:
        return self.root / "runtime"

    def unsaved(self, name: str) -> Path:
        return self.runtime / "unsaved" / name

    def beside(self, what: str) -> Path:
        return self.path.with_name(f"vault.db-{what}")

    def vault(
        self,
        *,
        environ: Mapping[str, str] | None = None,
        keychain: NoKeychain | MemoryKeychain | None = None,
    ) -> Vault:
        """A vault that is not opened yet, in a session without keyring unless one is given."""
        return Vault(
            self.path,
            self.runtime,
            self.key_file,
            environ=environ or {},
            keychain=keychain or NoKeychain(),
            machine_id=lambda: self.machine,
        )

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[Vault]:
        """The vault of this home, made with a key file if there is none; closed at the end."""
        vault = self.vault()
        try:
            if (await vault.open()).state == "absent":
                await vault.create("file")
            yield vault
        finally:
            await vault.close()

    async def fill(self, records: Mapping[str, bytes]) -> None:
        """Make the vault and keep these records, each with number 1; then close it."""
        async with self.opened() as vault:
            for name, payload in records.items():
                await vault.keep(name, payload, 0)

    async def look(self) -> VaultStatus:
        """What a start of the daemon would find; the vault is closed again."""
        vault = self.vault()
        try:
            return await vault.open()
        finally:
            await vault.close()

    @contextlib.contextmanager
    def edit(self) -> Iterator[sqlite3.Connection]:
        """Change the closed vault's tables behind its back."""
        connection = sqlite3.connect(self.path)
        try:
            yield connection
            connection.commit()
        finally:
            connection.close()
