"""While a person has locked credd, every route that bears a secret is refused, wherever asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from credd.api.app import FOR_JOBS
from credd.api.locking import WHILE_LOCKED
from credd.api.routes import ROUTES, Route
from tests.api.front import Fakes, opened
from tests.api.test_job_sockets import filled, ids, job_socket
from tests.api.test_routes import body, target

REFUSED = [
    "accept_vault", "answer_login", "cancel_login", "create_socket", "import_login",
    "login_events", "logout", "refresh", "reject", "rekey_vault", "reset_vault", "rewrap_vault",
    "start_login", "token", "verify_vault",
]  # fmt: skip
"""Written down by hand: whoever adds a route decides, and says so here."""


def test_t14_every_route_is_on_one_side_of_the_lock() -> None:
    """None is open by accident, and no name stands for a route that isn't there."""
    names = {route.name for route in ROUTES}
    assert sorted(names - WHILE_LOCKED) == REFUSED
    assert names >= WHILE_LOCKED


@pytest.mark.parametrize("route", ROUTES, ids=ids)
async def test_t14_locked_means_locked_at_every_route(route: Route, tmp_path: Path) -> None:
    """The table, one by one: refused with 423 before anybody behind the door hears of it."""
    async with opened(tmp_path, Fakes(is_locked=True)) as door:
        if route.is_open_while_locked:
            status, _ = await door.ask(route.method, target(route), body(route))
            assert status < 400
        else:
            status, reply = await door.ask(route.method, target(route), body(route))
            assert (status, reply["code"], reply["remedy"]) == (423, "locked", "credd-ctl unlock")
            assert door.fakes.calls == []


@pytest.mark.parametrize("route", [route for route in ROUTES if route.path in FOR_JOBS], ids=ids)
async def test_t14_job_sockets_are_locked_too(route: Route, tmp_path: Path) -> None:
    """The same lock is before every door."""
    async with job_socket(tmp_path, "lab") as door:
        door.fakes.is_locked = True
        status, reply = await door.ask(route.method, filled(route), body(route))
        assert (status, reply["code"]) == (423, "locked")
        assert door.fakes.calls == []
