"""`credd-ctl exec`: the child has what it needs, nothing else, and its own exit status."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from credd.ctl.guestwing import check_own, guest_folder
from credd.errors import Denied
from tests.ctl.conftest import Home
from tests.ctl.standin import Standin, credential, login_required

SHOW = "import json, os, sys; print(json.dumps(dict(os.environ))); "
OLD_PYTHONS = sorted(Path.home().glob(".pyenv/versions/3.9.*/bin/python"))


@pytest.fixture
def lab(daemon: Standin) -> Standin:
    daemon.credentials["lab"] = credential()
    return daemon


def environ_of(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_the_child_finds_its_credential(home: Home, lab: Standin) -> None:
    """The catalogue's variables, the socket, the name; and no token anywhere."""
    done = home.ctl("exec", "-c", "lab", "--", sys.executable, "-c", SHOW)
    environ = environ_of(done)
    assert environ["MLFLOW_TRACKING_AUTH"] == "credd"
    assert environ["CREDD_SOCK"] == str(lab.socket)
    assert environ["CREDD_CREDENTIAL"] == "lab"
    assert "token-of-lab" not in done.stdout
    assert not lab.asked("token")
    assert done.stderr == ""


def test_the_guest_wing_comes_first_on_pythonpath_and_alone(home: Home, lab: Standin) -> None:
    """A folder with credd's guest wing and its metadata, 0700, and not all of site-packages."""
    done = home.ctl("exec", "-c", "lab", "--", sys.executable, "-c", SHOW)
    first, *rest = environ_of(done)["PYTHONPATH"].split(os.pathsep)
    assert rest == [home.environ()["PYTHONPATH"]]
    folder = Path(first)
    assert folder.is_relative_to(home.folder / "state")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    names = {path.name for path in folder.iterdir()}
    assert names == {"credd", f"credd-{folder.name.partition('-')[0]}.dist-info"}
    inside = {path.name for path in (folder / "credd").iterdir()}
    assert {"__init__.py", "errors.py", "wire.py", "paths.py", "client"} <= inside
    assert not inside & {"core", "vault", "broker", "ctl", "daemon.py", "__main__.py"}


@pytest.mark.skipif(not OLD_PYTHONS, reason="no Python 3.9 here")
def test_a_job_on_an_old_python_uses_it_with_nothing_installed(home: Home, lab: Standin) -> None:
    """`import credd` in the child is ours, and gets a token over the socket."""
    program = "import credd; print(credd.__file__, credd.get_token('lab'))"
    done = home.ctl("exec", "-c", "lab", "--", str(OLD_PYTHONS[0]), "-c", program, PYTHONPATH="")
    # The command itself ran from its installation: PYTHONPATH was empty.
    assert done.returncode == 0, done.stderr
    file, token = done.stdout.split()
    assert file.startswith(str(home.folder / "state" / "guest"))
    assert token == "token-of-lab"


def test_the_childs_metadata_is_readable(home: Home, lab: Standin) -> None:
    """importlib.metadata finds credd, its version, and no command of the daemon wing."""
    program = (
        "import importlib.metadata as m; d = m.distribution('credd');"
        "print(d.version, [e.name for e in d.entry_points if e.group == 'console_scripts'])"
    )
    done = home.ctl("exec", "-c", "lab", "--", sys.executable, "-S", "-c", program)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split(" ", 1)[1].strip() == "[]"


def test_an_empty_pythonpath_does_not_mean_here(home: Home, lab: Standin) -> None:
    """A trailing separator would put the current folder before the job's libraries."""
    done = home.ctl("exec", "-c", "lab", "--", "/bin/sh", "-c", 'echo "$PYTHONPATH"', PYTHONPATH="")
    assert done.returncode == 0, done.stderr
    assert not done.stdout.strip().endswith(os.pathsep)


def test_a_token_goes_into_a_variable_only_when_it_is_named(home: Home, lab: Standin) -> None:
    """With a warning on stderr that says when it ends."""
    done = home.ctl("exec", "-c", "lab:LAB_TOKEN", "--", "/bin/sh", "-c", 'echo "$LAB_TOKEN"')
    assert (done.returncode, done.stdout) == (0, "token-of-lab\n")
    assert "LAB_TOKEN" in done.stderr
    assert "expires at 20" in done.stderr
    assert "token-of-lab" not in done.stderr


def test_two_credentials_serve_one_command(home: Home, lab: Standin) -> None:
    """The first is the one a shim uses; what both set must agree."""
    lab.credentials["hub"] = credential("hub", environment={"HUB": "1"})
    done = home.ctl("exec", "-c", "lab", "-c", "hub", "--", sys.executable, "-c", SHOW)
    environ = environ_of(done)
    assert (environ["CREDD_CREDENTIAL"], environ["HUB"]) == ("lab", "1")
    lab.credentials["hub"]["environment"] = {"MLFLOW_TRACKING_AUTH": "other"}
    done = home.ctl("exec", "-c", "lab", "-c", "hub", "--", "true")
    assert done.returncode == 125
    assert "MLFLOW_TRACKING_AUTH" in done.stderr


