"""The issuer as a process: its command line, and the control port that plays fate.

Knows how to start, to tell where it listens, and which switches may be thrown from outside.
Refuses every control request without the secret of its file. The one hard thing: the control
port has to answer while the issuer itself is away, so it is a second port.
"""

from __future__ import annotations

import argparse
import asyncio
import hmac
import inspect
import json
import os
import secrets
import signal
import sys
from pathlib import Path
from typing import Any

from aiohttp import web

from demo.issuer import Issuer, Settings
from demo.issuer_listener import Listener

OF_ISSUER = frozenset({"approve", "deny", "away", "back", "report"})
OF_FAULTS = frozenset({
    "answer", "break_access_token", "clear", "discovery", "edit_reply", "hide_expiry", "html",
    "lie_about_expiry", "lose_reply", "omit_refresh_token", "refuse_grants", "slow", "slow_down",
    "too_many_requests",
})  # fmt: skip


class Control:
    """``POST /control`` with ``{"do": NAME, "with": {...}}``; answers with the report."""

    def __init__(self, issuer: Issuer, secret: str) -> None:
        self._issuer = issuer
        self._secret = secret

    async def serve(self, http: web.BaseRequest) -> web.StreamResponse:
        """Throw one switch: 200 and the report, 401, 404, or 400 with the reason."""
        expected = f"Bearer {self._secret}".encode()
        if not hmac.compare_digest(http.headers.get("Authorization", "").encode(), expected):
            return web.json_response({"error": "the control secret, please"}, status=401)
        if (http.method, http.path) != ("POST", "/control"):
            return web.json_response({"error": "POST /control"}, status=404)
        try:
            await self._do(json.loads(await http.read()))
        except (KeyError, TypeError, ValueError) as error:
            return web.json_response({"error": repr(error)}, status=400)
        return web.json_response(self._issuer.report())

    async def _do(self, order: dict[str, Any]) -> None:
        name, values = order["do"], order.get("with", {})
        if name in OF_ISSUER:
            result = getattr(self._issuer, name)(**values)
        elif name in OF_FAULTS:
            result = getattr(self._issuer.faults, name)(**values)
        else:
            raise ValueError(f"cannot do {name!r}")
        if inspect.isawaitable(result):
            await result


def read_or_make_secret(path: Path) -> str:
    """The control secret of this file; made, for us alone, where the file is missing."""
    if not path.exists():
        write_private(path, secrets.token_urlsafe(24))
    return path.read_text().strip()


def write_private(path: Path, text: str) -> None:
    """Write a file of mode 0600 in one step, so that a reader sees all of it or none."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_text(text)
    draft.replace(path)


async def run(options: argparse.Namespace) -> None:
    """Serve until SIGTERM, SIGINT, or the end of standard input if that was asked for."""
    settings = Settings(
        access_lifetime=options.access_lifetime, interval=options.interval,
        rotate=not options.no_rotate, auto_approve_after=options.auto_approve_after,
    )  # fmt: skip
    stop = stop_event(options.until_eof)
    async with Issuer(settings, port=options.port) as issuer:
        control = Control(issuer, read_or_make_secret(Path(options.control_secret_file)))
        async with Listener(control.serve) as listener:
            places = {"url": issuer.url, "control_url": f"{listener.origin}/control"}
            write_private(Path(options.port_file), json.dumps(places))
            await stop.wait()


def stop_event(until_eof: bool) -> asyncio.Event:
    """An event that a signal sets; with ``until_eof`` the death of our starter sets it too."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if until_eof:
        loop.add_reader(sys.stdin.fileno(), stop.set)
    return stop


def parse_options(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m demo.issuer", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 lets the kernel choose")
    parser.add_argument("--port-file", required=True, help="written when ready: JSON with URLs")
    parser.add_argument("--control-secret-file", required=True, help="made if it is missing")
    parser.add_argument("--access-lifetime", type=float, default=10.0, help="seconds")
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between polls")
    parser.add_argument("--auto-approve-after", type=float, default=None, help="seconds")
    parser.add_argument("--no-rotate", action="store_true", help="refresh tokens stay")
    parser.add_argument("--until-eof", action="store_true", help="stop when stdin ends")
    return parser.parse_args(arguments)


def main() -> None:
    """The process."""
    asyncio.run(run(parse_options()))
