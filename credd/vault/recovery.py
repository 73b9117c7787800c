"""The recovery code: a key that a person keeps on paper, for the day on which the others are gone.

Knows how a code is read back, and how long it must be; whoever makes one (credd-ctl) draws it from
the system's dice. The one hard thing: a code is typed by hand, in groups, in either case, so what
separates groups doesn't count; and a code that somebody made up must not become a key.
"""

from __future__ import annotations

import base64
import binascii

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from credd.core.model import Secret
from credd.vault.keychain import KeyNotAtHand
from credd.vault.seal import KEY_SIZE

LEAST_CODE = 20
"""Bytes that a code encodes, at least: 160 random bits need no stretching, and no one guesses
them."""

MOST_TEXT = 256
"""Characters of a code, separators included: whoever sends more sends something else."""


def recovery_key(code: Secret) -> bytes:
    """The wrapping key that this code gives. Raises KeyNotAtHand where it can be no code."""
    try:
        material = _material(code.reveal())
    except (ValueError, binascii.Error):
        raise KeyNotAtHand("recovery_code_malformed") from None
    if len(material) < LEAST_CODE:
        raise KeyNotAtHand("recovery_code_malformed")
    info = b"credd/key/recovery-code"
    return HKDF(algorithm=SHA256(), length=KEY_SIZE, salt=None, info=info).derive(material)


def _material(text: str) -> bytes:
    """Base32 (RFC 4648, 6), whatever separates its groups."""
    if len(text) > MOST_TEXT:
        raise ValueError
    letters = "".join(text.replace("-", " ").split()).upper()
    padding = "=" * (-len(letters) % 8)
    return base64.b32decode(letters + padding)
