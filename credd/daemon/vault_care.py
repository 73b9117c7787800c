"""The vault as a chore: opening it, looking after it, taking it out of its place.

Rules: nothing here decides about a token. Opening the vault is one step, whoever asks for it (the
start, a login, `unlock`, a keyring that came back): open, read what is kept, let the refresher
look. Taking it away is one step too: what was sent to an issuer is awaited, then file and memory go
together.
"""

from __future__ import annotations

import asyncio
import logging
import time

from credd import wire_vault
from credd.broker.grants import Grants
from credd.broker.shelf import Shelf
from credd.core.model import Secret
from credd.errors import CreddError
from credd.vault.vault import ABSENT, OPEN, Offered, Vault

log = logging.getLogger(__name__)


class VaultCare:
    """What `credd-ctl` asks of the daemon about the vault."""

    def __init__(self, vault: Vault, shelf: Shelf, grants: Grants) -> None:
        self._vault = vault
        self._shelf = shelf
        self._grants = grants
        self._opening = asyncio.Lock()

    # --- opening it ---------------------------------------------------------------------------

    async def open_vault(self) -> None:
        """Open the vault as far as that needs no person, and take over what it holds."""
        async with self._opening:
            status = await self._vault.open()
            await self._take_over()
        if status.state not in (OPEN, ABSENT):
            log.warning("the vault is %s: %s", status.state, status.reason)

    async def retry_vault(self) -> bool:
        """Try again whether the vault can be opened without a person. True once it is open."""
        async with self._opening:
            if self._vault.status().state != OPEN:
                await self._vault.retry()
                await self._take_over()
            return self._vault.status().state == OPEN

    async def unlock(self, passphrase: Secret) -> None:
        """Open the vault with a passphrase. Raises Locked where it is another one."""
        await self._unlock(Offered(passphrase))

    async def recover(self, code: Secret) -> None:
        """Open the vault with its recovery code. Raises Locked where it is another one."""
        await self._unlock(Offered(recovery_code=code))

    async def _unlock(self, offered: Offered) -> None:
        async with self._opening:
            await self._unlock_within(offered)

    async def _unlock_within(self, offered: Offered) -> None:
        await self._vault.unlock(offered)
        await self._take_over()

    async def _take_over(self) -> None:
        """Read what is kept, once, when the vault has become open."""
        status = self._vault.status()
        if status.state == ABSENT:
            self._shelf.unlocked = True  # nothing is held, so nothing can be locked
        elif status.state == OPEN and not self._shelf.loaded:
            await self._shelf.load(restored=status.restored)

    # --- looking after it ---------------------------------------------------------------------

    def vault(self) -> wire_vault.VaultReply:
        """Where the vault stands."""
        status = self._vault.status()
        problem = self._vault.problem() or CreddError()
        is_open = status.state == OPEN
        return {
            "state": status.state,
            "reason": status.reason,
            "detail": "" if is_open else problem.detail,
            "remedy": "" if is_open else problem.remedy,
            "sources": list(self._vault.sources()),
            "restored": status.restored,
            "file": str(self._vault.path),
        }

    async def verify_vault(self) -> wire_vault.VerifyReply:
        """Look at every part of the vault. Raises the problem of one that can't be opened."""
        await self.retry_vault()
        parts: list[wire_vault.VaultPart] = []
        for found in await self._vault.check():
            detail, remedy = self._vault.explain(found)
            words: wire_vault.VaultPart = {**found._asdict(), "detail": detail, "remedy": remedy}  # type: ignore[typeddict-item]
            parts.append(words)
        damaged = [part for part in parts if part["verdict"] == "damaged"]
        remedies = [part["remedy"] for part in damaged if part["remedy"]]
        return {"parts": parts, "damaged": len(damaged), "remedy": next(iter(remedies), "")}

    async def accept_vault(self) -> None:
        """Use this copied vault from here on."""
        await self._vault.accept()
        self._grants.accept()

    async def rewrap_vault(self, request: wire_vault.RewrapRequest) -> wire_vault.VaultReply:
        """Change the sources of the vault's key."""
        proof = _offered(request.get("passphrase"), request.get("recovery_code"))
        new = _offered(request.get("new_passphrase"), request.get("new_recovery_code"))
        only = request.get("only", False)
        await self._vault.rewrap(request["sources"], proof, new, only=only)
        log.info("the vault's key comes from: %s", ", ".join(self._vault.sources()))
        return self.vault()

    async def rekey_vault(self, request: wire_vault.RekeyRequest) -> wire_vault.VaultReply:
        """Seal everything anew."""
        await self._vault.rekey(
            _offered(request.get("passphrase"), request.get("new_recovery_code"))
        )
        log.info("the vault is sealed under a new key, in a new file")
        return self.vault()

    async def reset_vault(self, *, erase: bool) -> wire_vault.ResetReply:
        """Take the vault out of its place, and forget what it held."""
        aside = ""

        async def take_away() -> None:
            nonlocal aside
            aside = str(await self._vault.reset(time.time(), erase=erase) or "")

        async with self._opening:
            names = await self._grants.drop_all(take_away)
        log.warning("the vault was %s", f"moved to {aside}" if aside else "erased")
        return {"aside": aside, "login_again": names}


def _offered(passphrase: str | None, code: str | None) -> Offered:
    return Offered(*(None if text is None else Secret(text) for text in (passphrase, code)))
