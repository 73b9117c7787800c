"""The vault of a living daemon is copied, restored, given other keys, damaged, and taken away.

The real commands, and npm oidc-provider's reuse detection: a refresh token that is posted twice
ends the login of everybody who holds one of its family.
"""
# ruff: noqa: ASYNC240 - a look at a small file holds up nobody

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from credd.vault.database import lock_vault
from tests.canary import Canary
from tests.system.harness import Home, eventually, throw_away_home
from tests.system.lab import LOGIN, NAME, Lab

pytestmark = [pytest.mark.provider, pytest.mark.timeout(120)]

ACCEPT = "credd-ctl vault accept"


@pytest.fixture
async def second(canary: Canary) -> AsyncIterator[Home]:
    """Another home, on the same machine."""
    async with throw_away_home(canary) as home:
        yield home


def copy_home(original: Home, copy: Home) -> None:
    """Everything that a backup holds: configuration, key file, vault with its log."""
    for name in ("config.toml", "vault.key"):
        shutil.copy2(original.folder / name, copy.folder / name)
    shutil.copytree(original.folder / "state", copy.folder / "state")
    for left in ("daemon.json", "daemon.lock"):
        (copy.folder / "state" / left).unlink(missing_ok=True)


@contextlib.contextmanager
def held(home: Home) -> Iterator[None]:
    """The daemon stands still meanwhile, so that a copy of its files is one moment's."""
    home._signal(signal.SIGSTOP)
    try:
        yield
    finally:
        home._signal(signal.SIGCONT)


async def has_refreshed(home: Home, times: int = 1) -> None:
    """Wait until so many newer generations have come."""
    before = (await home.status(NAME))["generation"]

    async def look() -> bool:
        return bool((await home.status(NAME))["generation"] >= before + times)

    await eventually(look, f"{times} more generations", 60.0)


async def has_sent_them_all(lab: Lab, home: Home) -> None:
    """Every refresh that the provider saw was that of `home`: one for each of its generations but
    the login's. Had anybody else sent one, there would be more of them, now and for ever."""

    async def look() -> bool:
        seen = len(lab.provider.token_requests("refresh_token"))
        return seen == (await home.status(NAME))["generation"] - 1

    await eventually(look, "as many refreshes as generations")


async def is_refused_as_a_copy(home: Home) -> None:
    """Once its cached token has run out: status 9, and the way on."""

    async def look() -> bool:
        return (await home.run("credd-token", NAME)).exit_code != 0

    await eventually(look, "the copied token has run out", 30.0)
    for command in (("credd-token", NAME), ("credd-ctl", "token", NAME)):
        finished = await home.run(*command)
        assert (finished.exit_code, finished.stdout, finished.remedy) == (9, "", ACCEPT)
    assert await home.state(NAME) == "restored"


# --- copies -----------------------------------------------------------------------------------


async def test_t84_a_copied_vault_spends_nothing_and_the_living_login_stays_alive(
    lab: Lab, second: Home
) -> None:
    """Key file and all in a second home: no token request from there. Then it logs in by itself,
    and both live."""
    with held(lab.home):
        copy_home(lab.home, second)
    await second.start()
    assert await second.state(NAME) == "restored"
    await is_refused_as_a_copy(second)
    await has_refreshed(lab.home, 2)
    await has_sent_them_all(lab, lab.home)
    assert lab.provider.refresh_tokens_seen_twice() == []
    copied = Lab(second, lab.provider, lab.proxy)
    await copied.login()
    for one in (copied, lab):
        await has_refreshed(one.home)
        assert one.is_active((await one.home.token(NAME)).body["access_token"])
    assert lab.provider.refresh_tokens_seen_twice() == []


async def test_t84_an_accepted_copy_goes_on_with_the_login(lab: Lab, second: Home) -> None:
    """The original runs no more, and a person says so: the copy refreshes, and rotates."""
    assert await lab.home.terminate() == 0
    copy_home(lab.home, second)
    await second.start()
    assert await second.state(NAME) == "restored"
    finished = await second.ctl("vault", "accept")
    assert finished.exit_code == 0, finished.stderr
    await has_refreshed(second, 2)
    assert lab.provider.refresh_tokens_seen_twice() == []
    assert await second.terminate() == 0
    await second.start()
    assert await second.state(NAME) != "restored"
    assert "no copy" in (await second.ctl("vault", "accept")).stdout


