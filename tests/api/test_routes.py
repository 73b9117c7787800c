"""Every route answers as the API's description says, and takes nothing that it does not know."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from credd import wire
from credd.api.routes import ROUTES, Route
from credd.api.schema import Schemas
from credd.core.importing import Handover
from credd.core.model import Secret, TokenKey
from tests.api.front import TOKEN, Fakes, opened

BODIES: dict[str, Any] = {
    wire.REJECTIONS: {"generation": 7},
    wire.LOGINS: {"name": "lab", "provider": "oidc", "settings": {"scopes": ["openid"]},
                  "timeout": 300},
    wire.IMPORTS: {"name": "lab", "secret": "rt-CANARY-import", "keep_original": False},
    wire.LOGIN_ANSWERS: {"question": "password", "answer": "pw-CANARY-answer"},
    wire.LOCK: {"passphrase": "pw-CANARY-phrase"},
    wire.SOCKETS: {"folder": "/run/job", "credentials": ["lab"], "ttl": 60.0},
    wire.UNLOCK: {"passphrase": "pw-CANARY-phrase"},
    wire.VAULT_REKEY: {"new_recovery_code": "pw-CANARY-phrase"},
    wire.VAULT_REWRAP: {"sources": ["passphrase"], "new_passphrase": "pw-CANARY-phrase"},
}  # fmt: skip
QUERIES = {wire.LIFETIME: "?for=60"}


def target(route: Route) -> str:
    return route.path.replace("{name}", "lab").replace("{id}", "l-1") + QUERIES.get(route.path, "")


def body(route: Route) -> Any:
    return BODIES[route.path] if route.request else None


def ids(route: Route) -> str:
    return f"{route.method} {route.path}"


async def described(folder: Path) -> dict[str, Any]:
    async with opened(folder) as door:
        status, document = await door.ask("GET", wire.OPENAPI)
    assert status == 200
    assert isinstance(document, dict)
    return document


@pytest.mark.parametrize("route", ROUTES, ids=ids)
async def test_every_route_answers_as_described(route: Route, tmp_path: Path) -> None:
    """The status, the media type and the shape of the description, from a real socket."""
    document = await described(tmp_path)
    operation = document["paths"][route.path][route.method.lower()]
    (expected,) = (status for status in operation["responses"] if status != "default")
    async with opened(tmp_path) as door:
        url = "http://credd" + target(route)
        async with door.client.request(route.method, url, json=body(route)) as answer:
            assert str(answer.status) == expected
            assert answer.headers["Cache-Control"] == "no-store"
            text = await answer.text()
    content = operation["responses"][expected].get("content")
    if content is None:
        assert (answer.status, text) == (204, "")
        return
    schemas = Schemas()
    schemas.named = document["components"]["schemas"]
    schema = content[answer.content_type]["schema"]
    if answer.content_type == "text/plain":
        assert schema == {"type": "string"}
        return
    for line in text.splitlines():
        assert schemas.find_fault(json.loads(line), schema) is None


def test_the_table_is_the_whole_contract_and_sorted() -> None:
    """Every route that `wire` names has a row, in the order of the alphabet, once a method."""
    named = {
        value for name, value in vars(wire).items()
        if name.isupper() and isinstance(value, str) and value.startswith("/v1/")
    }  # fmt: skip
    assert {route.path for route in ROUTES} == named
    paths = [route.path.replace("{", "") for route in ROUTES]
    assert paths == sorted(paths)
    assert len({(route.path, route.method) for route in ROUTES}) == len(ROUTES)


def test_no_route_but_token_bears_a_secret() -> None:
    """One row says so, and no other reply has a field whose name is a secret's."""
    assert [route.path for route in ROUTES if route.bears_secret] == [wire.TOKEN]
    schemas = Schemas()
    for route in ROUTES:
        if route.reply not in {None, dict, wire.TokenReply}:
            schemas.of(route.reply)
    fields = {field for schema in schemas.named.values() for field in schema["properties"]}
    assert not fields & {
        "access_token", "refresh_token", "client_secret", "password", "passphrase", "key",
        "id_token", "answer", "device_code", "code_verifier",
    }  # fmt: skip


def test_what_changes_something_is_no_get_and_is_finished() -> None:
    """A caller who leaves does not cut a logout or a reload in two."""
    assert all(route.finishes == (route.method in {"POST", "DELETE"}) for route in ROUTES)
    assert all(route.summary for route in ROUTES)


# --- token ----------------------------------------------------------------------------------


async def test_a_token_comes_with_all_that_is_known_about_it(tmp_path: Path) -> None:
    """Times are Unix seconds: it expires a lifetime after it was asked for."""
    async with opened(tmp_path) as door:
        status, reply = await door.ask("GET", "/v1/credentials/lab/token")
    assert status == 200
    assert reply == {
        "access_token": TOKEN, "token_type": "Bearer", "expires_at": 1060.0,
        "obtained_at": 1000.0, "refresh_at": 1030.0, "generation": 7, "stale": False,
        "account": "ada", "scope": "openid", "hosts": ["mlflow.example.org"],
    }  # fmt: skip
    assert door.fakes.calls == [("token", "lab", TokenKey(), None, wire.MAX_WAIT)]


