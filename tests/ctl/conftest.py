"""The stand-in daemon and the command, in a home of their own."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ctl.standin import Standin

ROOT = Path(__file__).resolve().parents[2]

LIMIT = 20.0
"""Seconds until something must have been shown; a busy machine starts Python in two."""


class Home:
    """A folder as CREDD_HOME, and credd-ctl run in it as a real process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "config.toml"

    def environ(self, **more: str) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return {
            **kept,
            "CREDD_HOME": str(self.folder),
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "TZ": "UTC",
            **more,
        }

    def ctl(
        self, *args: str, stdin: str | None = None, **more: str
    ) -> subprocess.CompletedProcess[str]:
        """Run `credd-ctl ARGS` to its end."""
        return subprocess.run(
            [sys.executable, "-m", "credd.ctl", *args],
            env=self.environ(**more),
            cwd=self.folder,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def terminal(self, *args: str, **more: str) -> Terminal:
        """Run `credd-ctl ARGS` at a terminal."""
        return Terminal(self, args, **more)


BECOME = (
    "import fcntl, os, sys, termios;"
    "fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    "os.execv(sys.executable, [sys.executable, '-m', 'credd.ctl', *sys.argv[1:]])"
)


class Terminal:
    """credd-ctl at a terminal of its own (a pty), with a person who reads and types."""

    def __init__(self, home: Home, args: tuple[str, ...], **more: str) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-c", BECOME, *args],
            env=home.environ(TERM="xterm-256color", **more),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self.shown = ""
        self._expected = 0

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *exc: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._master)

    def expect(self, text: str) -> None:
        """Read until `text` is shown, after what was expected before it."""
        end = time.monotonic() + LIMIT
        while text not in self.shown[self._expected :]:
            assert self._read(end), f"{text!r} was not shown, but: {self.shown}"
        self._expected = self.shown.index(text, self._expected) + len(text)

    def type(self, text: str) -> None:
        """Type it."""
        os.write(self._master, text.encode())

    def end(self) -> int:
        """Read to the end; the exit status."""
        while self._read(time.monotonic() + LIMIT):
            pass
        return self.process.wait(LIMIT)

    def _read(self, end: float) -> bool:
        """Read some more; False at the end, which the kernel calls EIO when the last one left."""
        if not select.select([self._master], [], [], max(0.0, end - time.monotonic()))[0]:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:
            return False
        self.shown += data.decode(errors="replace")
        return bool(data)


@pytest.fixture
def home() -> Iterator[Home]:
    """A short path: a socket's address has room for 108 bytes."""
    with tempfile.TemporaryDirectory(prefix="credd-ctl-") as folder:
        yield Home(Path(folder))


@pytest.fixture
def daemon(home: Home) -> Iterator[Standin]:
    """The stand-in, listening where the home's clients look."""
    with Standin(home.folder / "run") as standin:
        yield standin
