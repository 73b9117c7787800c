"""The papers agree with the house: pages, packaging and pins say what is so.

Prose that no test reads goes stale. These checks read docs/ and pyproject.toml, and compare them
with the table in tests/test_house.py and with each other.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

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


def test_the_first_python_that_the_guest_wing_promises_is_the_one_it_declares() -> None:
    """Guests need 3.9 and nothing else; every daemon library waits for Python 3.11."""
    project = project_file()["project"]
    assert project["requires-python"] == ">=3.9"
    assert project["dependencies"] == []
    daemon = project["optional-dependencies"]["daemon"]
    assert all("python_version >= '3.11'" in item for item in daemon)