async def test_t25_an_old_copy_put_back_from_a_backup_spends_nothing(lab: Lab) -> None:
    """Its refresh token was spent since: posting it would end the login at the provider."""
    vault = lab.home.folder / "state" / "vault.db"
    assert await lab.home.terminate() == 0
    backup = Path(shutil.copy2(vault, lab.home.folder / "backup"))
    await lab.home.start()
    await has_refreshed(lab.home)
    assert await lab.home.terminate() == 0
    backup.replace(vault)
    requests = len(lab.provider.token_requests())
    await lab.home.start()
    await is_refused_as_a_copy(lab.home)
    assert len(lab.provider.token_requests()) == requests
    verify = await lab.home.ctl("vault", "verify")
    assert verify.exit_code == 0
    assert "this vault is a copy" in verify.stdout


async def test_t69_a_vault_that_another_process_has_open_is_status_10(home: Home) -> None:
    """Also where no daemon.json says so: process and host are named; the vault is not touched."""
    vault = home.folder / "state" / "vault.db"
    home.configure("api", provider="static")
    await home.start()
    login = ("login", "api", "--flow", "key", "--key-stdin")
    assert (await home.ctl(*login, stdin="key-CANARY-of-the-second\n")).exit_code == 0
    assert await home.terminate() == 0
    content = vault.read_bytes()
    lock = lock_vault(vault)
    try:
        refused = await home.run("credd")
    finally:
        os.close(lock)
    assert refused.exit_code == 10
    assert f"process {os.getpid()} on {os.uname().nodename}" in refused.stderr
    assert refused.remedy == "credd-ctl status"
    assert vault.read_bytes() == content
    await home.start()
    assert await home.state("api") == "fresh"


# --- nothing forgotten is left on the disk ----------------------------------------------------


def bytes_below(folder: Path) -> bytes:
    """Every byte of every file of the home but what the harness itself writes there."""
    return b"".join(place.read_bytes() for place in sorted(folder.rglob("*")) if place.is_file())


def sealed_pieces(home: Home) -> list[bytes]:
    """Pieces of everything sealed that lies in the state folder, 32 bytes each.

    An envelope begins with CRD1; at byte 45 stands the length of its ciphertext, which begins at
    byte 61; its first 400 bytes lie together on a page of the database.
    """
    content = bytes_below(home.folder / "state")
    pieces = []
    for match in re.finditer(b"CRD1\x01", content):
        length = int.from_bytes(content[match.start() + 45 :][:4], "big")
        spots = [61 + at for at in (0, 40, 200, 300) if at + 32 <= length]
        pieces += [content[match.start() + spot :][:32] for spot in spots]
    return pieces


def still_there(home: Home, pieces: list[bytes]) -> int:
    """How many of them lie in any file of the home."""
    content = bytes_below(home.folder)
    return sum(piece in content for piece in pieces)


async def test_after_a_rekey_nothing_sealed_before_is_left_in_the_home(lab: Lab) -> None:
    """Through the living daemon: records, index, journal, late replies. The login goes on."""
    await has_refreshed(lab.home)
    with held(lab.home):
        pieces = sealed_pieces(lab.home)
        assert still_there(lab.home, pieces) == len(pieces) >= 6
    finished = await lab.home.ctl("vault", "rekey", "--yes")
    assert finished.exit_code == 0, finished.stderr
    with held(lab.home):
        assert still_there(lab.home, pieces) == 0
    await has_refreshed(lab.home)
    await lab.home.kill()
    await lab.home.start()
    await has_refreshed(lab.home)
    assert lab.provider.refresh_tokens_seen_twice() == []


async def test_after_a_logout_nothing_sealed_of_it_is_left_in_the_home(lab: Lab) -> None:
    """Record, journal and side slot are gone while the daemon still runs; what belongs to the
    vault itself (its index, who it is) stays."""
    await has_refreshed(lab.home)
    finished = await lab.home.ctl("logout", NAME, "--yes")
    assert finished.exit_code == 0, finished.stderr
    with held(lab.home):
        content = bytes_below(lab.home.folder / "state")
    starts = {content[match.start() :][:61] for match in re.finditer(b"CRD1\x01", content)}
    assert len(starts) <= 2, "identity and index are all that is sealed"


