"""Locked, unlocked, sealed: with the real commands and a real vault."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

import pytest

from credd import wire
from tests.canary import Canary
from tests.system.harness import Home
from tests.system.unix_http import ask

KEY = "key-of-lab-CANARY"
RIGHT, WRONG = "lock-CANARY-right", "lock-CANARY-wrong"
STDIN = "--passphrase-stdin"


@pytest.fixture
async def house(home: Home, canary: Canary) -> Home:
    """A running daemon that holds a key."""
    canary.register_secret("access_token", KEY)
    for passphrase in (RIGHT, WRONG):
        canary.register_secret("passphrase", passphrase)
    home.configure("lab", provider="static", hosts=["127.0.0.1"])
    await home.start()
    flow = ("--flow", "key", "--key-stdin")
    assert (await home.run("credd-ctl", "login", "lab", *flow, stdin=KEY)).exit_code == 0
    return home


async def fetched(house: Home) -> tuple[int, str]:
    done = await house.run("credd-token", "lab")
    return done.exit_code, done.stdout or done.remedy


async def test_t14_locked_until_the_same_passphrase_comes_back(house: Home) -> None:
    """Exit status 6 and the way out, at the main socket and at a job socket; then all as before."""
    folder = Path(tempfile.mkdtemp(prefix="credd-job-"))
    job = await house.ctl("socket", "create", f"{folder}/train", "-c", "lab")
    assert job.exit_code == 0, job.stderr
    assert (await house.ctl("lock", STDIN, stdin=RIGHT)).exit_code == 0
    assert await fetched(house) == (6, "credd-ctl unlock")
    route = "/v1/credentials/lab/token"
    refused = await asyncio.to_thread(ask, f"{folder}/train/credd.sock", "GET", route)
    assert (refused.status, refused.body["code"]) == (423, "locked")
    assert await house.state("lab") == "locked"
    again = await house.run("credd-ctl", "login", "lab", "--flow", "key", "--key-stdin", stdin=KEY)
    assert again.exit_code == 6, again.stderr
    wrong = await house.ctl("unlock", STDIN, stdin=WRONG)
    assert (wrong.exit_code, wrong.stdout) == (6, "")
    assert (await house.ctl("unlock", STDIN, stdin=RIGHT)).exit_code == 0
    assert await fetched(house) == (0, KEY + "\n")
    assert (await house.ctl("socket", "remove", "train")).exit_code == 0
    folder.rmdir()  # noqa: ASYNC240


async def test_t14_a_guesser_slows_nobody_else(house: Home) -> None:
    """Twelve wrong guesses pay 0.1 to 1.2 s; beside them every other request is quick."""
    await house.ctl("lock", STDIN, stdin=RIGHT)
    slowest = 0.0
    start = time.monotonic()

    def guess() -> None:
        for _ in range(12):
            reply = ask(house.socket, "POST", wire.UNLOCK, {"passphrase": WRONG})
            assert (reply.status, reply.body["reason"]) == (423, "wrong_passphrase")

    guessing = asyncio.create_task(asyncio.to_thread(guess))
    while not guessing.done():
        begin = time.monotonic()
        assert (await house.ask("GET", wire.CREDENTIALS)).status == 200
        slowest = max(slowest, time.monotonic() - begin)
        await asyncio.sleep(0.05)
    await guessing
    assert time.monotonic() - start >= sum(0.1 * n for n in range(1, 13))
    assert slowest < 1.0


async def test_sealed_means_that_the_vaults_key_is_needed_again(house: Home) -> None:
    """Keys and tokens are gone from memory; with the key file away, the passphrase alone opens
    nothing; with it there, everything is as before."""
    assert (await house.ctl("lock", "--seal", STDIN, stdin=RIGHT)).exit_code == 0
    assert await fetched(house) == (6, "credd-ctl unlock")
    assert (await house.ask("GET", wire.VERSION)).body["vault"] == "locked"
    key_file = house.folder / "vault.key"
    key_file.rename(house.folder / "away")
    unlocked = await house.ctl("unlock", STDIN, stdin=RIGHT)
    assert (unlocked.exit_code, unlocked.stdout) == (6, "")
    assert (await fetched(house))[0] == 6
    (house.folder / "away").rename(key_file)
    assert (await house.ctl("wait", "lab", "--timeout", "20s")).exit_code == 0
    assert await fetched(house) == (0, KEY + "\n")


async def test_a_sealed_daemon_stays_sealed_until_somebody_unlocks_it(house: Home) -> None:
    """The key file lies there; without the passphrase nobody opens the vault with it, a reload and
    a verification included."""
    await house.ctl("lock", "--seal", STDIN, stdin=RIGHT)
    await house.ask("POST", wire.RELOAD)
    await asyncio.sleep(6)  # the daemon itself tries a locked vault every 5 s
    assert (await house.ask("GET", wire.VERSION)).body["vault"] == "locked"
    assert (await house.ctl("unlock", STDIN, stdin=RIGHT)).exit_code == 0
    assert await fetched(house) == (0, KEY + "\n")


async def test_a_restart_forgets_the_lock(house: Home) -> None:
    """It is kept in memory alone, as ssh-agent's; the vault opens by its own source."""
    await house.ctl("lock", STDIN, stdin=RIGHT)
    await house.terminate()
    await house.start()
    assert await fetched(house) == (0, KEY + "\n")
