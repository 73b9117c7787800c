"""A play of sudden deaths: a vault is changed, and killed (SIGKILL) before each line that does it.

Run as `python -m tests.vault.killed_play FOLDER CHANGE`, CHANGE one of `CHANGES`. Each line of
output is what a start of the daemon finds after one of the deaths, as JSON; the last one, after the
change that nobody stopped, has `"line": null`. It forks, so it has no threads of its own: every
vault lives in a child.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import FrameType
from typing import Any

import credd.vault
from credd.core.model import Secret
from credd.vault.vault import Vault
from credd.vault.wraps import NOTHING, Offered
from tests.vault.homes import Home
from tests.vault.keeper_contract import ATTEMPT

ROOM = os.path.dirname(credd.vault.__file__)
HANDS = {
    os.path.join(ROOM, f"{name}.py")
    for name in ("database", "files", "resetting", "store", "tables")
}
"""The modules that touch files: between two lines of another, the disk stays the same."""

CODE = Secret(base64.b32encode(bytes(range(20))).decode())
NOW = 1_795_315_847.0

CHANGES: dict[str, Callable[[Vault], Awaitable[object]]] = {
    "rewrap": lambda vault: vault.rewrap(
        ["recovery-code", "systemd"], NOTHING, Offered(recovery_code=CODE), only=True
    ),
    "rekey": lambda vault: vault.rekey(),
    "reset": lambda vault: vault.reset(NOW),
    "reset-newer": lambda vault: vault.reset(NOW),
    "forget": lambda vault: vault.forget("lab"),
}

ROUNDS = {"reset-newer": 3}
"""How often a line counts as new, where more than once: a loop's second round is a moment, too."""

Line = tuple[str, int]


class Death:
    """Kills this process before the `number`-th line of `HANDS` that is new to it."""

    def __init__(self, number: int, rounds: int) -> None:
        self.number = number
        self.is_armed = False
        self._rounds = rounds
        self._lines: Counter[Line] = Counter()

    def trace(self, frame: FrameType, _event: str, _arg: Any) -> Any:
        return self._look if frame.f_code.co_filename in HANDS else None

    def _look(self, frame: FrameType, event: str, _arg: Any) -> Any:
        line = (os.path.basename(frame.f_code.co_filename), frame.f_lineno)
        if event == "line" and self.is_armed and self._lines[line] < self._rounds:
            self._lines[line] += 1
            if self._lines.total() == self.number:
                os.write(1, json.dumps(f"{line[0]}:{line[1]}").encode())
                os.kill(os.getpid(), signal.SIGKILL)
        return self._look


def environ(home: Home) -> dict[str, str]:
    """A unit with a credential, so that there is a second source that needs nobody."""
    (home.root / "credd-key").write_bytes(bytes(range(32)))
    return {"CREDENTIALS_DIRECTORY": str(home.root)}


async def prepare(home: Home) -> None:
    vault = home.vault(environ=environ(home))
    await vault.create("file")
    await vault.keep("home", b"home one", 0)
    await vault.keep("lab", b"lab one", 0)
    await vault.journal("lab", ATTEMPT)
    await vault.put_aside("lab", b"late", "late_answer")
    await vault.close()


def make_newer(home: Home) -> None:
    """As a later credd leaves it that was killed: with a log, and of a version unknown to us."""
    content = bytearray(home.path.read_bytes())
    content[60:64] = (99).to_bytes(4, "big")
    home.path.write_bytes(content)
    home.beside("wal").write_bytes(b"log")
    home.beside("wal").chmod(0o600)


async def change(home: Home, what: str, death: Death) -> None:
    vault = home.vault(environ=environ(home))
    await vault.open()
    death.is_armed = True
    await CHANGES[what](vault)
    death.is_armed = False
    await vault.close()


async def look(home: Home) -> dict[str, object]:
    """What the next start finds, and whether it can go on from there."""
    vault = home.vault(environ=environ(home))
    status = await vault.open()
    found: dict[str, object] = {"state": status.state, "restored": status.restored}
    found["files"] = sorted(place.name for place in home.path.parent.iterdir())
    found["sources"] = vault.sources()
    if status.state == "open":
        kept = await vault.load()
        found["records"] = {one.name: (one.payload or b"").decode() for one in kept}
        found["attempts"] = [one.name for one in kept if one.attempt == ATTEMPT]
        found["late"] = (await vault.look_aside("lab") or b"").decode()
        found["damaged"] = [part for part in await vault.check() if part.verdict == "damaged"]
        found["next"] = await vault.keep("home", b"home two", 1)
    await vault.close()
    return found


def in_child(work: Callable[[], None]) -> tuple[int, str]:
    """Do it in a process of its own: how it ended, and what it wrote."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(writing, 1)
        work()
        os._exit(0)
    os.close(writing)
    with open(reading) as output:
        said = output.read()
    return os.waitpid(child, 0)[1], said


def play(folder: Path, what: str) -> None:
    number, status = 0, signal.SIGKILL.value
    while status == signal.SIGKILL:
        number += 1
        home, death = Home(folder / str(number)), Death(number, ROUNDS.get(what, 1))
        home.root.mkdir()
        status, line = in_child(lambda h=home, d=death: _change(h, what, d))  # type: ignore[misc]
        failed, found = in_child(lambda h=home: _look(h))  # type: ignore[misc]
        if status not in (0, signal.SIGKILL) or failed:
            sys.exit(f"{what} broke at {line or number}: {status} {failed}")
        print(json.dumps({"line": json.loads(line or "null"), **json.loads(found)}), flush=True)


def _change(home: Home, what: str, death: Death) -> None:
    asyncio.run(prepare(home))
    if what == "reset-newer":
        make_newer(home)
    threading.settrace(death.trace)
    sys.settrace(death.trace)
    asyncio.run(change(home, what, death))
    sys.settrace(None)


def _look(home: Home) -> None:
    os.write(1, json.dumps(asyncio.run(look(home))).encode())


if __name__ == "__main__":
    play(Path(sys.argv[1]), sys.argv[2])
