"""One method a route: what is asked, what comes back, and what is asked twice."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from typing import Any

import pytest

import credd
from credd import wire
from credd.client import patience
from credd.client.calls import Calls, joined, query
from credd.client.sync import Client
from credd.errors import BadRequest, CreddError, DaemonUnreachable, LoginRequired
from tests.client.stand_in import (
    Request,
    json_reply,
    problem_reply,
    reply,
    standing_in,
    token_reply,
)

NAME, ID = "/v1/credentials/lab", "/v1/logins/l-1"

IMPORT: wire.ImportRequest = {"name": "lab", "secret": "rt-CANARY-import"}

# The method, what it asks, and whether a lost reply is asked for again.
ROUTES: list[tuple[Callable[[Client], Any], Request, bool]] = [
    (lambda c: c.live(), Request("GET", "/v1/live", None), True),
    (lambda c: c.ready(), Request("GET", "/v1/ready", None), True),
    (lambda c: c.version(), Request("GET", "/v1/version", None), True),
    (lambda c: c.openapi(), Request("GET", "/v1/openapi.json", None), True),
    (lambda c: c.credentials(), Request("GET", "/v1/credentials", None), True),
    (lambda c: c.credential("lab"), Request("GET", NAME, None), True),
    (lambda c: c.token("lab"), Request("GET", NAME + "/token", None), True),
    (
        lambda c: c.token("lab", min_valid=9, audience="a b", scope=("x", "y"), max_wait=0),
        Request("GET", NAME + "/token?min_valid=9&audience=a%20b&scope=x%20y&max_wait=0", None),
        True,
    ),
    (lambda c: c.reject("lab", 7), Request("POST", NAME + "/rejections", {"generation": 7}), True),
    (lambda c: c.refresh("lab"), Request("POST", NAME + "/refresh", {}), False),
    (lambda c: c.refresh_all(), Request("POST", "/v1/refresh", {}), False),
    (lambda c: c.lifetime("lab", 3600), Request("GET", NAME + "/lifetime?for=3600", None), True),
    (lambda c: c.logout("lab"), Request("DELETE", NAME + "/grant", None), False),
    (
        lambda c: c.logout("lab", keep_going=True),
        Request("DELETE", NAME + "/grant?keep_going=true", None),
        False,
    ),
    (
        lambda c: c.start_login({"name": "lab", "flow": "device"}),
        Request("POST", "/v1/logins", {"name": "lab", "flow": "device"}),
        True,
    ),
    (lambda c: c.import_secret(IMPORT), Request("POST", "/v1/imports", IMPORT), False),
    (lambda c: list(c.login_events("l-1")), Request("GET", ID + "/events", None), True),
    (
        lambda c: c.answer_login("l-1", "password", "x"),
        Request("POST", ID + "/answers", {"question": "password", "answer": "x"}),
        False,
    ),
    (lambda c: c.cancel_login("l-1"), Request("DELETE", ID, None), False),
    (lambda c: c.audit(), Request("GET", "/v1/audit", None), True),
    (
        lambda c: c.audit("lab", since=5.5, cursor="1-9", limit=7),
        Request("GET", "/v1/audit?credential=lab&since=5.5&cursor=1-9&limit=7", None),
        True,
    ),
    (lambda c: c.check_audit(), Request("GET", "/v1/audit/check", None), True),
    (lambda c: c.findings(), Request("GET", "/v1/findings", None), True),
    (lambda c: c.metrics(), Request("GET", "/v1/metrics", None), True),
    (lambda c: list(c.events()), Request("GET", "/v1/events", None), True),
    (lambda c: c.reload(), Request("POST", "/v1/reload", {}), True),
    (lambda c: c.lock("x"), Request("POST", "/v1/lock", {"seal": False, "passphrase": "x"}), False),
    (lambda c: c.lock(seal=True), Request("POST", "/v1/lock", {"seal": True}), False),
    (lambda c: c.unlock("x"), Request("POST", "/v1/unlock", {"passphrase": "x"}), True),
    (lambda c: c.recover("x"), Request("POST", "/v1/unlock", {"recovery_code": "x"}), True),
    (lambda c: c.vault(), Request("GET", "/v1/vault", None), True),
    (lambda c: c.accept_vault(), Request("POST", "/v1/vault/accept", {}), True),
    (lambda c: c.verify_vault(), Request("POST", "/v1/vault/verify", {}), True),
    (
        lambda c: c.rewrap_vault({"sources": ["file"]}),
        Request("POST", "/v1/vault/rewrap", {"sources": ["file"]}),
        False,
    ),
    (lambda c: c.rekey_vault({}), Request("POST", "/v1/vault/rekey", {}), False),
    (lambda c: c.reset_vault(), Request("POST", "/v1/vault/reset", {}), False),
    (
        lambda c: c.reset_vault(erase=True),
        Request("POST", "/v1/vault/reset?erase=true", {}),
        False,
    ),
    (
        lambda c: c.create_socket({"folder": "/run/job", "credentials": ["lab"]}),
        Request("POST", "/v1/sockets", {"folder": "/run/job", "credentials": ["lab"]}),
        False,
    ),
    (lambda c: c.sockets(), Request("GET", "/v1/sockets", None), True),
    (lambda c: c.remove_socket("l-1"), Request("DELETE", "/v1/sockets/l-1", None), False),
]
IDS = [f"{asked.method} {asked.target}" for _, asked, _ in ROUTES]


@pytest.fixture
def client(path: str) -> Client:
    return Client(path)


@pytest.mark.parametrize(("call", "asked", "again"), ROUTES, ids=IDS)
def test_each_method_asks_its_route(
    path: str, client: Client, call: Any, asked: Request, again: bool
) -> None:
    """Method, target and body are the route's, and the answer comes back as it is."""
    with standing_in(path, lambda request: json_reply({"x": 1})) as daemon:
        found = call(client)
    assert daemon.requests == [asked]
    assert found in ({"x": 1}, [{"x": 1}], [], '{"x": 1}')  # metrics are text


