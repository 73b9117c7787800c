"""Looks for secrets where none may be: logs, standard error, arguments, environments.

Knows: markers that our own fakes put into their secrets, real secrets that a test registered, and
the forms in which both may turn up (plain, percent-encoded, base64 at any offset, hex). Refuses to
know: who wrote a file; the session's folder holds whatever processes left there. The hard thing:
an access token is at home on the standard output of the commands that print it, and nowhere else,
so where it was found matters too.

`register(config)` makes it a part of a pytest session: the session fails, and names file and line.
"""

from __future__ import annotations

import base64
import logging
import shutil
import tempfile
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

import pytest

MARKERS = (
    "rt-CANARY-", "cs-CANARY-", "dc-CANARY-", "ac-CANARY-", "pw-CANARY-", "key-CANARY-",
)  # fmt: skip
"""Refresh token, client secret, device and authorization code, password, key: what the fakes'
secrets begin with."""

MAY_HOLD_ACCESS_TOKENS = (".stdout",)
"""Ends of file names where an access token is an answer: `credd-token NAME` prints one."""


@dataclass(frozen=True)
class Leak:
    """A secret in a place where none may be. Names what it is, never its value."""

    what: str
    place: str

    def __str__(self) -> str:
        return f"{self.place}: {self.what}"


def spellings(value: str) -> set[bytes]:
    """The byte strings that a careless program may write for `value`."""
    raw = value.encode()
    upper, lower = _escaped(value, "%{:02X}"), _escaped(value, "%{:02x}")
    written = {value, urllib.parse.quote(value, safe=""), upper, lower, raw.hex()}
    return {one.encode() for one in written} | _base64(raw)


def _escaped(value: str, form: str) -> str:
    """With every character escaped that may be (RFC 3986, 2.1)."""
    return "".join(c if c.isalnum() else form.format(ord(c)) for c in value)


def _base64(raw: bytes) -> set[bytes]:
    """The characters that base64 always has for `raw`, wherever in a longer text it stands.

    Three bytes make four characters, so there are three offsets; the characters at both ends that
    depend on the neighbours are left out.
    """
    found = set()
    for offset in range(3):
        text = base64.b64encode(bytes(offset) + raw)
        sure = text[-(-offset * 8 // 6) : (offset + len(raw)) * 8 // 6]
        found |= {sure, sure.replace(b"+", b"-").replace(b"/", b"_")}
    return found


class Canary:
    """The secrets of a session, and the folder where all its processes leave what they wrote."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._nowhere = {spelling: marker for marker in MARKERS for spelling in spellings(marker)}
        self._printed: dict[bytes, str] = {}

    def __repr__(self) -> str:
        return f"<Canary {self.folder} secrets={len(self._nowhere) + len(self._printed)}>"

    def register_secret(self, kind: str, value: str) -> None:
        """Look for `value` from now on; an access token may be printed, all others may not."""
        known = self._printed if kind == "access_token" else self._nowhere
        known.update(dict.fromkeys(spellings(value), kind))

    def sample_process(self, pid: int) -> None:
        """Keep the arguments and the environment that others can see of a process, as files."""
        for aspect in ("cmdline", "environ"):
            try:
                content = Path(f"/proc/{pid}/{aspect}").read_bytes()
            except OSError:  # gone, or not dumpable and so nobody's to read
                continue
            (self.folder / f"process-{pid}.{aspect}").write_bytes(content.replace(b"\0", b"\n"))

    def leaks(self) -> list[Leak]:
        """Every secret found in the folder, by file and line."""
        files = sorted(path for path in self.folder.rglob("*") if path.is_file())
        return [leak for path in files for leak in self._leaks_in(path)]

    def leaks_in_text(self, text: bytes, place: str, *, printed: bool = False) -> list[Leak]:
        """Every secret in `text`; `printed` where access tokens are at home."""
        wanted = self._nowhere if printed else self._nowhere | self._printed
        found = ((what, text.find(spelling)) for spelling, what in wanted.items())
        return [Leak(what, f"{place}:{_line(text, at)}") for what, at in found if at >= 0]

    def _leaks_in(self, path: Path) -> list[Leak]:
        printed = path.name.endswith(MAY_HOLD_ACCESS_TOKENS)
        return self.leaks_in_text(path.read_bytes(), str(path), printed=printed)


def _line(text: bytes, at: int) -> int:
    return text.count(b"\n", 0, at) + 1


class CanaryPlugin:
    """Watches a pytest session: our loggers' records, captured output, and the session's folder."""

    def __init__(self) -> None:
        self._canary = Canary(Path(tempfile.mkdtemp(prefix="credd-logs-")))
        self._leaks: list[Leak] = []
        # Our own loggers alone: raising the root's level would change what other tests capture.
        self._logger = logging.getLogger("credd")
        self._records = logging.FileHandler(self._canary.folder / "logging.records", delay=True)

    @pytest.fixture
    def canary(self) -> Canary:
        """The session's canary: register secrets, leave logs in its folder."""
        return self._canary

    def pytest_sessionstart(self) -> None:
        """Listen to all that our loggers say, at the level where careless lines are."""
        self._logger.addHandler(self._records)
        self._logger.setLevel(logging.DEBUG)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Captured standard error and logging of tests that pass; a failing one shows values."""
        if report.passed:
            text = (report.capstderr + report.caplog).encode()
            self._leaks += self._canary.leaks_in_text(text, f"output of {report.nodeid}")

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Search everything; what is found fails the session, whatever its tests said."""
        self._logger.removeHandler(self._records)
        self._records.close()
        self._leaks += self._canary.leaks()
        if self._leaks and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        if session.exitstatus == pytest.ExitCode.OK:
            shutil.rmtree(self._canary.folder)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Name each leak; and the folder, where it is kept."""
        if self._canary.folder.exists():
            terminalreporter.section("logs of the daemons under test")
            terminalreporter.write_line(str(self._canary.folder))
        if self._leaks:
            terminalreporter.section("secrets where none may be", red=True)
        for leak in dict.fromkeys(self._leaks):
            terminalreporter.write_line(str(leak))


def register(config: pytest.Config) -> None:
    """Make the canary a part of this session, once, whoever asks first."""
    if not config.pluginmanager.has_plugin("canary"):
        config.pluginmanager.register(CanaryPlugin(), "canary")
