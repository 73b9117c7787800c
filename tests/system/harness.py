"""The real commands in a home of their own: `credd`, `credd-ctl`, `credd-token`.

Knows: how to start, watch, kill and question them from outside, as a person or a supervisor would.
Refuses to know: anything inside the daemon. The hard thing: to kill the daemon when no token
request is under way, not even one whose answer is between its memory and its disk; see
`kill_outside_window`.

Whatever a process writes goes to the session's folder of logs, to be searched for secrets.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

from tests.canary import Canary
from tests.fakes.fault_proxy import FaultProxy
from tests.fakes.token_request import sha256
from tests.system.unix_http import Answer, ask

ROOT = Path(__file__).parents[2]
MODULES = {
    "credd": "credd",
    "credd-ctl": "credd.ctl",
    "credd-token": "credd.client.token_command",
}
PRINT_TOKENS = {"credd-ctl", "credd-token"}

READY_LIMIT = 20.0
"""Seconds until a daemon answers: under 1 s at rest, more while 16 workers use the same cores."""

COMMAND_LIMIT = 45.0
"""Seconds for a command: the longest is a login, which waits for its next poll."""

LOOK_EVERY = 0.02
"""Seconds between two looks at a condition that nothing announces."""

ARRIVAL = 0.05
"""Seconds within which bytes that a stopped daemon had written reach the proxy, on loopback."""

USER_CODE = re.compile(r"\b[B-DF-HJ-NP-TV-XZ]{4}-[B-DF-HJ-NP-TV-XZ]{4}\b")
"""How oidc-provider spells a user code (base-20, RFC 8628, 6.1)."""

T = TypeVar("T")
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Finished:
    """How a command ended, and all that it said."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def remedy(self) -> str:
        """The last line on standard error: the command that mends it."""
        lines = self.stderr.strip().splitlines()
        return lines[-1].strip() if lines else ""


