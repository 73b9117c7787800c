"""Where the key that wraps the data key comes from: systemd, a keyring, a file, or a person.

Knows the sources and their order; knows nothing of records. The one hard thing: a source that is
silent, locked, or gives another key must leave everything as it is. A missing key means "locked",
never "make a new one": a new key would turn every sealed login into noise.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from credd.vault.files import Unfit, make_private_folder, read_private, write_once
from credd.vault.header import Header, Parameters, Wrap, unwrap
from credd.vault.keychain import Keychain, KeyNotAtHand
from credd.vault.passphrase import derive_key, new_parameters
from credd.vault.recovery import recovery_key
from credd.vault.seal import KEY_SIZE, Damaged
from credd.vault.wraps import (
    NOTHING,
    PASSPHRASE,
    RECOVERY,
    NewKey,
    Offered,
    find_wrap,
    rank,
    sources_of,
)

SYSTEMD_NAME = "credd-key"
"""The credential's name: LoadCredential=credd-key:... in the unit (systemd.exec(5))."""

PERSONAL_NEEDED = {PASSPHRASE: "passphrase_needed", RECOVERY: "recovery_code_needed"}
"""Why a source gives no key by itself."""

LEAST_MATERIAL = 32
"""Bytes. A key file is random, not memorable, so nothing stretches it: shorter ones are refused."""

MOST_MATERIAL = 4096
"""Bytes read of a key file or credential: whoever put more there put the wrong file there."""


