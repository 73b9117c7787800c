"""The papers agree with the house: pages, packaging and pins say what is so.

Prose that no test reads goes stale. These checks read docs/ and pyproject.toml, and compare them
with the table in tests/test_house.py and with each other.
"""

from __future__ import annotations

import plistlib
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from bench.__main__ import PROGRAMS
from tests.test_house import DOORS

ROOT = Path(__file__).resolve().parent.parent


def project_file() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def test_the_architecture_page_shows_every_room() -> None:
    """docs/architecture.md holds a row for each room of DOORS, and no row that isn't one."""
    page = (ROOT / "docs/architecture.md").read_text("utf-8")
    doors = page.split("## Doors", 1)[1].split("\n## ", 1)[0]
    rows = [row.split("|")[1] for row in doors.splitlines() if row.startswith("| ")][1:]
    named = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    assert named == set(DOORS)


def test_the_threats_are_numbered_1_to_88_without_a_gap() -> None:
    """The numbers are stable: tests are named after them, so that coverage can be counted."""
    page = (ROOT / "docs/threats.md").read_text("utf-8")
    assert [int(n) for n in re.findall(r"^(\d+)\. ", page, re.MULTILINE)] == list(range(1, 89))


def test_every_dependency_is_pinned_as_tested() -> None:
    """constraints.txt names an exact version of each package that pyproject.toml asks for."""
    project = project_file()
    asked = [*project["project"]["optional-dependencies"]["daemon"]]
    for group in project["dependency-groups"].values():
        asked += [item for item in group if isinstance(item, str)]
    lines = (ROOT / "constraints.txt").read_text("utf-8").lower().splitlines()
    pinned = {line.partition("==")[0] for line in lines if "==" in line}
    wanted = {re.split(r"[>=<;\[ ]", item, maxsplit=1)[0].lower() for item in asked}
    assert wanted <= pinned, f"not pinned: {wanted - pinned}"


def test_every_benchmark_is_run_by_make_bench_and_names_its_goal() -> None:
    """Each program of bench/ opens with its goal, is in the list, and in docs/performance.md."""
    page = (ROOT / "docs/performance.md").read_text("utf-8")
    texts = {file: file.read_text("utf-8") for file in (ROOT / "bench").glob("*.py")}
    programs = [file for file in texts if texts[file].endswith("\n    sys.exit(main())\n")]
    for file in programs:
        if file.stem == "__main__":
            continue
        goal = re.match(r'"""(G\d+)', texts[file])
        assert goal, f"{file.name} does not open with its goal"
        assert re.search(rf"^\| {goal[1]} \| `{file.stem}` \|", page, re.MULTILINE), file.name
    assert {file.stem for file in programs} == {"__main__", *PROGRAMS}


def test_the_first_python_that_the_guest_wing_promises_is_the_one_it_declares() -> None:
    """Guests need 3.9 and nothing else; every daemon library waits for Python 3.11."""
    project = project_file()["project"]
    assert project["requires-python"] == ">=3.9"
    assert project["dependencies"] == []
    daemon = project["optional-dependencies"]["daemon"]
    assert all("python_version >= '3.11'" in item for item in daemon)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_the_systemd_units_are_valid(tmp_path: Path) -> None:
    """systemd itself finds no unknown key and no wrong value in credd.service and credd.socket."""
    service = (ROOT / "systemd/credd.service").read_text("utf-8")
    units = [tmp_path / "credd.service", tmp_path / "credd.socket"]
    units[0].write_text(service.replace("%h/.local/bin/credd", sys.executable))
    units[1].write_text((ROOT / "systemd/credd.socket").read_text("utf-8"))
    argv = ["systemd-analyze", "--user", "--man=no", "verify", *map(str, units)]
    environ = {"XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_daemon_has_time_to_finish_a_refresh_when_it_is_stopped() -> None:
    """Units allow 100 s: a reply that is awaited for up to 90 s may hold the only refresh token."""
    service = (ROOT / "systemd/credd.service").read_text("utf-8")
    assert "\nTimeoutStopSec=100\n" in service
    assert "\nRestartPreventExitStatus=9 10\n" in service
    assert "\nRuntimeDirectory=" not in service, "stopping would delete the socket's folder"
    agent = plistlib.loads((ROOT / "launchd/dev.credd.plist").read_bytes())
    assert (agent["Label"], agent["ExitTimeOut"], agent["Umask"]) == ("dev.credd", 100, 0o077)
