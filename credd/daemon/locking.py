"""Locking as a chore: shut until a passphrase comes back, or sealed until the vault's key does.

Rules: whatever may be a guess (the lock's passphrase, the vault's, a recovery code, and the proofs
that the vault's care asks for) goes through one `Guesses`, so that no way is the cheap one. The
hard thing is sealing: what was sent to an issuer is awaited, and nothing is dropped from memory
that is not on the disk.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable

from credd import wire_vault
from credd.broker.grants import Grants
from credd.broker.lock import Guesses, Lock
from credd.broker.shelf import Shelf
from credd.core.model import Secret
from credd.daemon.vault_care import VaultCare
from credd.errors import BadRequest, Misconfigured
from credd.vault.passphrase import derive_key, new_parameters
from credd.vault.vault import OPEN, Offered, Vault

log = logging.getLogger(__name__)

SALT_BYTES = 16  # RFC 9106, 3.1


class Locking(VaultCare):
    """The vault's care, behind a lock that a person may close. `before_sealing` ends what would
    still write into the vault."""

    def __init__(self, vault: Vault, shelf: Shelf, grants: Grants) -> None:
        super().__init__(vault, shelf, grants)
        self._guesses = Guesses()
        self._lock = Lock(slow_hash, lambda: os.urandom(SALT_BYTES), self._guesses)
        self.before_sealing: Callable[[], Awaitable[None]] | None = None
        shelf.why_shut = self._lock.problem

    def refuse_if_locked(self) -> None:
        """Raise Locked while a person has locked it."""
        problem = self._lock.problem()
        if problem is not None:
            raise problem

    # --- shutting -----------------------------------------------------------------------------

    async def lock(self, passphrase: Secret | None, *, seal: bool) -> None:
        """Shut everything that bears a secret, until `unlock`; with `seal` drop keys and tokens.

        Sealing needs no passphrase of its own where the vault has one, or where it is locked
        already. Raises BadRequest, Locked, and Misconfigured where something can't be dropped.
        """
        if passphrase is not None:
            await self._lock.lock(passphrase)
            log.warning("locked; refreshing goes on")
        elif not seal or not (self._lock.is_locked() or self._has_passphrase()):
            raise BadRequest(
                "locking takes a passphrase", remedy="credd-ctl lock", reason="passphrase_needed"
            )
        if seal and self._vault.status().state == OPEN:
            await self._seal()

    def _has_passphrase(self) -> bool:
        return self._vault.status().key_source == "passphrase"

    async def _seal(self) -> None:
        if self.before_sealing is not None:
            await self.before_sealing()
        async with self._opening:
            await self._grants.drop_all(self._close_vault)
            self._shelf.unlocked = False
        log.warning("sealed: keys and tokens are dropped, and nothing is refreshed")

    async def _close_vault(self) -> None:
        unsaved = [holding.name for holding in self._shelf.all() if holding.unsaved]
        if unsaved:
            raise Misconfigured(
                f"not sealed: the newest secret of {', '.join(unsaved)} is not in the vault yet",
                remedy=f"credd-ctl status {unsaved[0]}",
                reason="unsaved",
            )
        await self._vault.close()

    # --- opening ------------------------------------------------------------------------------

    async def unlock(self, passphrase: Secret) -> None:
        """Open the lock, and the vault where it was sealed; else the vault by its own passphrase.

        Raises Locked where it is another passphrase, or where the vault's key is still not at hand.
        """
        if not self._lock.is_locked():
            await super().unlock(passphrase)
            return
        await self._lock.unlock(passphrase)
        log.warning("unlocked")
        if self._is_sealed():
            await self.open_vault()
            problem = self._vault.problem()
            if problem is not None:
                raise problem

    def _is_sealed(self) -> bool:
        return self._vault.status().reason == "closed"

    async def _unlock(self, offered: Offered) -> None:
        unlock = super()._unlock
        await self._guesses.attempt(lambda: unlock(offered))

    async def _unlock_within(self, offered: Offered) -> None:
        if self._is_sealed():
            await self._vault.open()
        await super()._unlock_within(offered)

    # --- what takes a proof -------------------------------------------------------------------

    async def rewrap_vault(self, request: wire_vault.RewrapRequest) -> wire_vault.VaultReply:
        """Change the sources of the vault's key."""
        rewrap = super().rewrap_vault
        await self._guesses.attempt(lambda: rewrap(request))
        return self.vault()

    async def rekey_vault(self, request: wire_vault.RekeyRequest) -> wire_vault.VaultReply:
        """Seal everything anew."""
        rekey = super().rekey_vault
        await self._guesses.attempt(lambda: rekey(request))
        return self.vault()


async def slow_hash(passphrase: Secret, salt: bytes) -> bytes:
    """Argon2id, as for the vault: 64 MiB and some 100 ms, beside the loop."""
    parameters = {**new_parameters(), "salt": salt.hex()}
    return await asyncio.to_thread(derive_key, passphrase, parameters)
