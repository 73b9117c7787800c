"""A daemon that restarts is a short wait; one that isn't there is an error that says so."""

from __future__ import annotations

import os
import time

import pytest

from credd import wire
from credd.client import patience, raw
from credd.client.patience import Patience
from credd.errors import (
    CreddError,
    DaemonUnreachable,
    Denied,
    LoginRequired,
    Misconfigured,
    UpstreamUnavailable,
)
from tests.client.conftest import SkippingClock
from tests.client.stand_in import (
    Request,
    StandIn,
    json_reply,
    problem_reply,
    reply,
    standing_in,
    text_reply,
)


def ask(path: str, waits: Patience, *, is_idempotent: bool = True) -> raw.Reply:
    request = raw.bare_request("GET", "/v1/live")
    return patience.settle(path, lambda left: request, waits, is_idempotent=is_idempotent)


def in_turn(*answers: bytes | None) -> object:
    """An answer to each request, the last one for ever."""
    left = list(answers)
    return lambda request: left.pop(0) if len(left) > 1 else left[0]


def leave_dead_socket(path: str) -> None:
    """What a daemon leaves that was killed."""
    daemon = StandIn(path, lambda request: None)
    daemon.listen()
    daemon.die()


# --- nobody listens -------------------------------------------------------------------------


def test_a_daemon_that_was_killed_is_waited_for(path: str, clock: SkippingClock) -> None:
    """A socket at which nobody listens means a restart: the client gets its answer after it."""
    leave_dead_socket(path)
    daemon = StandIn(path, lambda request: text_reply("ok"))
    clock.on_sleep = lambda count: daemon.start() if count == 5 else None
    assert ask(path, Patience()).body == b"ok"
    assert len(clock.pauses) == 5
    daemon.stop()


def test_a_killed_daemon_is_waited_for_until_the_deadline(path: str, clock: SkippingClock) -> None:
    """After 60 s the error names its remedy; the pauses grow from 10 ms to half a second."""
    leave_dead_socket(path)
    with pytest.raises(DaemonUnreachable, match="nobody listens") as caught:
        ask(path, Patience())
    assert caught.value.remedy == "credd &"
    assert caught.value.__suppress_context__  # a job's traceback ends with ours, and begins with it
    assert sum(clock.pauses) == pytest.approx(wire.CLIENT_DEADLINE, abs=0.5)
    assert 0.005 <= clock.pauses[0] <= 0.015
    assert 0.25 <= max(clock.pauses) <= 0.75
    assert len(clock.pauses) < 200


def test_pauses_differ_between_clients(path: str, clock: SkippingClock) -> None:
    """A thousand clients of one daemon don't come back in the same instant."""
    leave_dead_socket(path)
    with pytest.raises(DaemonUnreachable):
        ask(path, Patience())
    assert len(set(clock.pauses[10:])) > 10


def test_a_person_waits_less_for_a_killed_daemon(path: str, clock: SkippingClock) -> None:
    """Who sits before a command hears after a second that nobody listens."""
    leave_dead_socket(path)
    with pytest.raises(DaemonUnreachable):
        ask(path, Patience(refused=1.0))
    assert sum(clock.pauses) == pytest.approx(1.0, abs=0.2)


# --- no socket ------------------------------------------------------------------------------


def test_a_daemon_that_starts_beside_the_job_is_waited_for(path: str, clock: SkippingClock) -> None:
    """A job may be a little faster than the daemon."""
    daemon = StandIn(path, lambda request: text_reply("ok"))
    clock.on_sleep = lambda count: daemon.start() if count == 3 else None
    assert ask(path, Patience()).body == b"ok"
    daemon.stop()


@pytest.mark.parametrize("absent", [0.0, 0.5, patience.ABSENT])
def test_a_daemon_that_never_was_is_not_waited_for_long(
    path: str, clock: SkippingClock, absent: float
) -> None:
    """No socket, or no folder for one, is an error after `absent` seconds."""
    with pytest.raises(DaemonUnreachable, match="no socket") as caught:
        ask(path, Patience(absent=absent))
    assert caught.value.remedy == "credd &"
    assert sum(clock.pauses) == pytest.approx(absent, abs=0.2)


def test_a_missing_folder_is_a_missing_socket(folder: str, clock: SkippingClock) -> None:
    """The daemon makes the folder when it starts."""
    with pytest.raises(DaemonUnreachable, match="no socket"):
        ask(folder + "/run/credd.sock", Patience(absent=0.1))


