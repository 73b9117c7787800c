"""Only a keyring that encrypts, never in anybody's way, and never asked behind a person's back."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from keyring.backend import KeyringBackend
from keyring.backends import chainer, fail, null
from keyring.errors import (
    InitError,
    KeyringError,
    KeyringLocked,
    NoKeyringError,
    PasswordDeleteError,
)

from credd.errors import Locked
from credd.vault.keychain import KeyNotAtHand, SystemKeychain, allowed_backends
from credd.vault.vault import Vault, VaultStatus
from tests.vault.homes import Home, MemoryKeychain
from tests.vault.keeper_contract import the_one

ROOT = Path(__file__).resolve().parents[2]


class FakeBackend(KeyringBackend):
    """A keyring whose next answers a test decides. Each test gets a class of its own."""

    priority = 5.0
    entries: dict[tuple[str, str], str]
    error: Exception | None
    gate: threading.Event
    calls: int

    def get_password(self, service: str, username: str) -> str | None:
        type(self).calls += 1
        self.gate.wait()
        if self.error is not None:
            raise self.error
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        if self.error is not None:
            raise self.error
        self.entries[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        if self.error is not None:
            raise self.error
        if self.entries.pop((service, username), None) is None:
            raise PasswordDeleteError("none")


@pytest.fixture
def backend() -> type[FakeBackend]:
    """A backend that answers at once and holds nothing."""
    gate = threading.Event()
    gate.set()
    body: dict[str, Any] = {"entries": {}, "error": None, "gate": gate, "calls": 0}
    return type("Backend", (FakeBackend,), body)


def reason_of(keychain: SystemKeychain) -> str:
    with pytest.raises(KeyNotAtHand) as caught:
        keychain.find("vault-1", may_prompt=False)
    return caught.value.reason


def test_t28_only_backends_that_encrypt_are_on_the_list() -> None:
    """By name: neither plain text, nor null, nor fail, nor a chain of whatever there is."""
    names = {f"{kind.__module__}.{kind.__name__}" for kind in allowed_backends()}
    of_linux = {
        "credd.vault.keychain._PatientSecretService",
        "keyring.backends.kwallet.DBusKeyring",
        "keyring.backends.libsecret.Keyring",
    }
    of_macos = {"keyring.backends.macOS.Keyring"}
    assert names == (of_macos if sys.platform == "darwin" else of_linux)
    assert not {null.Keyring, fail.Keyring, chainer.ChainerBackend} & set(allowed_backends())


def test_no_program_is_run_to_find_the_backends() -> None:
    """A backend of another system would look for its libraries with ldconfig, gcc and ld."""
    code = (
        "import sys\n"
        "started = []\n"
        "def note(event, args):\n"
        "    event == 'subprocess.Popen' and started.append(args)\n"
        "sys.addaudithook(note)\n"
        "from credd.vault.keychain import allowed_backends\n"
        "allowed_backends()\n"
        "assert not started, started\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "named", ["keyring.backends.null.Keyring", "keyring.backends.fail.Keyring"]
)
def test_t28_the_environment_does_not_choose_the_keyring(
    monkeypatch: pytest.MonkeyPatch, named: str, backend: type[FakeBackend]
) -> None:
    """PYTHON_KEYRING_BACKEND is for other programs; a null keyring would lose what it takes."""
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", named)
    keychain = SystemKeychain([backend])
    keychain.store("vault-1", "key")
    assert keychain.find("vault-1", may_prompt=False) == "key"
    assert backend.entries == {("credd", "vault-1"): "key"}


def test_the_best_of_those_that_work_is_used(backend: type[FakeBackend]) -> None:
    """A backend that can't work here is passed over."""

    class Lesser(FakeBackend):
        priority = 1.0

    backend.entries["credd", "vault-1"] = "key"
    keychain = SystemKeychain([Lesser, backend])
    assert keychain.find("vault-1", may_prompt=False) == "key"


def test_t28_without_any_keyring_the_reason_is_named() -> None:
    """No D-Bus, no keyring: named, and no plain file instead."""
    assert reason_of(SystemKeychain([])) == "keyring_absent"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (KeyringLocked("no"), "keyring_locked"),
        (InitError("Failed to create the collection: Prompt dismissed.."), "keyring_absent"),
        (NoKeyringError("no"), "keyring_absent"),
        (KeyringError("no"), "keyring_failed"),
        (ConnectionRefusedError("no"), "keyring_no_answer"),
        (ValueError("canary-text-of-a-keyring"), "keyring_no_answer"),
    ],
)
def test_t28_every_failure_of_a_keyring_has_a_reason(
    backend: type[FakeBackend], error: Exception, reason: str
) -> None:
    """Whatever it raises becomes one of our words; its own text goes no further."""
    backend.error = error
    with pytest.raises(KeyNotAtHand) as caught:
        SystemKeychain([backend]).find("vault-1", may_prompt=False)
    assert caught.value.reason == reason
    assert "canary" not in repr(caught.value)


