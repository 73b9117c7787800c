"""credd-token: a token and a newline, or nothing but an exit status and a remedy."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from typing import Any

import pytest

from credd import wire
from credd.client import raw, token_command
from credd.errors import BY_CODE, CreddError, LoginRequired, UpstreamUnavailable
from tests.client.stand_in import (
    Request,
    StandIn,
    json_reply,
    problem_reply,
    reply,
    standing_in,
    text_reply,
    wait_until,
)

COMMAND = [sys.executable, "-m", "credd.client.token_command"]


def environ(path: str, **more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**kept, "CREDD_SOCK": path, **more}


def run(path: str, *arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """credd-token as a process of its own."""
    return subprocess.run(
        [*COMMAND, *arguments],
        env=environ(path, **more),
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


# --- a token --------------------------------------------------------------------------------


def test_it_prints_a_token_and_a_newline(path: str) -> None:
    """Nothing else on standard output, nothing on standard error, status 0."""
    with standing_in(path, lambda request: text_reply("at-1")) as daemon:
        done = run(path, "lab")
    assert (done.returncode, done.stdout, done.stderr) == (0, "at-1\n", "")
    assert daemon.requests == [Request("GET", "/v1/credentials/lab/token?format=raw", None)]


def test_a_newline_of_the_daemon_is_not_doubled(path: str) -> None:
    """Whether the daemon ends its line or not, one line is printed."""
    with standing_in(path, lambda request: text_reply("at-1\n")):
        assert run(path, "lab").stdout == "at-1\n"


def test_its_options_become_the_question(path: str) -> None:
    """--min-valid, --audience, --scope and --timeout, in both ways of writing a value."""
    options = ["--min-valid=600", "--audience", "a&b", "--scope", "x", "--scope=y", "--timeout=9"]
    with standing_in(path, lambda request: text_reply("at-1")) as daemon:
        assert run(path, *options, "--", "lab").returncode == 0
    query = daemon.requests[0].query
    assert 7 < float(query.pop("max_wait")) < 9
    assert query == {"format": "raw", "min_valid": "600.000", "audience": "a&b", "scope": "x y"}


def test_without_a_name_the_environment_names_the_credential(path: str) -> None:
    """CREDD_CREDENTIAL, as for every shim."""
    with standing_in(path, lambda request: text_reply("at-1")) as daemon:
        assert run(path, CREDD_CREDENTIAL="lab").stdout == "at-1\n"
    assert daemon.requests[0].path == "/v1/credentials/lab/token"


def test_the_installed_script_is_this_command(path: str) -> None:
    """`credd-token` beside the interpreter, where the distribution is installed."""
    script = os.path.join(os.path.dirname(sys.executable), "credd-token")
    if not os.path.exists(script):
        pytest.skip("credd is not installed in this environment")
    with standing_in(path, lambda request: text_reply("at-1")):
        done = subprocess.run(
            [script, "lab"], env=environ(path), capture_output=True, text=True, check=True
        )
    assert done.stdout == "at-1\n"


# --- failures -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [kind for kind in BY_CODE.values() if not kind.retryable])
def test_each_error_has_its_exit_status_and_remedy(path: str, kind: type[CreddError]) -> None:
    """Status and last line on standard error come from the daemon's problem."""
    error = kind("something happened", remedy="credd-ctl mend lab")
    with standing_in(path, lambda request: problem_reply(error)):
        done = run(path, "lab")
    assert (done.returncode, done.stdout) == (kind.exit_code, "")
    assert done.stderr == "credd-token: something happened\ncredd-ctl mend lab\n"


def test_an_issuer_that_stays_away_is_status_7(path: str) -> None:
    """Within --timeout it is asked again; then the error is the daemon's, not "unreachable"."""
    away = problem_reply(UpstreamUnavailable("away", remedy="credd-ctl status lab"))
    with standing_in(path, lambda request: away) as daemon:
        done = run(path, "lab", "--timeout", "2")
    assert (done.returncode, done.stdout) == (7, "")
    assert done.stderr.splitlines()[-1] == "credd-ctl status lab"
    assert len(daemon.requests) > 1


