"""Which sources a vault's key comes from, and what a header says of them.

Knows the sources by name and their order, and how a header is put together; knows no secret's
place. The one hard thing: a header must never be left without a source that a start may rely on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from credd.core.model import Secret
from credd.vault.header import Header, Parameters, Wrap, wrap

PASSPHRASE = "passphrase"
RECOVERY = "recovery-code"
UNATTENDED = ("systemd", "keyring", "file")
"""Sources that give their key without a person, in the order in which a start tries them."""

DAILY = (*UNATTENDED, PASSPHRASE)
"""Sources that a start may rely on."""

SOURCES = (*DAILY, RECOVERY)


class NewKey(NamedTuple):
    """What a source gives at creation: where from, what it must know to give it again, the key."""

    source: str
    parameters: Parameters
    kek: bytes

    def __repr__(self) -> str:
        return f"<NewKey {self.source}>"


class Offered(NamedTuple):
    """What a person hands over to open the vault, or to seal it with."""

    passphrase: Secret | None = None
    recovery_code: Secret | None = None


NOTHING = Offered()


def rank(wrapped: Wrap) -> int:
    """Where a source stands in the order in which a start tries them."""
    return SOURCES.index(wrapped.source) if wrapped.source in SOURCES else len(SOURCES)


def needs_person(header: Header) -> bool:
    """Whether only a person can open this vault: no program of theirs could do it unasked."""
    return not any(wrapped.source in UNATTENDED for wrapped in header.wraps)


def wrapped_by(key: NewKey, vault_id: str, data_key: bytes) -> Wrap:
    """The data key, wrapped by the key of a source."""
    return wrap(key.kek, vault_id, key.source, key.parameters, data_key)


def new_header(vault_id: str, keys: Iterable[NewKey], data_key: bytes) -> Header:
    """A header of which each of these keys gives this data key."""
    wraps = (wrapped_by(key, vault_id, data_key) for key in keys)
    return Header(vault_id, tuple(sorted(wraps, key=rank)))


def next_wraps(old: Iterable[Wrap], fresh: Sequence[Wrap], *, only: bool) -> tuple[Wrap, ...]:
    """The wraps of a changed header: each source once, and the fresh ones win."""
    sources = {wrapped.source for wrapped in fresh}
    kept = () if only else (wrapped for wrapped in old if wrapped.source not in sources)
    return tuple(sorted((*kept, *fresh), key=rank))


def sources_of(header: Header) -> list[str]:
    """The sources of a header, in its order."""
    return [wrapped.source for wrapped in header.wraps]


def find_wrap(header: Header, source: str) -> Wrap | None:
    """The data key as that source wraps it."""
    for wrapped in header.wraps:
        if wrapped.source == source:
            return wrapped
    return None
