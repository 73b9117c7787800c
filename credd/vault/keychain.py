"""The operating system's keyring, and only one that really encrypts.

Knows the keyring library's backends by name; knows nothing of vaults. Backends are built here by
hand from an allow-list, because keyring's own choice follows PYTHON_KEYRING_BACKEND and a file in
the user's configuration, and may silently be a plain-text file or nothing at all.

The one hard thing: a keyring may answer late or never, since a locked one asks a person. Its calls
therefore run in a daemon thread of their own, with a deadline; an answer that comes after it is
used by the next call instead of asking the person a second time.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any, Protocol

from keyring.backend import KeyringBackend
from keyring.backends import SecretService
from keyring.errors import (
    InitError,
    KeyringError,
    KeyringLocked,
    NoKeyringError,
    PasswordDeleteError,
)

SERVICE = "credd"
"""The service under which a vault's key stands: `secret-tool search service credd` finds it."""

UNATTENDED = 5.0
"""Seconds for an answer when nobody is asked anything: a keyring's takes milliseconds."""

ATTENDED = 30.0
"""Seconds for a person to answer the keyring's own prompt: half of what a client waits in all."""


class KeyNotAtHand(Exception):
    """A source gives no key. `reason` is a row of reasons.py."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Keychain(Protocol):
    """Where keys can be put and found again. All may raise KeyNotAtHand."""

    def find(self, account: str, *, may_prompt: bool) -> str | None:
        """The text kept for `account`; None where there is none."""
        ...

    def store(self, account: str, text: str) -> None:
        """Keep `text` for `account`. A person may be asked to unlock the keyring."""
        ...

    def remove(self, account: str) -> None:
        """Erase what is kept for `account`; nothing happens where there is nothing."""
        ...

    def interrupt(self) -> None:
        """Let everybody who waits for an answer go, with KeyNotAtHand("closed")."""
        ...


class _PatientSecretService(SecretService.Keyring):
    """The Secret Service, asking a person only where one is there to answer."""

    may_prompt = False

    def get_preferred_collection(self) -> Any:
        """The default collection, unlocked. Raises KeyringLocked, or NoKeyringError for none."""
        # Through keyring's own module, since it may be missing and keyring knows how to do without.
        secretstorage = vars(SecretService)["secretstorage"]
        bus = secretstorage.dbus_init()
        try:
            return self._unlocked(secretstorage, bus)
        except BaseException:
            bus.close()
            raise

    def _unlocked(self, secretstorage: Any, bus: Any) -> Any:
        try:
            collection = secretstorage.Collection(bus)
        except secretstorage.exceptions.ItemNotFoundException:
            if not self.may_prompt:
                raise NoKeyringError("no default collection") from None
            collection = secretstorage.get_default_collection(bus)  # asks a person to make one
        if collection.is_locked() and self.may_prompt:
            collection.unlock()
        if collection.is_locked():
            raise KeyringLocked("the default collection is locked")
        return collection


def allowed_backends() -> tuple[type[KeyringBackend], ...]:
    """Backends that encrypt with a key of the user's session, whether they work here or not.

    Of those that do, the one with the highest priority is used; keyring numbers them so that the
    desktop's own comes first.
    """
    if sys.platform == "darwin":
        # Only there: elsewhere, to find macOS's libraries it runs ldconfig, gcc and ld.
        from keyring.backends import macOS  # noqa: PLC0415 - as said

        return (macOS.Keyring,)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # loading them loads the system's GLib bindings, or D-Bus's
        from keyring.backends import kwallet, libsecret  # noqa: PLC0415 - as said
    return (_PatientSecretService, kwallet.DBusKeyring, libsecret.Keyring)


def choose_backend(allowed: Iterable[type[KeyringBackend]], *, may_prompt: bool) -> KeyringBackend:
    """The best of `allowed` that works on this machine. Raises KeyNotAtHand."""
    viable = [backend for backend in allowed if backend.viable]
    if not viable:
        raise KeyNotAtHand("keyring_absent")
    backend = max(viable, key=lambda candidate: candidate.priority)()
    if isinstance(backend, _PatientSecretService):
        backend.may_prompt = may_prompt
    return backend


class SystemKeychain:
    """The keyring of this session. Methods block, up to the deadline; call them off the loop."""

    def __init__(
        self,
        allowed: Iterable[type[KeyringBackend]] | None = None,
        *,
        unattended: float = UNATTENDED,
        attended: float = ATTENDED,
    ) -> None:
        # Loaded now and not when first asked: the daemon loads all it may need before it is ready.
        self._allowed = allowed_backends() if allowed is None else tuple(allowed)
        self._unattended = unattended
        self._attended = attended
        self._errands: dict[str, Future[str | None]] = {}

    def find(self, account: str, *, may_prompt: bool) -> str | None:
        """See Keychain. An answer to an earlier question for the same account is taken first."""

        def ask() -> str | None:
            backend = choose_backend(self._allowed, may_prompt=may_prompt)
            return backend.get_password(SERVICE, account)

        return self._run(account, ask, self._attended if may_prompt else self._unattended)

    def store(self, account: str, text: str) -> None:
        """See Keychain. Reads it back: a key that is not there later would close the vault."""

        def keep() -> str | None:
            backend = choose_backend(self._allowed, may_prompt=True)
            backend.set_password(SERVICE, account, text)
            return backend.get_password(SERVICE, account)

        if self._run(f"store {account}", keep, self._attended) != text:
            raise KeyNotAtHand("keyring_failed")

    def remove(self, account: str) -> None:
        """See Keychain. A locked keyring is not unlocked for it."""

        def erase() -> str | None:
            backend = choose_backend(self._allowed, may_prompt=False)
            with contextlib.suppress(PasswordDeleteError):  # there is none
                backend.delete_password(SERVICE, account)
            return None

        self._run(f"remove {account}", erase, self._unattended)

    def interrupt(self) -> None:
        """See Keychain: the daemon is stopping."""
        for errand in list(self._errands.values()):
            _finish(errand, KeyNotAtHand("closed"))

    def _run(self, errand_name: str, call: Callable[[], str | None], deadline: float) -> str | None:
        errand = self._errands.get(errand_name) or self._start(errand_name, call)
        try:
            answer = errand.result(deadline)
        except TimeoutError:
            raise KeyNotAtHand("keyring_no_answer") from None
        except KeyNotAtHand as error:
            self._errands.pop(errand_name, None)
            raise KeyNotAtHand(error.reason) from None
        self._errands.pop(errand_name, None)
        return answer

    def _start(self, errand_name: str, call: Callable[[], str | None]) -> Future[str | None]:
        errand: Future[str | None] = Future()
        self._errands[errand_name] = errand
        # A daemon thread, not an executor's: leaving must not wait for somebody who never answers.
        threading.Thread(
            target=_perform, args=(errand, call), name="credd-keyring", daemon=True
        ).start()
        return errand


def _perform(errand: Future[str | None], call: Callable[[], str | None]) -> None:
    """Do the call; every way in which a keyring can fail becomes a KeyNotAtHand."""
    try:
        answer = call()
    except KeyNotAtHand as error:
        _finish(errand, error)
    except Exception as error:  # noqa: BLE001 - D-Bus, GLib and Security each bring their own tree
        _finish(errand, KeyNotAtHand(_reason(error)))
    else:
        _finish(errand, answer)


def _finish(errand: Future[str | None], outcome: str | KeyNotAtHand | None) -> None:
    if errand.done():
        return
    if isinstance(outcome, KeyNotAtHand):
        errand.set_exception(outcome)
    else:
        errand.set_result(outcome)


def _reason(error: Exception) -> str:
    """The exception itself is dropped: a keyring's text is not ours, and may name its contents."""
    if isinstance(error, KeyringLocked):
        return "keyring_locked"
    if isinstance(error, NoKeyringError | InitError):
        return "keyring_absent"
    return "keyring_failed" if isinstance(error, KeyringError) else "keyring_no_answer"
