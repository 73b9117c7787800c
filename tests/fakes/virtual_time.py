"""An event loop whose clock jumps to the next due moment instead of waiting for it.

Rules: no thread, no socket, no real sleep. When nothing is ready, the loop's time moves to the next
timer at once, so four hours of outage are a blink, and every run is the same. A test that waits for
something that will never come fails at once, because nothing is due.
"""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any

from credd.core.instant import Instant

EPOCH = 1_900_000_000.0
"""Unix seconds at which virtual time starts."""


class Deadlock(AssertionError):
    """Everybody waits and nothing is due."""


class _JumpingSelector(selectors.SelectSelector):
    """Where a real loop would sleep, time moves."""

    def __init__(self) -> None:
        super().__init__()
        self.loop: VirtualLoop | None = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Deadlock("everybody waits and nothing is due")
        if self.loop is not None and timeout > 0:
            self.loop.virtual += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop on virtual seconds, starting at 0."""

    def __init__(self) -> None:
        self.virtual = 0.0
        selector = _JumpingSelector()
        super().__init__(selector)
        selector.loop = self

    def time(self) -> float:
        return self.virtual


class VirtualClock:
    """The wall and boot clocks that go with the running virtual loop, and can be bent.

    `step(seconds)` moves the wall clock alone; `suspend(seconds)` moves wall and boottime while the
    loop's clock stands still; `pause(seconds)` is a paused virtual machine (the wall clock alone
    moves, as seen afterwards); `reboot()` starts another boot.
    """

    def __init__(self) -> None:
        self.wall_offset = 0.0
        self.boot_offset = 1000.0
        self.boot_id = "boot-1"

    def now(self) -> Instant:
        loop_time = asyncio.get_running_loop().time()
        return Instant(
            EPOCH + loop_time + self.wall_offset, loop_time + self.boot_offset, self.boot_id
        )

    def step(self, seconds: float) -> None:
        self.wall_offset += seconds

    pause = step

    def suspend(self, seconds: float) -> None:
        self.wall_offset += seconds
        self.boot_offset += seconds

    def reboot(self) -> None:
        self.boot_offset = -asyncio.get_running_loop().time()
        self.boot_id += "x"


def run_virtual(main: Coroutine[Any, Any, None]) -> None:
    """Run `main` on a loop of its own in virtual time; leftover tasks are cancelled."""
    loop = VirtualLoop()
    try:
        loop.run_until_complete(main)
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.close()


def virtual(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Decorator: this coroutine test runs in virtual time."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        run_virtual(test(*args, **kwargs))

    return run
