"""Locked or not, and the price of guessing.

Rules: a person locks with a passphrase of their choice, as `ssh-add -x` does; until the same one
comes back, nothing that bears a secret leaves or comes in, while refreshing goes on. The passphrase
is kept only as a slow hash, in memory: a restart forgets it.

The hard thing is a guesser who opens many connections, or hangs up: guesses are made one at a time,
a wrong one keeps its turn for a while whoever still listens, and nobody but guessers waits for it.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable

from credd.core.model import Secret
from credd.errors import BadRequest, Locked

UNLOCK = "credd-ctl unlock"

A_FAIL = 0.1
"""Seconds that each wrong guess adds to the pause after it, as in ssh-agent."""

LONGEST_PAUSE = 10.0
"""Seconds: a hundred wrong guesses in a row; then 360 an hour at the most."""

WAITING_AT_MOST = 3
"""Guesses that wait for their turn; further ones are sent away. With pauses of 10 s, a person whose
passphrase is right is heard within a client's deadline of 60 s."""

WRONG = frozenset({"wrong_passphrase", "wrong_recovery_code"})
"""Reasons of a Locked that was a wrong guess; others say that nothing could be compared."""

Hash = Callable[[Secret, bytes], Awaitable[bytes]]
"""A slow hash of a passphrase under a salt."""


class Guesses:
    """Slows down whoever tries passphrases, whatever they are for."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._under_way: set[asyncio.Task[None]] = set()
        self.fails = 0

    def __repr__(self) -> str:
        return f"<Guesses fails={self.fails}>"

    async def attempt(self, compare: Callable[[], Awaitable[object]]) -> None:
        """Let `compare` check one guess. Raises what it raises, a Locked that was a wrong guess
        after a pause; and Locked at once where too many wait."""
        if len(self._under_way) > WAITING_AT_MOST:
            raise Locked(
                "others are trying passphrases just now",
                remedy=UNLOCK,
                reason="too_many_guesses",
                retry_after=self._pause(),
            )
        # A task of its own: who hangs up does not cut the pause short.
        task = asyncio.create_task(self._guess(compare))
        self._under_way.add(task)
        task.add_done_callback(self._forget)
        await asyncio.shield(task)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # heard, even where nobody waits for it any more

    async def _guess(self, compare: Callable[[], Awaitable[object]]) -> None:
        async with self._turn:
            try:
                await compare()
            except Locked as refusal:
                if refusal.reason in WRONG:
                    self.fails += 1
                    await asyncio.sleep(self._pause())
                raise
            self.fails = 0

    def _pause(self) -> float:
        return min(LONGEST_PAUSE, A_FAIL * self.fails)


class Lock:
    """The lock of one daemon. `slow_hash` and `new_salt` come from whoever knows about keys."""

    def __init__(self, slow_hash: Hash, new_salt: Callable[[], bytes], guesses: Guesses) -> None:
        self._hash = slow_hash
        self._new_salt = new_salt
        self._guesses = guesses
        self._kept: tuple[bytes, bytes] | None = None  # salt and hash, while it is locked

    def __repr__(self) -> str:
        return f"<Lock {'locked' if self.is_locked() else 'open'}>"

    def is_locked(self) -> bool:
        """Whether a person has locked it."""
        return self._kept is not None

    def problem(self) -> Locked | None:
        """What to tell whoever wants something while it is locked; None where it isn't."""
        if not self.is_locked():
            return None
        return Locked("credd is locked with a passphrase", remedy=UNLOCK, reason="locked")

    async def lock(self, passphrase: Secret) -> None:
        """Lock. Raises Locked where it is locked already, BadRequest for an empty passphrase."""
        if not passphrase.reveal():
            raise BadRequest("an empty passphrase locks nothing", reason="passphrase_empty")
        salt = self._new_salt()
        digest = await self._hash(passphrase, salt)
        problem = self.problem()
        if problem is not None:
            raise problem
        self._kept = salt, digest

    async def unlock(self, passphrase: Secret) -> None:
        """Unlock. Raises Locked (`wrong_passphrase`) after a pause, where it is another one."""
        await self._guesses.attempt(lambda: self._compare(passphrase))

    async def _compare(self, passphrase: Secret) -> None:
        if self._kept is None:
            return
        salt, digest = self._kept
        if not hmac.compare_digest(await self._hash(passphrase, salt), digest):
            raise Locked(
                "that is not the passphrase it was locked with",
                remedy=UNLOCK,
                reason="wrong_passphrase",
            )
        self._kept = None
