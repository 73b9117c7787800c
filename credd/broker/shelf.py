"""What is there: the holdings, as the configuration and the vault together tell it.

Rules: the configuration decides which credentials exist, the vault what is held for them; neither
ever erases the other's half. A reload drops nothing: what is no longer named becomes orphaned, and
what now names somebody else keeps its old secret sealed until a new login replaces it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping

from credd.broker import reporting
from credd.broker.holding import Holding
from credd.broker.surroundings import Surroundings
from credd.core import schedule, trouble
from credd.core.conversation import Provider
from credd.core.failures import Kind
from credd.core.keeping import Keeper, Kept, NotKept
from credd.core.model import Credential
from credd.core.provider_table import Catalog
from credd.core.record import Record, unpack
from credd.core.trouble import Trouble
from credd.errors import CreddError

log = logging.getLogger(__name__)


class Shelf:
    """All holdings of one daemon.

    `unlocked` is False until the vault has been read: then every secret-bearing question is
    answered with `locked`. `stirred` is set whenever the refresher should look again.
    """

    def __init__(self, keeper: Keeper, around: Surroundings, catalog: Catalog) -> None:
        self._keeper = keeper
        self._around = around
        self._catalog = catalog
        self._holdings: dict[str, Holding] = {}
        self.unlocked = False
        self.loaded = False
        self.why_locked: Callable[[], CreddError | None] = lambda: None
        self.why_shut: Callable[[], CreddError | None] = lambda: None  # locked by a person
        self.stirred = asyncio.Event()

    def all(self) -> list[Holding]:
        """Every holding, sorted by name."""
        return [self._holdings[name] for name in sorted(self._holdings)]

    def find(self, name: str) -> Holding:
        """The holding of that name. Raises UnknownCredential, with the nearest known name."""
        holding = self._holdings.get(name)
        if holding is None:
            raise reporting.unknown(name, self._holdings)
        return holding

    def may_tell(self) -> bool:
        """Whether anybody may be given what is held: the vault is open, and no person has locked
        it. Refreshing asks for `unlocked` alone."""
        return self.unlocked and self.why_shut() is None

    def place(self, name: str) -> Holding:
        """The holding of that name, made empty where there was none."""
        return self._holdings.setdefault(name, Holding(name))

    def clear(self, holding: Holding) -> None:
        """Drop a holding for which nothing is configured, held, damaged or under way any more."""
        idle = holding.credential is None and holding.grant is None and not holding.login
        if idle and (holding.trouble is None or not holding.trouble.final):
            self._holdings.pop(holding.name, None)

    def stir(self) -> None:
        """Let the refresher look again."""
        self.stirred.set()

    # --- the configuration -------------------------------------------------------------------

    def configure(self, credentials: Mapping[str, Credential]) -> None:
        """Take over a clean configuration."""
        for name, credential in credentials.items():
            self.assign(self.place(name), credential)
        for name in set(self._holdings) - set(credentials):
            self._orphan(self._holdings[name])
        self.stir()

    def assign(self, holding: Holding, credential: Credential) -> None:
        """Give a holding its configured credential, and a provider built from the settings."""
        before = holding.credential
        if before is None or before.identity() != credential.identity():
            holding.provider = self._catalog[credential.provider].build(credential.settings)
        holding.credential = credential
        holding.trouble = trouble.reconsidered(holding.trouble)
        holding.announce()

    def _orphan(self, holding: Holding) -> None:
        holding.credential = None
        holding.announce()
        self.clear(holding)

    def provider_of_grant(self, holding: Holding) -> Provider | None:
        """A provider of the settings under which the grant was obtained, be they configured still
        or not. None where its plug-in is gone, or takes these settings no more."""
        if holding.credential is not None and not holding.is_estranged():
            return holding.provider
        row = self._catalog.get(holding.provider_name)
        try:
            return row.build(holding.settings) if row is not None else None
        except Exception as error:  # noqa: BLE001 - a plug-in of today, settings of yesterday
            log.error("the provider of %s broke: %s", holding.name, type(error).__name__)
            return None

    # --- the vault ---------------------------------------------------------------------------

    async def load(self, *, restored: bool) -> None:
        """Take over everything the vault holds. Raises NotKept where it can't be read.

        `restored`: the vault is a copy, from which nothing that rotates may be spent.
        """
        for kept in await self._keeper.load():
            await self._load_one(kept, restored=restored)
        self.unlocked = self.loaded = True
        self.stagger([holding for holding in self.all() if holding.grant is not None])
        for holding in self.all():
            holding.announce()
        self.stir()

    async def _load_one(self, kept: Kept, *, restored: bool) -> None:
        holding = self.place(kept.name)
        record = _readable(kept)
        if record is None:
            now = self._around.now()
            holding.number = kept.number
            holding.trouble = Trouble(Kind.REFUSED, "record_damaged", now, now, 0.0, final=True)
            return
        holding.remember(record, kept.number)
        holding.restored = restored
        await self._take_up_attempt(holding, kept)

    async def _take_up_attempt(self, holding: Holding, kept: Kept) -> None:
        """A journal entry means that the daemon died with this refresh token in flight; one that
        can't be read may mean that."""
        attempt, grant = kept.attempt, holding.grant
        if attempt is None or grant is None or grant.refresh_token is None:
            return
        if attempt.digest and grant.refresh_token.digest() != attempt.digest:
            with contextlib.suppress(NotKept):  # a full disk; the entry harms nobody
                await self._keeper.settle(kept.name)
            return
        if holding.trouble is not None and holding.trouble.final:
            return
        now = self._around.now()
        lost_at = attempt.at or now.wall
        holding.trouble = Trouble(
            Kind.AMBIGUOUS, "reply_lost", now, now, 0.0, reply_lost_at=lost_at
        )

    def empty(self) -> None:
        """The vault is gone, and with it what it held: nothing is held, so nothing is locked."""
        for holding in self.all():
            holding.forget()
            holding.announce()
            self.clear(holding)
        self.unlocked, self.loaded = True, False
        self.stir()

    def stagger(self, woken: list[Holding]) -> None:
        """Let those that woke together refresh one after another."""
        now = self._around.now()
        for holding in woken:
            holding.hold_until = (now, schedule.stagger(len(woken), self._around.dice()))


def _readable(kept: Kept) -> Record | None:
    """The record, or None where it was damaged (said in the log by name)."""
    if kept.payload is None:
        log.error("the record of %s was damaged (%s) and is kept aside", kept.name, kept.damage)
        return None
    try:
        return unpack(kept.payload)
    except ValueError:
        log.error("the record of %s can't be read by this version", kept.name)
        return None
