"""The writer's thread, and the Keeper that works on it.

Knows threads and whether there is an open store; knows no file and no key. The one hard thing: all
SQL runs on one thread, in the order in which it was asked for, and what was asked for is done even
if the asker is cancelled. So a new key, or a new file, is one turn of that thread, and whatever was
asked for afterwards lands behind it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from credd.core.keeping import Attempt, Kept, NotKept
from credd.vault.store import Store

P = ParamSpec("P")
T = TypeVar("T")


class Writer:
    """Implements Keeper. While there is no open store, every method raises NotKept("locked")."""

    def __init__(self) -> None:
        self._store: Store | None = None
        self._writer = one_thread("credd-vault")

    async def load(self) -> list[Kept]:
        """See Keeper. What lies in the runtime folder is adopted on the way."""
        return await self._write(self._opened().load)

    async def journal(self, name: str, attempt: Attempt) -> None:
        """See Keeper."""
        await self._write(self._opened().journal, name, attempt)

    async def keep(self, name: str, payload: bytes, expected: int) -> int:
        """See Keeper. Once asked for, it is done, even if the asker is cancelled."""
        return await self._write(self._opened().keep, name, payload, expected)

    async def settle(self, name: str) -> None:
        """See Keeper."""
        await self._write(self._opened().settle, name)

    async def put_aside(self, name: str, payload: bytes, reason: str) -> None:
        """See Keeper."""
        await self._write(self._opened().put_aside, name, payload, reason)

    async def look_aside(self, name: str) -> bytes | None:
        """See Keeper."""
        return await self._write(self._opened().look_aside, name)

    async def drop_aside(self, name: str) -> None:
        """See Keeper."""
        await self._write(self._opened().drop_aside, name)

    async def forget(self, name: str) -> None:
        """See Keeper."""
        await self._write(self._opened().forget, name)

    def _opened(self) -> Store:
        if self._store is None:
            raise NotKept("locked")
        return self._store

    async def _write(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """On the writer thread; shielded, so that no cancelled caller stops a write half asked."""
        return await asyncio.shield(run(self._writer, lambda: call(*args, **kwargs)))


def one_thread(name: str) -> ThreadPoolExecutor:
    """A thread that does not exist before it is needed."""
    return ThreadPoolExecutor(1, thread_name_prefix=name)


def run(thread: ThreadPoolExecutor, call: Callable[[], T]) -> asyncio.Future[T]:
    """Have `call` done on that thread."""
    return asyncio.get_running_loop().run_in_executor(thread, call)
