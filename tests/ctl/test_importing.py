"""`credd-ctl import`: the original goes once its secret is sealed elsewhere, and never before."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path
from typing import Any

import pytest

from credd.errors import BadRequest, LoginRequired, Misconfigured, UpstreamUnavailable
from tests.ctl.conftest import Home
from tests.ctl.standin import Standin

ISSUER = "https://login.example.org"
NEW = ("--provider", "oidc", "--set", f"issuer={ISSUER}", "--set", "client_id=training")
SETTINGS = {"issuer": ISSUER, "client_id": "training"}


@pytest.fixture
def original(home: Home) -> Path:
    """A refresh token in a file."""
    file = home.folder / "token.json"
    file.write_text(json.dumps({"refresh_token": "rt-CANARY-1", "account": "ada@example.org"}))
    file.chmod(0o600)
    return file


def entries(home: Home) -> dict[str, Any]:
    if not home.config.exists():
        return {}
    return tomllib.loads(home.config.read_text()).get("credentials", {})


def test_a_login_moves_in(home: Home, daemon: Standin, original: Path) -> None:
    """The daemon has it, config.toml knows it, and only then the file is gone."""
    there_at_reload: list[bool] = []
    daemon.on_reload = lambda: there_at_reload.append(original.exists())
    done = home.ctl("import", "lab", "--from", str(original), *NEW)
    assert done.returncode == 0, done.stderr
    assert daemon.asked("import_login") == [
        {
            "name": "lab", "secret": "rt-CANARY-1", "provider": "oidc", "settings": SETTINGS,
            "account": "ada@example.org",
        }
    ]  # fmt: skip
    assert entries(home) == {"lab": {"provider": "oidc", **SETTINGS}}
    assert there_at_reload == [True]
    assert not original.exists()
    assert done.stdout.splitlines() == [
        "lab has moved in, account ada@example.org.",
        "Its issuer has replaced the refresh token: no copy of the old one works.",
        f"Removed {original}.",
        "Next: credd-ctl exec -c lab -- CMD",
    ]
    assert done.stderr == ""


def test_no_secret_is_written_or_shown(home: Home, daemon: Standin, original: Path) -> None:
    """Neither in config.toml nor on the terminal."""
    done = home.ctl("import", "lab", "--from", str(original), *NEW, "--json")
    assert "CANARY" not in home.config.read_text() + done.stdout + done.stderr
    assert json.loads(done.stdout)["removed"] == str(original)
    assert json.loads(done.stdout)["rotated"] is True


def test_it_knows_what_config_toml_knows(home: Home, daemon: Standin, original: Path) -> None:
    """A credential that stands there needs no provider, and is not written again."""
    home.config.write_text(f'[credentials.lab]\nprovider = "oidc"\nissuer = "{ISSUER}"\n')
    before = home.config.read_text()
    assert home.ctl("import", "lab", "--from", str(original)).returncode == 0
    assert daemon.asked("import_login")[0].keys() == {"name", "secret", "account"}
    assert home.config.read_text() == before
    assert not original.exists()


@pytest.mark.parametrize(
    "error",
    [
        LoginRequired("nothing was taken over", remedy="credd-ctl login lab"),
        UpstreamUnavailable("away", remedy="credd-ctl import lab", retry_after=1.0),
        BadRequest("logged in already", remedy="credd-ctl logout lab"),
    ],
)
def test_whatever_the_daemon_refuses_stays_where_it_is(
    home: Home, daemon: Standin, original: Path, error: Any
) -> None:
    """Asked once, nothing written, the status of the error, and a remedy to paste."""
    daemon.errors["import_login"] = error
    before = original.read_text()
    done = home.ctl("import", "lab", "--from", str(original), *NEW)
    assert done.returncode == error.exit_code
    assert original.read_text() == before
    assert entries(home) == {}
    assert len(daemon.asked("import_login")) == 1
    again = f"credd-ctl import lab --from {original} {' '.join(NEW)}"
    expected = again if error.remedy == "credd-ctl import lab" else error.remedy
    assert done.stderr.splitlines()[-1] == expected


def test_without_a_daemon_it_stays(home: Home, original: Path) -> None:
    """Status 3, and the file is untouched."""
    done = home.ctl("import", "lab", "--from", str(original), *NEW)
    assert done.returncode == 3
    assert original.exists()


def test_where_the_daemon_does_not_take_the_configuration_it_stays(
    home: Home, daemon: Standin, original: Path
) -> None:
    """The secret is sealed, and yet nobody would find it: the same line may be typed again."""
    daemon.reload_findings = [[{"place": "line 1", "message": "no", "remedy": ""}]]
    assert home.ctl("import", "lab", "--from", str(original), *NEW).returncode == 9
    assert original.exists()


def test_what_nobody_here_can_remove_is_said(home: Home, daemon: Standin) -> None:
    """A variable, and whatever was behind a pipe."""
    daemon.rotates = False
    by_variable = home.ctl(
        "import", "api", "--env", "LAB_KEY", "--provider", "static", LAB_KEY="key-CANARY-1"
    )
    assert by_variable.returncode == 0, by_variable.stderr
    assert "unset LAB_KEY" in by_variable.stderr
    piped = home.ctl("import", "other", "--stdin", "--provider", "static", stdin="key-CANARY-2\n")
    assert "still wherever it came from" in piped.stderr
    assert [asked["secret"] for asked in daemon.asked("import_login")] == [
        "key-CANARY-1", "key-CANARY-2",
    ]  # fmt: skip
    assert "CANARY" not in by_variable.stderr + piped.stderr


def test_a_key_may_stay(home: Home, daemon: Standin, original: Path) -> None:
    """--keep-original is the daemon's to allow; then nothing is removed."""
    original.write_text("key-CANARY-1")
    daemon.rotates = False
    words = ("import", "api", "--from", str(original), "--provider", "static", "--keep-original")
    assert home.ctl(*words).returncode == 0
    assert daemon.asked("import_login")[0]["keep_original"] is True
    assert original.exists()


