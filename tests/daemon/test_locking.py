"""Every way to try a passphrase pays the same price, and sealing drops nothing that is not kept."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from credd.core.model import Secret
from credd.daemon import locking
from credd.daemon.locking import Locking
from credd.errors import BadRequest, Locked, Misconfigured
from credd.vault.vault import LOCKED, OPEN, VaultStatus
from tests.fakes.house import House, started
from tests.fakes.virtual_time import virtual

RIGHT = Secret("right")


class FakeVault:
    """A vault whose every guess is wrong, and which can be closed."""

    def __init__(self, status: VaultStatus) -> None:
        self.now = status

    def status(self) -> VaultStatus:
        return self.now

    def problem(self) -> Locked | None:
        return None if self.now.state == OPEN else Locked("closed", reason="closed")

    async def open(self) -> VaultStatus:
        self.now = VaultStatus(OPEN, self.now.key_source)
        return self.now

    async def close(self) -> None:
        self.now = VaultStatus(LOCKED, self.now.key_source, "closed")

    async def unlock(self, offered: Any) -> VaultStatus:
        raise Locked(reason="wrong_passphrase")

    async def rewrap(self, *args: Any, **kwargs: Any) -> None:
        raise Locked(reason="wrong_passphrase")

    async def rekey(self, *args: Any) -> None:
        raise Locked(reason="wrong_recovery_code")


async def plain(passphrase: Secret, salt: bytes) -> bytes:
    return salt + passphrase.reveal().encode()


async def locked_up(
    monkeypatch: pytest.MonkeyPatch, source: str = "file", state: str = OPEN
) -> tuple[House, Locking, FakeVault]:
    """A house behind its lock."""
    monkeypatch.setattr(locking, "slow_hash", plain)
    house, vault = await started(), FakeVault(VaultStatus(state, source))
    chores = Locking(vault, house.shelf, house.grants)  # type: ignore[arg-type]
    return house, chores, vault


@virtual
async def test_t14_the_vaults_own_guesses_are_slowed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passphrase, recovery code and the proofs of the vault's care: one count, one delay."""
    _, chores, _ = await locked_up(monkeypatch, "passphrase", LOCKED)
    ways = [
        lambda: chores.unlock(Secret("wrong")),
        lambda: chores.recover(Secret("wrong")),
        lambda: chores.rewrap_vault({"sources": ["file"]}),
        lambda: chores.rekey_vault({}),
    ]
    loop, took = asyncio.get_running_loop(), []
    for way in ways:
        start = loop.time()
        with pytest.raises(Locked):
            await way()
        took.append(round(loop.time() - start, 3))
    assert took == [0.1, 0.2, 0.3, 0.4]


@virtual
async def test_sealing_awaits_what_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flight under way lands, and what it brought is kept, before anything is dropped."""
    house, chores, vault = await locked_up(monkeypatch)
    house.issuer.latency = 5.0
    await asyncio.sleep(150)
    while house.shelf.find("lab").flight is None:  # noqa: ASYNC110
        await asyncio.sleep(1)
    before = len(house.issuer.requests)
    await chores.lock(RIGHT, seal=True)
    assert len(house.issuer.requests) <= before + 1
    assert vault.now.state == LOCKED
    holding = house.shelf.find("lab")
    assert (holding.grant, holding.tokens, house.shelf.unlocked) == (None, {}, False)
    await chores.unlock(RIGHT)
    assert (await house.fetch()).startswith("at-")
    assert house.issuer.violations == []


@virtual
async def test_what_is_not_in_the_vault_yet_is_not_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It stays locked and unsealed, and goes on trying to save."""
    house, chores, vault = await locked_up(monkeypatch)
    house.shelf.find("lab").unsaved = True
    with pytest.raises(Misconfigured, match="not sealed"):
        await chores.lock(RIGHT, seal=True)
    assert vault.now.state == OPEN
    assert house.shelf.find("lab").grant is not None
    with pytest.raises(Locked):
        chores.refuse_if_locked()


@virtual
async def test_locking_takes_a_passphrase(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sealing alone is enough only where the vault has a passphrase of its own, or a lock is on."""
    _, chores, vault = await locked_up(monkeypatch)
    for seal in (False, True):
        with pytest.raises(BadRequest):
            await chores.lock(None, seal=seal)
    await chores.lock(RIGHT, seal=False)
    await chores.lock(None, seal=True)
    assert vault.now.state == LOCKED
    _, chores, vault = await locked_up(monkeypatch, "passphrase")
    await chores.lock(None, seal=True)
    assert vault.now.state == LOCKED
