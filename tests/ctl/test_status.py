"""`credd-ctl status`: a line a credential, a page about one, and the live views."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

from credd.client.calls import Calls
from credd.ctl import render
from credd.ctl.harmless import width_of
from credd.ctl.status import looks
from credd.errors import DaemonUnreachable
from tests.ctl.conftest import Home
from tests.ctl.standin import Standin, credential, login_required

NOW = 1_700_000_000.0


def static_key() -> object:
    return credential("key", token_expires_at=None, login_ends_at=None, generation=1)


def test_in_a_pipe_each_credential_is_one_whole_line(home: Home, daemon: Standin) -> None:
    """`grep mlflow` finds state, error and remedy; nothing is cut, nothing is coloured."""
    long_account = "a" * 39
    daemon.credentials = {
        "lab": credential(account=long_account),
        "mlflow": login_required("mlflow"),
    }
    done = home.ctl("status", COLUMNS="40")
    header, lab, mlflow = done.stdout.splitlines()
    assert header.split()[:2] == ["NAME", "STATE"]
    assert long_account in lab
    assert mlflow.endswith("credd-ctl login mlflow")
    assert "the issuer ended this login (since 2 h 1 min, 3 tries)" in mlflow
    assert "\x1b" not in done.stdout
    assert done.returncode == 0


def test_a_terminal_of_80_columns_is_enough(home: Home, daemon: Standin) -> None:
    """Long accounts are cut, trouble and remedy go below; states are coloured."""
    daemon.credentials = {
        "lab": credential(account="grace.hopper.of.the.navy@mlflow.example.org"),
        "mlflow": login_required("mlflow"),
    }
    with home.terminal("status") as terminal:
        assert terminal.end() == 0
    lines = terminal.shown.replace("\r", "").splitlines()
    assert "\x1b[31mlogin-required" in terminal.shown
    table = render.credentials_table(list(daemon.credentials.values()), NOW, 80, render.plain)
    assert max(width_of(line) for line in table.splitlines()) <= 80
    assert any("credd-ctl login mlflow" in line for line in lines)


def test_no_color_is_honoured(home: Home, daemon: Standin) -> None:
    """no-color.org: any value will do."""
    daemon.credentials = {"mlflow": login_required("mlflow")}
    for words in (["status"], ["status", "mlflow"]):
        with home.terminal(*words, NO_COLOR="1") as terminal:
            terminal.end()
        assert "\x1b[" not in terminal.shown


def test_without_credentials_it_shows_the_first_step(home: Home, daemon: Standin) -> None:
    """The last line is a login to paste."""
    done = home.ctl("status")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1].startswith("credd-ctl login lab --provider oidc")
    assert json.loads(home.ctl("status", "--json").stdout) == {"schema": 1, "credentials": []}


def test_one_credential_is_told_whole(home: Home, daemon: Standin) -> None:
    """Everything but secrets."""
    daemon.credentials = {"lab": credential()}
    shown = home.ctl("status", "lab").stdout
    told = ["fresh", "oidc", "ada@example.org", "in 29 d 3 h", "generation 7", "mlflow.example.org"]
    for words in [*told, "openid offline_access", "MLFLOW_TRACKING_AUTH=credd"]:
        assert words in shown
    assert json.loads(home.ctl("status", "lab", "--json").stdout)["credential"]["grant"] == 2


def test_the_exit_status_of_one_is_its_own(home: Home, daemon: Standin) -> None:
    """4 where a login is needed: then stdout is empty, and the remedy is the last line."""
    daemon.credentials = {"lab": login_required()}
    for more in ([], ["--json"]):
        done = home.ctl("status", "lab", *more)
        assert (done.returncode, done.stdout) == (4, "")
        assert "login-required" in done.stderr
        assert done.stderr.splitlines()[-1] == "credd-ctl login lab"
    assert home.ctl("status").returncode == 0


def test_a_remedy_is_told_though_the_token_still_works(home: Home, daemon: Standin) -> None:
    """`suspect` and `ending` exit 0 and name what to do soon."""
    daemon.credentials = {"lab": credential(state="ending", remedy="credd-ctl login lab")}
    done = home.ctl("status", "lab")
    assert done.returncode == 0
    assert done.stderr == "credd-ctl login lab\n"


# --- live -----------------------------------------------------------------------------------


def watch(home: Home, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "credd.ctl", "status", "--watch", *more],
        env=home.environ(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_watch_json_writes_a_line_a_change(home: Home, daemon: Standin) -> None:
    """The first at once, the next when a refresh has happened, one when nobody answers."""
    daemon.credentials = {"lab": credential()}
    with watch(home, "--json") as process:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        daemon.credentials = {"lab": credential(generation=8)}
        second = json.loads(process.stdout.readline())
        daemon.stop()
        third = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""
    assert first["schema"] == 1
    assert [one["credentials"][0]["generation"] for one in (first, second)] == [7, 8]
    assert third["error"]["code"] == "daemon_unreachable"


def test_a_daemon_that_is_away_stays_away_until_it_answers(daemon: Standin) -> None:
    """No look between two failures says that all is well, and a return is seen at once."""
    daemon.credentials = {"lab": credential()}
    snapshots = looks(Calls(daemon.socket), None)
    assert next(snapshots).error is None
    daemon.errors["credentials"] = DaemonUnreachable("away", retry_after=100.0)
    assert [next(snapshots).error is None for _ in range(2)] == [False, False]
    daemon.errors.clear()
    assert next(snapshots).error is None


def test_watch_in_a_pipe_writes_tables(home: Home, daemon: Standin) -> None:
    """For a log: the table when something changed, and a word when nobody answers."""
    daemon.credentials = {"lab": credential()}
    with watch(home, "lab") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith("NAME")
        daemon.stop()
        assert process.stderr.readline().startswith("credd-ctl: ")
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


def test_watch_fails_where_there_is_nothing_to_watch(home: Home, daemon: Standin) -> None:
    """A wrong name is an error now, not something to wait for."""
    assert home.ctl("status", "nope", "--watch").returncode == 8


def test_watch_draws_anew_and_survives_the_daemon(home: Home, daemon: Standin) -> None:
    """The picture counts down, shows trouble and remedy, and says when nobody answers."""
    daemon.credentials = {"lab": credential(token_expires_at=time.time() + 90)}
    with home.terminal("status", "--watch") as terminal:
        terminal.expect("1 of 1 good")
        terminal.expect("Ctrl-C leaves")
        daemon.credentials["mlflow"] = login_required("mlflow", account="\x1b]0;owned\x07[bold]x")
        terminal.expect("1 of 2 good")
        terminal.expect("credd-ctl login mlflow")
        terminal.expect("]0;owned[bold]x")
        daemon.stop()
        terminal.expect("This is what was last known")
        terminal.type("\x03")
        assert terminal.end() == 0
    assert "Traceback" not in terminal.shown


# --- words ----------------------------------------------------------------------------------


def test_a_static_key_has_no_end_and_no_next_refresh() -> None:
    """What never expires is not counted down."""
    row = render.row_of(static_key(), NOW)  # type: ignore[arg-type]
    assert row.cells[3:] == ("not said", "no end", "-")


def test_nobody_has_logged_in_yet() -> None:
    """An empty credential has dashes, not zeros."""
    empty = credential(
        state="empty", account="", generation=0, token_expires_at=None, refresh_at=None,
        login_at=None, login_ends_at=None, exit_code=4, remedy="credd-ctl login lab",
    )  # fmt: skip
    row = render.row_of(empty, NOW)
    assert row.cells[2:] == ("-", "-", "-", "-")
    assert row.colour == "red"


def test_a_retry_is_the_next_refresh() -> None:
    """While the issuer is away, what counts is when it is asked again."""
    trouble = {"kind": "transient", "reason": "connect_failed", "detail": "it is away",
               "since": NOW - 60, "attempts": 1, "next_try_at": NOW + 22}  # fmt: skip
    row = render.row_of(credential(trouble=trouble, refresh_at=NOW - 9), NOW)
    assert row.cells[5] == "in 22 s"
    assert row.trouble == "it is away (since 60 s)"


def test_wide_names_line_up() -> None:
    """The next column starts at the same place for every account."""
    both = [credential(account="日本語"), credential("b", account="abc")]
    lines = render.credentials_table(both, NOW, None, render.plain).splitlines()[1:]
    starts = {width_of(line[: line.index(" in ")]) for line in lines}
    assert len(starts) == 1
