"""Brings a notice to the person: by the hooks of config.toml, and on the desktop.

Rules: which command stands for which event is configuration; whether a notice is due was decided
before. Whatever becomes of a command, nobody here waits for it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from credd.core.config import HookSettings
from credd.core.notices import LOGIN_REQUIRED, Notice
from credd.world.desktop_notice import desktop_argv


class Runner(Protocol):
    """Runs a command beside everything else (`credd.world.hooks`)."""

    def start(self, argv: Sequence[str], told: Mapping[str, str]) -> bool:
        """Run it soon. False where too many wait already."""
        ...


class Announcer:
    """Tells people, by whatever settings are in force at that moment."""

    def __init__(self, runner: Runner, socket: str, settings: Callable[[], HookSettings]) -> None:
        self._runner = runner
        self._socket = socket
        self._settings = settings

    def tell(self, notice: Notice) -> None:
        """Start the commands for this notice; returns at once."""
        # The socket is no secret, and `credd-ctl status` in a hook asks the daemon that called it.
        told = {**notice.variables(), "CREDD_SOCK": self._socket}
        for argv in self._commands(notice):
            self._runner.start(argv, told)

    def _commands(self, notice: Notice) -> list[list[str]]:
        needs_login, settings = notice.event == LOGIN_REQUIRED, self._settings()
        own = settings.on_login_required if needs_login else settings.on_error
        commands = [list(own)] if own else []
        if settings.desktop:
            what = "needs a login" if needs_login else f"is {notice.state}"
            title, body = f"credd: {notice.credential} {what}", f"{notice.meaning}\n{notice.remedy}"
            commands.append(desktop_argv(title, body, sys.platform))
        return commands
