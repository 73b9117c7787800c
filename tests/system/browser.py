"""Headless Chromium as the person's browser, driven by its own DevTools protocol.

Knows: how it is started, told where to go, asked what it shows, and ended. Refuses to know: credd
and any provider. The hard thing: a page is on its way for a while, and nothing announces that it
has come; so whatever a test does next waits until the page says what is expected.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
REQUIRED = "CREDD_REQUIRE_BROWSER"
"""Where this variable is 1, a browser that is not there is a failure and not a skip."""

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--hide-scrollbars", "--window-size=900,640",
    "--remote-debugging-port=0",
)  # fmt: skip

REBINDING = "--host-resolver-rules=MAP rebound.example 127.0.0.1"
"""What a hostile name server would say after its page was loaded (DNS rebinding)."""

START_LIMIT = 30.0
"""Seconds until it can be driven: 1 s at rest, more where other tests use the same cores."""

PAGE_LIMIT = 20.0
"""Seconds until a page shows what is expected."""


def installed() -> str:
    """The browser's program, "" where there is none."""
    return next((found for name in NAMES if (found := shutil.which(name))), "")


class Page:
    """One tab."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One command of the protocol, and its result; what happens besides is passed over."""
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": params})
        async for message in self._socket:
            reply: dict[str, Any] = json.loads(message.data)
            if reply.get("id") == number:
                if "error" in reply:
                    raise RuntimeError(f"{method}: {reply['error']['message']}")
                result: dict[str, Any] = reply["result"]
                return result
        raise RuntimeError("the browser has gone")

    async def visit(self, address: str) -> None:
        """Go there, as if somebody had typed it."""
        await self.call("Page.navigate", url=address)

    async def run(self, script: str) -> Any:
        """The value of a JavaScript expression on the page; None where it can't be told now."""
        reply = await self.call("Runtime.evaluate", expression=script, returnByValue=True)
        return None if "exceptionDetails" in reply else reply["result"].get("value")

    async def text(self) -> str:
        """What a person reads."""
        return str(await self.run("document.body ? document.body.innerText : ''"))

    async def shows(self, words: str) -> None:
        """Wait until the page says this."""
        async with asyncio.timeout(PAGE_LIMIT):
            while words not in await self.text():  # noqa: ASYNC110 - a page tells nobody
                await asyncio.sleep(0.05)

    async def fill(self, name: str, value: str) -> None:
        """Type into the input of this name."""
        await self.run(f"document.querySelector('input[name={name}]').focus()")
        await self.call("Input.insertText", text=value)

    async def press(self) -> None:
        """Press the button of the page's form."""
        await self.run("document.querySelector('button[type=submit]').click()")

    async def screenshot(self) -> bytes:
        """What it looks like, as a PNG."""
        reply = await self.call("Page.captureScreenshot", format="png")
        return base64.b64decode(reply["data"])


@asynccontextmanager
async def browsing(*flags: str) -> AsyncIterator[Page]:
    """A browser of the test's own, with a profile that nobody used before; ended by its id."""
    profile = Path(tempfile.mkdtemp(prefix="credd-browser-"))
    process = await asyncio.create_subprocess_exec(
        installed(), *FLAGS, *flags, f"--user-data-dir={profile}", "about:blank",
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL, env={"HOME": str(profile), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    try:
        async with aiohttp.ClientSession() as session:
            address = await _page_address(session, profile, process)
            async with session.ws_connect(address, max_msg_size=0) as socket:
                page = Page(socket)
                await page.call("Page.enable")
                yield page
                with suppress(RuntimeError):
                    await page.call("Browser.close")
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        shutil.rmtree(profile, ignore_errors=True)  # its children may still write there


async def _page_address(
    session: aiohttp.ClientSession, profile: Path, process: asyncio.subprocess.Process
) -> str:
    """Where its first tab is driven from. It writes its port into its profile."""
    async with asyncio.timeout(START_LIMIT):
        while True:
            if process.returncode is not None:
                raise RuntimeError(f"the browser ended at its start ({process.returncode})")
            with suppress(OSError, ValueError, aiohttp.ClientError, StopIteration):
                port = int((profile / "DevToolsActivePort").read_text().split()[0])
                async with session.get(f"http://127.0.0.1:{port}/json/list") as reply:
                    tabs = await reply.json()
                pages = (one for one in tabs if one["type"] == "page")
                return str(next(pages)["webSocketDebuggerUrl"])
            await asyncio.sleep(0.05)
