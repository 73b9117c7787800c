"""The vault's header: who this vault is, and its data key, wrapped once for each key source.

A header is readable without any key, and says nothing that helps without one. It is written at
creation and when key sources change, never during a refresh. The one hard thing: a header that was
damaged must not look like a wrong key, or somebody would throw the right key away; so it carries a
digest of itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from credd.vault.seal import open_, seal

Parameters = Mapping[str, str | int]
"""What a source must know to give the same key again (a salt, a cost, an account). Not secret."""


class HeaderDamaged(Exception):
    """This is not a header we wrote."""


@dataclass(frozen=True, slots=True)
class Wrap:
    """The data key, sealed under the key that `source` gives with these `parameters`."""

    source: str
    parameters: Parameters
    sealed: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Header:
    """`vault_id`: 32 hex digits, made at creation, the name of its key in a keyring."""

    vault_id: str
    wraps: tuple[Wrap, ...]

    def encode(self) -> bytes:
        """JSON with a digest of itself, for the meta table."""
        text = json.dumps(
            {
                "vault": self.vault_id,
                "wraps": [
                    {"source": w.source, "parameters": dict(w.parameters), "key": w.sealed.hex()}
                    for w in self.wraps
                ],
            }
        )
        return f"{text}\n{_digest(text)}".encode()


def parse_header(blob: object) -> Header:
    """What `encode` wrote. Raises HeaderDamaged on anything else."""
    if not isinstance(blob, bytes):  # a cell's type is a byte in the file, like any other
        raise HeaderDamaged
    try:
        text, _, digest = blob.decode().rpartition("\n")
        if digest != _digest(text):
            raise HeaderDamaged
        found = json.loads(text)
        return Header(str(found["vault"]), tuple(_parse_wrap(item) for item in found["wraps"]))
    except (ValueError, KeyError, TypeError):
        raise HeaderDamaged from None


def wrap(kek: bytes, vault_id: str, source: str, parameters: Parameters, data_key: bytes) -> Wrap:
    """Seal `data_key` under the key-encryption key of a source; the parameters are bound to it."""
    name = _bound_name(vault_id, source, parameters)
    return Wrap(source, parameters, seal(kek, "data-key", name, 0, data_key))


def unwrap(kek: bytes, vault_id: str, wrapped: Wrap) -> bytes:
    """The data key. Raises Damaged where `kek` is not the key it was wrapped with."""
    name = _bound_name(vault_id, wrapped.source, wrapped.parameters)
    return open_(kek, "data-key", name, 0, wrapped.sealed)


def _bound_name(vault_id: str, source: str, parameters: Parameters) -> str:
    return json.dumps([vault_id, source, dict(parameters)], sort_keys=True)


def _parse_wrap(item: Any) -> Wrap:
    # A source that a newer credd added is kept as it is: any one of the others still opens.
    return Wrap(str(item["source"]), dict(item["parameters"]), bytes.fromhex(item["key"]))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
