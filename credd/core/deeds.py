"""Who did what: the nouns that the front door tells, and that audit trail and counters hear.

Rules: nothing here is a secret, and nothing here can become one: names, numbers, paths and the
codes of our own errors. Whatever a process says of itself is marked as its own word.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

OK = "ok"
"""The result of what went well; every other result is the `code` of an error."""


@dataclass(frozen=True, slots=True)
class Asker:
    """The process that connected, as the kernel describes it.

    `executable` and `cgroup` are "" where they can't be read, and "" is never a match. `script` is
    what the process says it runs, a file's name: a hint, since a process may say anything. `socket`
    names the job socket, "" for the main one. `pid` is 0 where we have no number for it.
    """

    uid: int = -1
    pid: int = 0
    executable: str = ""
    cgroup: str = ""
    script: str = ""
    socket: str = ""


NOBODY = Asker()
"""Who did what the daemon does by itself."""


@dataclass(frozen=True, slots=True)
class Deed:
    """One thing done, or refused, for `asker`.

    `what` is the name of the route's operation (`token`, `logout`), or of the daemon's own doing
    (`refreshed`, `start`). `generation` is the one that was given, 0 where none was. Equal deeds
    are counted together, so no time stands here.
    """

    what: str
    asker: Asker = NOBODY
    credential: str = ""
    generation: int = 0
    result: str = OK


@dataclass(frozen=True, slots=True)
class Landing:
    """How one refresh ended: `outcome` is `refreshed`, `called-off`, or the kind of its failure;
    `reason` is finer. `seconds` are those from its start to what was kept of it."""

    credential: str
    outcome: str
    reason: str
    generation: int
    seconds: float


Told = Callable[[Deed], None]
"""Hears of deeds; must return at once and never raise."""
