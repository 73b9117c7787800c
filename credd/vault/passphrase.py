"""From a passphrase to a key: Argon2id (RFC 9106), with its cost stored beside its salt.

The one hard thing: the cost is read back from a file that somebody may have edited, so it is held
within bounds before a single byte of memory is spent on it.
"""

from __future__ import annotations

import os
import unicodedata

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from credd.core.model import Secret
from credd.vault.header import HeaderDamaged, Parameters
from credd.vault.seal import KEY_SIZE

# RFC 9106, section 4, second recommended option, for where memory is scarce: the daemon shares the
# machine with training jobs. 64 MiB for some 100 ms at unlock, given back afterwards; the first
# option's 2 GiB would be refused in many a container.
MEMORY_KIB = 64 * 1024
PASSES = 3
LANES = 4

# What a later credd may sensibly ask for; more is damage or an attempt to exhaust this machine.
_MOST = {"memory_kib": 1024 * 1024, "passes": 64, "lanes": 64}


def new_parameters() -> Parameters:
    """A fresh salt (16 bytes, RFC 9106, 3.1) and today's cost."""
    return {
        "salt": os.urandom(16).hex(),
        "memory_kib": MEMORY_KIB,
        "passes": PASSES,
        "lanes": LANES,
    }


def derive_key(passphrase: Secret, parameters: Parameters) -> bytes:
    """32 bytes. Takes as long for a wrong passphrase as for the right one. Raises HeaderDamaged."""
    memory, passes, lanes = (_bounded(parameters, cost) for cost in _MOST)
    try:
        salt = bytes.fromhex(str(parameters["salt"]))
        derive = Argon2id(
            salt=salt, length=KEY_SIZE, iterations=passes, lanes=lanes, memory_cost=memory
        )
    except (KeyError, ValueError):
        raise HeaderDamaged from None
    return derive.derive(_plain(passphrase))


def _plain(passphrase: Secret) -> bytes:
    """UTF-8 in NFC: one keyboard sends é as one code point, another as two."""
    return unicodedata.normalize("NFC", passphrase.reveal()).encode()


def _bounded(parameters: Parameters, cost: str) -> int:
    value = parameters.get(cost)
    if not isinstance(value, int) or not 1 <= value <= _MOST[cost]:
        raise HeaderDamaged
    return value
