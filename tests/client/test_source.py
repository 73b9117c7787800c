"""A token is remembered while it is fresh, shared by threads, and kept across forks and outages."""

from __future__ import annotations

import os
import pickle
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import credd
from credd.client import source as source_module
from credd.client.calls import Calls
from credd.client.source import TokenSource
from credd.errors import (
    CreddError,
    DaemonUnreachable,
    Denied,
    LoginRequired,
    Misconfigured,
    UpstreamUnavailable,
)
from tests.client.stand_in import (
    Request,
    StandIn,
    json_reply,
    problem_reply,
    standing_in,
    token_reply,
    wait_until,
)


class Issuing:
    """A daemon's answers: a token with a new generation each time the old one is due."""

    def __init__(self, **changes: Any) -> None:
        self.generation = 1
        self.changes = changes
        self.error: CreddError | None = None
        self.outcome = "refreshed"

    def __call__(self, request: Request) -> bytes:
        if self.error is not None:
            return problem_reply(self.error)
        if request.method == "POST":
            answer = {"name": "lab", "outcome": self.outcome, "generation": self.generation}
            return json_reply(answer)
        token = f"at-{self.generation}"
        return json_reply(token_reply(token, self.generation, **self.changes))


class Wall:
    """The wall clock, moved at will; the source reads nothing else of `time` but the monotonic."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def time(self) -> float:
        return time.time() + self.ahead

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Wall:
    """A clock for the source alone."""
    moved = Wall()
    monkeypatch.setattr(source_module, "time", moved)
    return moved


@pytest.fixture
def issuing() -> Issuing:
    return Issuing()


@pytest.fixture
def daemon(path: str, issuing: Issuing) -> Iterator[StandIn]:
    with standing_in(path, issuing) as running:
        yield running


@pytest.fixture
def tokens(path: str) -> TokenSource:
    return TokenSource("lab", client=Calls(path, timeout=5, absent=0.0, refused=0.0))


# --- remembering ----------------------------------------------------------------------------


def test_a_fresh_token_is_asked_for_once(daemon: StandIn, tokens: TokenSource, wall: Wall) -> None:
    """Until refresh_at the daemon isn't asked again, and from then on it is."""
    assert {tokens.token() for _ in range(100)} == {"at-1"}
    wall.ahead = 1799
    tokens.token()
    assert len(daemon.requests) == 1
    wall.ahead = 1801
    tokens.token()
    assert len(daemon.requests) == 2


def test_a_clock_that_was_set_back_trusts_nothing(
    daemon: StandIn, tokens: TokenSource, wall: Wall
) -> None:
    """A token received in the future tells nothing about its age: the daemon is asked."""
    tokens.token()
    wall.ahead = -3600
    tokens.token()
    assert len(daemon.requests) == 2


def test_a_token_that_is_due_already_is_asked_for_each_time(
    daemon: StandIn, tokens: TokenSource, issuing: Issuing
) -> None:
    """A stale answer is used, and not remembered as if it were fresh."""
    issuing.changes = {"refresh_at": time.time() - 1, "stale": True}
    assert [tokens.token(), tokens.token()] == ["at-1", "at-1"]
    assert len(daemon.requests) == 2


def test_a_static_key_is_remembered_too(
    daemon: StandIn, tokens: TokenSource, issuing: Issuing
) -> None:
    """A token without an end is asked for again at refresh_at, and lasts for any min_valid."""
    issuing.changes = {"expires_at": None}
    assert tokens.token() == tokens.token(min_valid=10**9) == "at-1"
    assert len(daemon.requests) == 1


def test_min_valid_is_kept_to(daemon: StandIn, tokens: TokenSource, issuing: Issuing) -> None:
    """A remembered token that ends too early is not good enough: the daemon is asked for more."""
    tokens.token()
    assert tokens.token(min_valid=1000) == "at-1"
    assert len(daemon.requests) == 1
    issuing.generation = 2
    assert tokens.token(min_valid=3700) == "at-2"
    assert daemon.requests[1].query["min_valid"] == "3700"