@pytest.mark.parametrize("status", [0, 1, 2, 3, 42])
def test_the_exit_status_is_the_childs(home: Home, lab: Standin, status: int) -> None:
    """No process stays behind to change it."""
    done = home.ctl("exec", "-c", "lab", "--", "/bin/sh", "-c", f"exit {status}")
    assert done.returncode == status


def test_the_command_becomes_the_child(home: Home, lab: Standin) -> None:
    """Same process id; options after the command are the command's, with or without `--`."""
    for separator in (["--"], []):
        argv = ["exec", "-c", "lab", *separator, "/bin/sh", "-c", "echo $$ $0 $1", "-x", "--json"]
        process = subprocess.Popen(
            [sys.executable, "-m", "credd.ctl", *argv], env=home.environ(),
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.communicate(timeout=20)[0].split() == [str(process.pid), "-x", "--json"]


def test_the_child_dies_of_a_closed_pipe_as_it_should(home: Home, lab: Standin) -> None:
    """Python ignores SIGPIPE; a child that inherited that would write for ever."""
    done = home.ctl("exec", "-c", "lab", "--", sys.executable, "-S", "-c",
                    "print(open('/proc/self/status').read())")  # fmt: skip
    ignored = next(line for line in done.stdout.splitlines() if line.startswith("SigIgn"))
    # The child is Python and ignores it itself; a shell shows what was inherited.
    done = home.ctl("exec", "-c", "lab", "--", "/bin/sh", "-c", "grep SigIgn /proc/self/status")
    assert int(done.stdout.split()[1], 16) & (1 << 12) == 0, ignored


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["-c", "lab", "--", "/nonexistent/program"], 127),
        (["-c", "lab", "--", "no-such-program-anywhere"], 127),
        (["-c", "lab", "--", "/etc/passwd"], 126),
        (["-c", "lab", "--", "/"], 126),
        (["-c", "nope", "--", "true"], 125),
        (["-c", "Lab", "--", "true"], 125),
        (["-c", "lab:1X", "--", "true"], 125),
        (["-c", "lab:", "--", "true"], 125),
        (["-c", "lab"], 125),
        (["--", "true"], 125),
        (["--nonsense", "-c", "lab", "--", "true"], 125),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_its_own_failures_exit_as_those_of_env(
    home: Home, lab: Standin, words: list[str], status: int
) -> None:
    """125 ours, 126 can't be run, 127 not found; never a status that the job could mean."""
    done = home.ctl("exec", *words)
    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr.startswith("credd-ctl: ")
    assert "Traceback" not in done.stderr


def test_a_job_that_could_get_no_token_is_not_started(home: Home, daemon: Standin) -> None:
    """125 and the login as remedy, at once, and after the wait for a person that was allowed."""
    daemon.credentials["lab"] = login_required()
    for allowed in ("", "0.3s"):
        done = home.ctl("exec", "-c", "lab", "--", "touch", "ran", CREDD_WAIT_FOR_LOGIN=allowed)
        assert done.returncode == 125
        assert done.stderr.splitlines()[-1] == "credd-ctl login lab"
        assert ("waiting for a person" in done.stderr) == bool(allowed)
    assert not (home.folder / "ran").exists()


def test_a_job_waits_for_a_person(home: Home, lab: Standin) -> None:
    """With CREDD_WAIT_FOR_LOGIN it starts once somebody has logged in, and not before."""
    good, lab.credentials["lab"] = lab.credentials["lab"], login_required()
    words = ("exec", "-c", "lab", "--", "echo", "it runs")
    with home.terminal(*words, CREDD_WAIT_FOR_LOGIN="2h") as job:
        job.expect("credd-ctl login lab")
        assert job.process.poll() is None
        lab.credentials["lab"] = good
        job.expect("it runs")
        assert job.end() == 0


# --- the guest wing's folder ----------------------------------------------------------------


def test_the_folder_is_built_once_and_named_after_its_content(tmp_path: Path) -> None:
    """The second exec finds it; a changed file is another folder, so running jobs keep theirs."""
    first = guest_folder(str(tmp_path))
    inode = os.stat(first).st_ino
    assert guest_folder(str(tmp_path)) == first
    assert os.stat(first).st_ino == inode
    assert os.listdir(tmp_path / "guest") == [Path(first).name]


def test_a_folder_that_others_could_have_written_is_refused(tmp_path: Path) -> None:
    """What a job imports runs with the job's rights."""
    folder = guest_folder(str(tmp_path))
    os.chmod(folder, 0o777)
    with pytest.raises(Denied, match="others"):
        guest_folder(str(tmp_path))
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    with pytest.raises(Denied):
        check_own(str(link))
