"""`credd-ctl login`: the conversation, and what is written only when it was won."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest

from credd.errors import LoginRequired, UnknownCredential
from tests.ctl.conftest import Home
from tests.ctl.events import HANG, LINK, NEW, PAGE, code, done, failed
from tests.ctl.standin import Standin, credential

SETTINGS = {
    "issuer": "https://login.example.org",
    "client_id": "training",
    "scopes": ["openid", "offline_access"],
}


def entries(home: Home) -> dict[str, Any]:
    if not home.config.exists():
        return {}
    return tomllib.loads(home.config.read_text()).get("credentials", {})


# --- one step from nothing to a grant -------------------------------------------------------


def test_a_new_credential_is_written_once_its_login_is_won(home: Home, daemon: Standin) -> None:
    """Asked as the contract says, then config.toml, then a reload; who, how long, what next."""
    written_at_reload: list[Any] = []
    daemon.on_reload = lambda: written_at_reload.append(entries(home))
    daemon.login_events = [[code(), done()]]
    result = home.ctl(*NEW, "--flow", "device", "--timeout", "10m")
    assert result.returncode == 0, result.stderr
    assert daemon.asked("login") == [
        {
            "name": "lab", "provider": "oidc", "settings": SETTINGS, "flow": "device",
            "timeout": 600, "browser": "near",
        }
    ]  # fmt: skip
    assert entries(home) == {"lab": {"provider": "oidc", **SETTINGS}}
    assert written_at_reload == [entries(home)]
    assert home.config.stat().st_mode & 0o777 == 0o600
    lines = result.stdout.splitlines()
    assert lines[0] == "Logged in to lab as ada@example.org at https://login.example.org."
    assert lines[1].startswith("This login lasts until ")
    assert lines[2] == "Next: credd-ctl token lab"


def test_both_ways_to_use_the_code_are_shown(home: Home, daemon: Standin) -> None:
    """The link that holds the code, and the page with the code beside it; on stderr."""
    daemon.login_events = [[code(), done()]]
    shown = home.ctl(*NEW).stderr
    assert LINK in shown.splitlines()[3]
    assert f"Or open {PAGE}\nand type the code WDJB-MJHT" in shown


def test_an_unsafe_link_is_not_offered(home: Home, daemon: Standin) -> None:
    """A link that no browser should follow is left out; the page is shown, harmless."""
    link = "javascript:alert('\x1b[2J')"
    daemon.login_events = [[code(verification_uri_complete=link), done()]]
    shown = home.ctl(*NEW).stderr
    assert "javascript" not in shown
    assert "WDJB-MJHT" in shown


def test_what_the_issuer_does_not_say_is_said_so(home: Home, daemon: Standin) -> None:
    """No end of the login is invented."""
    daemon.login_events = [[done(login_ends_at=None, account="", issuer="")]]
    lines = home.ctl(*NEW).stdout.splitlines()
    assert lines[:2] == ["Logged in to lab.", "How long this login lasts: the issuer does not say."]


def test_login_json_is_one_object_on_stdout(home: Home, daemon: Standin) -> None:
    """What a person needs meanwhile goes to stderr."""
    daemon.login_events = [[code(), done()]]
    result = home.ctl(*NEW, "--json")
    reply = json.loads(result.stdout)
    assert (reply["schema"], reply["credential"]["account"]) == (1, "ada@example.org")
    assert LINK in result.stderr


def test_a_known_credential_is_logged_in_by_its_name_alone(home: Home, daemon: Standin) -> None:
    """Nothing about it is sent, and nothing is written."""
    text = '[credentials.lab]\nprovider = "oidc"  # by hand\n'
    home.config.write_text(text)
    for words in (["login", "lab"], ["login"], ["login", "lab", "--provider", "oidc"]):
        daemon.login_events = [[done()]]
        assert home.ctl(*words).returncode == 0
    assert daemon.asked("login") == [{"name": "lab", "timeout": 300, "browser": "near"}] * 3
    assert home.config.read_text() == text
    assert not daemon.asked("reload")


def test_an_entry_written_by_hand_just_now_is_found(home: Home, daemon: Standin) -> None:
    """A daemon that has not read it yet is told to look, and asked once more."""
    home.config.write_text('[credentials.lab]\nprovider = "oidc"\n')
    daemon.errors["login"] = UnknownCredential("no lab", remedy="credd-ctl status")
    daemon.on_reload = daemon.errors.clear
    daemon.login_events = [[done()]]
    assert home.ctl("login", "lab").returncode == 0
    assert len(daemon.asked("login")) == 2


def test_a_name_of_the_catalogue_is_enough(home: Home, daemon: Standin) -> None:
    """The daemon knows the rest; the entry names the provider that it took."""
    daemon.login_events = [[done("aiod", provider="aiod")]]
    assert home.ctl("login", "aiod", "--switch-account").returncode == 0
    asked = {
        "name": "aiod", "settings": {}, "switch_account": True, "timeout": 300, "browser": "near",
    }  # fmt: skip
    assert daemon.asked("login") == [asked]
    assert entries(home) == {"aiod": {"provider": "aiod"}}


def test_a_login_under_way_is_found_again(home: Home, daemon: Standin) -> None:
    """Its events are shown from the first on."""
    daemon.resumed = True
    daemon.login_events = [[code(), done()]]
    result = home.ctl(*NEW)
    assert "under way already" in result.stderr
    assert LINK in result.stderr


def test_an_event_of_a_newer_daemon_is_passed_over(home: Home, daemon: Standin) -> None:
    """/v1 only grows; notes are shown."""
    daemon.login_events = [[{"type": "hologram"}, {"type": "note", "text": "a\x1b[2Jb"}, done()]]
    result = home.ctl(*NEW)
    assert result.returncode == 0
    assert "a[2Jb" in result.stderr


# --- what leaves no trace -------------------------------------------------------------------


def test_a_login_that_fails_writes_nothing(home: Home, daemon: Standin) -> None:
    """The remedy of a new credential repeats what made it new, so that it can be pasted."""
    error = LoginRequired("the code was not used in time", remedy="credd-ctl login lab")
    daemon.login_events = [[code(), failed(error)]]
    result = home.ctl(*NEW)
    assert (result.returncode, result.stdout) == (4, "")
    assert result.stderr.splitlines()[-1] == f"credd-ctl {' '.join(NEW)}"
    assert not home.config.exists()
    assert not daemon.asked("reload")


def test_ctrl_c_cancels_the_login(home: Home, daemon: Standin) -> None:
    """At the daemon, too; nothing is written, and the last line starts it again."""
    daemon.login_events = [[code(), HANG]]
    with home.terminal(*NEW) as terminal:
        terminal.expect("waiting for you")
        terminal.type("\x03")
        assert terminal.end() == 130
    assert daemon.cancelled.is_set()
    assert not home.config.exists()
    assert "is cancelled" in terminal.shown
    assert "Traceback" not in terminal.shown


def test_a_daemon_that_dies_does_not_look_like_a_success(home: Home, daemon: Standin) -> None:
    """The stream ends without `done`: exit 3, and nothing is written."""
    daemon.login_events = [[code()]]
    result = home.ctl(*NEW)
    assert (result.returncode, result.stdout) == (3, "")
    assert not home.config.exists()


def test_findings_after_the_login_are_shown(home: Home, daemon: Standin) -> None:
    """The login is kept, the old configuration stays in force, and the exit status says so."""
    finding = {"place": "config.toml:9", "message": "unknown key 'isuer'", "remedy": "vi it"}
    daemon.reload_findings = [[finding]]  # type: ignore[list-item]
    daemon.login_events = [[done()]]
    result = home.ctl(*NEW)
    assert (result.returncode, result.stdout) == (9, "")
    assert "config.toml:9: unknown key 'isuer'" in result.stderr
    assert result.stderr.splitlines()[-1] == "vi it"


def test_a_daemon_with_another_config_is_noticed(home: Home, daemon: Standin) -> None:
    """The entry went to a file that it doesn't read."""
    daemon.login_events = [[done()]]
    daemon.on_reload = lambda: daemon.credentials.update(
        lab=credential(state="orphaned", exit_code=8)
    )
    result = home.ctl(*NEW)
    assert result.returncode == 9
    assert str(home.config) in result.stderr


