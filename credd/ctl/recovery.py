"""A recovery code on paper: drawn here, shown once, read back with its typing mistakes noticed.

Pure but for the dice; knows no daemon and no vault. The one hard thing: a code is copied by hand,
so its last group is a checksum of the others, and letters that look like others are read as what
they must be.
"""

from __future__ import annotations

import base64
import hashlib
import secrets

from credd.errors import BadRequest

ENTROPY = 20
"""Bytes: 160 bits, which nobody guesses, however fast they may try; and 32 letters, no rest."""

LETTERS = 32
"""Of base32 (RFC 4648, 6) that ENTROPY bytes make."""

GROUP = 4
"""Letters at once: what fits between two looks at the paper. One more group is the checksum, whose
20 bits let one typing mistake in a million pass."""

LOOKALIKES = str.maketrans("018", "OIB")
"""Digits that base32 leaves out, because they look like these."""


def new_code() -> str:
    """A fresh code as it is shown: nine groups of four letters and digits."""
    letters = base64.b32encode(secrets.token_bytes(ENTROPY)).decode()
    return in_groups(letters + _check(letters))


def parse_code(text: str) -> str:
    """The code's letters without its checksum, as the daemon wants them. Raises BadRequest."""
    letters = "".join(text.replace("-", " ").split()).upper().translate(LOOKALIKES)
    told, check = letters[:LETTERS], letters[LETTERS:]
    if len(letters) != LETTERS + GROUP:
        raise BadRequest(f"a recovery code has {LETTERS + GROUP} letters and digits")
    if check != _check(told):
        raise BadRequest("there is a typing mistake in this recovery code")
    return told


def in_groups(letters: str) -> str:
    """`ABCD-EFGH-...`"""
    return "-".join(letters[start : start + GROUP] for start in range(0, len(letters), GROUP))


def _check(letters: str) -> str:
    digest = hashlib.sha256(b"credd/recovery-code\0" + letters.encode()).digest()
    return base64.b32encode(digest).decode()[:GROUP]