async def test_a_key_without_an_expiry_says_so(tmp_path: Path) -> None:
    """A static key has no `expires_at`."""
    async with opened(tmp_path, Fakes(lifetime_of_token=None)) as door:
        _, reply = await door.ask("GET", "/v1/credentials/lab/token")
    assert reply["expires_at"] is None


async def test_a_raw_token_is_the_token_and_nothing_else(tmp_path: Path) -> None:
    """`format=raw` is text/plain without a newline, for scripts."""
    async with opened(tmp_path) as door:
        url = "http://credd/v1/credentials/lab/token?format=raw"
        async with door.client.get(url) as answer:
            assert answer.content_type == "text/plain"
            assert answer.headers["Cache-Control"] == "no-store"
            assert await answer.text() == TOKEN


async def test_what_is_asked_of_a_token_reaches_the_broker(tmp_path: Path) -> None:
    """Scopes in any order and spelling are one key; numbers are numbers."""
    query = "min_valid=90.5&audience=https://api.example&scope=b&scope=a+c&max_wait=2&format=json"
    async with opened(tmp_path) as door:
        status, _ = await door.ask("GET", f"/v1/credentials/lab/token?{query}")
    assert status == 200
    key = TokenKey("a b c", "https://api.example")
    assert door.fakes.calls == [("token", "lab", key, 90.5, 2.0)]


@pytest.mark.parametrize(
    "query",
    [
        "nothing=1", "format=xml", "format=", "format=raw&format=raw", "min_valid=nan",
        "min_valid=inf", "min_valid=-1", "min_valid=1_000", "min_valid=%D9%A1", "min_valid=",
        "min_valid=1&min_valid=1", "min_valid=1e999", "min_valid=0x10", "min_valid=+5",
        "max_wait=301", "max_wait=soon", "audience=", "audience=a%20b", "audience=a%0d%0ab",
        "audience=%E2%80%AE", "audience=a&audience=b", "scope=", "scope=a%20%20b", "scope=%22",
        "scope=a%0Ab", "scope=%C3%A9", "Format=raw", "audience=" + "x" * 5000,
    ],
)  # fmt: skip
async def test_a_query_that_is_not_understood_is_refused(query: str, tmp_path: Path) -> None:
    """Unknown, misspelled, twice, no number, not visible: never ignored, never guessed."""
    async with opened(tmp_path) as door:
        status, problem = await door.ask("GET", f"/v1/credentials/lab/token?{query}")
    assert (status, problem["code"]) == (400, "bad_request")
    assert door.fakes.calls == []


async def test_numbers_are_taken_as_clients_write_them(tmp_path: Path) -> None:
    """What Python and C print for a float is understood."""
    async with opened(tmp_path) as door:
        for text in ("0", "60", "0.5", "1e-05", "259200.0", "1e%2B16", "1.5E3"):
            status, _ = await door.ask("GET", f"/v1/credentials/lab/lifetime?for={text}")
            assert status == 200, text
    assert [call[2] for call in door.fakes.calls][3] == 1e-05


async def test_a_lifetime_needs_a_length(tmp_path: Path) -> None:
    """`for` has no default: nobody knows what the caller needs."""
    async with opened(tmp_path) as door:
        status, problem = await door.ask("GET", "/v1/credentials/lab/lifetime")
    assert (status, problem["detail"]) == (400, "'for' is missing")


@pytest.mark.parametrize(
    "name", ["LAB", "a%2Fb", "%2e%2e", "-x", "a" * 65, "l%00b", "%E2%80%AElab", "lab%0A", "l b"]
)
async def test_t34_a_name_that_can_be_none_goes_nowhere(name: str, tmp_path: Path) -> None:
    """Whatever is no credential's name never reaches the broker, nor comes back."""
    async with opened(tmp_path) as door:
        head = f"GET /v1/credentials/{name}/token HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        answer = await door.say(head.encode())
    assert answer.split(b" ")[1] in {b"400", b"404"}
    assert name.encode() not in answer.partition(b"\r\n\r\n")[2]
    assert door.fakes.calls == []


# --- bodies ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{}", b"[]", b"7", b'"x"', b"null", b"{", b'{"generation": "7"}',
        b'{"generation": true}', b'{"generation": 7.5}', b'{"generation": 7, "uid": 0}',
        b'{"generation": 7, "generation": 8}', b'{"generation": NaN}', b'{"generation": 1e999}',
        b'{"generation": Infinity}', b"\xff\xfe", b'{"generation": 7} x',
        b'{"generation": ' + b"9" * 5000 + b"}", b"[" * 100_000, b'{"a":' * 20_000,
    ],
)  # fmt: skip
async def test_t31_a_body_that_is_not_understood_is_refused(data: bytes, tmp_path: Path) -> None:
    """No JSON, another shape, unknown fields, depth 10⁵: a problem at once, and nothing more."""
    async with opened(tmp_path) as door:
        status, problem = await door.ask("POST", "/v1/credentials/lab/rejections", data=data)
        assert (status, problem["code"]) == (400, "bad_request")
        assert (await door.ask("GET", wire.LIVE))[0] == 200
    assert door.fakes.calls == []


