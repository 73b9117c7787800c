"""The sealed envelope: bytes to bytes, and nothing else.

Knows cryptography and no file, name or meaning. The one hard thing: an envelope opens only as what
it was sealed as. Its kind, its name and its number are bound to it (as associated data), so a
record that was moved to another name, or given another number, is as good as broken.

    offset 0  "CRD1"           4
           4  version          1   of this layout
           5  key id           8   which data key, without saying anything about it
          13  salt            16   a new one for each seal: HKDF-SHA256(data key, salt) is its key
          29  number           8   big endian
          37  belongs          8   digest of kind and name
          45  length           4   of what follows the nonce, tag included
          49  nonce           12
          61  AES-256-GCM ciphertext and tag

A key seals one message only (its salt is never used again), so AES-GCM's limit on random nonces
(NIST SP 800-38D, 8.3) is never near. Number, belongs and length are only there so that damage can
be named; what decides is the tag (header, kind, name and number are its associated data).
"""

from __future__ import annotations

import hashlib
import os
import struct
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_SIZE = 32
"""Bytes of a data key and of a key that wraps it: AES-256."""

_MAGIC = b"CRD1"
_VERSION = 1
_HEADER = struct.Struct(">4sB8s16sQ8sI12s")
_TAG_SIZE = 16
_MAX_NUMBER = 2**64 - 1


class Damaged(Exception):
    """This is not what was sealed under this kind, name and number.

    `reason` is one word: `truncated`, `not_sealed`, `unknown_version`, `other_key`, `swapped`
    (sealed for another kind or name), `edited_number`, `flipped`. It is the best guess from a
    header that may be broken itself; that the envelope does not open is certain.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Header(NamedTuple):
    magic: bytes
    version: int
    key_id: bytes
    salt: bytes
    number: int
    belongs: bytes
    length: int
    nonce: bytes


def seal(data_key: bytes, kind: str, name: str, number: int, plaintext: bytes) -> bytes:
    """An envelope that `open_` opens with the same key, kind, name and number."""
    header = _HEADER.pack(
        *_Header(
            _MAGIC,
            _VERSION,
            key_id(data_key),
            salt := os.urandom(16),
            number,
            _belongs(kind, name),
            len(plaintext) + _TAG_SIZE,
            nonce := os.urandom(12),
        )
    )
    box = _box(data_key, salt)
    return header + box.encrypt(nonce, plaintext, _bound(header, kind, name, number))


def open_(data_key: bytes, kind: str, name: str, number: int, sealed: bytes) -> bytes:
    """What was sealed. Raises Damaged with the reason if it is not exactly that."""
    header = _parse(sealed)
    reason = _find_damage(header, data_key, kind, name, number, len(sealed))
    if reason:
        raise Damaged(reason)
    bound = _bound(sealed[: _HEADER.size], kind, name, number)
    try:
        return _box(data_key, header.salt).decrypt(header.nonce, sealed[_HEADER.size :], bound)
    except InvalidTag:
        raise Damaged("flipped") from None


def number_of(sealed: bytes) -> int:
    """The number an envelope says it has; only `open_` proves it. Raises Damaged."""
    return _parse(sealed).number


def key_id(data_key: bytes) -> bytes:
    """Eight bytes that tell keys apart; from a random key they betray nothing about it."""
    return hashlib.sha256(b"credd/key-id\0" + data_key).digest()[:8]


def _parse(sealed: bytes) -> _Header:
    if not sealed.startswith(_MAGIC[: len(sealed)]):
        raise Damaged("not_sealed")
    if len(sealed) < _HEADER.size + _TAG_SIZE:
        raise Damaged("truncated")
    return _Header(*_HEADER.unpack_from(sealed))


def _find_damage(
    header: _Header, data_key: bytes, kind: str, name: str, number: int, size: int
) -> str:
    """What is visibly wrong, or nothing. The version first: it says what the rest means."""
    if header.version != _VERSION:
        return "unknown_version"
    if header.length != size - _HEADER.size:
        return "truncated"
    if header.key_id != key_id(data_key):
        return "other_key"
    if header.belongs != _belongs(kind, name):
        return "swapped"
    return "" if header.number == number else "edited_number"


def _belongs(kind: str, name: str) -> bytes:
    return hashlib.sha256(f"{kind}\0{name}".encode()).digest()[:8]


def _bound(header: bytes, kind: str, name: str, number: int) -> bytes:
    """Associated data. Kind and name hold no NUL, so no two triples give the same bytes."""
    return b"\0".join((header, kind.encode(), name.encode(), number.to_bytes(8, "big")))


def _box(data_key: bytes, salt: bytes) -> AESGCM:
    derive = HKDF(algorithm=SHA256(), length=KEY_SIZE, salt=salt, info=b"credd/record/1")
    return AESGCM(derive.derive(data_key))
