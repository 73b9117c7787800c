"""A keeper in memory that behaves as the vault does, and fails on request.

It keeps the vault's rules (compare-and-swap, one transaction, the runtime folder for what could not
be written) and writes down every call, so that a test of the broker can ask what was done and in
which order. tests/vault/keeper_contract.py holds it and the real vault to the same promises.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from credd.core.keeping import Attempt, Kept, KeptOutside, NotKept, Superseded


class Call(NamedTuple):
    """One call of a method, made with this name (empty for `load`)."""

    method: str
    name: str


class Outside(NamedTuple):
    """What the runtime folder holds for a name: adopted at the next load."""

    number: int
    payload: bytes
    attempt_id: str


@dataclass
class MemoryKeeper:
    """Implements `Keeper`. A restart of the daemon is: build a new broker on the same object.

    `fail("keep", "disk_full")` makes a method raise NotKept until `mend()`; for `keep`,
    `outside=True` makes it KeptOutside. `fail(..., times=1)` fails once. `lock()` refuses
    everything, as a locked vault does. `hold("keep")` stops each call of a method until
    `let_go("keep")`, so that a test can look at the moment before anything is written
    (`await reached("keep")` waits for it).
    """

    records: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    attempts: dict[str, Attempt] = field(default_factory=dict)
    asides: dict[str, list[tuple[bytes, str]]] = field(default_factory=dict)
    outside: dict[str, Outside] = field(default_factory=dict)
    damages: dict[str, str] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    is_locked: bool = False
    before: Callable[[str, str], Awaitable[None]] | None = None
    _failures: dict[str, tuple[NotKept, int]] = field(default_factory=dict)
    _held: dict[str, tuple[asyncio.Event, asyncio.Event]] = field(default_factory=dict)

    # --- the switches -----------------------------------------------------------------------

    def fail(self, method: str, reason: str, *, outside: bool = False, times: int = -1) -> None:
        """From now on `method` raises NotKept(reason), `times` times or until `mend()`."""
        self._failures[method] = (KeptOutside(reason) if outside else NotKept(reason), times)

    def fail_writes(self, reason: str, *, outside: bool = True) -> None:
        """As a read-only or full disk does it: every write fails, and `keep` goes outside."""
        for method in ("journal", "settle", "put_aside", "drop_aside", "forget"):
            self.fail(method, reason)
        self.fail("keep", reason, outside=outside)

    def mend(self) -> None:
        """Nothing fails any more."""
        self._failures.clear()

    def lock(self) -> None:
        """Every method raises NotKept("locked"), as the vault does without its key."""
        self.is_locked = True

    def unlock(self) -> None:
        """The key is there again; what was kept is as it was."""
        self.is_locked = False

    def damage(self, name: str, reason: str) -> None:
        """From now on the record of `name` can't be opened; the next `keep` replaces it."""
        self.damages[name] = reason

    def hold(self, method: str) -> None:
        """Stop every call of `method` before it writes, until `let_go`."""
        self._held[method] = (asyncio.Event(), asyncio.Event())

    async def reached(self, method: str) -> None:
        """Wait until a call stands at the held `method`."""
        await self._held[method][0].wait()

    def let_go(self, method: str) -> None:
        """Let the calls of `method` go on."""
        self._held.pop(method)[1].set()

    def names_called(self, method: str) -> list[str]:
        """The names `method` was called with, in order."""
        return [call.name for call in self.calls if call.method == method]

    # --- the Keeper protocol ----------------------------------------------------------------

    async def load(self) -> list[Kept]:
        await self._enter("load", "")
        for name in list(self.outside):
            self._adopt(name)
        names = self.records.keys() | self.attempts.keys() | self.damages.keys()
        return [self._kept(name) for name in sorted(names)]

    async def journal(self, name: str, attempt: Attempt) -> None:
        await self._enter("journal", name)
        self.attempts[name] = attempt

    async def keep(self, name: str, payload: bytes, expected: int) -> int:
        await self._stop_at("keep", name)
        if expected != self._number(name):
            raise Superseded(f"{name}: number {self._number(name)}, not {expected}")
        self._keep_or_fail(name, payload, expected + 1)
        self.records[name] = (expected + 1, payload)
        self.attempts.pop(name, None)
        self.outside.pop(name, None)
        self.damages.pop(name, None)
        return expected + 1

    async def settle(self, name: str) -> None:
        await self._enter("settle", name)
        self.attempts.pop(name, None)

    async def put_aside(self, name: str, payload: bytes, reason: str) -> None:
        await self._enter("put_aside", name)
        self.asides.setdefault(name, []).append((payload, reason))

    async def look_aside(self, name: str) -> bytes | None:
        await self._enter("look_aside", name)
        slot = self.asides.get(name)
        return slot[-1][0] if slot else None

    async def drop_aside(self, name: str) -> None:
        await self._enter("drop_aside", name)
        self.asides.pop(name, None)

    async def forget(self, name: str) -> None:
        await self._enter("forget", name)
        for shelf in (self.records, self.attempts, self.asides, self.outside, self.damages):
            shelf.pop(name, None)

    # --- inside -----------------------------------------------------------------------------

    async def _enter(self, method: str, name: str) -> None:
        await self._stop_at(method, name)
        failure = self._failure(method)
        if failure is not None:
            raise failure

    async def _stop_at(self, method: str, name: str) -> None:
        self.calls.append(Call(method, name))
        await asyncio.sleep(0)  # a real keeper always gives way to others; so must its twin
        if self.before is not None:
            await self.before(method, name)
        if method in self._held:
            reached, may_go = self._held[method]
            reached.set()
            await may_go.wait()
        if self.is_locked:
            raise NotKept("locked")

    def _failure(self, method: str) -> NotKept | None:
        error, times = self._failures.get(method, (None, 0))
        if times > 0:
            self._failures[method] = (NotKept("") if error is None else error, times - 1)
        if times == 1:
            del self._failures[method]
        return None if error is None else type(error)(error.reason)

    def _keep_or_fail(self, name: str, payload: bytes, number: int) -> None:
        failure = self._failure("keep")
        if failure is None:
            return
        if isinstance(failure, KeptOutside):
            attempt = self.attempts.get(name)
            self.outside[name] = Outside(number, payload, attempt.id if attempt else "")
        raise failure

    def _adopt(self, name: str) -> None:
        """What lies outside is newer than the record, or else it is of no use any more."""
        found = self.outside.pop(name)
        if found.number <= self._number(name):
            return
        self.records[name] = (found.number, found.payload)
        self.damages.pop(name, None)
        attempt = self.attempts.get(name)
        if attempt is not None and attempt.id == found.attempt_id:
            del self.attempts[name]

    def _number(self, name: str) -> int:
        return self.records[name][0] if name in self.records else 0

    def _kept(self, name: str) -> Kept:
        number, payload = self.records.get(name, (0, None))
        damage = self.damages.get(name, "")
        return Kept(name, number, None if damage else payload, self.attempts.get(name), damage)
