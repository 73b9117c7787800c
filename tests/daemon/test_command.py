"""Promises about the command `credd`: what it checks, and how it refuses."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from credd.daemon import logs
from credd.daemon.command import main

GOOD = """
[credentials.lab]
provider = "oidc"
issuer = "https://login.example.org/realms/lab"
client_id = "training"
hosts = ["mlflow.example.org"]
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a config.toml to be written."""
    tmp_path.chmod(0o700)
    return tmp_path


def write(home: Path, text: str) -> None:
    """Put this text into config.toml, ours alone."""
    file = home / "config.toml"
    file.write_text(text)
    file.chmod(0o600)


def test_a_clean_configuration_passes(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--check exits 0 and says so."""
    write(home, GOOD)
    assert main(["--check", "--home", str(home)]) == 0
    assert "nothing wrong" in capsys.readouterr().out


def test_an_unknown_key_names_the_nearest_and_the_place(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--check exits 9; the line and the key that was meant are named."""
    write(home, GOOD.replace("issuer =", "isuer ="))
    assert main(["--check", "--home", str(home)]) == 9
    said = capsys.readouterr().err
    assert "line 4" in said
    assert '"issuer"' in said


def test_findings_can_be_piped(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--check --json prints an object with a schema version, findings and all."""
    write(home, "[demon]\n")
    assert main(["--check", "--json", "--home", str(home)]) == 9
    said = json.loads(capsys.readouterr().out)
    assert said["schema"] == 1
    assert said["findings"][0]["place"].startswith("line 1")


def test_a_configuration_that_others_can_write_is_refused(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever writes it names the issuer to which secrets go: exit 9, and the chmod to paste."""
    write(home, GOOD)
    (home / "config.toml").chmod(0o666)
    assert main(["--check", "--home", str(home)]) == 9
    assert capsys.readouterr().err.splitlines()[-1].startswith("chmod ")


def test_a_missing_configuration_is_an_empty_one(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first login writes it."""
    assert main(["--check", "--home", str(home)]) == 0
    assert "nothing wrong" in capsys.readouterr().out


def test_a_log_line_never_quotes_an_exception(capsys: pytest.CaptureFixture[str]) -> None:
    """The error's type and place are logged, not its words: they may quote a secret."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        for style in ("text", "json"):
            logs.set_up("debug", style)
            try:
                raise ValueError("its " + "words".upper())
            except ValueError:
                logging.getLogger("credd.test").exception("it broke")
    finally:
        root.handlers[:] = before
        root.setLevel(level)
    said = capsys.readouterr().err
    assert said.count("ValueError at") == 2
    assert "WORDS" not in said