async def test_t3_identity_in_a_request_is_refused(tmp_path: Path) -> None:
    """A caller who says who it is is not believed: such fields are unknown."""
    async with opened(tmp_path) as door:
        status, _ = await door.ask("POST", wire.LOGINS, {"name": "lab", "uid": 0})
        assert status == 400
        assert (await door.ask("GET", "/v1/credentials?uid=0"))[0] == 400


async def test_a_route_without_a_body_takes_an_empty_one(tmp_path: Path) -> None:
    """Nothing, or an empty object; anything else would be ignored, so it is refused."""
    async with opened(tmp_path) as door:
        for data in (b"", b"{}"):
            assert (await door.ask("POST", wire.REFRESH_ALL, data=data))[0] == 200
        assert (await door.ask("POST", wire.REFRESH_ALL, {"all": True}))[0] == 400
    assert door.fakes.calls == [("refresh_all",)] * 2


async def test_t34_text_that_has_no_utf8_is_refused(tmp_path: Path) -> None:
    """A lone surrogate can be neither hashed nor sent; it is stopped here."""
    async with opened(tmp_path) as door:
        for data in (b'{"passphrase": "\\ud800"}', b'{"\\udfff": 1}'):
            status, problem = await door.ask("POST", wire.UNLOCK, data=data)
            assert (status, problem["reason"]) == (400, "bad_json")
    assert door.fakes.calls == []


async def test_secrets_are_wrapped_as_they_come_in(tmp_path: Path) -> None:
    """An answer and a passphrase are Secrets from the door on."""
    async with opened(tmp_path) as door:
        answer = {"question": "password", "answer": "pw-CANARY-answer"}
        assert (await door.ask("POST", "/v1/logins/l-1/answers", answer))[0] == 204
        assert (await door.ask("POST", wire.UNLOCK, {"passphrase": "pw-CANARY-phrase"}))[0] == 204
        moved = {"name": "lab", "secret": "rt-CANARY-in", "client_secret": "pw-CANARY-client"}
        assert (await door.ask("POST", wire.IMPORTS, moved))[0] == 200
    handed = Handover(Secret("rt-CANARY-in"), Secret("pw-CANARY-client"))
    assert door.fakes.calls == [
        ("answer", "l-1", "password", Secret("pw-CANARY-answer")),
        ("unlock", Secret("pw-CANARY-phrase")),
        ("take_over", {"name": "lab"}, handed),
    ]


@pytest.mark.parametrize(
    "body",
    [{}, {"name": "LAB"}, {"name": "../lab"}, {"name": 7}, {"name": "lab", "settings": []},
     {"name": "l\ud800b"}],
)  # fmt: skip
async def test_a_login_needs_a_proper_name(body: Any, tmp_path: Path) -> None:
    """What is written into remedies and file names is checked at the door."""
    async with opened(tmp_path) as door:
        data = json.dumps(body).encode()
        assert (await door.ask("POST", wire.LOGINS, data=data))[0] == 400
    assert door.fakes.calls == []


@pytest.mark.parametrize(
    ("query", "flag"),
    [
        ("", False),
        ("?keep_going=true", True),
        ("?keep_going=1", True),
        ("?keep_going=0", False),
    ],
)
async def test_logout_may_keep_going(query: str, flag: bool, tmp_path: Path) -> None:
    """Only when it is asked to, an unreachable issuer does not stop it."""
    async with opened(tmp_path) as door:
        assert (await door.ask("DELETE", f"/v1/credentials/lab/grant{query}"))[0] == 204
        assert (await door.ask("DELETE", "/v1/credentials/lab/grant?keep_going=yes"))[0] == 400
    assert door.fakes.calls == [("forget", "lab", flag)]


# --- the documented clients -----------------------------------------------------------------


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not there")
async def test_curl_is_a_client(tmp_path: Path) -> None:
    """`curl --unix-socket` gets a token with one line."""
    import asyncio

    async with opened(tmp_path) as door:
        url = "http://localhost/v1/credentials/lab/token?format=raw"
        argv = ["curl", "-sS", "--fail", "--max-time", "10", "--unix-socket", door.path, url]
        done = await asyncio.to_thread(subprocess.run, argv, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (0, TOKEN.encode()), done.stderr


async def test_a_hand_written_request_is_answered(tmp_path: Path) -> None:
    """As `nc -U` sends it: HTTP/1.0, no headers, the sending side left open."""
    async with opened(tmp_path) as door:
        answer = await door.say(b"GET /v1/credentials/lab/token?format=raw HTTP/1.0\r\n\r\n")
    assert answer.endswith(b"\r\n\r\n" + TOKEN.encode())