async def test_rekeying_again_and_again_costs_no_refresh_token(lab: Lab) -> None:
    """While tokens of six seconds rotate, and jobs ask for them."""
    for _ in range(3):
        await has_refreshed(lab.home)
        assert (await lab.home.ctl("vault", "rekey", "--yes")).exit_code == 0
        assert (await lab.home.token(NAME)).status == 200
    await lab.home.kill()
    await lab.home.start()
    await has_refreshed(lab.home)
    assert lab.provider.refresh_tokens_seen_twice() == []
    assert (await lab.home.ctl("vault", "verify")).exit_code == 0


# --- keys -------------------------------------------------------------------------------------


async def test_a_recovery_code_opens_the_vault_whose_key_file_is_lost(lab: Lab) -> None:
    """Shown once; without it the daemon is `locked` and says why, with it the login goes on."""
    words = ("vault", "rewrap", "--add", "recovery-code", "--json")
    told = json.loads((await lab.home.ctl(*words)).stdout)
    assert told["sources"] == ["file", "recovery-code"]
    await lab.home.kill()
    (lab.home.folder / "vault.key").unlink()
    await lab.home.start()
    refused = await lab.home.run("credd-token", NAME)
    assert (refused.exit_code, refused.remedy) == (6, "credd-ctl unlock")
    code = told["recovery_code"].lower()
    unlocked = await lab.home.ctl("unlock", "--recovery-code-stdin", stdin=code + "\n")
    assert unlocked.exit_code == 0, unlocked.stderr
    await has_refreshed(lab.home)
    assert lab.provider.refresh_tokens_seen_twice() == []


# --- damage, and starting anew ----------------------------------------------------------------


async def test_t24_verify_names_what_is_damaged_and_reset_makes_room(lab: Lab) -> None:
    """While it runs, and at the next start: exit 1, by name. Then the vault is moved aside, whole,
    and a login makes a new one."""
    assert (await lab.home.ctl("vault", "verify")).exit_code == 0
    assert await lab.home.terminate() == 0
    vault = lab.home.folder / "state" / "vault.db"
    content = vault.read_bytes()
    vault.write_bytes(content[: len(content) // 2])
    await lab.home.start()
    verify = await lab.home.ctl("vault", "verify")
    assert (verify.exit_code, verify.stdout, verify.remedy) == (1, "", "credd-ctl vault reset")
    reset = json.loads((await lab.home.ctl("vault", "reset", "--yes", "--json")).stdout)
    assert reset["login_again"] == [NAME]
    aside = Path(reset["aside"])
    assert re.fullmatch(r"vault\.db\.aside-\d{8}T\d{6}Z", aside.name)
    assert aside.read_bytes() == content[: len(content) // 2]
    assert aside.stat().st_mode & 0o777 == 0o600
    finished = await lab.home.run("credd-token", NAME)
    assert (finished.exit_code, finished.remedy) == (4, LOGIN)
    await lab.login()
    await has_refreshed(lab.home)


async def test_a_reset_of_a_living_vault_ends_with_a_login_that_is_asked_for(lab: Lab) -> None:
    """Nothing of it is served any more; the login at the provider is not ended; put back by hand,
    it is the vault it was."""
    reset = json.loads((await lab.home.ctl("vault", "reset", "--yes", "--json")).stdout)
    assert await lab.home.state(NAME) == "empty"
    assert (await lab.home.run("credd-token", NAME)).exit_code == 4
    assert not lab.provider.events("revocation")
    assert await lab.home.terminate() == 0
    os.replace(reset["aside"], lab.home.folder / "state" / "vault.db")
    await lab.home.start()
    await has_refreshed(lab.home)
    erased = json.loads((await lab.home.ctl("vault", "reset", "--erase", "--yes", "--json")).stdout)
    assert erased["aside"] == ""
    left = {place.name for place in (lab.home.folder / "state").glob("vault.db*")}
    assert left <= {"vault.db-lock"}
