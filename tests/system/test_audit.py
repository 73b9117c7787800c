"""Audit, counts, events and findings of the real daemon, with the real commands."""

# ruff: noqa: ASYNC240 - a look at a small file holds up nobody

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.canary import Canary
from tests.metrics.exposition import parse
from tests.system.harness import Home, eventually

KEY = "key-of-lab-CANARY-audit"


@pytest.fixture
async def house(home: Home, canary: Canary) -> Home:
    """A running daemon that holds a key."""
    canary.register_secret("access_token", KEY)
    home.configure("lab", provider="static", hosts=["127.0.0.1"])
    await home.start()
    await log_in(home)
    return home


async def log_in(home: Home) -> None:
    done = await home.run("credd-ctl", "login", "lab", "--flow", "key", "--key-stdin", stdin=KEY)
    assert done.exit_code == 0, done.stderr


def trail(home: Home) -> Path:
    return home.folder / "state" / "audit.jsonl"


async def entries(home: Home, count: int, **wanted: Any) -> list[dict[str, Any]]:
    """The trail's lines that are like this, once there are `count` of them."""

    async def look() -> list[dict[str, Any]]:
        told = (await home.ask("GET", "/v1/audit")).body["entries"]
        found = [one for one in told if wanted.items() <= one.items()]
        return found if len(found) >= count else []

    return await eventually(look, f"{count} lines of {wanted}")


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
async def test_who_was_given_which_generation_is_in_the_trail(house: Home) -> None:
    """A job's script, its interpreter and its generation; then the same in a person's words."""
    script = house.folder / "train.py"
    script.write_text("import credd\nfor _ in range(30):\n    credd.Client().get_token('lab')\n")
    done = await house.run(str(script))
    assert done.exit_code == 0, done.stderr
    told = await entries(house, 1, what="token", credential="lab", script="train.py")
    assert told[0]["generation"] == 1
    assert told[0]["uid"] == os.geteuid()
    assert told[0]["executable"] == os.path.realpath(sys.executable)
    said = await house.ctl("audit", "--credential", "lab")
    assert "train.py [claimed] by" in said.stdout
    assert "30 fetches, generation 1, last" in said.stdout
    assert (await entries(house, 1, what="start_login", credential="lab"))[0]["result"] == "ok"


async def test_a_job_socket_appears_by_its_name(house: Home) -> None:
    """What was fetched through it, and what was tried beyond it."""
    folder = Path(tempfile.mkdtemp(prefix="credd-job-"))
    try:
        made = await house.ctl("socket", "create", f"{folder}/train", "-c", "lab")
        assert made.exit_code == 0, made.stderr
        path = f"{folder}/train/credd.sock"
        assert (await house.run("credd-token", "lab", CREDD_SOCK=path)).exit_code == 0
        await house.run("credd-ctl", "status", "--socket", path)
        assert (await entries(house, 1, what="token", socket="train"))[0]["result"] == "ok"
        beyond = await entries(house, 1, what="beyond_socket", socket="train")
        assert beyond[0]["result"] == "denied"
    finally:
        shutil.rmtree(folder)


async def test_the_trail_outlives_a_kill_9_whole(house: Home) -> None:
    """Each line is in the file at once; the next daemon's lines follow."""
    await house.run("credd-token", "lab")
    await entries(house, 1, what="token")
    await house.kill()
    await house.start()
    done = await house.ctl("audit", "--verify")
    assert (done.exit_code, done.stderr) == (0, "")
    assert len(await entries(house, 2, what="start")) == 2


async def test_a_line_that_was_edited_is_named(house: Home) -> None:
    """Behind the back of a running daemon, and of a stopped one; findings say it, too."""
    await house.run("credd-token", "lab")
    (line,) = await entries(house, 1, what="token")
    text = trail(house).read_text()
    changed = text.replace('"what":"token","credential":"lab"', '"what":"token","credential":"hub"')
    trail(house).write_text(changed)
    done = await house.ctl("audit", "--verify")
    assert (done.exit_code, done.stdout) == (1, "")
    assert f"line {line['n']} is not as it was written" in done.stderr
    await house.terminate()
    trail(house).write_text("".join(changed.splitlines(keepends=True)[:-2]))
    await house.start()
    found = (await house.ask("GET", "/v1/findings")).body["findings"]
    assert any("cut off after line" in one["message"] for one in found)


async def test_t22_a_trail_that_can_not_be_written_stops_no_token(house: Home) -> None:
    """A folder in its place, as a stand-in for all that a disk may do: tokens, and a finding."""
    await house.terminate()
    trail(house).unlink()
    trail(house).mkdir()
    await house.start()
    assert (await house.token("lab")).body["access_token"] == KEY
    found = (await house.ask("GET", "/v1/findings")).body["findings"]
    assert [one["place"] for one in found] == ["audit.jsonl"]
    page = parse((await house.ask("GET", "/v1/metrics")).body["text"])
    assert page["credd_audit_writable"].samples["", ()] == 0


async def test_counts_of_the_real_daemon_are_what_prometheus_reads(house: Home) -> None:
    """The whole page through a strict reader, with what was just done in it."""
    for _ in range(3):
        await house.token("lab")
    await house.token("nobody")
    page = parse((await house.ask("GET", "/v1/metrics")).body["text"])
    fetches = page["credd_fetches_total"].samples
    assert fetches["", (("credential", "lab"), ("result", "ok"))] == 3
    assert fetches["", (("credential", ""), ("result", "unknown_credential"))] == 1
    assert page["credd_process_resident_memory_bytes"].samples["", ()] > 1e6
    assert page["credd_waiting_callers"].samples["", ()] == 0
    assert page["credd_token_age_seconds"].samples["", (("credential", "lab"),)] >= 0


async def test_events_tell_of_a_reload_and_of_a_login_that_was_lost(house: Home) -> None:
    """A stream that is followed while things happen."""
    reader, writer = await asyncio.open_unix_connection(house.socket)
    writer.write(b"GET /v1/events HTTP/1.0\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    first = json.loads(await reader.readline())
    assert (first["type"], first["credential"]) == ("state", "lab")
    await house.ctl("reload")
    await house.ctl("logout", "lab", "--yes")
    seen = set[str]()
    async with asyncio.timeout(20):
        while not {"reload", "login-needed"} <= seen:
            seen.add(json.loads(await reader.readline())["type"])
    writer.close()


async def test_findings_of_a_broken_configuration_are_kept(house: Home) -> None:
    """After the reload that failed, for whoever asks later."""
    house.write_config('[daemon]\nlog_levle = "info"\n')
    await house.ctl("reload")
    found = (await house.ask("GET", "/v1/findings")).body["findings"]
    assert any("log_levle" in one["message"] or "log_levle" in one["place"] for one in found)
