"""On which line of a TOML text each key stands.

Pure text to numbers. tomllib says nothing about places, so the text is cut into its statements, and
each statement is read by tomllib alone: strings over several lines, quoted and dotted keys are then
its business, not ours. The text must be one that tomllib accepts as a whole.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

Path = tuple[str, ...]

MOST_LINES = 500
"""Lines of one statement; each is read again with the next, so a longer one would take minutes.
What stands below such a one has no line."""

_AT_LINE = re.compile(r"\(at line (\d+), column \d+\)")


def lines_of(text: str) -> dict[Path, int]:
    """The line (from 1) of every table and key, by its path: where it is first written."""
    found: dict[Path, int] = {}
    table: Path = ()
    for line, statement, is_header in _statements(text):
        for path in _paths(statement, table=() if is_header else table):
            found.setdefault(path, line)
            if is_header:
                table = path
    return found


def line_of_error(error: ValueError, text: str) -> int:
    """The line that a syntax error was noticed on; the last one where it names none."""
    match = _AT_LINE.search(str(error))
    return int(match[1]) if match else max(1, len(text.splitlines()))


def _statements(text: str) -> Iterator[tuple[int, Mapping[str, Any], bool]]:
    """(line, what it says alone, whether it is a table's header) of each statement."""
    pending = ""
    start = 0
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        if not pending:
            start = number
        if number - start > MOST_LINES:
            return
        pending += line + "\n"
        alone = _alone(pending)
        if alone is not None:
            yield start, alone, pending.lstrip().startswith("[")
            pending = ""


def _alone(statement: str) -> Mapping[str, Any] | None:
    """What the lines say by themselves; None while a string or list in them is still open."""
    try:
        return tomllib.loads(statement)
    except ValueError:
        return None


def _paths(said: Any, table: Path) -> Iterator[Path]:
    """Every path in what one statement says; the outermost first. An array's tables are one."""
    if isinstance(said, list) and said and isinstance(said[-1], dict):
        said = said[-1]
    if not isinstance(said, dict):
        return
    for key, value in said.items():
        yield (*table, key)
        yield from _paths(value, (*table, key))