def test_a_keyring_that_forgets_at_once_is_not_trusted(backend: type[FakeBackend]) -> None:
    """What was stored is read back, before a vault is sealed with it."""
    backend.set_password = lambda *_: None  # type: ignore[method-assign]
    with pytest.raises(KeyNotAtHand, match="keyring_failed"):
        SystemKeychain([backend]).store("vault-1", "key")


def test_what_is_removed_is_gone_and_nothing_else(backend: type[FakeBackend]) -> None:
    """What isn't there can be removed, too; a keyring that refuses says so."""
    backend.entries |= {("credd", "vault-1"): "key", ("credd", "vault-2"): "other"}
    keychain = SystemKeychain([backend])
    keychain.remove("vault-1")
    keychain.remove("vault-1")
    assert backend.entries == {("credd", "vault-2"): "other"}
    backend.error = KeyringLocked("no")
    with pytest.raises(KeyNotAtHand, match="keyring_locked"):
        keychain.remove("vault-2")


def test_t87_a_keyring_that_does_not_answer_is_not_waited_for(backend: type[FakeBackend]) -> None:
    """After the deadline: a reason. The late answer is used, and a person is asked only once."""
    backend.entries["credd", "vault-1"] = "key"
    backend.gate.clear()
    keychain = SystemKeychain([backend], unattended=0.02)
    assert reason_of(keychain) == "keyring_no_answer"
    assert reason_of(keychain) == "keyring_no_answer"
    backend.gate.set()
    patient = SystemKeychain([backend], unattended=30)
    patient._errands = keychain._errands
    assert patient.find("vault-1", may_prompt=False) == "key"
    assert backend.calls == 1


def test_stopping_interrupts_the_waiting(backend: type[FakeBackend]) -> None:
    """Nobody holds up the end of the daemon for a prompt that nobody answers."""
    backend.gate.clear()
    keychain = SystemKeychain([backend], unattended=30)
    timer = threading.Timer(0.05, keychain.interrupt)
    timer.start()
    began = time.monotonic()
    assert reason_of(keychain) == "closed"
    assert time.monotonic() - began < 10
    backend.gate.set()
    timer.join()


# --- a vault with a keyring -------------------------------------------------------------------


async def test_t28_a_keyring_locked_at_boot_is_waited_for(tmp_path: Path) -> None:
    """Locked, with the reason; nobody is asked; once it is unlocked, retrying opens the vault."""
    home, keychain = Home(tmp_path), MemoryKeychain()
    vault = home.vault(keychain=keychain)
    await vault.create("keyring")
    await vault.keep("lab", b"one", 0)
    await vault.close()
    keychain.is_locked = True
    assert await vault.open() == VaultStatus("locked", "keyring", "keyring_locked")
    assert (await vault.retry()).state == "locked"
    assert keychain.prompts == 0
    assert (await vault.retry(may_prompt=True)).state == "locked"
    assert keychain.prompts == 1
    keychain.is_locked = False
    assert (await vault.retry()).state == "open"
    assert (await the_one(vault)).payload == b"one"
    await vault.close()


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (None, "keyring_key_missing"),
        ("", "keyring_key_missing"),
        ("short", "keyring_key_short"),
        ("f" * 64, "keyring_other_key"),
    ],
)
async def test_t86_a_keyring_with_another_key_locks_and_is_not_written_to(
    tmp_path: Path, entry: str | None, reason: str
) -> None:
    """No new key is put where one was lost."""
    home, keychain = Home(tmp_path), MemoryKeychain()
    vault = home.vault(keychain=keychain)
    await vault.create("keyring")
    await vault.close()
    (account,) = keychain.entries
    keychain.entries = {} if entry is None else {account: entry}
    before = dict(keychain.entries)
    assert await vault.open() == VaultStatus("locked", "keyring", reason)
    assert (await vault.retry(may_prompt=True)).state == "locked"
    assert keychain.entries == before
    await vault.close()


async def test_two_vaults_share_a_keyring_without_sharing_a_key(tmp_path: Path) -> None:
    """A second home never replaces the first one's key."""
    keychain = MemoryKeychain()
    for name in ("one", "two"):
        vault = Home(tmp_path / name).vault(keychain=keychain)
        await vault.create("keyring")
        await vault.close()
    assert len(set(keychain.entries.values())) == len(keychain.entries) == 2


