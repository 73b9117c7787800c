"""Cells of text in columns that line up on a terminal.

Pure, and knows nothing of what the cells say. The one hard thing: a wide East Asian character takes
two columns and a combining one none, so a text's length is not its width.
"""

from __future__ import annotations

from collections.abc import Sequence

from credd.ctl.harmless import width_of

GAP = "  "


def aligned(table: Sequence[Sequence[str]]) -> list[str]:
    """The rows as lines whose cells start in the same columns."""
    widths = _widths(table)
    return [
        GAP.join(_padded(cell, size) for cell, size in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]


def fitted(
    table: Sequence[Sequence[str]], width: int, yielding: Sequence[int], least: int
) -> list[list[str]]:
    """The table with its `yielding` columns cut, in this order, until it fits into `width`.

    None is cut below `least`; a table that is wider still stays so.
    """
    made = [list(row) for row in table]
    for column in yielding:
        sizes = _widths(made)
        excess = sum(sizes) + len(GAP) * (len(sizes) - 1) - width
        if excess > 0:
            for row in made:
                row[column] = cut(row[column], max(least, sizes[column] - excess))
    return made


def cut(text: str, longest: int) -> str:
    """The text in at most `longest` columns, its end marked where something is missing."""
    if width_of(text) <= longest:
        return text
    while width_of(text) > longest - 1:
        text = text[:-1]
    return text + "…"


def _widths(table: Sequence[Sequence[str]]) -> list[int]:
    return [max(width_of(cell) for cell in column) for column in zip(*table, strict=True)]


def _padded(cell: str, size: int) -> str:
    return cell + " " * (size - width_of(cell))
