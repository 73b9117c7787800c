"""Name look-ups that stop nobody else.

Knows: `getaddrinfo` can hang for as long as the system likes, and can't be called off. Refuses to
know: what the address is for. The hard thing: a hung look-up must delay neither another issuer's
nor the daemon's exit, so each runs in a thread of its own kind, outside every executor (six stuck
look-ups fill asyncio's default one on two cores; and Python waits for an executor's threads when
it exits, but not for daemon threads).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

THREADS = 64
"""Look-ups at once: as many as requests in flight in all. A hung one holds one of them."""

Address = tuple[Any, ...]
LookUp = Callable[[str, int, int], Sequence[tuple[int, int, int, str, Address]]]
"""`(host, port, family)` to what `socket.getaddrinfo` answers. Raises OSError; may block."""

LOOPBACK = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}


def look_up(host: str, port: int, family: int) -> Sequence[tuple[int, int, int, str, Address]]:
    """The system's answer. AI_ADDRCONFIG leaves out families that this machine can't reach."""
    kind, flags = socket.SOCK_STREAM, socket.AI_ADDRCONFIG
    return socket.getaddrinfo(host, port, family=family, type=kind, flags=flags)


class Resolver(AbstractResolver):
    """Answers aiohttp's questions. One look-up a host at a time: who asks again joins it."""

    def __init__(self, ask: LookUp = look_up) -> None:
        self._ask = ask
        self._running: dict[tuple[str, int, int], asyncio.Task[list[ResolveResult]]] = {}
        self._places = asyncio.Semaphore(THREADS)

    def __repr__(self) -> str:
        return f"<Resolver running={len(self._running)}>"

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of `host`. Raises OSError where there are none."""
        if host.rstrip(".").lower() == "localhost":
            # RFC 6761, 6.3: never asked of anybody, since we send plain HTTP to it.
            return [_result(host, port, kind, address) for kind, address in LOOPBACK.items()]
        question = (host, port, family)
        if question not in self._running:
            task = asyncio.create_task(self._look_up(host, port, family))
            task.add_done_callback(lambda done: self._forget(question, done))
            self._running[question] = task
        return await asyncio.shield(self._running[question])

    async def close(self) -> None:
        """Leave what still runs to its thread; nobody waits for it any more."""
        for task in self._running.values():
            task.cancel()
        self._running.clear()

    async def _look_up(self, host: str, port: int, family: int) -> list[ResolveResult]:
        async with self._places:
            found = await _in_thread(lambda: self._ask(host, port, family))
        results = [_result(host, port, kind, str(address[0])) for kind, _, _, _, address in found]
        if not results:
            raise OSError(None, "no address")
        return results

    def _forget(
        self, question: tuple[str, int, int], done: asyncio.Task[list[ResolveResult]]
    ) -> None:
        self._running.pop(question, None)
        if not done.cancelled():
            done.exception()  # seen: whoever asked may have left, and asyncio would complain


def _result(host: str, port: int, family: int, address: str) -> ResolveResult:
    numeric = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    return ResolveResult(
        hostname=host, host=address, port=port, family=family, proto=0, flags=numeric
    )


async def _in_thread(call: Callable[[], Any]) -> Any:
    """Run `call` in a daemon thread of its own and wait for its answer."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Any] = loop.create_future()

    def deliver(value: Any, error: BaseException | None) -> None:
        if answer.done():
            return
        if error is None:
            answer.set_result(value)
        else:
            answer.set_exception(error)

    def run() -> None:
        value, error = None, None
        try:
            value = call()
        except OSError as failure:
            error = failure
        except Exception as failure:  # noqa: BLE001 - an odd name (UnicodeError) is no address
            error = OSError(None, type(failure).__name__)
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(deliver, value, error)

    threading.Thread(target=run, name="look-up", daemon=True).start()
    return await answer
