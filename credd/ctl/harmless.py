"""Foreign text made harmless for a terminal.

Account names, user codes, issuers' words: whatever came through the socket may hold escape
sequences that move the cursor, rename the window or turn text around. Everything of that kind is
dropped here, once, on its way to a terminal. JSON output needs none of this: it is written as
ASCII. Pure; knows no daemon and no terminal.
"""

from __future__ import annotations

import unicodedata

LONGEST = 600
"""Characters of one foreign text that reach a terminal: more than any honest sentence."""


def harmless(text: object, longest: int = LONGEST) -> str:
    """One line without control, format, private-use or unpaired characters, cut at `longest`.

    Line ends and tabs become spaces; C0 and C1 controls, bidirectional overrides and lone
    surrogates disappear (Unicode categories C*).
    """
    # Cut first: a megabyte of foreign text must not be looked at character by character.
    raw = str(text)[: 4 * longest]
    line = "".join(_plain(character) for character in raw).strip()
    return line if len(line) <= longest else line[: longest - 1] + "…"


def is_harmless(text: str) -> bool:
    """Whether nothing in `text` would have been changed: for what must be passed on whole."""
    return all(_plain(character) == character for character in text)


def _plain(character: str) -> str:
    if character in "\n\r\t":
        return " "
    kind = unicodedata.category(character)
    if kind in ("Zl", "Zp"):
        return " "
    return "" if kind.startswith("C") else character


def width_of(text: str) -> int:
    """Columns that `text` takes on a terminal: wide East Asian characters take two."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    narrow = sum(not unicodedata.combining(character) for character in text)
    return wide + narrow