def test_a_file_that_changed_meanwhile_is_not_removed(
    home: Home, daemon: Standin, original: Path
) -> None:
    """Its owner has written a newer one: that is not what was read."""
    daemon.on_reload = lambda: original.write_text("a newer one, and longer")
    done = home.ctl("import", "lab", "--from", str(original), *NEW)
    assert done.returncode == 0
    assert original.exists()
    assert "changed meanwhile" in done.stderr


def test_a_file_that_others_can_read_is_warned_of(
    home: Home, daemon: Standin, original: Path
) -> None:
    """And moved all the same: that is the cure."""
    original.chmod(0o644)
    done = home.ctl("import", "lab", "--from", str(original), *NEW)
    assert done.returncode == 0
    assert "others could read" in done.stderr
    assert not original.exists()


def test_links_are_followed_and_other_names_are_told(
    home: Home, daemon: Standin, original: Path
) -> None:
    """What is removed is the file with the secret; a hard link of it can't be found."""
    link, other = home.folder / "link", home.folder / "other"
    link.symlink_to(original)
    os.link(original, other)
    done = home.ctl("import", "lab", "--from", str(link), *NEW)
    assert done.returncode == 0
    assert not original.exists()
    assert "hard link" in done.stderr


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is empty"),
        (b"two words", "neither one token nor JSON"),
        (b'{"a": 1}', "neither a refresh_token nor a key"),
        (b"\xff\xfe", "it is no text"),
        (b"x" * 600_000, "far too long"),
        (b'{"access_token": "at-CANARY"}', "no refresh token"),
    ],
    ids=["empty", "words", "other json", "binary", "huge", "no refresh token"],
)
def test_what_is_no_login_is_refused_here(
    home: Home, daemon: Standin, original: Path, content: bytes, said: str
) -> None:
    """Before anything is asked of the daemon, and without a word of it."""
    original.write_bytes(content)
    done = home.ctl("import", "lab", "--from", str(original), *NEW)
    assert done.returncode in (2, 9)
    assert said in done.stderr
    assert "CANARY" not in done.stderr
    assert original.read_bytes() == content
    assert daemon.asked("import_login") == []


