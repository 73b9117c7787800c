"""CREDD_WAIT_FOR_LOGIN: a job sleeps until a person has logged in, and does not die."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

import credd
from credd.client import login_wait, sync
from credd.client.durations import parse_duration
from credd.client.source import TokenSource
from credd.client.sync import Client
from credd.errors import (
    CreddError,
    DaemonUnreachable,
    Locked,
    LoginRequired,
    Misconfigured,
    UnknownCredential,
    UpstreamUnavailable,
)
from tests.client.stand_in import (
    Request,
    StandIn,
    json_reply,
    problem_reply,
    standing_in,
    text_reply,
    token_reply,
    wait_until,
)

NEEDED = LoginRequired("lab: nobody has logged in yet", remedy="credd-ctl login lab")
LOCKED = Locked("the vault is locked", remedy="credd-ctl unlock")


class Person:
    """A daemon's answers: an error, until a person has logged in."""

    def __init__(self) -> None:
        self.error: CreddError | None = NEEDED

    def __call__(self, request: Request) -> bytes:
        if self.error is not None:
            return problem_reply(self.error)
        is_raw = "format=raw" in request.target
        return text_reply("at-1") if is_raw else json_reply(token_reply())


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """Nobody waits for a test; nothing was told yet; the module's client asks at our socket."""
    monkeypatch.setattr(login_wait, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(login_wait, "LONGEST_PAUSE", 0.02)
    monkeypatch.setattr(login_wait, "_told", set())
    monkeypatch.setattr(sync, "_client", Client(path, timeout=10))


@pytest.fixture
def person() -> Person:
    return Person()


@pytest.fixture
def daemon(path: str, person: Person) -> Iterator[StandIn]:
    with standing_in(path, person) as stand_in:
        yield stand_in


@pytest.fixture
def source(path: str) -> TokenSource:
    return TokenSource("lab", client=Client(path, timeout=10))


def log_in_after(daemon: StandIn, person: Person, questions: int) -> threading.Thread:
    """A person who logs in once the daemon was asked so often."""

    def act() -> None:
        wait_until(lambda: len(daemon.requests) >= questions)
        person.error = None

    thread = threading.Thread(target=act)
    thread.start()
    return thread


def test_without_the_variable_a_job_fails_at_once(daemon: StandIn, source: TokenSource) -> None:
    """A job that nobody told to wait says what is missing, in one question."""
    with pytest.raises(LoginRequired) as raised:
        source.token()
    assert raised.value.remedy == "credd-ctl login lab"
    assert len(daemon.requests) == 1


@pytest.mark.parametrize("error", [NEEDED, LOCKED])
def test_a_job_waits_for_a_person(
    error: CreddError, daemon: StandIn, person: Person, source: TokenSource,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """For a login, and for the vault to be unlocked; it says so once, with the remedy last."""
    monkeypatch.setenv("CREDD_WAIT_FOR_LOGIN", "2h")
    person.error = error
    thread = log_in_after(daemon, person, 5)
    assert source.token() == "at-1"
    thread.join()
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 2
    assert "waiting for a person until" in told[0]
    assert told[1] == error.remedy


def test_a_wait_ends_with_the_error(
    daemon: StandIn, source: TokenSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the time is over the job fails as it would have before."""
    monkeypatch.setenv("CREDD_WAIT_FOR_LOGIN", "0.3s")
    began = time.monotonic()
    with pytest.raises(LoginRequired):
        source.token()
    assert 0.3 <= time.monotonic() - began < 5
    assert len(daemon.requests) > 3


@pytest.mark.parametrize(
    "error", [UnknownCredential("no such"), Misconfigured("never"), CreddError("a defect")]
)
def test_only_what_a_person_ends_is_waited_for(
    error: CreddError, daemon: StandIn, person: Person, source: TokenSource,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Nobody sleeps two hours over a misspelt name."""
    monkeypatch.setenv("CREDD_WAIT_FOR_LOGIN", "2h")
    person.error = error
    with pytest.raises(type(error)):
        source.token()
    assert len(daemon.requests) == 1


def test_a_wait_outlasts_the_daemon(
    path: str, daemon: StandIn, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon that is restarted meanwhile, and an issuer that is away, end no wait."""
    monkeypatch.setenv("CREDD_WAIT_FOR_LOGIN", "2h")
    hasty = TokenSource("lab", client=Client(path, timeout=0.2, refused=0.0, absent=0.0))
    got: list[str] = []
    job = threading.Thread(target=lambda: got.append(hasty.token()))
    job.start()
    wait_until(lambda: len(daemon.requests) >= 2)
    daemon.stop()
    time.sleep(0.3)  # some questions that nobody answers
    person.error = UpstreamUnavailable("away")
    daemon.start()
    count = len(daemon.requests)
    wait_until(lambda: len(daemon.requests) >= count + 2)
    person.error = None
    job.join()
    assert got == ["at-1"]


def test_many_threads_that_wait_say_so_once(
    daemon: StandIn, person: Person, source: TokenSource,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """And all of them get the token."""
    monkeypatch.setenv("CREDD_WAIT_FOR_LOGIN", "2h")
    got: list[str] = []
    jobs = [threading.Thread(target=lambda: got.append(source.token())) for _ in range(20)]
    for job in jobs:
        job.start()
    log_in_after(daemon, person, 10).join()
    for job in jobs:
        job.join()
    assert got == ["at-1"] * 20
    assert capsys.readouterr().err.count("credd-ctl login lab") == 1


def test_a_wait_that_makes_no_sense_is_named(
    daemon: StandIn, source: TokenSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variable, what it should look like, and a line to paste."""
    monkeypatch.setenv("CREDD_WAIT_FOR_LOGIN", "a while")
    with pytest.raises(Misconfigured) as raised:
        source.token()
    assert "CREDD_WAIT_FOR_LOGIN" in raised.value.detail
    assert raised.value.remedy == "export CREDD_WAIT_FOR_LOGIN=2h"


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("2h", 7200), ("1d", 86400), ("1h30m", 5400)]
)
def test_durations_are_as_people_write_them(text: str, seconds: float) -> None:
    """The same words as everywhere in credd."""
    assert parse_duration(text) == seconds


# --- asyncio --------------------------------------------------------------------------------


def test_an_event_loop_goes_on_while_it_waits(
    daemon: StandIn, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`credd.aio` waits for the person, too, and can be cancelled at once."""
    monkeypatch.setenv("CREDD_WAIT_FOR_LOGIN", "2h")

    async def main() -> str:
        given_up = asyncio.create_task(credd.aio.get_token("lab"))
        await asyncio.to_thread(wait_until, lambda: len(daemon.requests) >= 3)
        given_up.cancel()
        await asyncio.wait([given_up], timeout=5)
        assert given_up.cancelled()
        asked = asyncio.create_task(credd.aio.get_token("lab"))
        await asyncio.to_thread(wait_until, lambda: len(daemon.requests) >= 6)
        person.error = None
        return await asked

    began = time.monotonic()
    assert asyncio.run(main()) == "at-1"
    assert time.monotonic() - began < 20


# --- credd-token ----------------------------------------------------------------------------


def start(path: str, *options: str) -> subprocess.Popen[str]:
    """credd-token, told to wait for two hours."""
    return subprocess.Popen(
        [sys.executable, "-m", "credd.client.token_command", "lab", *options],
        env={"CREDD_SOCK": path, "CREDD_WAIT_FOR_LOGIN": "2h"}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_credd_token_waits_for_a_person(path: str, daemon: StandIn, person: Person) -> None:
    """Nothing on standard output before the token; on standard error what it waits for."""
    with start(path) as process:
        log_in_after(daemon, person, 2).join()
        printed, told = process.communicate(timeout=30)
    assert (process.returncode, printed) == (0, "at-1\n")
    assert told.splitlines()[-1] == "credd-ctl login lab"


def test_a_timeout_of_credd_token_bounds_that_wait_too(path: str, daemon: StandIn) -> None:
    """`--timeout` is stronger than the environment."""
    with start(path, "--timeout", "0.5") as process:
        printed, told = process.communicate(timeout=30)
    assert (process.returncode, printed) == (4, "")
    assert told.splitlines()[-1] == "credd-ctl login lab"


def test_a_daemon_that_is_away_from_the_start_is_no_matter_of_a_person(
    source: TokenSource, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """Nobody logs in where nobody listens."""
    monkeypatch.setenv("CREDD_WAIT_FOR_LOGIN", "2h")
    hasty = TokenSource("lab", client=Client(path, timeout=0.2, refused=0.0, absent=0.0))
    with pytest.raises(DaemonUnreachable):
        hasty.token()