class KeySources:
    """The sources of this machine. Methods block (Argon2id, D-Bus): call them off the loop."""

    def __init__(self, key_file: Path, environ: Mapping[str, str], keychain: Keychain) -> None:
        self.key_file = key_file
        self._environ = environ
        self._keychain = keychain

    def __repr__(self) -> str:
        return f"<KeySources key_file={str(self.key_file)!r}>"

    # --- at creation --------------------------------------------------------------------------

    def make(self, source: str, vault_id: str, offered: Offered = NOTHING) -> NewKey:
        """A new wrapping key for a vault; a key made here is durable when this returns.

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
        if source == RECOVERY:
            return _new_recovery_key(offered)
        return _new_passphrase_key(offered)

    def _choose(self, vault_id: str) -> NewKey:
        try:
            return self.make("systemd", vault_id)
        except KeyNotAtHand as failure:
            if failure.reason != "systemd_key_missing":
                raise  # somebody meant it to be used: falling back would hide the mistake
        try:
            return self.make("keyring", vault_id)
        except KeyNotAtHand:
            raise KeyNotAtHand("vault_key_undecided") from None

    def _new_keyring_key(self, vault_id: str) -> NewKey:
        """Under an account that was never used, so no key that still opens something is lost."""
        material = secrets.token_hex(KEY_SIZE)
        account = f"vault-{vault_id}-{secrets.token_hex(4)}"
        self._keychain.store(account, material)
        return NewKey("keyring", {"account": account}, stretch("keyring", material.encode()))

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

    def make_all(self, sources: Iterable[str], vault_id: str, offered: Offered) -> list[NewKey]:
        """A new key of each of these sources, or of none. Raises as `make` does."""
        with contextlib.ExitStack() as undo:
            made = [self._make_for_now(undo, source, vault_id, offered) for source in sources]
            undo.pop_all()
        return made

    def _make_for_now(
        self, undo: contextlib.ExitStack, source: str, vault_id: str, offered: Offered
    ) -> NewKey:
        key = self.make(source, vault_id, offered)
        undo.callback(self.unmake_all, [key])
        return key

    def make_again(self, header: Header, offered: Offered) -> list[NewKey]:
        """A key of each source of `header`, for another data key.

        An unattended source gives the key it has; a passphrase (the present one) gets a new salt; a
        recovery code is a new one. Raises KeyNotAtHand where a source can't be asked: it would no
        longer open the vault.
        """
        sources = [wrapped.source for wrapped in header.wraps if wrapped.source != RECOVERY]
        if RECOVERY in sources_of(header) or offered.recovery_code is not None:
            sources.append(RECOVERY)
        return [self._again(header, source, offered) for source in sources]

    def _again(self, header: Header, source: str, offered: Offered) -> NewKey:
        if source == RECOVERY:
            return _new_recovery_key(offered)
        if source == PASSPHRASE:
            self.data_key_by_person(header, Offered(offered.passphrase))
            return _new_passphrase_key(offered)
        return self.same_key(header, _the_one(header, source, ""), may_prompt=True)

    def unmake_all(self, keys: Iterable[NewKey | Wrap]) -> None:
        """`unmake` each; a keyring that doesn't answer keeps what opens nothing."""
        for key in keys:
            with contextlib.suppress(KeyNotAtHand):
                self.unmake(key)

    def unmake(self, key: NewKey | Wrap) -> None:
        """Take a key out of the keyring that opens nothing any more. Raises KeyNotAtHand.

        Other sources are a person's, and are left alone.
        """
        if key.source == "keyring":
            self._keychain.remove(str(key.parameters.get("account", "")))

    # --- later --------------------------------------------------------------------------------

    def data_key(self, header: Header, *, may_prompt: bool) -> bytes:
        """The data key, from the first source of `header` that gives it without a passphrase.

        Raises KeyNotAtHand with the reason of the first source that failed, or
        `passphrase_needed` where only a passphrase can open this vault.
        """
        failures = []
        for wrapped in sorted(header.wraps, key=rank):
            try:
                return self._unwrapped(header, wrapped, self._kek(wrapped, may_prompt))
            except KeyNotAtHand as failure:
                failures.append(failure.reason)
        raise KeyNotAtHand(failures[0] if failures else "no_known_source")

    def data_key_by_person(self, header: Header, offered: Offered) -> bytes:
        """The data key, by a recovery code where one is offered, else by the passphrase.

        Raises KeyNotAtHand: `wrong_passphrase`, `no_passphrase_set`, and the same of the code.
        """
        if offered.recovery_code is not None:
            wrapped = _the_one(header, RECOVERY, "no_recovery_code_set")
            kek, wrong = recovery_key(offered.recovery_code), "wrong_recovery_code"
        elif offered.passphrase is not None:
            has_code = find_wrap(header, RECOVERY) is not None
            missing = "recovery_code_needed" if has_code else "no_passphrase_set"
            wrapped = _the_one(header, PASSPHRASE, missing)
            kek, wrong = derive_key(offered.passphrase, wrapped.parameters), "wrong_passphrase"
        else:
            raise KeyNotAtHand("passphrase_needed")
        try:
            return unwrap(kek, header.vault_id, wrapped)
        except Damaged:
            raise KeyNotAtHand(wrong) from None

    def same_key(self, header: Header, wrapped: Wrap, *, may_prompt: bool) -> NewKey:
        """The key that an unattended source gives now, once it has opened its wrap.

        Raises KeyNotAtHand where it doesn't open it, or needs a person.
        """
        kek = self._kek(wrapped, may_prompt)
        self._unwrapped(header, wrapped, kek)
        return NewKey(wrapped.source, wrapped.parameters, kek)

    def look(self, header: Header) -> list[tuple[str, str]]:
        """Each source of `header`, and why it would not open the vault now, "" where it would."""
        return [(wrapped.source, self._look(header, wrapped)) for wrapped in header.wraps]

    def _look(self, header: Header, wrapped: Wrap) -> str:
        try:
            self.same_key(header, wrapped, may_prompt=False)
        except KeyNotAtHand as failure:
            return failure.reason
        return ""

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
        raise KeyNotAtHand(PERSONAL_NEEDED.get(wrapped.source, "no_known_source"))

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


def _new_passphrase_key(offered: Offered) -> NewKey:
    if not offered.passphrase:
        raise KeyNotAtHand("passphrase_empty")
    parameters = new_parameters()
    return NewKey(PASSPHRASE, parameters, derive_key(offered.passphrase, parameters))


def _new_recovery_key(offered: Offered) -> NewKey:
    if not offered.recovery_code:
        raise KeyNotAtHand("recovery_code_malformed")
    return NewKey(RECOVERY, {}, recovery_key(offered.recovery_code))


def _the_one(header: Header, source: str, missing: str) -> Wrap:
    wrapped = find_wrap(header, source)
    if wrapped is None:
        raise KeyNotAtHand(missing)
    return wrapped
