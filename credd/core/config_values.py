"""Single values of config.toml (durations, hosts, commands, dates), and what they should be.

Pure. The hard thing is the host: it decides where tokens may go, so a pattern that would let one go
anywhere (`*`, `*.org`), or that only looks like a host (a URL, a path), is refused.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import math
import re
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
"""Seconds."""

LONGEST_DURATION = 100 * 365 * 86400.0
"""Seconds: a hundred years. More is a slip of the finger, and overflows calendars."""

_PIECE = re.compile(r"(\d{1,10}(?:\.\d{1,6})?)([smhdw])", re.ASCII)
_PIECES = re.compile(rf"(?:{_PIECE.pattern})+", re.ASCII)
_BARE = re.compile(r"\d{1,10}(?:\.\d{1,6})?", re.ASCII)

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_PORT = re.compile(r"[1-9]\d{0,4}", re.ASCII)

LONGEST_HOST = 253
"""Characters of a name (RFC 1035 2.3.4)."""


def parse_duration(value: float | str) -> float:
    """Seconds of 90, "90", "90s", "15m", "72h", "30d", "1w" or "1h30m". Raises ValueError for
    anything else, for nothing, and for more than a hundred years."""
    seconds = value if not isinstance(value, str) else _read_duration(value.strip().lower())
    if not math.isfinite(seconds) or not 0 < seconds <= LONGEST_DURATION:
        raise ValueError("no duration")
    return float(seconds)


def is_duration(value: float | str) -> bool:
    """Whether `parse_duration` understands `value`."""
    try:
        return bool(parse_duration(value))
    except (ValueError, OverflowError):
        return False


def _read_duration(text: str) -> float:
    if _BARE.fullmatch(text):
        return float(text)
    if not _PIECES.fullmatch(text):
        raise ValueError("no duration")
    return sum(float(number) * UNITS[unit] for number, unit in _PIECE.findall(text))


def host_problem(host: str) -> str:
    """What keeps `host` from being a place that tokens may go to; "" where nothing does.

    A place is a name, an IP address, or `*.` and a domain of at least two labels (the hosts right
    below it); with `:port` that port alone. `credd.client.hosts` reads the same patterns.
    """
    if not host:
        return "a host is empty"
    if not host.isascii():
        return "write a host's name in its ASCII form, beginning with xn--"
    if any(sign in host for sign in "/@?#"):
        return "a host is a name alone: no scheme, no path, no user"
    name, port = _parted(host.lower())
    if port and not (_PORT.fullmatch(port) and int(port) < 65536):
        return "a host's port is a number from 1 to 65535"
    if name.startswith("*."):
        return _domain_problem(name[2:])
    return "" if _is_address(name) else _name_problem(name)


def _domain_problem(domain: str) -> str:
    is_wide = "." not in domain or _is_address(domain)
    return (
        "a * needs a domain of two names, as in *.example.org" if is_wide else _name_problem(domain)
    )


def _name_problem(name: str) -> str:
    if "*" in name:
        return "a * stands only at the beginning, as in *.example.org"
    last = name.rpartition(".")[2]
    # A name whose last label is a number is an address in a spelling of its own (WHATWG URL, 3.5).
    is_number = last.isdecimal() or last.startswith("0x")
    is_name = len(name) <= LONGEST_HOST and _NAME.fullmatch(name) is not None
    return "" if is_name and not is_number else "a host is a name such as mlflow.example.org"


def _parted(host: str) -> tuple[str, str]:
    """Name and port ("" for none). An IPv6 address may stand in brackets, and must before a port;
    whatever is no such pair comes back whole, and is no name."""
    bracketed = re.fullmatch(r"\[([0-9a-f:.]+)\](?::(.+))?", host)
    if bracketed is not None and ":" in bracketed[1]:
        return bracketed[1], bracketed[2] or ""
    if host.count(":") != 1:
        return host, ""
    name, _, port = host.partition(":")
    return name, port or "none"


def _is_address(name: str) -> bool:
    try:
        return bool(ipaddress.ip_address(name)) and "%" not in name
    except ValueError:
        return False


def argv_problem(argv: list[str]) -> str:
    """What keeps `argv` from being a command; "" where nothing does. No shell reads it, so its
    first word is a program: a name that PATH finds, or a whole path."""
    if not argv or not argv[0]:
        return "needs a program as its first word"
    if any("\0" in word for word in argv):
        return "holds a character that no command line can carry"
    if "/" in argv[0] and not argv[0].startswith("/"):
        return "needs a whole path, beginning with /, or a program's name"
    if any(sign.isspace() for sign in argv[0]) and "/" not in argv[0]:
        return "is no shell line: write each word as a text of its own"
    return ""


def plain(value: Any) -> Any:
    """A TOML value with its dates as ISO 8601 text, so that all of it is also JSON."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    return value


def wanted(kind: Any) -> str:
    """What a value of this type looks like in TOML, in words."""
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(f'"{choice}"' for choice in get_args(kind))
    words = {
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        str: "text in quotes",
        list[str]: 'a list of texts, such as ["a", "b"]',
        float | str: "a number, or text in quotes",
    }
    return words.get(kind, "of another type")
