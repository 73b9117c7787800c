"""Writes records, and never loses what an issuer has given.

Rules: a record is written under the holding's pen (`holding.writing`), and remembered once it is
durable. When a refresh has succeeded, the issuer has already burnt the old refresh token, so the
new one is remembered whatever happens to the disk. The hard thing is a number that is not the one
expected: somebody wrote first. Then theirs stands, and ours goes into the side slot.
"""

from __future__ import annotations

import logging

from credd.broker.holding import Holding
from credd.core.keeping import Keeper, Kept, KeptOutside, NotKept, Superseded
from credd.core.record import Record, pack, unpack

log = logging.getLogger(__name__)


class Saving:
    """The broker's way to the keeper, for whatever replaces a record."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper

    async def keep(self, holding: Holding, fresh: Record) -> bool:
        """Seal and commit; then, and only then, remember. False where somebody else's record
        stands instead. A full disk costs durability, said aloud, but never the token. Hold the pen.
        """
        try:
            saved = await self._write(holding, fresh)
        except Superseded:
            return await self._give_way(holding, fresh)
        holding.remember(fresh, holding.number)
        holding.unsaved = not saved
        return True

    async def insist(self, holding: Holding, record: Record) -> bool:
        """Write what a person has just won, whoever wrote before. False where it lies safely
        outside the vault. Raises NotKept where it lies nowhere. Hold the pen."""
        try:
            return await self._commit(holding, record)
        except Superseded:
            holding.number, _ = await self._find(holding.name)
            return await self._commit(holding, record)

    async def _commit(self, holding: Holding, record: Record) -> bool:
        try:
            holding.number = await self._keeper.keep(holding.name, pack(record), holding.number)
        except KeptOutside:
            return False
        return True

    async def save(self, holding: Holding) -> None:
        """Write down what has changed besides the tokens, or what could not be written before."""
        async with holding.writing:
            await self.rewrite(holding)
        holding.announce()

    async def rewrite(self, holding: Holding) -> None:
        """The same, for who holds the pen. Memory is left alone: it may know more by now."""
        if holding.grant is None:
            return
        record = holding.record()
        try:
            holding.unsaved = not await self._write(holding, record)
        except Superseded:
            await self._give_way(holding, record)

    async def put_aside(self, name: str, record: Record, reason: str) -> bool:
        """Keep a grant that is not the current one: it may be the only living one of its login."""
        try:
            await self._keeper.put_aside(name, pack(record), reason)
        except NotKept as error:
            log.error("a late answer for %s could not be kept aside (%s)", name, error)
            return False
        return True

    async def _write(self, holding: Holding, record: Record) -> bool:
        """Whether the vault has it now. Raises Superseded."""
        try:
            holding.number = await self._keeper.keep(holding.name, pack(record), holding.number)
        except Superseded:
            raise
        except Exception as error:  # noqa: BLE001 - whatever broke, the token must be remembered
            kind = error.reason if isinstance(error, NotKept) else type(error).__name__
            where = "in the runtime folder" if isinstance(error, KeptOutside) else "in memory"
            # Said once. It is tried again every 5 s, and a disk may be full for days.
            level = logging.DEBUG if holding.unsaved else logging.ERROR
            log.log(level, "%s is not saved in the vault yet (%s)", holding.name, kind)
            log.log(level, "the newest secret of %s lies %s", holding.name, where)
            return False
        return True

    async def _give_way(self, holding: Holding, loser: Record) -> bool:
        """Somebody wrote first. Whether ours stands nevertheless: where theirs holds the same
        secret (an answer of the keeper was lost), or where either can't be kept."""
        log.error("the record of %s was replaced by somebody else", holding.name)
        try:
            number, winner = await self._find(holding.name)
        except NotKept:
            number, winner = holding.number, None
        theirs = winner is not None and winner.grant.refresh_token != loser.grant.refresh_token
        if winner and theirs and await self.put_aside(holding.name, loser, "superseded"):
            holding.remember(winner, number)
            holding.unsaved = False
            return False
        holding.remember(loser, number)
        holding.unsaved = True  # written once more, over the number that is there
        return True

    async def _find(self, name: str) -> tuple[int, Record | None]:
        """The number and the record that the vault holds now; 0 and None where it holds none."""
        for kept in await self._keeper.load():
            if kept.name == name:
                return kept.number, _readable(kept)
        return 0, None


def _readable(kept: Kept) -> Record | None:
    try:
        return None if kept.payload is None else unpack(kept.payload)
    except ValueError:
        return None