@pytest.mark.parametrize(("call", "asked", "again"), ROUTES, ids=IDS)
def test_a_lost_reply_is_asked_for_again_only_where_that_is_harmless(
    path: str, client: Client, call: Any, asked: Request, again: bool
) -> None:
    """Reading, and what finds its own work done already; nothing else."""
    answers = [None, json_reply({"x": 1})]
    with standing_in(path, lambda request: answers.pop(0)) as daemon:
        if again:
            call(client)
        else:
            with pytest.raises(DaemonUnreachable, match="may have done"):
                call(client)
    assert len(daemon.requests) == (2 if again else 1)


def test_every_route_of_the_wire_has_a_method() -> None:
    """A route that is promised and can't be called would be found out by nobody."""
    promised = {route for route in vars(wire).values() if str(route).startswith("/v1/")}
    filled = {route.replace("{name}", "lab").replace("{id}", "l-1") for route in promised}
    assert filled == {asked.path for _, asked, _ in ROUTES}


def test_a_refresh_is_told_how_long_it_may_take(path: str) -> None:
    """A client with little time hears the daemon's own words before its deadline."""
    client = Client(path, timeout=10)
    with standing_in(path, lambda request: json_reply({})) as daemon:
        client.refresh("lab")
        client.reject("lab", 1)
    assert all(8 < float(asked.query["max_wait"]) <= 9 for asked in daemon.requests)


# --- answers --------------------------------------------------------------------------------


def test_an_empty_answer_is_an_empty_object(path: str, client: Client) -> None:
    """204 has no body, and is as good an answer as any."""
    answer = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"
    with standing_in(path, lambda request: answer):
        assert client.cancel_login("l-1") == {}


@pytest.mark.parametrize("body", [b"[]", b"null", b"{", b"\xff"])
def test_an_answer_that_is_no_object_is_an_error(path: str, client: Client, body: bytes) -> None:
    """A promise that isn't kept is told as such."""
    raises = pytest.raises(CreddError, match="no JSON object")
    with standing_in(path, lambda request: reply(200, body)), raises:
        client.version()


def test_unknown_fields_are_ignored(path: str, client: Client) -> None:
    """A newer daemon may say more."""
    with standing_in(path, lambda request: json_reply(token_reply(moon="full"))):
        assert client.get_token("lab") == "at-1"


# --- logins ---------------------------------------------------------------------------------


def stream(*pieces: bytes, is_complete: bool = True) -> bytes:
    """A chunked answer."""
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n"
    end = b"0\r\n\r\n" if is_complete else b""
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + end


def test_events_come_one_by_one(path: str, client: Client) -> None:
    """However lines are cut into chunks; empty lines only say that the daemon lives."""
    answer = stream(b'{"type": "no', b'te"}\n\n\n{"type": ', b'"done"}\n')
    with standing_in(path, lambda request: answer):
        assert [event["type"] for event in client.login_events("l-1")] == ["note", "done"]


def test_a_stream_that_breaks_off_is_an_error(path: str, client: Client) -> None:
    """A daemon that dies during a login doesn't make the login look finished."""
    answer = stream(b'{"type": "note"}\n', is_complete=False)
    with standing_in(path, lambda request: answer):
        events = client.login_events("l-1")
        assert next(events)["type"] == "note"
        with pytest.raises(DaemonUnreachable, match="broke off"):
            next(events)


