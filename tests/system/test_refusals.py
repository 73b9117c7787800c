"""What goes wrong outside of credd ends in the exit status and the remedy that the contract names.

The real commands; nobody's login is lost by any of it.
"""

from __future__ import annotations

import json
import os

import pytest

from tests.system.harness import Home, eventually

LOGIN = "credd-ctl login lab"


@pytest.fixture
def configured(home: Home) -> Home:
    """A home with the credential `lab`, whose issuer nobody will ask."""
    home.configure(
        "lab", provider="oidc", issuer="http://127.0.0.1:9", client_id="tests", hosts=["127.0.0.1"]
    )
    return home


@pytest.fixture
async def running(configured: Home) -> Home:
    """The same with its daemon."""
    await configured.start()
    return configured


COMMANDS = [("credd-token", "lab"), ("credd-ctl", "token", "lab")]


@pytest.mark.parametrize("command", COMMANDS)
async def test_no_daemon_is_status_3_and_how_to_start_one(
    configured: Home, command: tuple[str, ...]
) -> None:
    """The remedy starts a daemon."""
    finished = await configured.run(*command)
    assert (finished.exit_code, finished.stdout) == (3, "")
    assert finished.remedy.startswith("credd")


@pytest.mark.parametrize("command", COMMANDS)
async def test_a_login_never_made_is_status_4_and_the_login(
    running: Home, command: tuple[str, ...]
) -> None:
    """The last line can be pasted."""
    finished = await running.run(*command)
    assert (finished.exit_code, finished.stdout, finished.remedy) == (4, "", LOGIN)


@pytest.mark.parametrize("program", ["credd-token", "credd-ctl"])
async def test_an_unknown_name_is_status_8(running: Home, program: str) -> None:
    """And nothing is made up for it."""
    verb = ["token"] if program == "credd-ctl" else []
    finished = await running.run(program, *verb, "nobody")
    assert (finished.exit_code, finished.stdout) == (8, "")
    assert "nobody" in finished.stderr


async def test_a_second_daemon_is_status_10_and_names_the_first(running: Home) -> None:
    """Host and pid; and the first one goes on."""
    assert running.daemon is not None
    second = await running.run("credd")
    assert second.exit_code == 10
    assert str(running.daemon.process.pid) in second.stderr
    assert os.uname().nodename in second.stderr
    assert (await running.ask("GET", "/v1/ready")).status == 200


async def test_a_misspelt_key_is_status_9_with_its_place_and_the_nearest(home: Home) -> None:
    """`issuer` misspelt as `isuer`: a daemon does not start on a guess."""
    home.configure("lab", provider="oidc", isuer="http://127.0.0.1:9", client_id="tests")
    for args in ((), ("--check",)):
        finished = await home.run("credd", *args)
        said = finished.stdout + finished.stderr
        assert finished.exit_code == 9
        assert "isuer" in said
        assert "issuer" in said.replace("isuer", "")
        assert "credentials.lab" in said


async def test_a_bad_edit_keeps_the_running_configuration(running: Home) -> None:
    """Findings are shown, and the old configuration stays in force."""
    good = (running.folder / "config.toml").read_text()
    running.write_config(good + "clientid = 'typo'\n")
    reload = await running.ask("POST", "/v1/reload")
    assert not reload.body["applied"]
    assert "clientid" in json.dumps(reload.body["findings"])
    assert (await running.status("lab"))["state"] == "empty"


@pytest.mark.parametrize("place", ["config.toml", ".", "run"])
async def test_a_place_that_others_can_write_is_refused(configured: Home, place: str) -> None:
    """Whoever can write there could take our place: refuses to start, and says which and why."""
    path = configured.folder / place
    path.mkdir(exist_ok=True) if place == "run" else None
    path.chmod(path.stat().st_mode | 0o022)
    finished = await configured.run("credd")
    assert finished.exit_code == 9
    assert str(path.resolve()) in finished.stderr
    assert "chmod" in finished.remedy


async def test_terminated_it_leaves_with_status_0_and_comes_back(running: Home) -> None:
    """SIGTERM ends it cleanly; its socket does not keep the next one out."""
    assert await running.terminate() == 0
    await running.start()
    await running.kill()
    assert list((running.folder / "run").iterdir())  # a killed daemon tidies nothing up
    await running.start()


async def test_sighup_reads_the_configuration_again(running: Home) -> None:
    """A credential added by an editor is there without a restart."""
    running.configure("second", provider="oidc", issuer="http://127.0.0.1:9", client_id="tests")
    await running.hang_up()

    async def is_there() -> bool:
        return (await running.ask("GET", "/v1/credentials/second")).status == 200

    await eventually(is_there, "the added credential")


@pytest.mark.parametrize(
    ("path", "mode"), [("run", 0o700), ("run/credd.sock", 0o600), ("state", 0o700)]
)
async def test_what_the_daemon_makes_is_the_owners_alone(
    running: Home, path: str, mode: int
) -> None:
    """Folders 0700, files 0600, whatever the umask."""
    assert (running.folder / path).stat().st_mode & 0o777 == mode
    files = [file for file in (running.folder / "state").rglob("*") if file.is_file()]
    assert {oct(file.stat().st_mode & 0o777) for file in files} <= {"0o600"}
