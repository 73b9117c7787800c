"""The short verbs, as real processes against the stand-in daemon."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
import tomllib
from pathlib import Path

import pytest

from credd.ctl.restarting import unit_in
from credd.errors import BY_CODE, Locked, LoginRequired, UpstreamUnavailable
from tests.ctl.conftest import Home
from tests.ctl.standin import Standin, credential, login_required

ENTRY = '# by hand\n[credentials.lab]\nprovider = "oidc"\nissuer = "https://login.example.org"\n'


@pytest.fixture
def lab(daemon: Standin) -> Standin:
    """The stand-in with one credential, `lab`, in good health."""
    daemon.credentials["lab"] = credential()
    return daemon


# --- the manners of all ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", BY_CODE.values(), ids=lambda kind: kind.code)
def test_each_error_has_its_exit_status_and_its_remedy_last(
    home: Home, lab: Standin, kind: type
) -> None:
    """What the daemon says arrives whole: detail, remedy, status; and nothing on stdout."""
    lab.errors["credential"] = kind("what happened", remedy="what to do", retry_after=100.0)
    done = home.ctl("status", "lab")
    assert (done.returncode, done.stdout) == (kind.exit_code, "")
    assert done.stderr == "credd-ctl: what happened\nwhat to do\n"


def test_without_a_daemon_it_exits_3_soon(home: Home) -> None:
    """A person is told within seconds, with the command that starts one."""
    start = time.monotonic()
    (home.folder / "run").mkdir(mode=0o700)
    done = home.ctl("status")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.splitlines()[-1].startswith("credd")
    assert time.monotonic() - start < 10


def test_threat_34_hostile_words_of_a_daemon_reach_no_terminal(home: Home, lab: Standin) -> None:
    """Escape sequences in an account, a detail or a remedy are dropped in every answer."""
    evil = "\x1b]0;owned\x07\u202e\x9b2J"
    lab.credentials["lab"] = login_required(
        account=evil, meaning=evil, scope=evil, hosts=[evil], environment={"A": evil}
    )
    lab.errors["lifetime"] = LoginRequired(f"detail {evil}", remedy=f"remedy {evil}")
    for words in (
        ["status"],
        ["status", "lab"],
        ["check", "lab", "--for", "1h"],
        ["status", "--json"],
    ):
        done = home.ctl(*words)
        assert (done.stdout + done.stderr).replace("\n", "").isprintable(), words


def test_a_reader_that_leaves_early_is_no_error(home: Home, lab: Standin) -> None:
    """`credd-ctl status | head -1` says nothing about a broken pipe."""
    for number in range(2000):
        lab.credentials[f"c{number}"] = credential(f"c{number}")
    line = f"{sys.executable} -m credd.ctl status | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        [shutil.which("bash") or "bash", "-c", line], env=home.environ(), capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.stdout.startswith("NAME")
    assert done.stderr == ""
    assert done.returncode == 141


def test_a_full_disk_is_an_error(home: Home, lab: Standin) -> None:
    """A token that could not be written whole is not a success."""
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "credd.ctl", "token", "lab"], env=home.environ(), stdout=full,
            stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_option_is_stronger_than_the_environment(home: Home, lab: Standin) -> None:
    """--home and --socket work before and after the verb, and are not undone by CREDD_SOCK."""
    elsewhere = {"CREDD_SOCK": "/nonexistent/credd.sock"}
    folder = str(home.folder)
    socket = str(lab.socket)
    for words in (
        ["--home", folder, "token", "lab"],
        ["token", "--home", folder, "lab"],
        ["--socket", socket, "token", "lab"],
        ["token", "lab", "--socket", socket],
    ):
        assert home.ctl(*words, **elsewhere).stdout == "token-of-lab\n"


# --- token, refresh, check, wait ------------------------------------------------------------


def test_token_prints_the_token_and_nothing_else(home: Home, lab: Standin) -> None:
    """The options arrive at the daemon in seconds, and scopes in the standard's form."""
    done = home.ctl(
        "token", "lab", "--min-valid", "10m", "--audience", "hub", "--scope", "a", "--scope", "b"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "token-of-lab\n", "")
    asked = lab.asked("token")[0]
    assert (float(asked["min_valid"]), asked["audience"], asked["scope"]) == (600, "hub", "a b")


def test_token_has_a_form_for_curl_and_one_for_programs(home: Home, lab: Standin) -> None:
    """A header line, and JSON with a schema version."""
    assert home.ctl("token", "lab", "--format", "header").stdout == (
        "Authorization: Bearer token-of-lab\n"
    )
    for words in (["--json"], ["--format", "json"]):
        reply = json.loads(home.ctl("token", "lab", *words).stdout)
        assert (reply["schema"], reply["access_token"]) == (1, "token-of-lab")


def test_a_token_with_a_line_end_is_not_printed(home: Home, lab: Standin) -> None:
    """It would add a header of its own to a request."""
    lab.tokens["lab"] = "good\r\nX-Evil: 1"
    done = home.ctl("token", "lab", "--format", "header")
    assert (done.returncode, done.stdout) == (1, "")


