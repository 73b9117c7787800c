"""The menu as a whole: help, wrong words, missing libraries, and what a run may load."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from credd.ctl.app import VERBS, cli
from tests.ctl.conftest import ROOT, Home
from tests.ctl.standin import Standin, credential

LATER = ["doctor", "init", "service", "forward",
         "sink", "proxy"]  # fmt: skip
INSTALL = "pipx install 'credd[daemon]'"
OLD_PYTHONS = sorted(Path.home().glob(".pyenv/versions/3.[9-9].*/bin/python"))


def commands() -> list[list[str]]:
    return [
        [],
        *([name] for name in VERBS),
        *(["vault", name] for name in ("accept", "rekey", "reset", "rewrap", "verify")),
        *(["socket", name] for name in ("create", "list", "remove")),
    ]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_help_has_an_example(words: list[str]) -> None:
    """The example is a line to paste, and names the very command."""
    result = CliRunner().invoke(cli, [*words, "--help"])
    assert result.exit_code == 0
    examples = result.stdout.partition("Example")[2]
    assert f"  {' '.join(['credd-ctl', *words])}" in examples


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_takes_socket_and_home(words: list[str]) -> None:
    """Before the verb or after it, whichever a person types."""
    if words not in (["vault"], ["socket"]):
        shown = CliRunner().invoke(cli, [*words, "--help"]).stdout
        assert "--socket PATH" in shown
        assert "--home DIR" in shown


def test_the_menu_is_sorted_and_readable() -> None:
    """One line a verb, none cut off."""
    shown = CliRunner().invoke(cli, []).stdout
    lines = re.findall(r"^  (\w+)  +\S.*$", shown.partition("Commands:")[2], re.MULTILINE)
    assert [line for line in lines if line in VERBS] == sorted(VERBS)
    assert "..." not in shown.partition("Commands:")[2]


@pytest.mark.parametrize("name", VERBS)
def test_each_row_of_the_table_is_a_command_of_that_name(name: str) -> None:
    """A row that leads nowhere would be found by a user."""
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.name == name


@pytest.mark.parametrize("verb", LATER)
def test_a_verb_of_a_later_version_is_absent(verb: str) -> None:
    """Absent, not half there: an unknown verb is a usage error."""
    result = CliRunner().invoke(cli, [verb])
    assert result.exit_code == 2
    assert not result.stdout


@pytest.mark.parametrize(("typo", "meant"), [("stauts", "status"), ("logn", "login")])
def test_a_slip_of_the_finger_is_answered_with_what_was_meant(typo: str, meant: str) -> None:
    """The last line on stderr is a command to paste."""
    result = CliRunner().invoke(cli, [typo])
    assert result.exit_code == 2
    assert f"did you mean {meant!r}?" in result.stderr
    assert result.stderr.splitlines()[-1] == f"credd-ctl {meant} --help"


@pytest.mark.parametrize(
    "words",
    [["token"], ["token", "lab", "extra"], ["token", "Lab!"], ["check", "lab"], ["refresh"],
     ["refresh", "lab", "--all"], ["check", "lab", "--for", "soon"], ["vault"], ["--nonsense"],
     ["status", "--jsn"], ["login", "lab", "--flow", "magic"], ["vault", "burn"],
     ["vault", "rewrap"]],
    ids=" ".join,
)  # fmt: skip
def test_a_wrong_command_line_exits_2_and_says_nothing_on_stdout(words: list[str]) -> None:
    """The remedy is the help of the very command."""
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 2
    assert not result.stdout
    assert result.stderr.startswith("credd-ctl: ")
    assert result.stderr.splitlines()[-1].startswith("credd-ctl")


def test_without_its_libraries_it_names_the_one_line_that_installs_them() -> None:
    """A guest's Python has no click: exit 9, and the line of the contract."""
    argv = [sys.executable, "-S", "-m", "credd.ctl", "status"]  # -S: no site-packages
    environ = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (9, "")
    assert done.stderr.splitlines()[-1] == INSTALL
    assert "click" in done.stderr


@pytest.mark.skipif(not OLD_PYTHONS, reason="no Python 3.9 here")
def test_on_an_old_python_it_says_which_it_needs() -> None:
    """Loading must get as far as the sentence: no syntax that Python 3.9 can't read."""
    argv = [str(OLD_PYTHONS[0]), "-m", "credd.ctl", "status"]
    environ = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (9, "")
    assert "3.11" in done.stderr
    assert done.stderr.splitlines()[-1] == INSTALL


LOADED = """
import sys
from credd.ctl.app import cli
try:
    cli.main(sys.argv[1:], prog_name="credd-ctl")
except SystemExit:
    pass
print("loaded", *sorted(sys.modules), file=sys.stderr)
"""


@pytest.mark.parametrize(
    "words",
    [["status"], ["status", "lab"], ["token", "lab"], ["check", "lab", "--for", "1h"], ["version"],
     ["refresh", "lab"], ["wait", "lab"], ["--help"]],
    ids=" ".join,
)  # fmt: skip
def test_a_plain_answer_loads_neither_rich_nor_the_daemons_libraries(
    home: Home, daemon: Standin, words: list[str]
) -> None:
    """rich is for what is drawn, tomlkit for what is written, the rest is the daemon's."""
    daemon.credentials["lab"] = credential()
    argv = [sys.executable, "-c", LOADED, *words]
    done = subprocess.run(argv, env=home.environ(), capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stderr.split("loaded", 1)[1].split()}
    assert not loaded & {"rich", "tomlkit", "aiohttp", "keyring", "cryptography", "asyncio", "jwt"}
