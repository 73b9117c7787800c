"""`audit.head`: how far the trail goes, kept beside it, so that a cut-off end is noticed.

Knows: one small file, replaced whole. Refuses to know: lines. The hard thing is what it can't do:
whoever rewrites all lines *and* this file, as the same user, leaves no trace here. A copy of the
last hash somewhere else (another machine's log) is what shows that.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from credd.audit.chain import GENESIS, Link

HASH_DIGITS = len(GENESIS)


@dataclass(frozen=True, slots=True)
class Head:
    """`last` is the newest line known to be on disk, `dropped` the newest one that rotation has
    deleted: the oldest line that is left follows it."""

    last: Link
    dropped: Link = Link()  # noqa: RUF009 - frozen


def read_head(path: Path) -> Head | None:
    """What the file says; None where there is none, or one that makes no sense."""
    try:
        found = json.loads(path.read_bytes())
        return Head(_link(found["last"]), _link(found["dropped"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _link(value: Any) -> Link:
    n, digits = value["n"], value["hash"]
    if type(n) is not int or n < 0 or not isinstance(digits, str) or len(digits) != HASH_DIGITS:
        raise ValueError("no place in a chain")
    return Link(n, digits)


def write_head(path: Path, head: Head) -> None:
    """Replace the file. Raises OSError, and then the old one stands."""
    new = path.with_suffix(".head.new")
    new.unlink(missing_ok=True)
    plain = {name: {"n": at.n, "hash": at.hash} for name, at in _named(head)}
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        with open(os.open(new, flags, 0o600), "w", encoding="ascii") as out:
            json.dump(plain, out)
            out.flush()
            os.fsync(out.fileno())
        new.replace(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise


def _named(head: Head) -> tuple[tuple[str, Link], ...]:
    return ("last", head.last), ("dropped", head.dropped)
