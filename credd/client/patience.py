"""How long a question waits, and for what: a daemon that restarts must look like a short pause.

It knows when to try again. It refuses to know what is asked; and what an answer means that isn't
the one asked for is read by `problems`, loaded only then.

The hard thing: telling a daemon that is away for a moment (its socket is there and nobody listens,
or it died before it answered) from one that never was (no socket), and never asking twice for what
must happen once.
"""

from __future__ import annotations

import os
import time

from credd.client import raw

TYPE_CHECKING = False  # not typing's: importing typing would cost more than this file
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from credd.errors import DaemonUnreachable, Misconfigured

    Result = TypeVar("Result")

DEADLINE = 60.0
"""Seconds for an answer, the daemon's restarts included: `wire.CLIENT_DEADLINE`, tested equal."""

ABSENT = 5.0
"""Seconds a job waits for a socket that isn't there: a daemon started beside it needs one."""

FIRST_PAUSE = 0.010
"""Seconds before the second try; a restarted daemon is often back within a few of these."""

LONGEST_PAUSE = 0.5
"""Seconds; so much later at most is a daemon found that is back."""

FIRST_PROBLEM_PAUSE = 0.5
"""Seconds after a problem that names no Retry-After; the daemon did the real waiting already."""

LONGEST_PROBLEM_PAUSE = 5.0
"""Seconds; the daemon itself tries again about as often once a token has expired."""

MAX_WAIT = 30.0
"""Seconds: `wire.MAX_WAIT`, what the daemon waits for a refresh unless told; tested equal."""

MARGIN = 0.9
"""Of the time left, for the daemon: its answer then beats our deadline, and says what is wrong."""

START_DAEMON = "credd &"
FORWARD = "credd-ctl forward &"

NO_SOCKET, NOBODY_LISTENS, NO_ANSWER = "no socket", "nobody listens", "no answer"


class Patience:
    """How long one question may wait, in seconds.

    `timeout` bounds everything; `refused` how long nobody may listen at a socket that is there (by
    default as long as `timeout`); `absent` how long there may be no socket.
    """

    __slots__ = ("absent", "refused", "timeout")

    def __init__(
        self, timeout: float = DEADLINE, *, refused: float | None = None, absent: float = ABSENT
    ) -> None:
        self.timeout = timeout
        self.refused = timeout if refused is None else refused
        self.absent = absent

    def cut_to(self, timeout: float) -> Patience:
        """The same with less time in all."""
        return Patience(timeout, refused=self.refused, absent=self.absent)

    def __repr__(self) -> str:
        return (
            f"<Patience {self.timeout:g} s, refused {self.refused:g} s, absent {self.absent:g} s>"
        )


def settle(
    path: str,
    compose: Callable[[float], bytes],
    patience: Patience,
    *,
    is_idempotent: bool = True,
) -> raw.Reply:
    """`ask`, and ask again after a problem that calls itself retryable; the reply has status 2xx.

    Raises what `ask` raises, and the error that a problem stands for.
    """
    deadline = time.monotonic() + patience.timeout
    pause = FIRST_PROBLEM_PAUSE
    while True:
        left = patience.cut_to(deadline - time.monotonic())
        reply = ask(path, compose, left, raw.read_reply, is_idempotent=is_idempotent)
        if 200 <= reply.status < 300:
            return reply
        from credd.client.problems import pause_or_raise

        time.sleep(pause_or_raise(reply, deadline - time.monotonic(), jittered(pause)))
        pause = min(2 * pause, LONGEST_PROBLEM_PAUSE)


def ask(
    path: str,
    compose: Callable[[float], bytes],
    patience: Patience,
    read: Callable[[raw.Wire], Result],
    *,
    is_idempotent: bool = True,
) -> Result:
    """Ask at `path` until there is an answer, whatever its status, and return `read(wire)`.

    `compose(seconds left)` makes the request anew for each try, so that what it asks the daemon to
    wait fits into what is left. A question whose answer was lost is asked again only if it
    `is_idempotent`. Raises Denied, Misconfigured (too long a path, or no HTTP is spoken there), and
    DaemonUnreachable when patience ends.
    """
    waiting = Waiting(path, patience)
    while True:
        try:
            return raw.exchange(path, compose, waiting.deadline, read)
        except FileNotFoundError:
            waiting.pause(NO_SOCKET)
        except (ConnectionError, raw.NotConnected):
            waiting.pause(NOBODY_LISTENS)
        except raw.Gone:
            waiting.pause(NO_ANSWER, may_ask_again=is_idempotent)
        except raw.TimeUp:
            raise waiting.unreachable(NO_ANSWER) from None
        except raw.Garbled:
            raise _not_credd(path) from None
        except OSError as error:
            raise waiting.unreachable(error.strerror or "it can't be used") from None


class Waiting:
    """The time that one question has waited, and what for."""

    def __init__(self, path: str, patience: Patience) -> None:
        self.deadline = time.monotonic() + patience.timeout
        self._path = path
        self._limits = {
            NO_SOCKET: patience.absent,
            NOBODY_LISTENS: patience.refused,
            NO_ANSWER: patience.timeout,
        }
        self._why = ""
        self._since = 0.0
        self._pause = FIRST_PAUSE

    def pause(self, why: str, *, may_ask_again: bool = True) -> None:
        """Sleep a little longer than the last time; raise DaemonUnreachable if patience is over."""
        now = time.monotonic()
        if why != self._why:
            self._why, self._since = why, now
        left = min(self._since + self._limits[why], self.deadline) - now
        if not may_ask_again:
            raise self._lost() from None
        if left <= 0:
            raise self.unreachable(why) from None
        time.sleep(min(jittered(self._pause), left))
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def unreachable(self, why: str) -> DaemonUnreachable:
        """The error that says what was waited for in vain."""
        from credd.errors import DaemonUnreachable

        return DaemonUnreachable(
            f"the credd daemon can't be reached at {self._path}: {why}", remedy=how_to_reach()
        )

    def _lost(self) -> DaemonUnreachable:
        from credd.errors import DaemonUnreachable

        return DaemonUnreachable(
            f"the daemon at {self._path} went away before it answered; it may have done what it was"
            " asked",
            remedy="credd-ctl status",
            reason="reply_lost",
        )


def how_to_reach() -> str:
    """The command that makes a daemon answer. Within a job of Slurm the daemon runs elsewhere, and
    one that were started here would hold no login."""
    return FORWARD if os.environ.get("SLURM_JOB_ID") else START_DAEMON


def shorter_wait(left: float) -> float | None:
    """Seconds the daemon may wait for a refresh with `left` to go; None for what it does anyway."""
    return left * MARGIN if left * MARGIN < MAX_WAIT else None


def jittered(seconds: float) -> float:
    """A random time around `seconds`, half of it to one and a half; `random` loads hashlib."""
    return seconds * (0.5 + os.urandom(1)[0] / 255)


def _not_credd(path: str) -> Misconfigured:
    from credd.errors import Misconfigured

    return Misconfigured(f"what listens at {path} doesn't speak HTTP", remedy="unset CREDD_SOCK")