async def eventually(
    look: Callable[[], Awaitable[T | None]], what: str, limit: float = READY_LIMIT
) -> T:
    """Look until the answer is true, and give it; TimeoutError says `what` was waited for."""
    deadline = time.monotonic() + limit
    while not (answer := await look()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {limit} s still not: {what}")
        await asyncio.sleep(LOOK_EVERY)
    return answer


class Command:
    """A started command of ours, its output going to two files of the logs."""

    def __init__(self, process: asyncio.subprocess.Process, stdout: Path, stderr: Path) -> None:
        self.process = process
        self._stdout = stdout
        self._stderr = stderr

    def said(self) -> str:
        """All that it has written so far."""
        return self._stdout.read_text() + self._stderr.read_text()

    async def finished(self, limit: float = COMMAND_LIMIT) -> Finished:
        """Wait for its end; kill it where that doesn't come."""
        try:
            code = await asyncio.wait_for(self.process.wait(), limit)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
            raise TimeoutError(
                f"still running after {limit} s, having said: {self.said()}"
            ) from None
        return Finished(code, self._stdout.read_text(), self._stderr.read_text())


class Home:
    """A throw-away CREDD_HOME, its daemon, and the commands that speak to it."""

    def __init__(self, folder: Path, canary: Canary) -> None:
        self.folder = folder
        self.socket = str(folder / "run" / "credd.sock")
        self.daemon: Command | None = None
        self._canary = canary
        self._credentials: dict[str, dict[str, Any]] = {}
        self._commands: list[Command] = []

    def __repr__(self) -> str:
        return f"<Home {self.folder} daemon={self.daemon and self.daemon.process.pid}>"

    # Configuration

    def configure(self, name: str, **settings: Any) -> None:
        """Add a credential to config.toml, or change it, as a person with an editor would."""
        self._credentials[name] = settings
        tables = {"vault": {"key": "file"}}
        tables |= {f"credentials.{name}": one for name, one in self._credentials.items()}
        self.write_config("\n".join(_toml(*table) for table in tables.items()))

    def write_config(self, text: str) -> None:
        """The whole config.toml, right or wrong: 0600 in our 0700 folder."""
        path = self.folder / "config.toml"
        fresh = path.with_suffix(".new")
        fresh.write_text(text)
        fresh.chmod(0o600)
        fresh.replace(path)

    def environ(self, **extra: str) -> dict[str, str]:
        """The environment of every process here: nothing of this machine but the PATH."""
        return {
            "CREDD_HOME": str(self.folder),
            "HOME": str(self.folder / "user"),
            "LANG": "C.UTF-8",
            "PATH": os.environ["PATH"],
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": str(ROOT),
            **extra,
        }

    # Commands

    async def spawn(self, program: str, *args: str, stdin: str = "", **extra: str) -> Command:
        """Start one of our programs, or a Python file of the tests; `extra` is for its
        environment."""
        code = ["-m", MODULES[program]] if program in MODULES else [program]
        stdout, stderr = self._outputs(program)
        with stdout, stderr:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *code,
                *args,
                stdin=asyncio.subprocess.PIPE,
                stdout=stdout,
                stderr=stderr,
                env=self.environ(**extra),
                cwd=self.folder,
            )
        assert process.stdin is not None
        process.stdin.write(stdin.encode())
        process.stdin.close()
        self._canary.sample_process(process.pid)
        self._commands.append(Command(process, Path(stdout.name), Path(stderr.name)))
        return self._commands[-1]

    def _outputs(self, program: str) -> tuple[IO[bytes], IO[bytes]]:
        """Two new files of the logs. Only where a token is the answer is the first one called
        `.stdout`, which allows it; see tests/canary.py."""
        stem = str(self._canary.folder / f"{Path(program).stem}-{next(_numbers)}")
        first = stem + (".stdout" if program in PRINT_TOKENS else ".output")
        return Path(first).open("wb"), Path(stem + ".stderr").open("wb")

    async def run(self, program: str, *args: str, stdin: str = "", **extra: str) -> Finished:
        """Start a program and wait for its end."""
        return await (await self.spawn(program, *args, stdin=stdin, **extra)).finished()

    async def ctl(self, *args: str, stdin: str = "") -> Finished:
        """`credd-ctl ...`"""
        return await self.run("credd-ctl", *args, stdin=stdin)

    async def login(self, name: str, approve: Callable[[str], None]) -> Finished:
        """`credd-ctl login NAME` by device flow; `approve(user_code)` is the person."""
        command = await self.spawn("credd-ctl", "login", name, "--flow", "device", "--no-browser")
        code = await eventually(lambda: _user_code(command), "a user code", COMMAND_LIMIT)
        if code.group():
            await asyncio.to_thread(approve, code.group())
        return await command.finished()

    # The socket

    async def ask(self, method: str, route: str, body: object = None, **query: object) -> Answer:
        """A question to the daemon. Raises OSError where nobody answers."""
        return await asyncio.to_thread(ask, self.socket, method, route, body, query)

    async def status(self, name: str) -> dict[str, Any]:
        """`GET /v1/credentials/NAME`."""
        return (await self.ask("GET", f"/v1/credentials/{name}")).body

    async def state(self, name: str) -> str:
        """Its state, in one word."""
        return str((await self.status(name)).get("state"))

    async def token(self, name: str, **query: object) -> Answer:
        """`GET /v1/credentials/NAME/token`."""
        return await self.ask("GET", f"/v1/credentials/{name}/token", **query)

    # The daemon

    async def start(self, *args: str) -> None:
        """Start the daemon and wait until it is ready."""
        self.daemon = await self.spawn("credd", "--log-level", "debug", *args)
        await eventually(self._is_ready, "the daemon answers that it is ready")
        self._canary.sample_process(self.daemon.process.pid)

    async def hang_up(self) -> None:
        """SIGHUP: read the configuration again."""
        self._signal(signal.SIGHUP)

    async def kill(self) -> None:
        """SIGKILL, as the kernel does when memory is short."""
        await self._end(signal.SIGKILL)

    async def terminate(self) -> int:
        """SIGTERM, as a supervisor does; answers with the exit status."""
        return await self._end(signal.SIGTERM)

    async def kill_outside_window(self, name: str, proxy: FaultProxy) -> None:
        """SIGKILL while no token request is under way, and the last answer is on the disk.

        The daemon shows an answer only after it is durable, so what it serves tells. It is stopped
        before the last look: a stopped daemon can't start a request between look and kill.
        """
        while not await self._stops_outside_window(name, proxy):
            self._signal(signal.SIGCONT)
        await self.kill()

    async def _stops_outside_window(self, name: str, proxy: FaultProxy) -> bool:
        await proxy.idle()
        before = len(proxy.token_requests)
        obtained = [one.access_token_sha256 for one in proxy.token_requests]
        served = (await self.token(name)).body.get("access_token")
        if sha256(served) != [digest for digest in obtained if digest][-1]:
            return False
        self._signal(signal.SIGSTOP)
        await asyncio.sleep(ARRIVAL)
        return proxy.in_flight == 0 and len(proxy.token_requests) == before

    async def _is_ready(self) -> bool:
        assert self.daemon is not None
        if self.daemon.process.returncode is not None:
            raise RuntimeError(f"the daemon ended at its start, saying: {self.daemon.said()}")
        try:
            return (await self.ask("GET", "/v1/ready")).status == 200
        except OSError:
            return False

    def _signal(self, number: signal.Signals) -> None:
        assert self.daemon is not None
        self.daemon.process.send_signal(number)

    async def _end(self, number: signal.Signals) -> int:
        assert self.daemon is not None
        self._canary.sample_process(self.daemon.process.pid)
        self._signal(number)
        finished = await self.daemon.finished()
        self.daemon = None
        return finished.exit_code

    async def close(self) -> None:
        """End every process started here, by its own id, and leave what they kept to the canary."""
        for command in self._commands:
            if command.process.returncode is None:
                command.process.kill()
                await command.process.wait()
        for kept in ("state", "runtime"):
            if (self.folder / kept).is_dir():
                shutil.copytree(self.folder / kept, self._canary.folder / self.folder.name / kept)


async def _user_code(command: Command) -> re.Match[str] | None:
    """The user code that a login shows; an empty match where it ended without one."""
    ended = command.process.returncode is not None
    return USER_CODE.search(command.said()) or (re.match("", "") if ended else None)


def _toml(table: str, settings: dict[str, Any]) -> str:
    """A table of strings, numbers, truths and lists of them, which JSON and TOML write alike."""
    return f"[{table}]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in settings.items())


@asynccontextmanager
async def throw_away_home(canary: Canary) -> AsyncIterator[Home]:
    """A home with a path short enough for a socket; its processes end and it goes with the test."""
    folder = Path(tempfile.mkdtemp(prefix="credd-"))
    home = Home(folder, canary)
    try:
        yield home
    finally:
        await home.close()
        shutil.rmtree(folder)
