"""The folder and the processes of one demo: started, restarted, and always cleared away.

Knows folders, environments and process ids. Refuses to know the plot. The one hard thing:
whatever happens, Ctrl-C included, no process and no file is left behind; so everything is
entered on one exit stack, each child leads a session of its own (a Ctrl-C in the terminal
reaches only us, and we stop them in order), and each is ended by its id.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import IO, Any, Literal

PROJECT = Path(__file__).parent.parent
SOCKET = Path("run") / "credd.sock"
LONGEST_SOCKET = 100  # bytes; sun_path holds 104 on macOS, 108 on Linux, with its final NUL
PATIENCE = 20.0  # seconds for a process to become ready; a cold disk needs a few
GRACE = 5.0  # seconds between SIGTERM and SIGKILL
LOG_TAIL = 12  # lines of a child's log that are worth showing after a failure
RESTART_PAUSE = 0.5  # seconds; what systemd units commonly say as RestartSec

Reads = Literal["nothing", "stdout", "all"]


class StageFailure(Exception):
    """The demo itself could not be played; the text says what to look at."""


class Child:
    """One process: its output goes to a file, its life ends with ``stop``."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self.process = process
        self._log = log

    def __repr__(self) -> str:
        return f"<Child {self.name} pid={self.process.pid} exit={self.process.returncode}>"

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self.process.returncode is None

    def tail(self) -> str:
        """The end of its log."""
        lines = self._log.read_text(errors="replace").splitlines()
        return "\n".join(f"  {self.name}: {line}" for line in lines[-LOG_TAIL:])

    async def stop(self) -> None:
        """SIGTERM, SIGKILL for one that does not listen, and its pipe closed."""
        if self.is_running:
            await self._end()
        if self.process.stdin is not None:
            self.process.stdin.close()
            with contextlib.suppress(ConnectionError):
                await self.process.stdin.wait_closed()

    async def _end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        try:
            await asyncio.wait_for(self.process.wait(), GRACE)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()


class Stage:
    """A throw-away folder with the processes that play in it; ``async with`` clears it away."""

    def __init__(self) -> None:
        self._exits = contextlib.AsyncExitStack()
        self.folder = Path()
        self.children: list[Child] = []

    def __repr__(self) -> str:
        return f"<Stage {self.folder} {self.children}>"

    async def __aenter__(self) -> Stage:
        self.folder = make_folder()
        self._exits.callback(shutil.rmtree, self.folder, ignore_errors=True)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._exits.aclose()

    @property
    def home(self) -> Path:
        """What CREDD_HOME says."""
        return self.folder / "home"

    @property
    def socket(self) -> Path:
        """Where the daemon answers."""
        return self.home / SOCKET

    def environment(self) -> dict[str, str]:
        """Ours, without whatever this person's own credd is told."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("CREDD_")}
        return kept | {"CREDD_HOME": str(self.home), "PYTHONUNBUFFERED": "1"}

    async def start(self, name: str, *arguments: str, reads: Reads = "nothing") -> Child:
        """Start ``python ARGUMENTS``; what we do not read of its output goes to a log."""
        log = self.folder / f"{name}.log"
        with log.open("ab") as file:
            process = await self._spawn(arguments, file, reads)
        child = Child(name, process, log)
        self.children.append(child)
        self._exits.push_async_callback(child.stop)
        return child

    async def _spawn(
        self, arguments: tuple[str, ...], log: IO[bytes], reads: Reads
    ) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            # A pipe that is never written to: children with --until-eof end when we do.
            stdin=asyncio.subprocess.PIPE,
            stdout=log if reads == "nothing" else asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT if reads == "all" else log,
            cwd=PROJECT,
            env=self.environment(),
            start_new_session=True,
        )

    async def places(self, child: Child, file: Path) -> dict[str, Any]:
        """What a server wrote about where it listens. Raises StageFailure if it ends instead."""
        await self.until(lambda: _exists(file), child, f"{child.name} to listen")
        return read_places(file)

    async def until(
        self, condition: Callable[[], Awaitable[bool]], child: Child, what: str
    ) -> None:
        """Wait for it, as long as the child lives and patience lasts. Raises StageFailure."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while not await condition():
            if not child.is_running or asyncio.get_running_loop().time() > deadline:
                raise StageFailure(f"waited in vain for {what}\n{child.tail()}")
            await asyncio.sleep(0.02)


class Service:
    """The daemon as a service manager keeps it: whenever it ends, it is started again."""

    def __init__(self, stage: Stage, name: str, *arguments: str) -> None:
        self._stage = stage
        self._name = name
        self._arguments = arguments
        self.child: Child | None = None
        self.starts = 0

    def __repr__(self) -> str:
        return f"<Service {self._name} starts={self.starts} {self.child!r}>"

    @property
    def pid(self) -> int:
        """The id of the process that runs now, or 0."""
        return self.child.process.pid if self.child and self.child.is_running else 0

    def tail(self) -> str:
        """The end of its log."""
        return self.child.tail() if self.child else ""

    async def start(self) -> Child:
        """Start it (again)."""
        self.child = await self._stage.start(self._name, *self._arguments)
        self.starts += 1
        return self.child

    async def keep(self) -> None:
        """Start it again whenever it ends; cancel this to let it rest."""
        while True:
            if self.child is not None:
                await self.child.process.wait()
                await asyncio.sleep(RESTART_PAUSE)
            await self.start()

    def kill(self) -> int:
        """SIGKILL the process that runs now, and nothing else; its id."""
        assert self.child is not None
        self.child.process.kill()
        return self.child.process.pid


def make_folder() -> Path:
    """A private folder whose path is short enough for a socket in it."""
    for base in (tempfile.gettempdir(), "/tmp"):  # noqa: S108  # mkdtemp makes it private
        folder = Path(tempfile.mkdtemp(prefix="credd-demo-", dir=base))
        if len(os.fsencode(folder / "home" / SOCKET)) <= LONGEST_SOCKET:
            return folder
        folder.rmdir()
    raise StageFailure("no folder with a short enough path; try: TMPDIR=/tmp make demo")


def search(folder: Path, marks: Iterable[str]) -> tuple[int, list[str]]:
    """How many files there are below a folder, and the names of those that hold a mark."""
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    sought = [mark.encode() for mark in marks]
    found = [file.name for file in files if any(mark in file.read_bytes() for mark in sought)]
    return len(files), found


def read_places(file: Path) -> dict[str, Any]:
    """What a server wrote when it was ready."""
    return dict(json.loads(file.read_text()))


async def _exists(file: Path) -> bool:
    return await asyncio.to_thread(file.exists)