def test_audience_and_scope_are_asked_for(daemon: StandIn, path: str) -> None:
    """What narrows a token travels in the query, scopes separated by spaces."""
    client = Calls(path, timeout=20)
    TokenSource("lab", audience="https://a/?b", scope=["x", "y z"], client=client).token()
    assert daemon.requests[0].path == "/v1/credentials/lab/token"
    query = daemon.requests[0].query
    assert float(query.pop("max_wait")) < 20
    assert query == {"audience": "https://a/?b", "scope": "x y z"}


def test_get_tells_all_and_gives_a_copy(daemon: StandIn, tokens: TokenSource) -> None:
    """Who changes what `get` returned changes nothing for anyone else."""
    found = tokens.get()
    found["hosts"].append("evil.example")
    assert found["generation"] == 1
    assert tokens.get()["hosts"] == ["mlflow.example.org"]


def test_an_answer_without_a_token_is_an_error(
    daemon: StandIn, tokens: TokenSource, issuing: Issuing
) -> None:
    """A daemon that promises something else is told apart from a token."""
    issuing.changes = {"refresh_at": None}
    with pytest.raises(CreddError, match="not a token"):
        tokens.token()


# --- threads --------------------------------------------------------------------------------


def test_many_threads_that_miss_ask_once(path: str, tokens: TokenSource) -> None:
    """64 threads find nothing at once: one question, 64 answers."""
    released = threading.Event()

    def answer(request: Request) -> bytes:
        released.wait()
        return json_reply(token_reply())

    with standing_in(path, answer) as daemon, ThreadPoolExecutor(64) as pool:
        asked = [pool.submit(tokens.token) for _ in range(64)]
        wait_until(lambda: len(daemon.requests) == 1)
        released.set()
        assert {one.result() for one in asked} == {"at-1"}
    assert len(daemon.requests) == 1


def test_threads_share_an_answer_that_is_due_already(path: str, tokens: TokenSource) -> None:
    """While an answer can't be remembered, threads that wait still don't queue up one by one."""
    released = threading.Event()

    def answer(request: Request) -> bytes:
        released.wait()
        return json_reply(token_reply(refresh_at=0.0))

    with standing_in(path, answer) as daemon, ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(tokens.token)]
        wait_until(lambda: len(daemon.requests) == 1)
        flight = tokens._flight
        assert flight is not None
        asked += [pool.submit(tokens.token) for _ in range(7)]
        wait_until(lambda: len(flight.done._cond._waiters) == 7)
        released.set()
        assert {one.result() for one in asked} == {"at-1"}
    assert len(daemon.requests) == 1


def test_threads_share_an_error_and_each_gets_its_own(path: str, tokens: TokenSource) -> None:
    """One question fails for all, with the same remedy and a traceback for each."""
    released = threading.Event()

    def answer(request: Request) -> bytes:
        released.wait()
        return problem_reply(LoginRequired("log in", remedy="credd-ctl login lab"))

    with standing_in(path, answer) as daemon, ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(tokens.token)]
        wait_until(lambda: len(daemon.requests) == 1)
        flight = tokens._flight
        assert flight is not None
        asked += [pool.submit(tokens.token) for _ in range(7)]
        wait_until(lambda: len(flight.done._cond._waiters) == 7)
        released.set()
        errors = [one.exception() for one in asked]
    assert {str(getattr(error, "remedy", error)) for error in errors} == {"credd-ctl login lab"}
    assert len({id(error) for error in errors}) == 8
    assert len(daemon.requests) == 1


