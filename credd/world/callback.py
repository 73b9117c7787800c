"""One request of a browser, as the login's listener reads it, and the pages it may see.

Pure: bytes in, a query or a refusal out. Refuses to know what a query means. The hard thing: any
web page can make a browser send requests to this machine, under a name that it had resolved to
127.0.0.1 (DNS rebinding), so Host and Origin are judged before anything else, and no byte of a
request ever comes back in a page.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass

NAMES = ("127.0.0.1", "[::1]", "localhost")
"""The hosts under which this machine may be asked (RFC 8252, 7.3 and 8.3)."""

_REQUEST_LINE = re.compile(rb"([A-Z]{1,16}) (/[\x21-\x7e]*) HTTP/1\.[01]")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x20-\x7e\x80-\xff\t]*)")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a redirect is awaited: a port of this machine, and a path on it."""

    port: int
    path: str


class Refused(Exception):
    """This request is not to be served; `status` says why, in HTTP's numbers."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def read_query(head: bytes, place: Place) -> str:
    """The query of a proper GET of `place`; `head` is the request without its final empty line.

    Raises Refused: 400 for what is no HTTP or names another host, 403 with an Origin (a page's own
    script, never a redirect), 404 for another path, 405 for anything but GET.
    """
    first, *lines = head.split(b"\r\n")
    request, headers = _REQUEST_LINE.fullmatch(first), _headers(lines)
    hosts = [value.lower() for name, value in headers if name == "host"]
    if request is None or len(hosts) != 1 or hosts[0] not in _hosts(place):
        raise Refused(400)
    if any(name == "origin" for name, _ in headers):
        raise Refused(403)
    path, _, query = request[2].decode("ascii").partition("?")
    if path != place.path:
        raise Refused(404)
    if request[1] != b"GET":
        raise Refused(405)
    return query


def _headers(lines: list[bytes]) -> list[tuple[str, str]]:
    found = [_HEADER.fullmatch(line) for line in lines]
    if not all(found):
        raise Refused(400)
    return [(one[1].decode("ascii").lower(), one[2].decode("latin-1").strip()) for one in found
            if one is not None]  # fmt: skip


def _hosts(place: Place) -> frozenset[str]:
    return frozenset(f"{name}:{place.port}" for name in NAMES)


# --- pages ----------------------------------------------------------------------------------

STYLE = (
    "body{font:1.1rem/1.6 system-ui,sans-serif;max-width:32rem;margin:18vh auto;padding:0 1.5rem;"
    "color:#1d2127;background:#fff}h1{font-size:1.5rem;margin:0 0 .5rem}p{margin:0;color:#4a525e}"
    "@media(prefers-color-scheme:dark){body{color:#e8eaed;background:#16181c}p{color:#a3abb8}}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()

_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # The page's own address holds the code.
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Connection": "close",
}

_WORDS = {
    200: (
        "OK", "credd has the answer",
        "You may close this window. Your terminal tells how the login went.",
    ),
    400: (
        "Bad Request", "Not the answer that credd waits for",
        "Nothing has changed: the login goes on in the window where it was begun.",
    ),
    403: ("Forbidden", "Not for web pages", "Only an issuer's redirect is taken here."),
    404: ("Not Found", "Nothing here", "Only an issuer's redirect is taken here."),
    405: ("Method Not Allowed", "Not in this way", "Only an issuer's redirect is taken here."),
    431: ("Request Header Fields Too Large", "Too much", "That is no issuer's redirect."),
}  # fmt: skip


def page(status: int) -> bytes:
    """A whole answer. Each is one fixed text: nothing of any request is in it."""
    reason, title, text = _WORDS[status]
    body = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style>'
        f"<h1>{title}</h1><p>{text}</p></html>\n"
    ).encode()
    headers = {**_HEADERS, "Content-Length": str(len(body))}
    if status == 405:
        headers["Allow"] = "GET"
    lines = [
        f"HTTP/1.1 {status} {reason}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