def test_only_a_file_of_ours_is_read(home: Home, daemon: Standin) -> None:
    """No folder, no pipe that nobody writes to, nothing that isn't there."""
    pipe = home.folder / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, home.folder, home.folder / "missing"):
        done = home.ctl("import", "lab", "--from", str(path), *NEW)
        assert done.returncode == 9
        assert str(path) in done.stderr


@pytest.mark.parametrize(
    "words",
    [[], ["--stdin", "--env", "X"], ["--from", "x", "--stdin"], ["--env", "NOT_SET"]],
    ids=" ".join,
)
def test_one_place_is_named(home: Home, daemon: Standin, words: list[str]) -> None:
    """A usage error where it is none or two, or the variable is not set."""
    assert home.ctl("import", "lab", *words, *NEW, stdin="rt").returncode == 2


def test_a_bare_token_needs_to_be_told_what_it_is(home: Home, daemon: Standin) -> None:
    """A refresh token and a key look the same."""
    done = home.ctl("import", "lab", "--stdin", stdin="rt-CANARY-1")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "credd-ctl import lab --stdin --provider static"


def test_the_text_s_own_settings_are_used_and_the_command_line_is_stronger(
    home: Home, daemon: Standin, original: Path
) -> None:
    """A file that names its issuer and client needs no --set; its client secret goes along."""
    said = {"refresh_token": "rt-CANARY-1", "issuer": ISSUER, "client_id": "theirs",
            "client_secret": "cs-CANARY-1"}  # fmt: skip
    original.write_text(json.dumps(said))
    words = ("import", "lab", "--from", str(original), "--set", "client_id=ours")
    assert home.ctl(*words).returncode == 0
    asked = daemon.asked("import_login")[0]
    assert asked["settings"] == {"issuer": ISSUER, "client_id": "ours"}
    assert asked["client_secret"] == "cs-CANARY-1"
    assert "CANARY" not in home.config.read_text()


UNDECIDED = Misconfigured("where shall its key be?", reason="vault_key_undecided")


def test_where_a_new_vault_has_its_key_is_a_person_s_to_say(
    home: Home, daemon: Standin, original: Path
) -> None:
    """Without one, the option is the remedy; and a passphrase can't be asked for here."""
    daemon.errors["import_login"] = UNDECIDED
    words = ("import", "lab", "--from", str(original), *NEW)
    done = home.ctl(*words)
    remedy = f"credd-ctl {' '.join(words)} --vault-key file"
    assert (done.returncode, done.stderr.splitlines()[-1]) == (9, remedy)
    with home.terminal(*words) as terminal:
        terminal.expect("Which one")
        terminal.type("passphrase\n")
        terminal.expect("vault rewrap")
        assert terminal.end() == 2
    assert original.exists()


def test_the_choice_goes_along(home: Home, daemon: Standin, original: Path) -> None:
    """And is written to config.toml once the vault really has it."""
    daemon.key_source = "file"
    done = home.ctl("import", "lab", "--from", str(original), *NEW, "--vault-key", "file")
    assert done.returncode == 0, done.stderr
    assert daemon.asked("import_login")[0]["vault_key"] == "file"
    assert tomllib.loads(home.config.read_text())["vault"] == {"key": "file"}


def test_a_person_types_it_unseen(home: Home, daemon: Standin) -> None:
    """At a terminal, --stdin asks, and shows nothing of the answer."""
    words = ("import", "api", "--stdin", "--provider", "static")
    with home.terminal(*words) as terminal:
        terminal.expect("Token or key: ")
        terminal.type("key-CANARY-1\n")
        terminal.expect("api has moved in")
        assert terminal.end() == 0
    assert "CANARY" not in terminal.shown
