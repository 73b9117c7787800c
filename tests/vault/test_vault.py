"""The vault keeps every keeper's promises, and its own about states and keys."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from credd.vault.vault import Vault
from tests.vault.homes import Home
from tests.vault.keeper_contract import KeeperContract


@pytest.fixture
async def keeper(tmp_path: Path) -> AsyncIterator[Vault]:
    """A real vault on a real disk."""
    async with Home(tmp_path).opened() as vault:
        yield vault


class TestVaultAsKeeper(KeeperContract):
    """Every promise of the contract."""
