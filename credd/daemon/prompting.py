"""Runs the person's prompt program: yes is exit status 0 in time, and nothing else is.

Rules: the program is `[hooks] confirm`, a list of words and never a shell line; what it shows comes
by its environment. It runs as every hook does: in a group of its own, which is ended with it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from credd.core.config import HookSettings
from credd.world.hooks import hook_environment, run_hook

log = logging.getLogger(__name__)

WITHIN = 60.0
"""Seconds for a person to answer: a client's whole deadline."""


class Prompter:
    """Asks by whatever program is configured at that moment. Close it to end a prompt."""

    def __init__(
        self,
        environ: Mapping[str, str],
        socket: str,
        settings: Callable[[], HookSettings],
        within: float = WITHIN,
    ) -> None:
        self._environ = dict(environ)
        self._socket = socket
        self._settings = settings
        self._within = within
        self._stopping = threading.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="prompt")

    async def ask(self, name: str, requesters: tuple[str, ...]) -> bool:
        """Whether the person agrees."""
        argv = list(self._settings().confirm)
        if not argv:
            log.warning("%s is to be confirmed, and [hooks] confirm names no program", name)
            return False
        told = {
            "CREDD_EVENT": "confirm",
            "CREDD_CREDENTIAL": name,
            "CREDD_REQUESTERS": "\n".join(requesters),
            "CREDD_SOCK": self._socket,
        }
        environ = hook_environment(self._environ, told)
        loop = asyncio.get_running_loop()
        fate = await loop.run_in_executor(
            self._thread, run_hook, argv, environ, self._stopping, self._within
        )
        if fate:
            log.warning("the use of %s was not confirmed: the program %s", name, fate)
        return not fate

    def close(self) -> None:
        """End a prompt that is shown; it counts as a no."""
        self._stopping.set()
        self._thread.shutdown(cancel_futures=True)
