"""The stand-in daemon and the command, in a home of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ctl.standin import Standin

ROOT = Path(__file__).resolve().parents[2]


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
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )


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
