"""The chain: how a line carries the fingerprint of all lines before it.

Knows: bytes and SHA-256. Refuses to know: files, and what a line is about. The hard thing is that a
line must be checked as the bytes it is, not as the JSON it means: whoever parses and writes again
accepts an edit that means the same.

A line is JSON in ASCII whose last field is `hash`: SHA-256 over the previous line's hash (64
hexadecimal digits), a newline, and this line without its `hash` field. `n` counts from 1.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

GENESIS = "0" * 64
"""What stands before the first line."""

UNKNOWN = "?" * 64
"""The hash of a line that nobody knows any more."""

_SHAPE = re.compile(rb'(\{"n":([1-9][0-9]{0,17}),.*),"hash":"([0-9a-f]{64})"\}\n', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Link:
    """A place in the chain: the number of a line, and its hash."""

    n: int = 0
    hash: str = GENESIS


def forge(before: Link, fields: Mapping[str, Any]) -> tuple[Link, bytes]:
    """The next line after `before`, with its newline, and its place in the chain."""
    n = before.n + 1
    body = json.dumps({"n": n, **fields}, separators=(",", ":")).encode()
    link = Link(n, _hash(before.hash, body))
    return link, body[:-1] + b',"hash":"' + link.hash.encode() + b'"}\n'


def read_link(line: bytes) -> Link | None:
    """The place that a line claims to have; None for what is no line of ours."""
    match = _SHAPE.fullmatch(line)
    return Link(int(match[2]), match[3].decode()) if match else None


def follows(before: Link, line: bytes) -> bool:
    """Whether this line, byte for byte, was written after `before`."""
    match = _SHAPE.fullmatch(line)
    return match is not None and _hash(before.hash, match[1] + b"}") == match[3].decode()


def _hash(before: str, body: bytes) -> str:
    return hashlib.sha256(before.encode() + b"\n" + body).hexdigest()