def test_the_patience_for_a_missing_socket_begins_when_it_is_missing(
    path: str, clock: SkippingClock
) -> None:
    """Waiting for a killed daemon doesn't use up the patience for one that restarts cleanly."""
    leave_dead_socket(path)
    daemon = StandIn(path, lambda request: text_reply("ok"))
    tidied = 30
    clock.on_sleep = lambda count: (
        os.unlink(path) if count == tidied else daemon.start() if count == tidied + 3 else None
    )
    assert ask(path, Patience()).body == b"ok"
    assert sum(clock.pauses) > patience.ABSENT
    daemon.stop()


# --- no answer ------------------------------------------------------------------------------


@pytest.mark.parametrize("broken", [None, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel"])
def test_a_lost_reply_is_asked_for_again(
    path: str, clock: SkippingClock, broken: bytes | None
) -> None:
    """A daemon that died before or while it answered is asked again, if that does no harm."""
    with standing_in(path, in_turn(broken, broken, text_reply("ok"))) as daemon:
        assert ask(path, Patience()).body == b"ok"
    assert len(daemon.requests) == 3


def test_what_must_happen_once_is_not_asked_twice(path: str, clock: SkippingClock) -> None:
    """Where the reply to a change is lost, the caller is told that it may have happened."""
    once = in_turn(None, text_reply("ok"))
    with standing_in(path, once) as daemon, pytest.raises(DaemonUnreachable) as caught:
        ask(path, Patience(), is_idempotent=False)
    assert (caught.value.reason, len(daemon.requests)) == ("reply_lost", 1)


def test_what_was_never_sent_is_sent_later(path: str, clock: SkippingClock) -> None:
    """A change too is tried again while nobody listens: nothing of it was read."""
    leave_dead_socket(path)
    daemon = StandIn(path, lambda request: text_reply("ok"))
    clock.on_sleep = lambda count: daemon.start() if count == 2 else None
    assert ask(path, Patience(), is_idempotent=False).body == b"ok"
    daemon.stop()


def test_a_silent_daemon_costs_the_deadline(path: str) -> None:
    """No answer in time is an error of ours, never TimeoutError."""
    daemon = StandIn(path, lambda request: None)
    daemon.listen()
    begin = time.monotonic()
    with pytest.raises(DaemonUnreachable, match="no answer"):
        ask(path, Patience(0.1))
    assert time.monotonic() - begin < 5
    daemon.die()


def test_an_untrusted_folder_is_told_at_once(folder: str, path: str, clock: SkippingClock) -> None:
    """Waiting mends no folder that others can write to."""
    os.chmod(folder, 0o777)
    with pytest.raises(Denied) as caught:
        ask(path, Patience())
    assert (caught.value.remedy, clock.pauses) == (f"chmod 700 {folder}", [])
    os.chmod(folder, 0o700)


def test_a_stranger_at_the_socket_is_told_at_once(path: str, clock: SkippingClock) -> None:
    """CREDD_SOCK that names another program's socket is a mistake in a setting."""
    greeting = b"SSH-2.0-Something\r\n"
    with standing_in(path, lambda request: greeting), pytest.raises(Misconfigured) as caught:
        ask(path, Patience())
    assert (caught.value.remedy, clock.pauses) == ("unset CREDD_SOCK", [])


def test_a_socket_of_another_kind_is_unreachable(path: str, clock: SkippingClock) -> None:
    """Whatever the kernel says about the path, the caller sees an error of ours."""
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(path)
        with pytest.raises(DaemonUnreachable):
            ask(path, Patience(refused=0.1))


# --- problems that pass ---------------------------------------------------------------------


def test_a_problem_that_passes_is_waited_for(path: str, clock: SkippingClock) -> None:
    """The issuer is away for a moment: Retry-After is kept to, and then asked again."""
    away = problem_reply(UpstreamUnavailable("away", retry_after=2.5))
    with standing_in(path, in_turn(away, away, text_reply("ok"))):
        assert ask(path, Patience()).body == b"ok"
    assert clock.pauses == [2.5, 2.5]


def test_a_retry_after_in_the_head_counts_too(path: str, clock: SkippingClock) -> None:
    """RFC 9110 has it there; the problem's own field wins where both are."""
    away = problem_reply(UpstreamUnavailable("away"), Retry_After="3")
    with standing_in(path, in_turn(away, text_reply("ok"))):
        ask(path, Patience())
    assert clock.pauses == [3.0]


def test_without_a_retry_after_the_pauses_grow(path: str, clock: SkippingClock) -> None:
    """The issuer stays away: few questions in a minute, and its own error at the end."""
    away = problem_reply(UpstreamUnavailable("the issuer is away", remedy="credd-ctl status"))
    raises = pytest.raises(UpstreamUnavailable, match="the issuer is away")
    with standing_in(path, lambda request: away) as daemon, raises as caught:
        ask(path, Patience())
    assert caught.value.remedy == "credd-ctl status"
    assert 10 <= len(daemon.requests) <= 30


def test_a_pause_that_ends_too_late_is_not_begun(path: str, clock: SkippingClock) -> None:
    """The caller gets the error now, with what the daemon said about when to come back."""
    away = problem_reply(UpstreamUnavailable("away", retry_after=3600))
    with standing_in(path, lambda request: away), pytest.raises(UpstreamUnavailable) as caught:
        ask(path, Patience())
    assert (caught.value.retry_after, clock.pauses) == (3600, [])


@pytest.mark.parametrize("error", [LoginRequired("log in"), Denied("no"), Misconfigured("never")])
def test_a_problem_that_stays_is_raised_at_once(
    path: str, clock: SkippingClock, error: CreddError
) -> None:
    """Asking again mends no login."""
    raises = pytest.raises(type(error), match=error.detail)
    with standing_in(path, lambda request: problem_reply(error)) as daemon, raises:
        ask(path, Patience())
    assert (len(daemon.requests), clock.pauses) == (1, [])


@pytest.mark.parametrize(
    "answer",
    [reply(500, b"<html>", "text/html"), json_reply([], 502), json_reply({"a": 1}, 404)],
)
def test_an_answer_nobody_understands_names_its_status(path: str, answer: bytes) -> None:
    """Even what is no problem of ours becomes an error of ours."""
    raises = pytest.raises(CreddError, match=r"status (404|500|502)")
    with standing_in(path, lambda request: answer), raises as caught:
        ask(path, Patience())
    assert caught.value.remedy == "credd-ctl version"


def test_the_daemon_is_asked_to_wait_no_longer_than_we_do(path: str, clock: SkippingClock) -> None:
    """Each try tells the time that is left: the daemon's own error beats our deadline."""
    lefts: list[float] = []

    def compose(left: float) -> bytes:
        lefts.append(left)
        return raw.bare_request("GET", "/v1/live")

    away = problem_reply(UpstreamUnavailable("away", retry_after=20))
    with standing_in(path, lambda request: away), pytest.raises(UpstreamUnavailable):
        patience.settle(path, compose, Patience())
    assert lefts == pytest.approx([60, 40, 20], abs=0.5)
    assert [patience.shorter_wait(left) for left in (60, 20)] == [None, 18]


def test_the_light_path_repeats_the_wire_faithfully() -> None:
    """credd-token can't afford wire.py, so its copies are compared here."""
    assert patience.DEADLINE == wire.CLIENT_DEADLINE
    assert patience.MAX_WAIT == wire.MAX_WAIT


def test_patience_tells_its_seconds() -> None:
    """A repr to read in a debugger."""
    assert repr(Patience(2, refused=1)) == "<Patience 2 s, refused 1 s, absent 5 s>"


def test_a_request_is_composed_for_each_try(path: str, clock: SkippingClock) -> None:
    """The stand-in sees the same question each time, each on a connection of its own."""
    with standing_in(path, in_turn(None, None, text_reply("ok"))) as daemon:
        ask(path, Patience())
    assert daemon.requests == [Request("GET", "/v1/live", None)] * 3
    assert daemon.connections == 3


@pytest.mark.parametrize(("job", "remedy"), [("4711", "credd-ctl forward &"), ("", "credd &")])
def test_in_a_slurm_job_the_remedy_is_the_forward(
    monkeypatch: pytest.MonkeyPatch, job: str, remedy: str
) -> None:
    """A daemon that were started on the node would hold no login."""
    monkeypatch.setenv("SLURM_JOB_ID", job)
    assert patience.how_to_reach() == remedy
