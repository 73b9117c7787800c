"""Where the key that wraps the data key comes from: systemd, a keyring, a file, a passphrase.

Knows the sources and their order; knows nothing of records. The one hard thing: a source that is
silent, locked, or gives another key must leave everything as it is. A missing key means "locked",
never "make a new one": a new key would turn every sealed login into noise.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from credd.core.model import Secret
from credd.vault.files import Unfit, make_private_folder, read_private, write_once
from credd.vault.header import Header, Parameters, Wrap, unwrap
from credd.vault.keychain import Keychain, KeyNotAtHand
from credd.vault.passphrase import derive_key, new_parameters
from credd.vault.seal import KEY_SIZE, Damaged

PASSPHRASE = "passphrase"
UNATTENDED = ("systemd", "keyring", "file")
"""Sources that give their key without a person, in the order in which a start tries them."""

SOURCES = (*UNATTENDED, PASSPHRASE)

SYSTEMD_NAME = "credd-key"
"""The credential's name: LoadCredential=credd-key:... in the unit (systemd.exec(5))."""

LEAST_MATERIAL = 32
"""Bytes. A key file is random, not memorable, so nothing stretches it: shorter ones are refused."""

MOST_MATERIAL = 4096
"""Bytes read of a key file or credential: whoever put more there put the wrong file there."""


class NewKey(NamedTuple):
    """What a source gives at creation: where from, what it must know to give it again, the key."""

    source: str
    parameters: Parameters
    kek: bytes