def test_without_a_daemon_it_is_status_3(path: str) -> None:
    """The remedy starts one."""
    done = run(path, "lab", "--timeout", "0.2")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.splitlines()[-1] == "credd &"


def test_an_open_folder_is_status_5(folder: str, path: str) -> None:
    """The remedy closes it."""
    os.chmod(folder, 0o755)
    with standing_in(path, lambda request: text_reply("at-1")) as daemon:
        done = run(path, "lab")
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr.splitlines()[-1] == f"chmod 700 {folder}"
    assert daemon.connections == 0
    os.chmod(folder, 0o700)


def test_a_path_that_can_not_work_is_status_9(path: str) -> None:
    """Too long, or relative."""
    assert run("/tmp/" + "x" * 120, "lab").returncode == 9
    done = run("run/credd.sock", "lab")
    assert done.returncode == 9
    assert done.stderr.splitlines()[-1] == 'export CREDD_SOCK="$PWD/run/credd.sock"'


@pytest.mark.parametrize(
    "answer",
    [
        text_reply(""),
        text_reply("at-1\nat-2"),
        text_reply("at 1"),
        reply(200, "tökən".encode(), "text/plain"),
        json_reply({"access_token": "at-1"}),
    ],
)
def test_what_is_no_token_is_not_printed(path: str, answer: bytes) -> None:
    """Two lines, a space, or JSON would break the script that reads it."""
    with standing_in(path, lambda request: answer):
        done = run(path, "lab")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == "credd-ctl version"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "which credential"),
        (["lab", "other"], "one credential"),
        (["--frobnicate", "lab"], "unknown option --frobnicate"),
        (["-x", "lab"], "unknown option -x"),
        (["lab", "--min-valid"], "needs a value"),
        (["lab", "--min-valid", "soon"], "takes seconds"),
        (["lab", "--min-valid", "nan"], "takes seconds"),
        (["lab", "--min-valid=-5"], "takes seconds"),
        (["lab", "--timeout", "inf"], "takes seconds"),
        (["lab", "--timeout", "0"], "takes seconds"),
        (["lab", "--audience", "a", "--audience", "b"], "given twice"),
        (["Lab"], "can't be a credential's name"),
        (["../lab"], "can't be a credential's name"),
        (["-"], "can't be a credential's name"),
    ],
)
def test_a_wrong_call_is_status_2(path: str, arguments: list[str], words: str) -> None:
    """What is wrong, and where the right call is explained; no daemon is asked."""
    done = run(path, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    first, last = done.stderr.splitlines()
    assert words in first
    assert last == "credd-token --help"


def test_help_and_version_need_no_daemon(path: str) -> None:
    """--help has an example; --version is a constant."""
    help_text = run(path, "--help")
    assert (help_text.returncode, help_text.stderr) == (0, "")
    assert "example:" in help_text.stdout
    assert re.fullmatch(r"credd-token \d+\.\d+\.\d+\n", run(path, "--version").stdout)


# --- standard output that takes nothing -----------------------------------------------------


def test_a_reader_that_left_gets_no_traceback(path: str) -> None:
    """`credd-token lab | head -0`: status 1, and silence."""
    with standing_in(path, lambda request: text_reply("at-1")):
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run(
            [*COMMAND, "lab"],
            env=environ(path),
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="/dev/full is Linux's")
def test_a_full_disk_is_told(path: str) -> None:
    """A token that could not be written is no success."""
    with standing_in(path, lambda request: text_reply("at-1")), open("/dev/full", "w") as full:
        done = subprocess.run(
            [*COMMAND, "lab"],
            env=environ(path),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert "No space left" in done.stderr


def test_a_closed_standard_output_gets_the_token_nowhere(path: str) -> None:
    """With descriptor 1 closed, the socket may take its number; no token goes back through it."""
    with standing_in(path, lambda request: text_reply("at-1")):
        line = " ".join(f"'{word}'" for word in [*COMMAND, "lab"]) + " >&-"
        done = subprocess.run(
            ["/bin/sh", "-c", line], env=environ(path), stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 1


def test_an_interrupt_is_no_traceback(path: str) -> None:
    """Ctrl-C while it waits: the status of a command that SIGINT ended."""
    daemon = StandIn(path, lambda request: None)
    daemon.listen()  # and never answers
    with subprocess.Popen(
        [*COMMAND, "lab"], env=environ(path), stderr=subprocess.PIPE, text=True
    ) as process:
        wait_until(lambda: os.path.exists(f"/proc/{process.pid}") and waits(process.pid))
        process.send_signal(signal.SIGINT)
        _, complaint = process.communicate(timeout=20)
    assert (process.returncode, complaint) == (130, "")
    daemon.die()


def waits(pid: int) -> bool:
    """Whether the process has connected: it holds a socket, and sleeps."""
    folder = f"/proc/{pid}/fd"
    try:
        return any(os.readlink(f"{folder}/{fd}").startswith("socket:") for fd in os.listdir(folder))
    except OSError:
        return False


# --- what it loads --------------------------------------------------------------------------

LOADED = """
import os, sys
from credd.client import token_command
status = token_command.run(["lab"])
print(status, *sorted(sys.modules), file=sys.stderr)
"""

HEAVY = {
    "argparse", "asyncio", "dataclasses", "email", "enum", "http", "importlib.metadata", "json",
    "logging", "pathlib", "random", "re", "selectors", "socket", "ssl", "struct", "threading",
    "typing", "urllib", "weakref",
}  # fmt: skip


def loaded(path: str) -> tuple[str, set[str]]:
    done = subprocess.run(
        [sys.executable, "-S", "-c", LOADED],
        env=environ(path, PYTHONPATH=os.getcwd()),
        capture_output=True,
        text=True,
        check=True,
    )
    status, *modules = done.stderr.splitlines()[-1].split()
    return status, set(modules)


def test_a_token_costs_as_good_as_no_import(path: str) -> None:
    """From start to token, nothing heavy and no third-party module is loaded."""
    with standing_in(path, lambda request: text_reply("at-1")):
        status, modules = loaded(path)
    assert status == "0"
    assert not modules & HEAVY
    outside = {name.partition(".")[0] for name in modules} - {"credd", "__main__", "sitecustomize"}
    known = getattr(sys, "stdlib_module_names", None)  # since 3.10
    assert known is None or not outside - known
    assert {name for name in modules if name.startswith("credd")} == {
        "credd", "credd.client", "credd.client.patience", "credd.client.raw",
        "credd.client.token_command", "credd.paths",
    }  # fmt: skip


def test_json_is_loaded_for_an_error_alone(path: str) -> None:
    """An error needs json; sockets, event loops and HTTP libraries not even then."""
    with standing_in(path, lambda request: problem_reply(LoginRequired("log in", remedy="x"))):
        status, modules = loaded(path)
    assert status == "4"
    assert "json" in modules
    assert not modules & {"ssl", "asyncio", "email", "http", "socket", "typing", "argparse"}


# --- what it repeats ------------------------------------------------------------------------


def test_its_route_is_the_wires() -> None:
    """wire.py loads typing, so its route is repeated here, and compared."""
    assert token_command.TARGET == wire.TOKEN


@pytest.mark.parametrize(
    "name", ["a", "0", "lab", "a.b_c-d", "a" * 64, "", "-a", ".a", "_a", "A", "a b", "a/b", "ä",
             "a" * 65, "aXb", "a\n"],
)  # fmt: skip
def test_its_names_are_the_wires(name: str) -> None:
    """The hand-written check of a name agrees with wire.NAME_PATTERN."""
    try:
        token_command.parse(["--", name])
        is_name = True
    except ValueError:
        is_name = False
    assert is_name == bool(re.fullmatch(wire.NAME_PATTERN, name))


def test_its_question_fits_the_deadline() -> None:
    """With little time left the daemon is told to wait less; with the default it isn't told."""
    assert b"max_wait" not in token_command.compose("lab", {}, 60.0)
    assert b"&max_wait=4.500 " in token_command.compose("lab", {}, 5.0)
    assert token_command.compose("lab", {}, 60.0) == raw.bare_request(
        "GET", "/v1/credentials/lab/token?format=raw"
    )