async def test_t87_closing_does_not_wait_for_a_keyring(
    tmp_path: Path, backend: type[FakeBackend]
) -> None:
    """A start that hangs in a prompt can be ended."""
    home = Home(tmp_path)
    keychain = SystemKeychain([backend], unattended=30)
    vault = Vault(home.path, home.runtime, home.key_file, environ={}, keychain=keychain)
    await vault.create("keyring")
    await vault.close()
    backend.gate.clear()
    opening = asyncio.create_task(vault.open())
    await asyncio.to_thread(asked, backend, backend.calls)
    await vault.close()
    assert (await opening).reason == "closed"
    backend.gate.set()


def asked(backend: type[FakeBackend], calls: int) -> None:
    """Wait until the keyring has been asked once more."""
    while backend.calls == calls:
        time.sleep(0.001)


# --- the real one -----------------------------------------------------------------------------

PROGRAMS = ("dbus-run-session", "gnome-keyring-daemon", "dbus-send")
MISSING = [name for name in PROGRAMS if shutil.which(name) is None]
IN_SESSION = """
set -eu
unlock() { printf %s pw | gnome-keyring-daemon --unlock --components=secrets >/dev/null; }
play() { "$PYTHON" -m tests.vault.keyring_play "$HOME/credd" "$1"; }
unlock
play create
play open
play rewrap
play open
dbus-send --session --print-reply --dest=org.freedesktop.secrets /org/freedesktop/secrets \
    org.freedesktop.Secret.Service.Lock array:objpath:/org/freedesktop/secrets/collection/login \
    >/dev/null
play open
"""


def in_session(folder: Path, script: str) -> list[list[str]]:
    """Run a script in a session bus of its own; what the play printed, line by line."""
    for name in ("home", "run"):
        (folder / name).mkdir(mode=0o700)
    keep = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHON": sys.executable}
    environ = {**keep, "HOME": str(folder / "home"), "XDG_RUNTIME_DIR": str(folder / "run")}
    run = subprocess.run(
        ["dbus-run-session", "--", "sh", "-c", script],
        env=environ, cwd=ROOT, capture_output=True, text=True, check=False, timeout=50,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return [json.loads(line) for line in run.stdout.splitlines() if line.startswith("[")]


@pytest.mark.skipif(bool(MISSING), reason=f"gnome-keyring test needs {', '.join(MISSING)}")
def test_t28_a_real_gnome_keyring_holds_the_key(tmp_path: Path) -> None:
    """Made, opened again, changed for another, and locked when the keyring is locked: without
    a prompt, without a hang."""
    assert in_session(tmp_path, IN_SESSION) == [
        ["open", "keyring", "", "one"],
        ["open", "keyring", "", "one"],
        ["open", "keyring", "", "one", 1],
        ["open", "keyring", "", "one"],
        ["locked", "keyring", "keyring_locked", ""],
    ]


@pytest.mark.skipif(bool(MISSING), reason=f"gnome-keyring test needs {', '.join(MISSING)}")
def test_a_real_gnome_keyring_is_left_by_the_key(tmp_path: Path) -> None:
    """A vault that goes over to a key file takes its key out of the keyring."""
    script = IN_SESSION.partition("play open")[0] + "play leave\nplay open\n"
    assert in_session(tmp_path, script) == [
        ["open", "keyring", "", "one"],
        ["open", "file", "", "one", 0],
        ["open", "file", "", "one"],
    ]


@pytest.mark.skipif(bool(MISSING), reason=f"gnome-keyring test needs {', '.join(MISSING)}")
def test_t28_a_session_without_a_keyring_asks_what_to_do(tmp_path: Path) -> None:
    """A bus and nobody who keeps secrets: undecided, and no vault is made."""
    script = '"$PYTHON" -m tests.vault.keyring_play "$HOME/credd" create'
    assert in_session(tmp_path, script) == [["refused", "", "vault_key_undecided", ""]]
    assert not (tmp_path / "home/credd/state/vault.db").exists()


def test_the_reason_of_a_locked_keyring_has_a_remedy(tmp_path: Path) -> None:
    """Every reason a keyring can give is a row of the table."""
    vault = Home(tmp_path).vault()
    for reason in ("keyring_locked", "keyring_absent", "keyring_failed", "keyring_no_answer"):
        problem = vault._problem(reason)
        assert isinstance(problem, Locked)
        assert problem.remedy == "credd-ctl unlock"
