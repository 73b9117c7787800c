"""What was asked, taken apart strictly.

Knows: names, queries and bodies, and their bounds. Refuses to know: what an answer would be. The
hard thing is to be strict without a parrot: whatever is wrong is said in our own words, and nothing
of the request comes back or reaches a log.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from credd import wire
from credd.api.schema import Schema
from credd.errors import BadRequest

BODY_WITHIN = 5.0
"""Seconds for a request's body; aiohttp itself waits for ever. It comes from the same machine."""

LONGEST_WAIT = 300.0
"""Seconds that one request may wait: a waiter holds a connection. Longer waits ask again."""

LONGEST_TEXT = 4096
"""Characters of an audience or a scope list; a request line of aiohttp has 8190 at most."""

MOST_LINES = 1000
"""Lines of one page of the audit trail: about 300 kB."""

# What Python and C write for a finite number that is not negative.
NUMBER = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?", re.ASCII)

# RFC 6749, 3.3: printable ASCII without space, quotation mark and backslash.
SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
NAME = re.compile(wire.NAME_PATTERN)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a query. `parse` raises BadRequest or ValueError; `what` is its kind in
    words. Only a `many` parameter may be repeated, and its values come as a list."""

    name: str
    what: str
    parse: Callable[[str], Any]
    schema: Schema
    default: Any = None
    is_required: bool = False
    is_many: bool = False


class Note:
    """What may be told of a request: the credential it was about, and which generation."""

    __slots__ = ("credential", "generation")

    def __init__(self) -> None:
        self.credential = ""
        self.generation = 0


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, taken apart. `name` and `id` are "" on routes without them."""

    request: web.Request = field(repr=False)
    name: str = ""
    id: str = ""
    query: Mapping[str, Any] = field(default_factory=dict, repr=False)
    body: dict[str, Any] = field(default_factory=dict, repr=False)
    note: Note = field(default_factory=Note, repr=False)


# --- path and query -------------------------------------------------------------------------


def read_name(request: web.Request) -> str:
    """The credential in the path, "" where the route has none. Raises BadRequest."""
    return _matching(request, "name", NAME, f"a credential's name matches {wire.NAME_PATTERN}")


def read_id(request: web.Request) -> str:
    """The login or job socket in the path, "" where the route has none. Raises BadRequest."""
    return _matching(request, "id", ID, "that is no id of ours")


def _matching(request: web.Request, place: str, pattern: re.Pattern[str], fault: str) -> str:
    text = request.match_info.get(place)
    if text is None:
        return ""
    if not pattern.fullmatch(text):
        raise BadRequest(fault, reason=f"bad_{place}")
    return text


def read_query(request: web.Request, parameters: tuple[Parameter, ...]) -> dict[str, Any]:
    """The query by these parameters. Raises BadRequest for anything else."""
    if not request.query:  # as in most fetches
        return {parameter.name: _absent(parameter) for parameter in parameters}
    known = {parameter.name for parameter in parameters}
    if not known.issuperset(request.query):
        listed = ", ".join(sorted(known)) or "none"
        raise BadRequest(f"an unknown parameter; known: {listed}", reason="unknown_parameter")
    return {parameter.name: _read(request, parameter) for parameter in parameters}


def _read(request: web.Request, parameter: Parameter) -> Any:
    texts = request.query.getall(parameter.name, [])
    if len(texts) > 1 and not parameter.is_many:
        raise BadRequest(f"{parameter.name!r} was given twice", reason="repeated_parameter")
    if not texts:
        return _absent(parameter)
    try:
        values = [parameter.parse(text) for text in texts]
    except ValueError:
        fault = f"{parameter.name!r} must be {parameter.what}"
        raise BadRequest(fault, reason="bad_parameter") from None
    if parameter.is_many:
        return [one for value in values for one in value]
    return values[0]


def _absent(parameter: Parameter) -> Any:
    """What a parameter is that was not given. Raises BadRequest for one that must be."""
    if parameter.is_required:
        raise BadRequest(f"{parameter.name!r} is missing", reason="missing_parameter")
    return [] if parameter.is_many else parameter.default


def parse_seconds(text: str) -> float:
    """A finite number, not negative. Raises ValueError for anything else, `nan` and `inf` too."""
    if not NUMBER.fullmatch(text):
        raise ValueError
    return _finite(text)


def parse_wait(text: str) -> float:
    """Seconds to wait, at most LONGEST_WAIT. Raises ValueError."""
    seconds = parse_seconds(text)
    if seconds > LONGEST_WAIT:
        raise ValueError
    return seconds


def parse_text(text: str) -> str:
    """Visible text, not empty: an empty audience would select nothing in particular."""
    if not text or len(text) > LONGEST_TEXT or not text.isprintable() or " " in text:
        raise ValueError
    return text


def parse_scopes(text: str) -> list[str]:
    """Scopes, separated by single spaces (RFC 6749, 3.3). Raises ValueError."""
    scopes = text.split(" ")
    if len(text) > LONGEST_TEXT or not all(SCOPE.fullmatch(scope) for scope in scopes):
        raise ValueError
    return scopes


def parse_flag(text: str) -> bool:
    """`true` or `false`, `1` or `0`. Raises ValueError."""
    if text.lower() not in {"true", "1", "false", "0"}:
        raise ValueError
    return text.lower() in {"true", "1"}


def parse_name(text: str) -> str:
    """A credential's name. Raises ValueError."""
    if not NAME.fullmatch(text):
        raise ValueError
    return text


def parse_limit(text: str) -> int:
    """A number of lines, at most MOST_LINES. Raises ValueError."""
    if not re.fullmatch("[0-9]{1,4}", text, re.ASCII) or not 1 <= int(text) <= MOST_LINES:
        raise ValueError
    return int(text)


def parse_format(text: str) -> str:
    """`json` or `raw`. Raises ValueError."""
    if text not in {"json", "raw"}:
        raise ValueError
    return text


# --- body -----------------------------------------------------------------------------------


async def read_body(request: web.Request) -> dict[str, Any]:
    """The body as a JSON object; an empty body is an empty one. Raises BadRequest.

    Raises HTTPRequestEntityTooLarge beyond the application's `client_max_size`, if announced
    before a byte of it is read.
    """
    if not request.body_exists:
        return {}  # no time limit is set up for what can't be late
    if (request.content_length or 0) > wire.MAX_REQUEST:
        raise web.HTTPRequestEntityTooLarge(wire.MAX_REQUEST, request.content_length or 0)
    try:
        async with asyncio.timeout(BODY_WITHIN):
            raw = await request.read()
    except TimeoutError:
        raise BadRequest("the body did not come in time", reason="slow_body") from None
    return parse_body(raw) if raw else {}


def parse_body(raw: bytes) -> dict[str, Any]:
    """JSON, strictly: an object, no key twice, no NaN, text that can be written. Raises
    BadRequest."""
    try:
        value = json.loads(
            raw.decode(), object_pairs_hook=_once, parse_constant=_refuse, parse_float=_finite
        )
        json.dumps(value, ensure_ascii=False).encode()  # a lone surrogate has no UTF-8
    except (ValueError, RecursionError):
        raise BadRequest("the body is no proper JSON", reason="bad_json") from None
    if not isinstance(value, dict):
        raise BadRequest("the body must be a JSON object", reason="bad_json")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key came twice")
    return found


def _refuse(constant: str) -> float:
    raise ValueError(constant)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("beyond all numbers")
    return number