def test_a_stream_that_is_refused_raises_the_daemons_error(path: str, client: Client) -> None:
    """A login that is gone is told in the daemon's words."""
    error = LoginRequired("this login is over", remedy="credd-ctl login lab")
    raises = pytest.raises(LoginRequired, match="over")
    with standing_in(path, lambda request: problem_reply(error)), raises:
        list(client.login_events("l-1"))


def test_a_listener_may_leave_early(path: str, client: Client) -> None:
    """Who stops listening leaves no open connection; an open one would be a ResourceWarning."""
    with standing_in(path, lambda request: stream(b'{"type": "note"}\n' * 3)):
        events = client.login_events("l-1")
        next(events)
        events.close()  # type: ignore[attr-defined]


# --- errors before the socket ---------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "A", "a?b", "a\r\nb"])
def test_what_can_not_be_a_name_is_not_sent(path: str, client: Client, name: str) -> None:
    """A name that would change the request is refused here."""
    with standing_in(path, lambda request: json_reply({})) as daemon, pytest.raises(BadRequest):
        client.credential(name)
    assert daemon.connections == 0


@pytest.mark.parametrize("timeout", [0, -1, float("inf"), float("nan")])
def test_a_timeout_is_a_number_of_seconds(timeout: float) -> None:
    """The kernel takes 0 for "for ever"; we take it for a mistake."""
    with pytest.raises(BadRequest):
        Client(timeout=timeout)


# --- places ---------------------------------------------------------------------------------


def test_a_client_finds_the_usual_socket(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a path, the ordered search is made at each call."""
    client = Client()
    monkeypatch.setenv("CREDD_SOCK", path)
    with standing_in(path, lambda request: json_reply({})):
        assert client.live() == {}


def test_a_relative_socket_survives_a_change_of_folder(
    folder: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that names its socket relatively means the folder it was in then."""
    monkeypatch.chdir(folder)
    client = Client("credd.sock")
    monkeypatch.chdir("/")
    assert os.path.samefile(os.path.dirname(client.socket_path()), folder)
    with standing_in(path, lambda request: json_reply({})):
        assert client.live() == {}


def test_a_client_remembers_its_sources(path: str) -> None:
    """The same question has the same source; closing the client forgets the tokens."""
    with standing_in(path, lambda request: json_reply(token_reply())) as daemon:
        with Client(path) as client:
            assert client.source("lab", scope=["a", "b"]) is client.source("lab", scope="a b")
            assert client.source("lab") is not client.source("lab", audience="x")
            assert {client.get_token("lab") for _ in range(10)} == {"at-1"}
            assert len(daemon.requests) == 1
        client.get_token("lab")
    assert len(daemon.requests) == 2


def test_a_clients_repr_and_pickle_hold_no_token(path: str) -> None:
    """A client travels to another process as a place, not as a secret."""
    client = Client(path)
    with standing_in(path, lambda request: json_reply(token_reply("at-secret"))):
        client.get_token("lab")
        assert b"at-secret" not in pickle.dumps(client) + repr(client).encode()
        assert pickle.loads(pickle.dumps(client)).get_token("lab") == "at-secret"
    assert repr(client) == f"<Client {path}>"
    assert repr(Calls()) == "<Calls at the usual socket>"


def test_the_module_remembers_too(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """credd.get_token asks once while the token is fresh."""
    monkeypatch.setenv("CREDD_SOCK", path)
    monkeypatch.setattr(credd.client.sync, "_client", Client())
    with standing_in(path, lambda request: json_reply(token_reply())) as daemon:
        assert [credd.get_token("lab"), credd.get_token("lab")] == ["at-1", "at-1"]
    assert len(daemon.requests) == 1


# --- small parts ----------------------------------------------------------------------------


def test_a_query_leaves_out_what_is_not_asked() -> None:
    """And says 0 where 0 is asked."""
    assert query(a=None, b=None) == ""
    assert query(a=0, b=None, c="x y", for_=1.5) == "?a=0&c=x%20y&for=1.5"


def test_scopes_are_one_string() -> None:
    """As RFC 6749 wants them."""
    assert [joined(None), joined(""), joined([])] == [None, None, None]
    assert [joined("a b"), joined(["a", "b"])] == ["a b", "a b"]


def test_a_clients_patience_is_its_own() -> None:
    """credd-ctl waits less for a daemon that isn't there than a job does."""
    waits = Client(timeout=9, refused=1, absent=0)._patience
    assert (waits.timeout, waits.refused, waits.absent) == (9, 1, 0)
    assert Client()._patience.timeout == patience.DEADLINE
    assert json.dumps(wire.CLIENT_DEADLINE) == "60.0"
