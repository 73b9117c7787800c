"""The canary itself: what it would catch, and what it lets pass."""

from __future__ import annotations

import base64
import subprocess
import sys
from pathlib import Path

import pytest

from tests.canary import Canary

MARKED = "rt-CANARY-1/2+3"


@pytest.mark.parametrize(
    "text",
    [
        f"posted {MARKED}",
        "refresh_token=rt%2DCANARY%2D1",
        "refresh_token=rt%2dCANARY%2d1",
        "Basic " + base64.b64encode(f"client:{MARKED}".encode()).decode(),
        "Basic " + base64.b64encode(f"client1:{MARKED}".encode()).decode(),
        "Basic " + base64.urlsafe_b64encode(f"client12:{MARKED}".encode()).decode(),
        MARKED.encode().hex(),
    ],
)
def test_a_marker_is_found_in_each_spelling(tmp_path: Path, text: str) -> None:
    """Plain, percent-encoded, base64 at each of its three offsets, hex."""
    (tmp_path / "daemon.stderr").write_text(f"first line\n{text}\n")
    (leak, *_) = Canary(tmp_path).leaks()
    assert str(leak) == f"{tmp_path}/daemon.stderr:2: rt-CANARY-"


def test_a_registered_secret_is_found_and_its_value_not_shown(tmp_path: Path) -> None:
    """A real refresh token has no marker; whoever saw it pass registers it."""
    canary = Canary(tmp_path)
    canary.register_secret("refresh_token", "Zx9-opaque-value")
    (tmp_path / "daemon.stderr").write_text("token: Zx9-opaque-value")
    (leak,) = {str(leak) for leak in canary.leaks()}
    assert leak.endswith("daemon.stderr:1: refresh_token")
    assert "Zx9" not in leak + repr(canary)


def test_an_access_token_may_be_printed_but_not_logged(tmp_path: Path) -> None:
    """`credd-token NAME` prints one: that is an answer; in a log it is a leak."""
    canary = Canary(tmp_path)
    canary.register_secret("access_token", "at-opaque-value")
    for name in ("token-1.stdout", "daemon-1.stderr"):
        (tmp_path / name).write_text("at-opaque-value")
    assert {leak.place for leak in canary.leaks()} == {f"{tmp_path}/daemon-1.stderr:1"}


def test_innocent_text_is_left_alone(tmp_path: Path) -> None:
    """A remedy that names a credential is no secret."""
    (tmp_path / "daemon.stderr").write_text("login required: credd-ctl login canary\n")
    assert Canary(tmp_path).leaks() == []


def test_arguments_and_environment_of_a_process_are_searched(tmp_path: Path) -> None:
    """A secret in argv is everybody's to read, in `ps`."""
    canary = Canary(tmp_path)
    wait = "import sys; print(flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", wait, "pw-CANARY-argv"]
    environment = {"SECRET": "key-CANARY-env"}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        canary.sample_process(process.pid)
        process.communicate()
    assert {leak.what for leak in canary.leaks()} == {"pw-CANARY-", "key-CANARY-"}


CARELESS = """
import logging, pytest
from tests.canary import register
def pytest_configure(config):
    register(config)
"""


@pytest.mark.parametrize(
    "line",
    [
        'logging.getLogger("credd.world").debug("posting %s", "rt-CANARY-x")',
        'print("rt-CANARY-x", file=sys.stderr)',
        '(canary.folder / "daemon-1.stderr").write_text("rt-CANARY-x")',
    ],
)
def test_a_session_that_leaks_fails_though_its_tests_pass(tmp_path: Path, line: str) -> None:
    """Logging records, standard error, and files of processes are all searched at the end."""
    (tmp_path / "conftest.py").write_text(CARELESS)
    (tmp_path / "test_careless.py").write_text(
        f"import logging, sys\ndef test_it(canary):\n    {line}\n"
    )
    run = subprocess.run(
        check=False,
        args=[
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "--rootdir",
            tmp_path,
            tmp_path,
        ],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
        env={"PYTHONPATH": ".", "TMPDIR": str(tmp_path)},
        timeout=50,
    )
    assert run.returncode == pytest.ExitCode.TESTS_FAILED, run.stdout
    assert "1 passed" in run.stdout
    assert "rt-CANARY-\n" in run.stdout
