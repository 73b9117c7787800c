"""A person's consent to each use of a credential, where the configuration asks for it.

Rules: denied is the default: no prompt program, a program that fails, dies or takes too long, all
mean no. A yes is good for the requests that the prompt named and for no later one.

The hard thing is a job with fifty workers: they must not become fifty prompts, and none of them may
ride on a yes that was given to others. So requests are gathered until the prompt is shown; whoever
comes while one is open belongs to the next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from credd.core.deeds import Asker
from credd.errors import Denied

GATHERED_FOR = 0.2
"""Seconds until a prompt is shown: the workers of one job start within it, and a person does not
notice it."""

NAMED_AT_MOST = 20
"""Requesters that a prompt names one by one; the rest is counted."""

LONGEST_NAME = 200
"""Characters of one requester: a path may have thousands."""

Prompt = Callable[[str, tuple[str, ...]], Awaitable[bool]]
"""Asks a person about a credential and who wants it, a line each. Raises nothing."""


@dataclass
class _Batch:
    """Requests that one prompt is about."""

    requesters: list[str] = field(default_factory=list)
    answer: asyncio.Future[bool] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class Consent:
    """Asks once for all who ask at the same time, one prompt at a time."""

    def __init__(self, prompt: Prompt) -> None:
        self._prompt = prompt
        self._gathering: dict[str, _Batch] = {}
        self._turn = asyncio.Lock()
        self._carrying: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<Consent gathering={sorted(self._gathering)}>"

    async def ask(self, name: str, requester: str) -> None:
        """Return where a person says yes to this use of `name`. Raises Denied for anything else."""
        batch = self._gathering.get(name) or self._begin(name)
        batch.requesters.append(requester)
        try:
            is_granted = await asyncio.shield(batch.answer)
        except asyncio.CancelledError:
            batch.requesters.remove(requester)  # who has left is not asked about
            raise
        if not is_granted:
            raise Denied(
                f"nobody agreed to this use of {name}",
                remedy=f"credd-ctl status {name}",
                reason="not_confirmed",
            )

    def _begin(self, name: str) -> _Batch:
        batch = self._gathering[name] = _Batch()
        task = asyncio.create_task(self._carry(name, batch))
        self._carrying.add(task)
        task.add_done_callback(self._carrying.discard)
        return batch

    async def _carry(self, name: str, batch: _Batch) -> None:
        try:
            await asyncio.sleep(GATHERED_FOR)
            async with self._turn:
                del self._gathering[name]  # from here on others are asked about later
                granted = bool(batch.requesters) and await self._prompt(name, _named(batch))
        except Exception:  # noqa: BLE001 - whatever broke, nobody has said yes
            granted = False
        batch.answer.set_result(granted)


def _named(batch: _Batch) -> tuple[str, ...]:
    """Each requester once, with how often it asks; the rest as a number."""
    counts = {one: batch.requesters.count(one) for one in dict.fromkeys(batch.requesters)}
    lines = [one if count == 1 else f"{one}, {count} times" for one, count in counts.items()]
    more = len(lines) - NAMED_AT_MOST
    return (*lines[:NAMED_AT_MOST], *([f"and {more} more"] if more > 0 else []))


def requester_of(asker: Asker) -> str:
    """Who asks, in a line: what the kernel says, and in quotes what the process says of itself."""
    said = f' "{asker.script}"' if asker.script else ""
    via = f", through the job socket {asker.socket}" if asker.socket else ""
    who = asker.executable or "an unknown program"
    line = f"{who}{said} (pid {asker.pid}, uid {asker.uid}{via})"
    return "".join(sign if sign.isprintable() else "?" for sign in line)[:LONGEST_NAME]
