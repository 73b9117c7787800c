"""Every error leaves as a problem, and a client raises the same one again."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from credd import wire
from credd.api.connection import LOGGER
from credd.api.problems import Problem, places
from credd.api.schema import Schemas
from credd.errors import BY_CODE, CreddError, LoginRequired, UpstreamUnavailable, from_problem
from tests.api.front import Fakes, opened

URL = "http://credd/v1/credentials/lab/token"


@pytest.mark.parametrize("kind", BY_CODE.values(), ids=BY_CODE)
async def test_an_error_travels_through_the_socket(kind: type[CreddError], tmp_path: Path) -> None:
    """Class, detail, remedy, reason and the time to wait arrive as they were raised."""
    error = kind("what happened", remedy="credd-ctl login lab", reason="why", retry_after=1.2)
    async with opened(tmp_path, Fakes(raises=error)) as door, door.client.get(URL) as answer:
        problem = await answer.json(content_type=wire.PROBLEM_MEDIA_TYPE)
        assert (answer.status, answer.headers["Retry-After"]) == (kind.status, "2")
        assert answer.headers["Cache-Control"] == "no-store"
    again = from_problem(problem)
    assert type(again) is kind
    assert again.__reduce__() == error.__reduce__()
    schemas = Schemas()
    assert schemas.find_fault(problem, schemas.of(Problem)) is None


async def test_without_a_time_to_wait_none_is_named(tmp_path: Path) -> None:
    """Retry-After is there where it helps."""
    fakes = Fakes(raises=LoginRequired("log in"))
    async with opened(tmp_path, fakes) as door, door.client.get(URL) as answer:
        assert "Retry-After" not in answer.headers


async def test_now_is_a_time_to_wait(tmp_path: Path) -> None:
    """0 s means "try again at once", and is said."""
    fakes = Fakes(raises=UpstreamUnavailable("away", retry_after=0))
    async with opened(tmp_path, fakes) as door, door.client.get(URL) as answer:
        assert answer.headers["Retry-After"] == "0"


@pytest.mark.parametrize("path", ["/", "/v2/live", "/v1/credentials/", "/v1/token-CANARY-x"])
async def test_an_unknown_route_is_a_problem(path: str, tmp_path: Path) -> None:
    """404 with a remedy: an older daemon is the likely reason."""
    async with opened(tmp_path) as door:
        status, problem = await door.ask("GET", path)
    assert (status, problem["status"], problem["code"]) == (404, 404, "bad_request")
    assert problem["remedy"] == "credd-ctl version"
    assert "CANARY" not in json.dumps(problem)


async def test_a_wrong_method_names_the_right_ones(tmp_path: Path) -> None:
    """405 with Allow (RFC 9110, 15.5.6)."""
    async with opened(tmp_path) as door, door.client.put(URL) as answer:
        assert (answer.status, answer.headers["Allow"]) == (405, "GET")
        assert answer.content_type == wire.PROBLEM_MEDIA_TYPE


async def test_not_ready_is_worth_another_try(tmp_path: Path) -> None:
    """503 that says when; a client waits and asks again."""
    async with opened(tmp_path, Fakes(is_open=False)) as door:
        status, problem = await door.ask("GET", wire.READY)
    assert (status, problem["code"], problem["retryable"]) == (503, "daemon_unreachable", True)
    assert problem["retry_after"] == 1


async def test_t36_a_defect_shows_a_number_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The client gets a number; the log has it with places in our code, and no value anywhere."""
    fakes = Fakes(raises=ValueError("rt-CANARY-defect is no number"))
    async with opened(tmp_path, fakes) as door:
        status, problem = await door.ask("GET", "/v1/credentials/lab/token?audience=a-CANARY-b")
    assert (status, problem["code"]) == (500, "internal_error")
    number = problem["reason"]
    assert len(number) == 8
    assert number in problem["detail"]
    (record,) = [record for record in caplog.records if record.name == "credd.api.problems"]
    said = record.getMessage()
    assert said.startswith(f"internal error {number}: ValueError at ")
    assert "answers.py:" in said
    assert "front.py:" in said
    assert "CANARY" not in caplog.text + json.dumps(problem)


@pytest.mark.parametrize(
    "raw",
    [
        b"rt-CANARY-line\r\n\r\n",
        b"GET /v1/live HTTP/1.1\r\nrt-CANARY-header\x00: y\r\n\r\n",
        b"GET /v1/live HTTP/9.9\r\nX: rt-CANARY\r\n\r\n",
        b"POST /v1/unlock HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}rt-CANARY-rest\r\n\r\n",
        b"POST /v1/unlock HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nrt-CANARY-chunk\r\n",
        b"POST /v1/unlock HTTP/1.1\r\nHost: x\r\nContent-Length: -2\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 rt-CANARY",
        b"GET /v1/live HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
async def test_t36_what_is_no_http_is_answered_without_repeating_it(
    raw: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A problem or a closed connection; neither it nor the log holds a byte of what was sent."""
    caplog.set_level(logging.DEBUG)
    async with opened(tmp_path) as door:
        reader, writer = await door.connect()
        writer.write(raw)
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        assert (await door.ask("GET", wire.LIVE))[0] == 200
    assert b"CANARY" not in answer
    assert "CANARY" not in caplog.text
    assert b"Traceback" not in answer


def test_what_aiohttp_logs_by_itself_holds_no_value(caplog: pytest.LogCaptureFixture) -> None:
    """The kind of an error is left of it."""
    try:
        raise ValueError("rt-CANARY-log")
    except ValueError:
        LOGGER.exception("Unhandled %s", "rt-CANARY-argument")
    assert [record.getMessage() for record in caplog.records] == ["a connection broke: ValueError"]
    assert "CANARY" not in caplog.text


def test_places_name_code_and_no_value() -> None:
    """Files, lines and functions, outermost first."""

    def inner(secret: str) -> None:
        raise ValueError(secret)

    try:
        inner("rt-CANARY-inner")
    except ValueError as error:
        said = places(error)
    assert "test_problems.py:" in said
    assert said.endswith(" inner")
    assert "CANARY" not in said
