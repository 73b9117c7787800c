"""The other players as the demo talks to them: issuer, tracking server, daemon, the person.

Knows their addresses and what to ask. Refuses to know when: that is the plot's. The one hard
thing: asking a dead daemon is normal here, and must cost the picture nothing but a blank.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import aiohttp

GLANCE = aiohttp.ClientTimeout(total=1.0)  # seconds; a picture four times a second can't wait


class IssuerRemote:
    """The issuer's two doors: the public one, and the one where fate is played."""

    def __init__(self, http: aiohttp.ClientSession, places: dict[str, Any], secret: Path) -> None:
        self._http = http
        self.url = str(places["url"])
        self._control_url = str(places["control_url"])
        self._secret = secret

    def __repr__(self) -> str:
        return f"<IssuerRemote {self.url}>"

    async def order(self, do: str, **values: Any) -> dict[str, Any]:
        """Throw a switch, or just ask for the ``report``; the report either way."""
        headers = {"Authorization": f"Bearer {self._secret.read_text().strip()}"}
        body = {"do": do, "with": values}
        async with self._http.post(self._control_url, json=body, headers=headers) as reply:
            reply.raise_for_status()
            return dict(await reply.json())

    async def approve(self, user_code: str) -> None:
        """Be the person: open the page and press the button, as a browser would."""
        async with self._http.get(f"{self.url}/device") as page:
            page.raise_for_status()
        form = {"user_code": user_code}
        async with self._http.post(f"{self.url}/device/approve", data=form) as reply:
            reply.raise_for_status()


class Daemon:
    """The daemon's socket, asked for what anybody may know."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    def __repr__(self) -> str:
        return f"<Daemon at {self._socket}>"

    async def ask(self, path: str) -> dict[str, Any]:
        """A route's answer, or nothing while the daemon can't give one."""
        connector = aiohttp.UnixConnector(str(self._socket))
        with contextlib.suppress(aiohttp.ClientError, OSError, asyncio.TimeoutError):
            async with (
                aiohttp.ClientSession(connector=connector, timeout=GLANCE) as http,
                http.get(f"http://credd{path}") as reply,
            ):
                return dict(await reply.json()) if reply.status == 200 else {}
        return {}

    async def is_ready(self) -> bool:
        """Whether it answers and its vault is open."""
        return bool(await self.ask("/v1/ready"))


async def ask_tracking(http: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    """The tracking server's report."""
    async with http.get(f"{url}/api/report") as reply:
        return dict(await reply.json())
