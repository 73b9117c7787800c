"""What every keeper promises, whoever it is: the vault on a disk, or its twin in memory.

A test file subclasses `KeeperContract` and gives it a `keeper` fixture. What only a disk can do
(power cuts, damage, modes) is tested beside the vault.
"""

from __future__ import annotations

import asyncio

import pytest

from credd.core.keeping import Attempt, Keeper, Kept, Superseded

ATTEMPT = Attempt(id="a-1", grant_number=3, digest=b"\x01" * 32, at=1_700_000_000.25)


async def the_one(keeper: Keeper, name: str = "lab") -> Kept:
    """What the keeper holds of `name`, which must be there."""
    return {kept.name: kept for kept in await keeper.load()}[name]


class KeeperContract:
    """The promises. `keeper` is empty and open when a test begins."""

    async def test_a_new_keeper_holds_nothing(self, keeper: Keeper) -> None:
        """Nothing was kept, so nothing is found."""
        assert await keeper.load() == []
        assert await keeper.look_aside("lab") is None

    async def test_what_is_kept_is_found(self, keeper: Keeper) -> None:
        """Bytes come back as they were handed over, under their name and number."""
        payload = bytes(range(256)) * 20
        assert await keeper.keep("lab", payload, 0) == 1
        assert await keeper.load() == [Kept("lab", 1, payload)]

    async def test_each_keep_moves_the_number_by_one(self, keeper: Keeper) -> None:
        """The number returned is the one to show next time."""
        number = 0
        for round_ in range(1, 5):
            number = await keeper.keep("lab", b"round %d" % round_, number)
            assert number == round_
        assert await the_one(keeper) == Kept("lab", 4, b"round 4")

    @pytest.mark.parametrize("seen", [0, 1, 3])
    async def test_whoever_saw_another_number_changes_nothing(
        self, keeper: Keeper, seen: int
    ) -> None:
        """A stale or invented number is refused, and record and journal stay as they were."""
        await keeper.keep("lab", b"one", 0)
        await keeper.keep("lab", b"two", 1)
        await keeper.journal("lab", ATTEMPT)
        with pytest.raises(Superseded):
            await keeper.keep("lab", b"late", seen)
        assert await the_one(keeper) == Kept("lab", 2, b"two", ATTEMPT)

    async def test_of_two_writers_at_once_one_wins(self, keeper: Keeper) -> None:
        """Whoever comes second is told so; nothing is mixed."""
        await keeper.keep("lab", b"old", 0)
        answers = await asyncio.gather(
            *(keeper.keep("lab", b"new %d" % n, 1) for n in range(5)), return_exceptions=True
        )
        assert sorted(str(type(answer).__name__) for answer in answers) == [
            *["Superseded"] * 4,
            "int",
        ]
        winner = next(n for n, answer in enumerate(answers) if answer == 2)
        assert await the_one(keeper) == Kept("lab", 2, b"new %d" % winner)

    async def test_an_attempt_is_found_until_a_record_is_kept(self, keeper: Keeper) -> None:
        """The journal entry lies beside the record, and keeping clears it."""
        await keeper.keep("lab", b"one", 0)
        await keeper.journal("lab", ATTEMPT)
        assert await the_one(keeper) == Kept("lab", 1, b"one", ATTEMPT)
        await keeper.keep("lab", b"two", 1)
        assert await the_one(keeper) == Kept("lab", 2, b"two")

    async def test_a_newer_attempt_replaces_an_older_one(self, keeper: Keeper) -> None:
        """There is one entry a name: the last refresh token that was posted."""
        newer = Attempt(id="a-2", grant_number=4, digest=b"\x02" * 32, at=1_700_000_100.5)
        await keeper.keep("lab", b"one", 0)
        await keeper.journal("lab", ATTEMPT)
        await keeper.journal("lab", newer)
        assert (await the_one(keeper)).attempt == newer

    async def test_settling_clears_the_attempt_and_nothing_else(self, keeper: Keeper) -> None:
        """A definite answer without a new token leaves the record alone."""
        await keeper.keep("lab", b"one", 0)
        await keeper.journal("lab", ATTEMPT)
        await keeper.settle("lab")
        await keeper.settle("lab")
        assert await the_one(keeper) == Kept("lab", 1, b"one")

    async def test_an_attempt_without_a_record_is_found(self, keeper: Keeper) -> None:
        """A first attempt that was never settled has number 0 and no payload."""
        await keeper.journal("lab", ATTEMPT)
        assert await keeper.load() == [Kept("lab", 0, None, ATTEMPT)]

    async def test_one_name_knows_nothing_of_another(self, keeper: Keeper) -> None:
        """Numbers, journals and side slots are each name's own."""
        await keeper.keep("lab", b"lab", 0)
        await keeper.keep("home", b"home", 0)
        await keeper.keep("home", b"home again", 1)
        await keeper.journal("lab", ATTEMPT)
        await keeper.put_aside("lab", b"late", "superseded")
        assert await keeper.look_aside("home") is None
        found = sorted(await keeper.load(), key=lambda kept: kept.name)
        assert found == [Kept("home", 2, b"home again"), Kept("lab", 1, b"lab", ATTEMPT)]

    async def test_the_side_slot_shows_its_newest_reply(self, keeper: Keeper) -> None:
        """A reply that came too late is there until it is dropped; dropping empties the slot."""
        await keeper.keep("lab", b"one", 0)
        await keeper.put_aside("lab", b"first", "superseded")
        await keeper.put_aside("lab", b"second", "superseded")
        assert await keeper.look_aside("lab") == b"second"
        assert await the_one(keeper) == Kept("lab", 1, b"one")
        await keeper.drop_aside("lab")
        assert await keeper.look_aside("lab") is None

    async def test_keeping_leaves_the_side_slot_alone(self, keeper: Keeper) -> None:
        """A winner that is refused later still finds the late reply."""
        await keeper.put_aside("lab", b"late", "superseded")
        await keeper.keep("lab", b"winner", 0)
        assert await keeper.look_aside("lab") == b"late"

    async def test_forgetting_erases_everything_of_a_name(self, keeper: Keeper) -> None:
        """Record, journal and side slot go; the next record of that name is a first one."""
        for name in ("lab", "home"):
            await keeper.keep(name, b"one", 0)
            await keeper.journal(name, ATTEMPT)
            await keeper.put_aside(name, b"late", "superseded")
        await keeper.forget("lab")
        await keeper.forget("never-kept")
        assert await keeper.load() == [Kept("home", 1, b"one", ATTEMPT)]
        assert await keeper.look_aside("lab") is None
        assert await keeper.look_aside("home") == b"late"
        assert await keeper.keep("lab", b"again", 0) == 1
