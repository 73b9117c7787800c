"""A login of another program moves in, and hooks hear of its end: the real commands, a real daemon.

The issuer is the strict one of the demo: it replaces refresh tokens at each use, and ends the whole
login where an old one is posted again.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from demo.issuer import Issuer, Settings
from demo.issuer_endpoints import DEVICE_GRANT
from tests.canary import Canary
from tests.system.harness import Home, eventually, throw_away_home

CLIENT = {"client_id": "demo-training"}


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    """A running issuer, whose tokens live 10 s."""
    async with Issuer(Settings()) as running:
        yield running


@pytest.fixture
async def home(canary: Canary) -> AsyncIterator[Home]:
    """A home whose daemon runs, with nothing configured but where a vault has its key."""
    async with throw_away_home(canary) as made:
        made.write_config('[vault]\nkey = "file"\n')
        await made.start()
        yield made


async def post(url: str, **form: str) -> dict[str, Any]:
    async with aiohttp.ClientSession() as http, http.post(url, data=CLIENT | form) as reply:
        return dict(await reply.json())


async def log_in_elsewhere(issuer: Issuer, file: Path) -> dict[str, Any]:
    """Another program logs in, and leaves its tokens in a file."""
    codes = await post(f"{issuer.url}/device_authorization", scope="openid offline_access")
    issuer.approve(codes["user_code"])
    code = codes["device_code"]
    tokens = await post(f"{issuer.url}/token", grant_type=DEVICE_GRANT, device_code=code)
    leave(file, tokens)
    return tokens


def leave(file: Path, tokens: dict[str, Any]) -> None:
    file.write_text(json.dumps(tokens))
    file.chmod(0o600)


def words(issuer: Issuer, file: Path) -> tuple[str, ...]:
    """The import, as a person types it."""
    new = ("--set", f"issuer={issuer.url}", "--set", "client_id=demo-training")
    return ("import", "lab", "--from", str(file), "--provider", "oidc", *new)


async def test_a_login_moves_in_and_lives_on(home: Home, issuer: Issuer) -> None:
    """The file is gone, its token is dead, and credd refreshes, restarts and all."""
    file = home.folder / "token.json"
    tokens = await log_in_elsewhere(issuer, file)
    done = await home.ctl(*words(issuer, file))
    assert done.exit_code == 0, done.stderr
    assert not file.exists()
    assert "no copy of the old one works" in done.stdout
    assert await home.state("lab") == "fresh"
    assert (await home.token("lab")).status == 200
    assert sum(issuer.record.refreshes.values()) == 1
    await home.terminate()
    await home.start()
    await eventually(lambda: refreshed(issuer, 2), "a refresh after the restart")
    assert issuer.violations == []
    assert tokens["refresh_token"] not in (home.folder / "config.toml").read_text()


async def refreshed(issuer: Issuer, times: int) -> bool:
    return sum(issuer.record.refreshes.values()) >= times


async def test_an_issuer_that_is_away_leaves_it_where_it_was(home: Home, issuer: Issuer) -> None:
    """Status 7, the file and its token are as before; the remedy is the same line, and works."""
    file = home.folder / "token.json"
    await log_in_elsewhere(issuer, file)
    before = file.read_text()
    issuer.away()
    done = await home.ctl(*words(issuer, file))
    assert done.exit_code == 7
    assert file.read_text() == before
    assert done.remedy == " ".join(["credd-ctl", *words(issuer, file)])
    await issuer.back()
    assert (await home.ctl(*words(issuer, file))).exit_code == 0
    assert not file.exists()
    assert issuer.violations == []


async def test_what_the_issuer_refuses_is_posted_once(home: Home, issuer: Issuer) -> None:
    """Status 4, nothing is kept, and nobody goes on asking."""
    file = home.folder / "token.json"
    file.write_text(json.dumps({"refresh_token": "rt-CANARY-" + "0" * 40}))
    done = await home.ctl(*words(issuer, file))
    assert done.exit_code == 4
    assert file.exists()
    assert "[credentials" not in (home.folder / "config.toml").read_text()
    assert (await home.ask("GET", "/v1/credentials")).body == {"credentials": []}


async def test_a_command_that_dies_in_the_middle_spends_nothing_twice(
    home: Home, issuer: Issuer
) -> None:
    """It is killed while the issuer thinks. The same line, typed again, ends the import."""
    file = home.folder / "token.json"
    await log_in_elsewhere(issuer, file)
    issuer.faults.slow(1.5)
    command = await home.spawn("credd-ctl", *words(issuer, file))
    await eventually(lambda: in_flight(issuer), "the refresh is on its way")
    command.process.kill()
    await command.finished()
    assert file.exists()
    issuer.faults.clear()
    done = await home.ctl(*words(issuer, file))
    assert done.exit_code == 0, done.stderr
    assert not file.exists()
    assert await home.state("lab") == "fresh"
    assert sum(issuer.record.refreshes.values()) == 1
    assert issuer.violations == []


async def in_flight(issuer: Issuer) -> bool:
    return issuer.record.in_flight > 0


async def test_t46_a_hook_hears_of_a_login_that_has_ended(home: Home, issuer: Issuer) -> None:
    """With name, state, reason and remedy in its environment, and no secret of the daemon's."""
    file, heard = home.folder / "token.json", home.folder / "heard"
    await log_in_elsewhere(issuer, file)
    assert (await home.ctl(*words(issuer, file))).exit_code == 0
    script = f"env > {heard}.part; mv {heard}.part {heard}"
    config = home.folder / "config.toml"
    config.write_text(
        f"{config.read_text()}\n[hooks]\non_login_required = {json.dumps(['sh', '-c', script])}\n"
    )
    assert (await home.ctl("reload")).exit_code == 0
    issuer.faults.refuse_grants()
    await eventually(lambda: asyncio.to_thread(heard.exists), "the hook", 40.0)
    said = dict(line.partition("=")[::2] for line in heard.read_text().splitlines())
    assert said["CREDD_CREDENTIAL"] == "lab"
    assert said["CREDD_STATE"] == "login-required"
    assert said["CREDD_REASON"] == "invalid_grant"
    assert said["CREDD_REMEDY"] == "credd-ctl login lab"
    assert "PYTHONPATH" not in said
