"""Tells systemd how the daemon is (sd_notify(3)). Where nobody asked to be told, says nothing.

Knows: the datagram. Refuses to know: systemd's library. The hard thing: an answer must never hold
up or end the daemon, so a manager that is gone or slow is no error.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import MutableMapping


class Notifier:
    """Says what it is told to the manager named in the environment, and takes the name out of it,
    so that no child speaks for us."""

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        self._address = environ.pop("NOTIFY_SOCKET", "")
        watchdog = environ.pop("WATCHDOG_USEC", "")
        environ.pop("WATCHDOG_PID", None)
        self.watchdog: float | None = int(watchdog) / 1e6 if watchdog.isdigit() else None
        """Seconds after which the manager takes silence for death; None where it never does."""

    def __repr__(self) -> str:
        return f"<Notifier {self._address or 'nobody listens'}>"

    def ready(self, status: str) -> None:
        """The socket answers; `status` is a line for `systemctl status`."""
        self._say("READY=1", f"STATUS={status}")

    def status(self, status: str) -> None:
        """A line for `systemctl status`."""
        self._say(f"STATUS={status}")

    def reloading(self) -> None:
        """The configuration is being read again; `ready` ends it."""
        self._say("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, status: str) -> None:
        """No new work is begun."""
        self._say("STOPPING=1", f"STATUS={status}")

    def alive(self) -> None:
        """The event loop turns."""
        self._say("WATCHDOG=1")

    def _say(self, *lines: str) -> None:
        if not self._address.startswith(("/", "@")):
            return
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        message = "\n".join(line.replace("\n", " ") for line in lines)
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.setblocking(False)
            out.sendto(message.encode(), address)