def test_an_interrupted_thread_takes_nobody_with_it(
    daemon: StandIn, tokens: TokenSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in the thread that asks: another one asks in its place."""
    really = tokens._ask
    started, released = threading.Event(), threading.Event()
    calls: list[int] = []

    def interrupted_once(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            started.set()
            released.wait()
            raise KeyboardInterrupt
        return really(*arguments)

    monkeypatch.setattr(tokens, "_ask", interrupted_once)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(tokens.token)
        started.wait()
        flight = tokens._flight
        assert flight is not None
        second = pool.submit(tokens.token)
        wait_until(lambda: len(flight.done._cond._waiters) == 1)
        released.set()
        assert isinstance(first.exception(), KeyboardInterrupt)
        assert second.result() == "at-1"


# --- forks ----------------------------------------------------------------------------------


def forked(task: Any) -> int:
    """Run `task` in a child of fork; its pid. The child ends with status 0 if it returns True."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        signal.alarm(10)  # a child that hangs in a lock dies of it
        status = 0 if task() else 1
    finally:
        os._exit(status)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_g5_children_of_a_fork_find_no_lock_held(path: str, tokens: TokenSource) -> None:
    """16 children forked while one thread waits for an answer and another holds the lock."""
    released = threading.Event()
    asked = threading.Event()

    def answer(request: Request) -> bytes:
        if not asked.is_set():  # the parent's question is held up, its children's are not
            asked.set()
            released.wait()
        return json_reply(token_reply())

    with standing_in(path, answer) as daemon, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(tokens.token)
        asked.wait()
        with tokens._lock:
            children = [forked(lambda: tokens.token() == "at-1") for _ in range(16)]
            statuses = [os.waitpid(child, 0)[1] for child in children]
        released.set()
        assert waiting.result() == "at-1"
    assert statuses == [0] * 16
    assert len(daemon.requests) == 17


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_inherits_the_token_in_hand(daemon: StandIn, tokens: TokenSource) -> None:
    """A fork costs no question: what the parent remembered is as good in the child."""
    tokens.token()
    child = forked(lambda: tokens.token() == "at-1")
    assert os.waitpid(child, 0)[1] == 0
    assert len(daemon.requests) == 1


# --- the daemon is away ---------------------------------------------------------------------


def test_the_last_token_is_served_while_it_is_good(
    daemon: StandIn, tokens: TokenSource, wall: Wall
) -> None:
    """From refresh_at to shortly before its end, a token bridges a daemon that is away."""
    tokens.token()
    daemon.stop()
    wall.ahead = 1801
    assert tokens.token() == "at-1"
    wall.ahead = 3594
    assert tokens.token() == "at-1"
    wall.ahead = 3596
    with pytest.raises(DaemonUnreachable) as caught:
        tokens.token()
    assert caught.value.remedy == "credd &"


def test_the_reserve_of_a_short_token_is_a_tenth_of_it(
    daemon: StandIn, tokens: TokenSource, issuing: Issuing, wall: Wall
) -> None:
    """A token of 10 s is used for 9."""
    now = time.time()
    issuing.changes = {"obtained_at": now, "expires_at": now + 10, "refresh_at": now + 5}
    tokens.token()
    daemon.stop()
    wall.ahead = 8.5
    assert tokens.token() == "at-1"
    wall.ahead = 9.5
    with pytest.raises(DaemonUnreachable):
        tokens.token()


def test_a_daemon_that_is_away_is_not_asked_at_every_call(
    path: str, tokens: TokenSource, wall: Wall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pauses between two questions grow to half a minute, and no call pays more than one."""
    daemon = StandIn(path, lambda request: json_reply(token_reply()))
    daemon.start()
    tokens.token()
    daemon.stop()
    asked: list[float] = []
    really = tokens._calls.token

    def counted(name: str, **options: Any) -> Any:
        asked.append(wall.ahead)
        return really(name, **options)

    monkeypatch.setattr(tokens._calls, "token", counted)
    monkeypatch.setattr(source_module, "SHORT_PATIENCE", Calls(absent=0.0)._patience)
    for second in range(1801, 2101):
        wall.ahead = second
        assert tokens.token() == "at-1"
    assert 10 <= len(asked) <= 25
    assert all(later - sooner <= 46 for sooner, later in zip(asked, asked[1:]))


def test_a_daemon_that_is_back_serves_its_own_token(
    daemon: StandIn, tokens: TokenSource, issuing: Issuing, wall: Wall
) -> None:
    """After the quiet time the daemon is asked again, and its token replaces the old one."""
    tokens.token()
    daemon.stop()
    wall.ahead = 1801
    assert tokens.token() == "at-1"
    issuing.generation = 2
    daemon.start()
    wall.ahead = 1804
    assert tokens.token() == "at-2"


def test_the_last_token_also_bridges_an_issuer_that_is_away(
    daemon: StandIn, tokens: TokenSource, issuing: Issuing, wall: Wall
) -> None:
    """A daemon that restarted without its issuer has no token; ours is still good."""
    tokens.token()
    issuing.error = UpstreamUnavailable("away", retry_after=30)
    wall.ahead = 1801
    assert tokens.token() == "at-1"
    assert len(daemon.requests) == 2


@pytest.mark.parametrize("error", [LoginRequired("log in"), Denied("no")])
def test_a_daemon_that_says_no_is_obeyed(
    daemon: StandIn, tokens: TokenSource, issuing: Issuing, wall: Wall, error: CreddError
) -> None:
    """A definite answer is raised, whatever is in hand."""
    tokens.token()
    issuing.error = error
    wall.ahead = 1801
    with pytest.raises(type(error)):
        tokens.token()


def test_min_valid_holds_while_the_daemon_is_away(
    daemon: StandIn, tokens: TokenSource, wall: Wall
) -> None:
    """A promise that the token in hand can't keep is an error, not a shorter token."""
    tokens.token()
    daemon.stop()
    wall.ahead = 1801
    assert tokens.token(min_valid=1000) == "at-1"
    with pytest.raises(DaemonUnreachable):
        tokens.token(min_valid=1900)


# --- rejections -----------------------------------------------------------------------------


def test_a_rejection_names_the_generation_and_forgets_the_token(
    daemon: StandIn, tokens: TokenSource, issuing: Issuing
) -> None:
    """The resource server said 401: the daemon hears which one, and the next call asks anew."""
    tokens.token()
    assert tokens.reject() == "refreshed"
    told = daemon.requests[-1]
    assert (told.method, told.path) == ("POST", "/v1/credentials/lab/rejections")
    assert told.body == {"generation": 1}
    issuing.generation = 2
    assert tokens.token() == "at-2"


def test_a_rejection_of_what_was_replaced_is_told_to_nobody(
    daemon: StandIn, tokens: TokenSource, issuing: Issuing
) -> None:
    """A thread that comes late with its 401 for an older token doesn't cost the new one."""
    issuing.generation = 2
    tokens.token()
    assert tokens.reject(1) == "superseded"
    assert tokens.token() == "at-2"
    assert len(daemon.requests) == 1


def test_a_rejection_that_the_daemon_calls_superseded_just_forgets(
    daemon: StandIn, tokens: TokenSource, issuing: Issuing
) -> None:
    """Another process was faster: no error, and the daemon's newer token is next."""
    tokens.token()
    issuing.generation, issuing.outcome = 2, "superseded"
    assert tokens.reject() == "superseded"
    assert tokens.token() == "at-2"


def test_with_nothing_in_hand_there_is_nothing_to_reject(
    daemon: StandIn, tokens: TokenSource
) -> None:
    """Fifty threads say 401: the first one rejects, the others find nothing in hand."""
    tokens.token()
    tokens.reject()
    assert [tokens.reject() for _ in range(49)] == ["nothing"] * 49
    assert len(daemon.requests) == 2


def test_a_rejected_token_is_not_remembered_again(
    daemon: StandIn, tokens: TokenSource, issuing: Issuing
) -> None:
    """Until the daemon has a newer one, it is asked at each call."""
    tokens.token()
    tokens.reject()
    assert [tokens.token(), tokens.token()] == ["at-1", "at-1"]
    issuing.generation = 2
    assert [tokens.token(), tokens.token()] == ["at-2", "at-2"]
    assert len([one for one in daemon.requests if one.method == "GET"]) == 4


def test_a_question_asked_before_a_rejection_answers_nobody_after_it(
    path: str, tokens: TokenSource, issuing: Issuing
) -> None:
    """A thread that waits for an older answer doesn't take the rejected token from it."""
    released = threading.Event()

    def answer(request: Request) -> bytes:
        content = issuing(request)
        if len(daemon.requests) == 1:
            released.wait()
        return content

    with standing_in(path, answer) as daemon, ThreadPoolExecutor(2) as pool:
        before = pool.submit(tokens.token)
        wait_until(lambda: len(daemon.requests) == 1)
        flight = tokens._flight
        assert flight is not None
        tokens.reject(1)
        issuing.generation = 2
        after = pool.submit(tokens.token)
        wait_until(lambda: len(flight.done._cond._waiters) == 1)
        released.set()
        assert (before.result(), after.result(), tokens.token()) == ("at-1", "at-2", "at-2")


def test_a_rejected_token_does_not_bridge_an_outage(daemon: StandIn, tokens: TokenSource) -> None:
    """What the resource server refused is no token to fall back to."""
    tokens.token()
    tokens.reject()
    daemon.stop()
    with pytest.raises(DaemonUnreachable):
        tokens.token()


# --- headers --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("Bearer", "Bearer at-1"), ("bearer", "Bearer at-1"), ("N_A", "N_A at-1")],
)
def test_headers_authorize_a_request_to_a_listed_host(
    daemon: StandIn, tokens: TokenSource, issuing: Issuing, kind: str, expected: str
) -> None:
    """The token type becomes the scheme, `Bearer` in its usual spelling."""
    issuing.changes = {"token_type": kind}
    assert tokens.headers("https://mlflow.example.org/api") == {"Authorization": expected}


def test_headers_for_another_host_are_denied(daemon: StandIn, tokens: TokenSource) -> None:
    """The error says which line lets the token go there, and not what the token is."""
    with pytest.raises(Denied) as caught:
        tokens.headers("https://evil.example/")
    assert '"evil.example"' in caught.value.remedy
    assert "at-1" not in f"{caught.value!r} {caught.value.detail} {caught.value.remedy}"


# --- names, reprs, pickles ------------------------------------------------------------------


def test_a_source_without_a_name_uses_the_environment(
    daemon: StandIn, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CREDD_CREDENTIAL names the credential where the code names none."""
    with pytest.raises(Misconfigured) as caught:
        TokenSource()
    assert caught.value.remedy.startswith("export CREDD_CREDENTIAL=")
    monkeypatch.setenv("CREDD_CREDENTIAL", "lab")
    monkeypatch.setenv("CREDD_SOCK", path)
    assert TokenSource().token() == "at-1"


def test_nothing_of_a_source_shows_its_token(daemon: StandIn, tokens: TokenSource) -> None:
    """Not its repr, not what it holds, not a pickle of it on the way to another process."""
    tokens.token()
    shown = f"{tokens!r} {tokens._held!r} {tokens._calls!r}".encode()
    assert b"at-1" not in shown + pickle.dumps(tokens)
    assert repr(tokens) == "<TokenSource lab, gen=1>"


def test_a_pickled_source_works_elsewhere(daemon: StandIn, tokens: TokenSource) -> None:
    """A loader that starts its workers afresh may carry a source to them."""
    assert pickle.loads(pickle.dumps(tokens)).token() == "at-1"


def test_the_public_names_are_these_classes() -> None:
    """`credd.TokenSource` is this one, loaded on first use."""
    assert credd.TokenSource is TokenSource
