"""The keeper in memory keeps the vault's promises, so that the broker's tests mean something."""

from __future__ import annotations

import asyncio

import pytest

from credd.core.keeping import Kept, KeptOutside, NotKept
from tests.fakes.memory_keeper import MemoryKeeper
from tests.vault.keeper_contract import ATTEMPT, KeeperContract, the_one


@pytest.fixture
def keeper() -> MemoryKeeper:
    """An empty one."""
    return MemoryKeeper()


class TestMemoryKeeper(KeeperContract):
    """Every promise of the contract."""


async def test_a_failing_write_changes_nothing(keeper: MemoryKeeper) -> None:
    """NotKept carries the reason; after mending, the same number is still the one to show."""
    await keeper.keep("lab", b"one", 0)
    keeper.fail("keep", "disk_full")
    with pytest.raises(NotKept) as caught:
        await keeper.keep("lab", b"two", 1)
    assert (caught.value.reason, type(caught.value)) == ("disk_full", NotKept)
    keeper.mend()
    assert await the_one(keeper) == Kept("lab", 1, b"one")
    assert await keeper.keep("lab", b"two", 1) == 2


async def test_what_went_outside_is_adopted_at_the_next_load(keeper: MemoryKeeper) -> None:
    """KeptOutside means: after a restart the new payload is there and its attempt is cleared."""
    await keeper.keep("lab", b"one", 0)
    await keeper.journal("lab", ATTEMPT)
    keeper.fail_writes("read_only")
    with pytest.raises(KeptOutside):
        await keeper.keep("lab", b"two", 1)
    keeper.mend()
    assert await the_one(keeper) == Kept("lab", 2, b"two")


async def test_a_later_keep_replaces_what_went_outside(keeper: MemoryKeeper) -> None:
    """Trying again with the same number is how a degraded credential recovers."""
    keeper.fail("keep", "io", outside=True, times=1)
    with pytest.raises(KeptOutside):
        await keeper.keep("lab", b"one", 0)
    assert await keeper.keep("lab", b"one, again", 0) == 1
    assert await the_one(keeper) == Kept("lab", 1, b"one, again")


async def test_a_locked_keeper_refuses_everything(keeper: MemoryKeeper) -> None:
    """Reading too: without a key there is nothing to read."""
    keeper.lock()
    with pytest.raises(NotKept, match="locked"):
        await keeper.load()
    keeper.unlock()
    assert await keeper.load() == []


async def test_a_held_call_writes_only_when_let_go(keeper: MemoryKeeper) -> None:
    """A test can look at the moment before the write."""
    keeper.hold("keep")
    keeping = asyncio.create_task(keeper.keep("lab", b"one", 0))
    await keeper.reached("keep")
    assert keeper.records == {}
    keeper.let_go("keep")
    assert await keeping == 1


async def test_a_damaged_record_is_named_and_can_be_replaced(keeper: MemoryKeeper) -> None:
    """Its number is still the one to show; keeping heals it."""
    await keeper.keep("lab", b"one", 0)
    keeper.damage("lab", "flipped")
    assert await the_one(keeper) == Kept("lab", 1, None, None, "flipped")
    await keeper.keep("lab", b"two", 1)
    assert await the_one(keeper) == Kept("lab", 2, b"two")
