"""What the socket promises about the vault itself: the shapes that a person's commands use.

The routes stand in wire.py, which jobs load; these shapes stand apart, because no job needs them.
Secrets go in and never come out: a recovery code is made by whoever sends it. Standard library
only, Python 3.9.
"""

from __future__ import annotations

from typing import TypedDict


class VaultReply(TypedDict):
    """`GET /v1/vault`, and the answer to a change of its keys.

    `state`: `absent`, `locked`, `open`, `unreadable`, `newer`; `reason`, `detail` and `remedy` say
    why it isn't open. `sources`: where its key may come from, in the order in which a start asks.
    `restored`: it is a copy, and spends nothing that rotates before it is accepted.
    """

    state: str
    reason: str
    detail: str
    remedy: str
    sources: list[str]
    restored: bool
    file: str


class VaultPart(TypedDict):
    """One part of the vault, by name, and how it was found.

    `part`: `file`, `header`, `identity`, `index`, `record`, `attempt`, `late-reply`, `evidence`,
    `unsaved`, `reserve`, `key-source`. `verdict`: `ok`, `damaged`, or `noted` (worth knowing).
    """

    part: str
    name: str
    verdict: str
    reason: str
    detail: str
    remedy: str


class VerifyReply(TypedDict):
    """`POST /v1/vault/verify`. `damaged` counts the parts that are; `remedy` is the first one's."""

    parts: list[VaultPart]
    damaged: int
    remedy: str


class RewrapRequest(TypedDict, total=False):
    """`POST /v1/vault/rewrap`: open the vault by `sources` too, or by these `only`.

    `passphrase` or `recovery_code` prove that one may, where only a person can open the vault; the
    `new_` ones are sealed in, where a source needs them.
    """

    sources: list[str]
    only: bool
    passphrase: str
    recovery_code: str
    new_passphrase: str
    new_recovery_code: str


class RekeyRequest(TypedDict, total=False):
    """`POST /v1/vault/rekey`. `passphrase`: the present one, where the vault has one;
    `new_recovery_code`: where it has a recovery code, which is void afterwards."""

    passphrase: str
    new_recovery_code: str


class ResetReply(TypedDict):
    """`POST /v1/vault/reset`. `aside`: where the vault lies now, "" where it was erased;
    `login_again`: the credentials whose logins it held."""

    aside: str
    login_again: list[str]
