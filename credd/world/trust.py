"""Whose certificates are believed: the system's, or those of a file that a person named.

Knows: TLS contexts, and when a file of certificates has changed. Refuses to know: who is asked. The
hard thing: a file that can't be read must not become "believe the usual ones", and reading one from
a slow disk must not hold up everybody.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from typing import NamedTuple

from credd.core.conversation import NeverSent
from credd.world.leaving import tls_context


class _Seen(NamedTuple):
    """A context, and what its file looked like when it was read."""

    context: ssl.SSLContext
    looks: tuple[int, ...]


class Trust:
    """TLS contexts by the file they come from, read anew when the file has changed."""

    def __init__(self) -> None:
        self.usual = tls_context()  # parses 144 certificates, 34 ms: once, before any request
        self._seen: dict[str, _Seen] = {}

    def __repr__(self) -> str:
        return f"<Trust files={len(self._seen)}>"

    async def context(self, ca_file: str) -> ssl.SSLContext:
        """The context for this file, "" for the system's. Raises NeverSent("ca_file")."""
        if not ca_file:
            return self.usual
        try:
            return await asyncio.to_thread(self._read, ca_file)
        except OSError:  # ssl.SSLError is one
            raise NeverSent("ca_file") from None

    def _read(self, ca_file: str) -> ssl.SSLContext:
        found = os.stat(ca_file)
        looks = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
        seen = self._seen.get(ca_file)
        if seen is None or seen.looks != looks:
            seen = self._seen[ca_file] = _Seen(tls_context(ca_file), looks)
        return seen.context


def ca_problem(ca_file: str) -> str:
    """What keeps a file of certificates from being used; "" where nothing does."""
    try:
        tls_context(ca_file)
    except ssl.SSLError:
        return "holds no certificates in PEM"
    except OSError as error:
        return f"can't be read ({error.strerror})"
    return ""