# --- refused before anyone logs in ----------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["login"], "which credential"),
        (["login", "lab", "--set", "client_secret=hunter2"], "secret"),
        (["login", "lab", "--set", "issuer"], "key=value"),
        (["login", "known", "--set", "issuer=https://other.example.org"], "another issuer"),
        (["login", "known", "--provider", "static"], "another provider"),
    ],
)
def test_a_contradiction_is_a_usage_error(
    home: Home, daemon: Standin, words: list[str], says: str
) -> None:
    """No login is begun that could not be kept."""
    home.config.write_text(
        '[credentials.known]\nprovider = "oidc"\nissuer = "https://login.example.org"\n'
        '[credentials.other]\nprovider = "static"\n'
    )
    result = home.ctl(*words)
    assert (result.returncode, result.stdout) == (2, "")
    assert says in result.stderr
    assert "hunter2" not in result.stderr
    assert not daemon.requests


def test_a_config_that_others_can_write_is_refused_first(home: Home, daemon: Standin) -> None:
    """Exit 9 and the chmod that mends it, before a person types a code."""
    home.config.write_text("")
    home.config.chmod(0o666)
    result = home.ctl(*NEW)
    assert result.returncode == 9
    assert result.stderr.splitlines()[-1].startswith("chmod ")
    assert not daemon.requests