def test_an_unknown_name_exits_8(home: Home, lab: Standin) -> None:
    """With the command that shows the names there are."""
    done = home.ctl("token", "nope")
    assert done.returncode == 8
    assert done.stderr.splitlines()[-1] == "credd-ctl status"


@pytest.mark.parametrize("outcome", ["refreshed", "superseded", "too-soon", "not-renewable", "new"])
def test_refresh_says_what_was_done(home: Home, lab: Standin, outcome: str) -> None:
    """Each outcome in a sentence; one that only a newer daemon knows as it is."""
    lab.outcome = outcome
    done = home.ctl("refresh", "lab")
    assert done.returncode == 0
    assert done.stdout.startswith("lab: ")
    assert json.loads(home.ctl("refresh", "lab", "--json").stdout)["outcome"] == outcome


def test_refresh_all_names_whom_it_woke(home: Home, lab: Standin) -> None:
    """All of them, in one request."""
    assert home.ctl("refresh", "--all").stdout == "refreshing: lab\n"
    assert len(lab.asked("refresh_all")) == 1


@pytest.mark.parametrize(
    ("verdict", "options", "status"),
    [("lasts", [], 0), ("ends", [], 4), ("unknown", [], 0), ("unknown", ["--strict"], 4)],
)
def test_check_answers_with_its_exit_status(
    home: Home, lab: Standin, verdict: str, options: list[str], status: int
) -> None:
    """0 lasts, 4 ends earlier; what nobody knows fails only under --strict."""
    lab.verdict = verdict
    for more in ([], ["--json"]):
        done = home.ctl("check", "lab", "--for", "72h", *options, *more)
        assert done.returncode == status
        assert bool(done.stdout) is (status == 0)
        if status:
            assert done.stderr.splitlines()[-1] == "credd-ctl login lab"
    assert float(lab.asked("lifetime")[0]["for"]) == 72 * 3600


def test_wait_returns_when_the_credential_is_ready(home: Home, daemon: Standin) -> None:
    """It looks again until somebody has logged in."""
    daemon.credentials["lab"] = login_required()

    def log_in_after_the_first_look() -> None:
        while not daemon.asked("credential"):
            time.sleep(0.01)
        daemon.credentials["lab"] = credential()

    person = threading.Thread(target=log_in_after_the_first_look)
    person.start()
    done = home.ctl("wait", "lab", "--timeout", "20s")
    person.join()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len(daemon.asked("credential")) >= 2


def test_wait_ends_with_what_was_missing(home: Home, daemon: Standin) -> None:
    """No login: 4 and its remedy. No such name: 8, at once. No daemon: 3."""
    daemon.credentials["lab"] = login_required()
    done = home.ctl("wait", "lab", "--timeout", "0.5")
    assert done.returncode == 4
    assert done.stderr.splitlines()[-1] == "credd-ctl login lab"
    assert home.ctl("wait", "nope", "--timeout", "1h").returncode == 8
    daemon.errors["ready"] = Locked("locked", remedy="credd-ctl unlock")
    assert home.ctl("wait", "--timeout", "0.5").returncode == 6
    daemon.stop()
    assert home.ctl("wait", "--timeout", "0.5").returncode == 3


# --- logout, remove -------------------------------------------------------------------------


def test_logout_forgets_the_grant_and_keeps_the_entry(home: Home, lab: Standin) -> None:
    """config.toml is untouched, so that `login lab` works again."""
    home.config.write_text(ENTRY)
    done = home.ctl("logout", "lab")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "Next: credd-ctl login lab"
    assert home.config.read_text() == ENTRY
    assert lab.asked("forget") == [{}]


def test_remove_drops_the_entry_after_the_grant(home: Home, lab: Standin) -> None:
    """The comment stays, the entry goes, and the daemon is told to look."""
    home.config.write_text(ENTRY + '[credentials.other]\nprovider = "static"\n')
    assert home.ctl("remove", "lab", "--keep-going").returncode == 0
    assert list(tomllib.loads(home.config.read_text())["credentials"]) == ["other"]
    assert [route for route, *_ in lab.requests] == ["forget", "reload"]
    assert lab.asked("forget")[0]["keep_going"]


def test_a_remove_that_the_issuer_did_not_hear_of_changes_nothing(home: Home, lab: Standin) -> None:
    """The entry stays as long as its grant lives; the remedy is the daemon's."""
    home.config.write_text(ENTRY)
    lab.errors["forget"] = UpstreamUnavailable(
        "the issuer is away", remedy="credd-ctl remove lab --keep-going", retry_after=100.0
    )
    done = home.ctl("remove", "lab")
    assert done.returncode == 7
    assert done.stderr.splitlines()[-1] == "credd-ctl remove lab --keep-going"
    assert home.config.read_text() == ENTRY


