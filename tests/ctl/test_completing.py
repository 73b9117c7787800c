"""Completion: what a person gets who presses Tab, in the shells that are here."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.ctl.conftest import LIMIT, Home
from tests.ctl.standin import Standin, credential

SHELLS = ("bash", "zsh", "fish")


@pytest.fixture
def names(daemon: Standin) -> Standin:
    """A daemon with three credentials."""
    for name in ("lab", "labour-office", "mlflow"):
        daemon.credentials[name] = credential(name)
    return daemon


@pytest.fixture
def shell_home(home: Home) -> Home:
    """A home in whose bin lies credd-ctl, and beside it each shell's script."""
    folder = home.folder / "bin"
    folder.mkdir()
    command = folder / "credd-ctl"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m credd.ctl "$@"\n')
    command.chmod(0o700)
    return home


def script_of(home: Home, shell: str) -> Path:
    """The script that credd-ctl prints, in a file that zsh would find."""
    done = home.ctl("completion", shell)
    assert done.returncode == 0, done.stderr
    file = home.folder / "scripts" / "_credd-ctl"
    file.parent.mkdir(exist_ok=True)
    file.write_text(done.stdout)
    return file


def environ(home: Home) -> dict[str, str]:
    path = f"{home.folder}/bin:{os.environ['PATH']}"
    return home.environ(PATH=path, TERM="dumb", HOME=str(home.folder))


@contextmanager
def typing(home: Home, *argv: str) -> Iterator[Keyboard]:
    """An interactive shell at a terminal of its own, and somebody who types."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(home.folder)
        os.execvpe(argv[0], list(argv), environ(home))
    keyboard = Keyboard(terminal)
    try:
        yield keyboard
    finally:
        os.close(terminal)
        os.kill(pid, 9)
        os.waitpid(pid, 0)


class Keyboard:
    """Types, and reads what is shown."""

    def __init__(self, terminal: int) -> None:
        self._terminal = terminal
        self.shown = ""

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def expect(self, text: str) -> None:
        """Read until it is shown; what was shown is then over."""
        end = time.monotonic() + LIMIT
        while text not in self.shown:
            left = end - time.monotonic()
            assert left > 0, f"{text!r} was not shown, but {self.shown!r}"
            if select.select([self._terminal], [], [], left)[0]:
                self.shown += os.read(self._terminal, 65536).decode(errors="replace")
        self.shown = self.shown.partition(text)[2]


def needs(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")


def test_bash_completes_a_name_at_tab(shell_home: Home, names: Standin) -> None:
    """`credd-ctl status ml<Tab>` becomes `credd-ctl status mlflow`, and verbs come whole, too."""
    needs("bash")
    script = script_of(shell_home, "bash")
    with typing(shell_home, "bash", "--norc", "--noprofile", "-i") as keyboard:
        keyboard.type(f"source {script}; echo rea''dy\n")
        keyboard.expect("ready")
        keyboard.type("echo $(credd-ctl --version >/dev/null 2>&1; echo st''arted)\n")
        keyboard.expect("started")
        keyboard.type("credd-ctl status ml\t")
        keyboard.expect("credd-ctl status mlflow ")
        keyboard.type("\x15credd-ctl compl\t")
        keyboard.expect("credd-ctl completion ")


def bash_offers(home: Home, line: str) -> list[str]:
    """What bash would offer for the last word of a line."""
    script = script_of(home, "bash")
    words = " ".join(f"'{word}'" for word in line.split(" "))
    asked = (
        f"source {script}; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); "
        f"_credd_ctl_completion credd-ctl; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", asked], env=environ(home), cwd=home.folder, text=True,
        capture_output=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "offers"),
    [
        ("credd-ctl token la", ["lab", "labour-office"]),
        ("credd-ctl logout ml", ["mlflow"]),
        ("credd-ctl exec -c lab", ["lab", "labour-office"]),
        ("credd-ctl check x", []),
        ("credd-ctl completion f", ["fish"]),
        ("credd-ctl re", ["refresh", "reload", "remove"]),
    ],
)
def test_what_is_offered(shell_home: Home, names: Standin, line: str, offers: list[str]) -> None:
    """Names where a verb takes one, else verbs and choices."""
    needs("bash")
    assert bash_offers(shell_home, line) == offers


def test_another_home_is_asked_for_its_names(
    shell_home: Home, names: Standin, tmp_path: Path
) -> None:
    """Options that name the daemon count while completing, too."""
    needs("bash")
    assert bash_offers(shell_home, f"credd-ctl --home {tmp_path} status la") == []
    line = f"credd-ctl --socket {names.socket} status ml"
    assert bash_offers(shell_home, line) == ["mlflow"]


def test_a_daemon_that_is_away_offers_nothing_and_says_nothing(shell_home: Home) -> None:
    """No line on the terminal of who pressed Tab, and no wait."""
    needs("bash")
    assert bash_offers(shell_home, "credd-ctl status la") == []


def test_a_daemon_that_hangs_is_not_waited_for(shell_home: Home) -> None:
    """Somebody listens and never answers: Tab comes back soon."""
    import socket

    needs("bash")
    run = shell_home.folder / "run"
    run.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(run / "credd.sock"))
        silent.listen(8)
        began = time.monotonic()
        assert bash_offers(shell_home, "credd-ctl status la") == []
        assert time.monotonic() - began < 10


def test_zsh_completes_a_name_at_tab(shell_home: Home, names: Standin) -> None:
    """With the file in its fpath, as the help says."""
    needs("zsh")
    script = script_of(shell_home, "zsh")
    with typing(shell_home, "zsh", "-f", "-i") as keyboard:
        keyboard.type(
            f"fpath=({script.parent} $fpath); autoload -Uz compinit; compinit -u -D; echo rea''dy\n"
        )
        keyboard.expect("ready")
        keyboard.type("credd-ctl status ml\t")
        keyboard.expect("flow")


def test_fish_completes_a_name(shell_home: Home, names: Standin) -> None:
    """Its own engine is asked what it offers."""
    needs("fish")
    script = script_of(shell_home, "fish")
    asked = f"source {script}; complete -C 'credd-ctl status la'"
    done = subprocess.run(
        ["fish", "--no-config", "-c", asked], env=environ(shell_home), cwd=shell_home.folder,
        text=True, capture_output=True, timeout=30, check=False,
    )  # fmt: skip
    offered = sorted(line.split("\t")[0] for line in done.stdout.splitlines())
    assert offered == ["lab", "labour-office"], done.stderr
