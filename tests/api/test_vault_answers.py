"""The routes about the vault take secrets in, hand them on, and give none back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from credd import wire
from credd.core.model import Secret
from credd.errors import Locked
from tests.api.front import VAULT, Fakes, opened

CODE = "CANARY2A-CODE"


async def test_the_vault_tells_where_it_stands(tmp_path: Path) -> None:
    """State, reason and sources; never a key."""
    async with opened(tmp_path) as door:
        assert await door.ask("GET", wire.VAULT) == (200, dict(VAULT))


async def test_it_is_opened_by_its_passphrase_or_its_recovery_code(tmp_path: Path) -> None:
    """Secrets from the first moment."""
    async with opened(tmp_path) as door:
        assert (await door.ask("POST", wire.UNLOCK, {"passphrase": "pw"}))[0] == 204
        assert (await door.ask("POST", wire.UNLOCK, {"recovery_code": CODE}))[0] == 204
        assert door.fakes.calls == [("unlock", Secret("pw")), ("recover", Secret(CODE))]


BAD = [
    (wire.UNLOCK, {}),
    (wire.UNLOCK, {"passphrase": "pw", "recovery_code": CODE}),
    (wire.UNLOCK, {"passphrase": None}),
    (wire.VAULT_REWRAP, {}),
    (wire.VAULT_REWRAP, {"sources": []}),
    (wire.VAULT_REWRAP, {"sources": "file"}),
    (wire.VAULT_REWRAP, {"sources": ["file"], "only": "yes"}),
    (wire.VAULT_REWRAP, {"sources": ["file"], "keep": True}),
    (wire.VAULT_REKEY, {"sources": ["file"]}),
    (wire.VAULT_VERIFY, {"deep": True}),
    (wire.VAULT_RESET + "?erase=perhaps", {}),
    (wire.VAULT_RESET, {"erase": True}),
]


@pytest.mark.parametrize(("route", "body"), BAD)
async def test_t09_what_is_not_understood_changes_nothing(
    tmp_path: Path, route: str, body: dict[str, Any]
) -> None:
    """Refused before anybody is asked, and nothing of it comes back."""
    async with opened(tmp_path) as door:
        status, problem = await door.ask("POST", route, body)
        assert (status, problem["code"]) == (400, "bad_request")
        assert CODE not in str(problem)
        assert door.fakes.calls == []


async def test_a_change_of_keys_is_handed_on_as_it_was_asked(tmp_path: Path) -> None:
    """And answered with where the vault stands now."""
    body = {"sources": ["recovery-code"], "only": False, "new_recovery_code": CODE}
    async with opened(tmp_path) as door:
        assert await door.ask("POST", wire.VAULT_REWRAP, body) == (200, dict(VAULT))
        assert (await door.ask("POST", wire.VAULT_REKEY, {}))[0] == 200
        assert door.fakes.calls == [("rewrap_vault", body), ("rekey_vault", {})]


async def test_nothing_is_erased_unless_that_is_said(tmp_path: Path) -> None:
    """By name, in the query."""
    async with opened(tmp_path) as door:
        status, reply = await door.ask("POST", wire.VAULT_RESET)
        assert (status, reply["login_again"]) == (200, ["lab"])
        await door.ask("POST", wire.VAULT_RESET + "?erase=true")
        assert door.fakes.calls == [("reset_vault", False), ("reset_vault", True)]


async def test_a_vault_that_refuses_says_why(tmp_path: Path) -> None:
    """The problem, with its remedy, as for every route."""
    refusal = Locked("that is not the vault's recovery code", remedy="credd-ctl unlock")
    async with opened(tmp_path, Fakes(raises=refusal)) as door:
        status, problem = await door.ask("POST", wire.UNLOCK, {"recovery_code": CODE})
        assert (status, problem["code"], problem["remedy"]) == (423, "locked", "credd-ctl unlock")
        assert CODE not in str(problem)