def test_a_broken_config_is_refused_first(home: Home, daemon: Standin) -> None:
    """Its place is named; it is left as it is."""
    home.config.write_text("[credentials\n")
    result = home.ctl(*NEW)
    assert result.returncode == 9
    assert "line 1" in result.stderr
    assert not daemon.requests


# --- the browser ----------------------------------------------------------------------------


def browser(home: Home) -> dict[str, str]:
    """A browser that writes down where it was sent."""
    program = home.folder / "browser"
    program.write_text(f'#!/bin/sh\necho "$1" >> {home.folder}/visited\n')
    program.chmod(0o700)
    return {"BROWSER": str(program)}


def visited(home: Home) -> str:
    place = home.folder / "visited"
    return place.read_text() if place.exists() else ""


def test_a_browser_is_opened_for_a_person_at_this_machine(home: Home, daemon: Standin) -> None:
    """With the link that holds the code."""
    daemon.login_events = [[code(), done()]]
    with home.terminal(*NEW, **browser(home)) as terminal:
        assert terminal.end() == 0
    assert visited(home) == f"{LINK}\n"


@pytest.mark.parametrize(
    ("more", "environ"),
    [((), {"SSH_CONNECTION": "192.0.2.1 5000 192.0.2.2 22"}), (("--no-browser",), {})],
)
def test_no_browser_is_opened_over_ssh_or_where_none_is_wanted(
    home: Home, daemon: Standin, more: tuple[str, ...], environ: dict[str, str]
) -> None:
    """It would open on a desktop where nobody sits."""
    daemon.login_events = [[code(), done()]]
    with home.terminal(*NEW, *more, **browser(home), **environ) as terminal:
        assert terminal.end() == 0
    assert visited(home) == ""


def test_no_browser_is_opened_without_a_terminal_or_for_an_unsafe_link(
    home: Home, daemon: Standin
) -> None:
    """A script opens nothing, and nobody opens a file for an issuer."""
    daemon.login_events = [[code(), done()]]
    assert home.ctl(*NEW, **browser(home)).returncode == 0
    evil = code(verification_uri_complete="file:///etc/passwd", verification_uri="http://evil/")
    daemon.login_events = [[evil, done()]]
    with home.terminal(*NEW, **browser(home)) as terminal:
        assert terminal.end() == 0
    assert visited(home) == ""
