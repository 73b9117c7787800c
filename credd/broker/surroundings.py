"""What the broker is handed by whoever builds it: time, dice, names, and a way to talk.

Rules: only shapes stand here. The daemon fills them with the real world, tests with a scripted one.
"""

from __future__ import annotations

from typing import Protocol

from credd.core.conversation import Conversation
from credd.core.instant import Instant


class Surroundings(Protocol):
    """The broker's view of the world."""

    def now(self) -> Instant:
        """This moment, on both clocks."""
        ...

    def dice(self) -> float:
        """A number from 0 to 1, drawn anew at each call."""
        ...

    def new_id(self) -> str:
        """An unguessable name: of an attempt, of a login."""
        ...

    def talk(self, ca_file: str = "") -> Conversation:
        """A conversation for a refresh: it can post and get, and has nobody to ask. `ca_file` is
        the credential's own, "" for what everybody trusts."""
        ...
