"""The job's workers count what happens to them, and never paper over it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from aiohttp import web

import credd
from demo.issuer_listener import Handler, Listener
from demo.job import Tally, Worker, start_workers, tallies


def answering(status: int) -> Handler:
    """A tracking server that always says the same."""

    async def handler(http: web.BaseRequest) -> web.StreamResponse:
        await http.read()
        return web.Response(status=status)

    return handler


def giving(token: str) -> Callable[[str], str]:
    """A client that always has this token."""
    return lambda name: token


def failing(name: str) -> str:
    """A client that has none."""
    raise credd.LoginRequired(f"log in to {name}")


async def one_step(status: int) -> Tally:
    """What one step tallies when the server answers with this status."""
    tally = Tally()
    async with Listener(answering(status)) as listener:
        worker = Worker("worker-0", "demo", listener.origin)
        await asyncio.to_thread(worker.step, tally)
        worker.close()
    return tally


@pytest.mark.parametrize(("status", "expected"), [(200, (1, 0)), (401, (0, 1))])
async def test_a_step_is_accepted_or_rejected(
    status: int, expected: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only 200 counts as a step; the time of get_token is kept either way."""
    monkeypatch.setattr(credd, "get_token", giving("t"), raising=False)
    tally = await one_step(status)
    assert (tally.steps, tally.rejected) == expected
    assert len(tally.latencies) == 1


async def test_an_error_of_the_client_is_counted_with_its_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No retry in the job: waiting is the client's task, so an error is an error."""
    monkeypatch.setattr(credd, "get_token", failing, raising=False)
    tally = await one_step(200)
    assert (tally.steps, tally.rejected) == (0, 0)
    assert tally.errors == ["LoginRequired: log in to demo"]


def test_every_worker_reports_until_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens, so each worker reports errors, and the reports come to an end."""
    monkeypatch.setattr(credd, "get_token", giving("t"), raising=False)
    total = Tally()
    for tally in tallies(start_workers(2, 0.1, "demo", "http://127.0.0.1:1")):
        total.add(tally)
    assert total.steps == 0
    assert len(total.errors) >= 2
