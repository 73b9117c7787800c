"""A job's worker: fetches a token again and again by credd's own client, and checks each at once.

`python worker.py RESULTS UNTIL WAY` writes a JSON line a fetch to RESULTS, until Unix time UNTIL.
WAY is `source` (a TokenSource is held, as shims do) or `function` (`credd.get_token`, as scripts
do). How to introspect stands in `introspection.json` beside RESULTS, since no secret belongs into
arguments. Of a token only the digest is kept.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import TextIO

import credd

NAME = "lab"
PAUSE = 0.05
"""Seconds between two fetches: twenty a second from each of sixteen workers."""


class Introspection:
    """The provider's word on a token (RFC 7662)."""

    def __init__(self, url: str, client_id: str, client_secret: str) -> None:
        self._url = url
        pair = base64.b64encode(f"{client_id}:{client_secret}".encode()).decode()
        self._headers = {"Authorization": f"Basic {pair}"}

    def is_active(self, token: str) -> bool:
        body = urllib.parse.urlencode({"token": token}).encode()
        request = urllib.request.Request(self._url, body, self._headers)
        with urllib.request.urlopen(request, timeout=10) as reply:
            return bool(json.loads(reply.read())["active"])


def fetch_once(results: TextIO, source: credd.TokenSource | None, check: Introspection) -> None:
    """One fetch, its check, one line."""
    began = time.time()
    try:
        token = source.token() if source else credd.get_token(NAME)
    except credd.CreddError as error:
        line: dict[str, object] = {"error": error.code, "detail": str(error)}
    else:
        took = time.time() - began
        line = {"took": took, "token": hashlib.sha256(token.encode()).hexdigest()}
        line["active"] = check.is_active(token)
    results.write(json.dumps({"at": began, **line}) + "\n")


def main() -> None:
    """Fetch until the time is over."""
    path, until = Path(sys.argv[1]), float(sys.argv[2])
    check = Introspection(**json.loads((path.parent / "introspection.json").read_text()))
    source = credd.TokenSource(NAME) if sys.argv[3] == "source" else None
    with path.open("w") as results:
        while time.time() < until:
            fetch_once(results, source, check)
            time.sleep(PAUSE)


if __name__ == "__main__":
    main()
