"""`confirm = true`: each token of a credential waits for a person's program to say yes."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from pathlib import Path

import pytest

from tests.canary import Canary
from tests.system.harness import Home, eventually
from tests.system.unix_http import ask

KEY = "key-of-lab-CANARY"
CONFIG = """\
[vault]
key = "file"
{hooks}
[credentials.lab]
provider = "static"
hosts = ["127.0.0.1"]
confirm = {confirm}
"""


def configure(home: Home, *argv: str, confirm: bool = True) -> None:
    hooks = f"[hooks]\nconfirm = {json.dumps(argv)}\n" if argv else ""
    home.write_config(CONFIG.format(hooks=hooks, confirm=str(confirm).lower()))


def program(home: Home, body: str) -> str:
    """A prompt program that notes what it was told, and then does `body`."""
    path = home.folder / "prompt"
    path.write_text(
        '#!/bin/sh\n{ echo "$CREDD_EVENT $CREDD_CREDENTIAL"; echo "$CREDD_REQUESTERS"; '
        f'echo "--"; }} >> {home.folder}/asked\n{body}\n'
    )
    path.chmod(0o700)
    return str(path)


async def reloaded(home: Home) -> None:
    assert (await home.ask("POST", "/v1/reload")).body["applied"] is True


@pytest.fixture
async def house(home: Home, canary: Canary) -> Home:
    """A daemon with a key that needs consent, and nobody to ask yet."""
    canary.register_secret("access_token", KEY)
    configure(home)
    await home.start()
    flow = ("--flow", "key", "--key-stdin")
    assert (await home.run("credd-ctl", "login", "lab", *flow, stdin=KEY)).exit_code == 0
    return home


async def outcome(home: Home) -> tuple[int, str]:
    found = await home.token("lab")
    return found.status, str(found.body.get("reason", found.body.get("access_token")))


@pytest.mark.parametrize(
    "argv",
    [
        (),
        ("/nonexistent/prompt",),
        ("false",),
        ("sh", "-c", "kill -9 $$"),
        ("sh", "-c", "exit 1"),
    ],
    ids=["no program", "missing", "no", "killed", "exit 1"],
)
async def test_t13_denied_is_the_default(house: Home, argv: tuple[str, ...]) -> None:
    """Only a program that ends well means yes."""
    configure(house, *argv)
    await reloaded(house)
    assert await outcome(house) == (403, "not_confirmed")
    done = await house.run("credd-token", "lab")
    assert (done.exit_code, done.stdout) == (5, "")


async def test_t13_a_yes_hands_out_one_token(house: Home) -> None:
    """The program is told who asks and for what; at a job socket, through which."""
    configure(house, program(house, "exit 0"))
    await reloaded(house)
    assert await outcome(house) == (200, KEY)
    folder = Path(tempfile.mkdtemp(prefix="credd-job-"))
    await house.ctl("socket", "create", f"{folder}/train", "-c", "lab")
    path = f"{folder}/train/credd.sock"
    reply = await asyncio.to_thread(ask, path, "GET", "/v1/credentials/lab/token")
    assert reply.status == 200
    first, second = (house.folder / "asked").read_text().split("--\n")[:2]
    assert first.startswith("confirm lab\n")
    assert "python" in first
    assert "through the job socket train" in second
    await house.ctl("socket", "remove", "train")
    shutil.rmtree(folder)


async def test_t13_parallel_requests_make_one_prompt(house: Home) -> None:
    """Five at once, one program run; after a no, none has a token."""
    for code, expected in ((0, {(200, KEY)}), (1, {(403, "not_confirmed")})):
        configure(house, program(house, f"sleep 0.5; exit {code}"))
        await reloaded(house)
        (house.folder / "asked").unlink(missing_ok=True)
        assert set(await asyncio.gather(*(outcome(house) for _ in range(5)))) == expected
        assert (house.folder / "asked").read_text().count("confirm lab") == 1


async def test_a_prompt_that_is_open_when_the_daemon_stops_is_ended(house: Home) -> None:
    """Nobody gets a token from it, and its program does not stay."""
    configure(house, program(house, "sleep 1000 & wait"))
    await reloaded(house)
    waiting = asyncio.create_task(outcome(house))

    async def is_asked() -> bool:
        return (house.folder / "asked").exists()

    await eventually(is_asked, "the prompt is shown")
    assert await house.terminate() == 0
    answer = (await asyncio.gather(waiting, return_exceptions=True))[0]
    assert isinstance(answer, OSError) or answer[0] != 200


async def test_without_confirm_nobody_is_asked(house: Home) -> None:
    """The other credentials go on as ever."""
    configure(house, program(house, "exit 1"), confirm=False)
    await reloaded(house)
    assert await outcome(house) == (200, KEY)
    assert not (house.folder / "asked").exists()
