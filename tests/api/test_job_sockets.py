"""A job socket serves tokens and rejections of its credentials; all else is refused alike."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from credd import wire
from credd.api import namespaces
from credd.api.app import FOR_JOBS, JOB_SOCKET, build_app, build_job_app, serve
from credd.api.interface import Front
from credd.api.routes import ROUTES, Route
from tests.api.front import TOKEN, Door, Fakes, opened, witness_of

BODIES = {wire.REJECTIONS: {"generation": 7}}
HEARD = {wire.TOKEN: "token", wire.REJECTIONS: "reject"}


@asynccontextmanager
async def job_socket(folder: Path, *names: str) -> AsyncIterator[Door]:
    """The front door of one job socket, before fakes."""
    behind = Fakes()
    path = str(folder / "job.sock")
    app = build_job_app(Front(behind, behind, behind, behind, witness_of(behind)), "train", names)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(path)) as client,
            serve(app, listener, limit=10, find_fault=lambda _: "") as entrance,
        ):
            yield Door(path, client, entrance, behind)


def ids(route: Route) -> str:
    return f"{route.method} {route.path}"


def filled(route: Route, name: str = "lab") -> str:
    return route.path.replace("{name}", name).replace("{id}", "l-1")


@pytest.mark.parametrize("route", ROUTES, ids=ids)
async def test_every_route_but_two_is_denied(route: Route, tmp_path: Path) -> None:
    """The table of routes, one by one: tokens and rejections are answered, the rest is denied
    before anybody hears of it."""
    async with job_socket(tmp_path, "lab") as door:
        status, reply = await door.ask(route.method, filled(route), BODIES.get(route.path))
        if route.path in HEARD:
            assert status == 200
            assert [call[0] for call in door.fakes.calls] == [HEARD[route.path]]
        else:
            assert (status, reply["code"], reply["reason"]) == (403, "denied", "job_socket")
            assert door.fakes.calls == []


@pytest.mark.parametrize("route", [route for route in ROUTES if route.path in FOR_JOBS], ids=ids)
@pytest.mark.parametrize("name", ["mlflow", "nobody", "lab2", "LAB", "%2e%2e", "lab%2ftoken"])
async def test_other_credentials_are_denied_known_or_not(
    route: Route, name: str, tmp_path: Path
) -> None:
    """The answer doesn't tell whether there is such a credential."""
    async with job_socket(tmp_path, "lab") as door:
        status, reply = await door.ask(route.method, filled(route, name), BODIES.get(route.path))
        assert (status, reply["code"], reply["reason"]) == (403, "denied", "job_socket")
        assert door.fakes.calls == []


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", "/v1/credentials/lab/token"),
        ("DELETE", "/v1/credentials/lab/token"),
        ("GET", "/v1/credentials/lab/rejections"),
        ("GET", "/v1/credentials/lab/token/"),
        ("GET", "/v1/credentials/lab//token"),
        ("GET", "/v1/credentials/lab/../mlflow/token"),
        ("GET", "/"),
        ("GET", "/v2/credentials/lab/token"),
        ("OPTIONS", "*"),
    ],
)
async def test_crooked_ways_lead_nowhere(method: str, target: str, tmp_path: Path) -> None:
    """Other methods and odd paths are refused, and nobody behind the door hears of them."""
    async with job_socket(tmp_path, "lab") as door:
        answer = await door.say(f"{method} {target} HTTP/1.0\r\n\r\n".encode())
        assert b" 403 " in answer.splitlines()[0] or b" 400 " in answer.splitlines()[0]
        assert TOKEN.encode() not in answer
        assert door.fakes.calls == []


async def test_a_job_socket_of_two_serves_both(tmp_path: Path) -> None:
    """Each of its credentials, with everything that the token route can be asked."""
    async with job_socket(tmp_path, "lab", "mlflow") as door:
        for name in ("lab", "mlflow"):
            status, reply = await door.ask("GET", f"/v1/credentials/{name}/token?min_valid=9")
            assert (status, reply["access_token"]) == (200, TOKEN)


def test_an_application_knows_which_socket_it_answers_at() -> None:
    """The trail names the job socket; the main one has no name."""
    fakes = Fakes()
    assert build_app(fakes, fakes, fakes, fakes, witness_of(fakes))[JOB_SOCKET] == ""
    front = Front(fakes, fakes, fakes, fakes, witness_of(fakes))
    assert build_job_app(front, "train", ["lab"])[JOB_SOCKET] == "train"


async def test_t15_who_lives_in_other_namespaces_gets_no_byte_through(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Refused before reading, and the log says what to do instead."""
    async with opened(tmp_path, find_fault=lambda _: namespaces.NESTED) as door:
        assert await door.say(b"GET /v1/credentials/lab/token HTTP/1.0\r\n\r\n") == b""
        assert door.entrance.inside() == 0
    assert door.fakes.calls == []
    assert "job socket" in caplog.text


@pytest.mark.parametrize("refuses", [True, False])
async def test_t13_consent_comes_before_the_token(refuses: bool, tmp_path: Path) -> None:
    """Through which socket is known; without a yes the broker hears of nothing."""
    async with job_socket(tmp_path, "lab") as door:
        door.fakes.refuses = refuses
        status, reply = await door.ask("GET", "/v1/credentials/lab/token")
        assert door.fakes.calls[0][:3] == ("consent", "lab", "train")
        assert (status, len(door.fakes.calls)) == ((403, 1) if refuses else (200, 2))
        assert ("access_token" in reply) is not refuses
