"""Waiting for a person, where CREDD_WAIT_FOR_LOGIN says so: a job sleeps, and does not die.

It knows which errors a person ends: a login, an unlock. It refuses to know what is asked again.
Loaded only once such an error has come. The hard thing: a night of waiting outlasts daemons and
networks, so that once it has begun, a daemon that is away ends nothing; and fifty threads that
wait say so once.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Optional, TypeVar

from credd.client.durations import parse_duration
from credd.client.patience import jittered
from credd.errors import CreddError, Locked, LoginRequired, Misconfigured

VARIABLE = "CREDD_WAIT_FOR_LOGIN"

FIRST_PAUSE = 1.0
"""Seconds; somebody may be logging in right now."""

LONGEST_PAUSE = 10.0
"""Seconds a job sleeps on after a login, at most (half as much again by chance); 500 jobs that wait
cost the daemon 50 questions a second, of 0.1 ms each."""

Result = TypeVar("Result")

_told: set[str] = set()


def wait_seconds() -> float:
    """Seconds that CREDD_WAIT_FOR_LOGIN allows; 0 without it. Raises Misconfigured."""
    text = os.environ.get(VARIABLE, "")
    try:
        return parse_duration(text) if text else 0.0
    except ValueError as error:
        raise Misconfigured(f"{VARIABLE}: {error}", remedy=f"export {VARIABLE}=2h") from None


class LoginWait:
    """One wait for a person: how long until the next question, and when to give up.

    `within` bounds it to so many seconds, whatever the environment says. Raises Misconfigured.
    """

    def __init__(self, within: Optional[float] = None) -> None:
        allowed = wait_seconds()
        self._allowed = allowed if within is None else min(allowed, within)
        self._deadline = time.monotonic() + self._allowed
        self._pause = FIRST_PAUSE
        self._has_begun = False

    def __repr__(self) -> str:
        return f"<LoginWait {self._allowed:g} s>"

    def pause_or_raise(self, error: CreddError) -> float:
        """Seconds until it is worth asking again; else raise `error`."""
        left = self._deadline - time.monotonic()
        if left <= 0 or not (self._is_for_person(error) or (self._has_begun and error.retryable)):
            raise error
        if not self._has_begun:
            self._tell(error)
        self._has_begun = True
        pause, self._pause = self._pause, min(2 * self._pause, LONGEST_PAUSE)
        return min(jittered(pause), left)

    @staticmethod
    def _is_for_person(error: CreddError) -> bool:
        return isinstance(error, (LoginRequired, Locked))

    def _tell(self, error: CreddError) -> None:
        """A line, and the remedy below it, once in this process."""
        if error.remedy in _told:
            return
        _told.add(error.remedy)
        until = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time.time() + self._allowed))
        if sys.stderr is not None:
            said = f"credd: {error.detail}; waiting for a person until {until}"
            print(f"{said}\n{error.remedy}", file=sys.stderr, flush=True)


def persevere(
    ask: Callable[[], Result], error: CreddError, within: Optional[float] = None
) -> Result:
    """`ask` again and again, after it raised `error`, until a person has done what is missing.

    Raises `error` at once where nobody said to wait for it, and the latest error in the end.
    """
    wait = LoginWait(within)
    while True:
        time.sleep(wait.pause_or_raise(error))
        try:
            return ask()
        except CreddError as another:
            error = another