def test_remove_takes_an_entry_that_the_daemon_never_loaded(home: Home, daemon: Standin) -> None:
    """A mistake elsewhere in the file must not make it permanent."""
    home.config.write_text(ENTRY)
    assert home.ctl("remove", "lab").returncode == 0
    assert "lab" not in home.config.read_text()
    assert home.ctl("remove", "lab").returncode == 8


@pytest.mark.parametrize("verb", ["logout", "remove"])
def test_at_a_terminal_it_asks_before_it_forgets(home: Home, lab: Standin, verb: str) -> None:
    """No is the default; --yes does not ask."""
    home.config.write_text(ENTRY)
    with home.terminal(verb, "lab") as terminal:
        terminal.expect("[y/N]")
        terminal.type("\n")
        assert terminal.end() == 130
    assert "lab" in lab.credentials
    with home.terminal(verb, "lab", "--yes") as terminal:
        assert terminal.end() == 0
    assert "lab" not in lab.credentials


# --- unlock, reload, version ----------------------------------------------------------------


def test_unlock_reads_the_passphrase_from_stdin(home: Home, lab: Standin) -> None:
    """A line end is no part of it, a space is."""
    done = home.ctl("unlock", "--passphrase-stdin", stdin=" correct horse \n")
    assert done.returncode == 0
    assert lab.asked("unlock") == [{"passphrase": " correct horse "}]


def test_unlock_asks_at_a_terminal_without_showing_the_answer(home: Home, lab: Standin) -> None:
    """getpass: what is typed does not appear."""
    with home.terminal("unlock") as terminal:
        terminal.expect("Passphrase: ")
        terminal.type("sesame\n")
        assert terminal.end() == 0
    assert lab.asked("unlock") == [{"passphrase": "sesame"}]
    assert "sesame" not in terminal.shown


def test_unlock_without_terminal_names_the_option(home: Home, lab: Standin) -> None:
    """Nobody is asked where nobody can answer."""
    done = home.ctl("unlock")
    assert done.returncode == 2
    assert "--passphrase-stdin" in done.stderr.splitlines()[-1]
    assert home.ctl("unlock", "--passphrase-stdin", stdin="").returncode == 2


def test_reload_prints_findings_and_exits_9(home: Home, lab: Standin) -> None:
    """Where, what, and the remedy last; a clean one says so."""
    assert home.ctl("reload").stdout == "The configuration is in force.\n"
    assert json.loads(home.ctl("reload", "--json").stdout)["applied"] is True
    finding = {"place": "config.toml:3", "message": "unknown key 'isuer'", "remedy": "vi it"}
    lab.reload_findings = [[finding]]  # type: ignore[list-item]
    done = home.ctl("reload")
    assert (done.returncode, done.stdout) == (9, "")
    assert done.stderr.splitlines()[0] == "config.toml:3: unknown key 'isuer'"
    assert done.stderr.splitlines()[-1] == "vi it"


def test_version_answers_without_a_daemon(home: Home) -> None:
    """It is what people type when something is wrong."""
    done = home.ctl("version")
    assert done.returncode == 0
    assert "not running" in done.stdout
    assert json.loads(home.ctl("version", "--json").stdout)["daemon"] is None


def test_version_and_status_say_when_another_version_is_installed(home: Home, lab: Standin) -> None:
    """With the command that restarts the daemon as the last line."""
    lab.versions = {"version": "0.1.0", "installed": "0.2.0"}
    shown = home.ctl("version").stdout.splitlines()
    assert "0.2.0 is installed" in shown[-2]
    assert shown[-1].startswith(f"kill {os.getpid()};")
    assert json.loads(home.ctl("version", "--json").stdout)["restart"] == shown[-1]
    done = home.ctl("status")
    assert done.returncode == 0
    assert done.stderr.splitlines()[-1] == shown[-1]


def test_ctrl_c_ends_with_130_and_no_traceback(home: Home, daemon: Standin) -> None:
    """As every command that is interrupted."""
    daemon.credentials["lab"] = login_required()
    with home.terminal("wait", "lab") as terminal:
        while not daemon.asked("credential"):
            time.sleep(0.01)
        terminal.type("\x03")
        assert terminal.end() == 130
    assert "Traceback" not in terminal.shown


# --- restarting -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cgroup", "unit"),
    [
        (
            "0::/user.slice/user-1000.slice/user@1000.service/app.slice/credd.service",
            "credd.service",
        ),
        ("0::/user.slice/user-1000.slice/session-3.scope", ""),
        ("0::/system.slice/evil;rm -rf.service", ""),
        ("", ""),
    ],
)
def test_the_unit_of_a_daemon_is_read_from_its_cgroup(
    tmp_path: Path, cgroup: str, unit: str
) -> None:
    """Only a unit of ours, spelled harmlessly, becomes part of a command to paste."""
    file = tmp_path / "cgroup"
    file.write_text(cgroup + "\n")
    assert unit_in(str(file)) == unit
    assert unit_in(str(tmp_path / "absent")) == ""