class KeySources:
    """The sources of this machine. Methods block (Argon2id, D-Bus): call them off the loop."""

    def __init__(self, key_file: Path, environ: Mapping[str, str], keychain: Keychain) -> None:
        self.key_file = key_file
        self._environ = environ
        self._keychain = keychain

    def __repr__(self) -> str:
        return f"<KeySources key_file={str(self.key_file)!r}>"

    # --- at creation --------------------------------------------------------------------------

    def make(self, source: str, vault_id: str, passphrase: Secret | None) -> NewKey:
        """The wrapping key for a new vault; a key made here is durable when this returns.

        `source` "auto" is the systemd credential, else the keyring; where neither can be used it
        raises KeyNotAtHand("vault_key_undecided"). A key file that is there already is used as it
        is. Raises KeyNotAtHand or OSError.
        """
        if source == "auto":
            return self._choose(vault_id)
        if source == "systemd":
            return NewKey(source, {}, self._systemd_key())
        if source == "keyring":
            return self._new_keyring_key(vault_id)
        if source == "file":
            return NewKey(source, {}, self._file_key_made_once())
        return self._new_passphrase_key(passphrase)

    def _choose(self, vault_id: str) -> NewKey:
        try:
            return self.make("systemd", vault_id, None)
        except KeyNotAtHand as failure:
            if failure.reason != "systemd_key_missing":
                raise  # somebody meant it to be used: falling back would hide the mistake
        try:
            return self.make("keyring", vault_id, None)
        except KeyNotAtHand:
            raise KeyNotAtHand("vault_key_undecided") from None

    def _new_keyring_key(self, vault_id: str) -> NewKey:
        """Under an account that only this vault has, so no other vault's key is ever replaced."""
        material = secrets.token_hex(KEY_SIZE)
        account = f"vault-{vault_id}"
        self._keychain.store(account, material)
        return NewKey("keyring", {"account": account}, stretch("keyring", material.encode()))

    def _new_passphrase_key(self, passphrase: Secret | None) -> NewKey:
        if not passphrase:
            raise KeyNotAtHand("passphrase_empty")
        parameters = new_parameters()
        return NewKey(PASSPHRASE, parameters, derive_key(passphrase, parameters))

    def _file_key_made_once(self) -> bytes:
        if not os.path.lexists(self.key_file):
            self._make_key_file()
        return self._file_key()

    def _make_key_file(self) -> None:
        try:
            make_private_folder(self.key_file.parent)
            write_once(self.key_file, secrets.token_hex(KEY_SIZE).encode() + b"\n")
        except Unfit:
            raise KeyNotAtHand("key_folder_open") from None

    # --- later --------------------------------------------------------------------------------

    def data_key(self, header: Header, *, may_prompt: bool) -> bytes:
        """The data key, from the first source of `header` that gives it without a passphrase.

        Raises KeyNotAtHand with the reason of the first source that failed, or
        `passphrase_needed` where only a passphrase can open this vault.
        """
        failures = []
        for wrapped in sorted(header.wraps, key=_rank):
            try:
                return self._unwrapped(header, wrapped, self._kek(wrapped, may_prompt))
            except KeyNotAtHand as failure:
                failures.append(failure.reason)
        raise KeyNotAtHand(failures[0] if failures else "no_known_source")

    def data_key_by_passphrase(self, header: Header, passphrase: Secret) -> bytes:
        """The data key. Raises KeyNotAtHand: `wrong_passphrase`, or `no_passphrase_set`."""
        wraps = [wrapped for wrapped in header.wraps if wrapped.source == PASSPHRASE]
        if not wraps:
            raise KeyNotAtHand("no_passphrase_set")
        kek = derive_key(passphrase, wraps[0].parameters)
        try:
            return unwrap(kek, header.vault_id, wraps[0])
        except Damaged:
            raise KeyNotAtHand("wrong_passphrase") from None

    def _unwrapped(self, header: Header, wrapped: Wrap, kek: bytes) -> bytes:
        try:
            return unwrap(kek, header.vault_id, wrapped)
        except Damaged:
            raise KeyNotAtHand(f"{wrapped.source}_other_key") from None

    def _kek(self, wrapped: Wrap, may_prompt: bool) -> bytes:
        if wrapped.source == "systemd":
            return self._systemd_key()
        if wrapped.source == "keyring":
            return self._keyring_key(wrapped.parameters, may_prompt)
        if wrapped.source == "file":
            return self._file_key()
        raise KeyNotAtHand(
            "passphrase_needed" if wrapped.source == PASSPHRASE else "no_known_source"
        )

    def _keyring_key(self, parameters: Parameters, may_prompt: bool) -> bytes:
        text = self._keychain.find(str(parameters.get("account", "")), may_prompt=may_prompt)
        if not text:
            raise KeyNotAtHand("keyring_key_missing")
        return stretch("keyring", text.encode())

    def _systemd_key(self) -> bytes:
        """From `$CREDENTIALS_DIRECTORY/credd-key`, which the system's manager made and guards."""
        folder = self._environ.get("CREDENTIALS_DIRECTORY", "")
        if not folder:
            raise KeyNotAtHand("systemd_key_missing")
        try:
            with Path(folder, SYSTEMD_NAME).open("rb") as credential:
                material = credential.read(MOST_MATERIAL + 1)
        except FileNotFoundError:
            raise KeyNotAtHand("systemd_key_missing") from None
        except OSError:
            raise KeyNotAtHand("systemd_key_unreadable") from None
        return stretch("systemd", material)

    def _file_key(self) -> bytes:
        try:
            material = read_private(self.key_file, MOST_MATERIAL + 1)
        except FileNotFoundError:
            raise KeyNotAtHand("file_key_missing") from None
        except Unfit as fault:
            raise KeyNotAtHand(f"file_key_{fault.reason}") from None
        except OSError:
            raise KeyNotAtHand("file_key_unreadable") from None
        return stretch("file", material)


def stretch(source: str, material: bytes) -> bytes:
    """A key-encryption key from random material, every byte of which counts (a newline too).

    Raises KeyNotAtHand where the material is shorter or longer than a key can sensibly be.
    """
    if not LEAST_MATERIAL <= len(material) <= MOST_MATERIAL:
        raise KeyNotAtHand(f"{source}_key_{'short' if len(material) < LEAST_MATERIAL else 'long'}")
    info = f"credd/key/{source}".encode()
    return HKDF(algorithm=SHA256(), length=KEY_SIZE, salt=None, info=info).derive(material)


def _rank(wrapped: Wrap) -> int:
    return SOURCES.index(wrapped.source) if wrapped.source in SOURCES else len(SOURCES)
