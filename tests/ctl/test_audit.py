"""The verb audit: sums that say no more than the trail, lines as they come, and the check."""

from __future__ import annotations

import json
import os
import time
from typing import Any

import pytest

from credd import wire_audit
from credd.ctl import audit_page
from tests.ctl.conftest import Home
from tests.ctl.standin import Standin

PYTHON = "/usr/bin/python3.11"


def entry(**changes: Any) -> wire_audit.AuditEntry:
    """A fetch by train.py, 12 s ago."""
    plain: dict[str, Any] = {
        "n": 1, "at": time.time() - 12.5, "what": "token", "result": "ok", "credential": "lab",
        "generation": 7, "uid": os.geteuid(), "pid": 4711, "executable": PYTHON,
        "script": "train.py", "cgroup": "/job",
    }  # fmt: skip
    return {**plain, **changes}  # type: ignore[typeddict-item]


def page(*entries: wire_audit.AuditEntry, **changes: Any) -> wire_audit.AuditReply:
    plain: dict[str, Any] = {
        "entries": list(entries), "pending": [], "cursor": "1-100", "more": False, "lost": 0,
        "trouble": "",
    }  # fmt: skip
    return {**plain, **changes}  # type: ignore[typeddict-item]


def test_fetches_of_a_program_are_summed_up(home: Home, daemon: Standin) -> None:
    """Over all pages, with what is not written yet: how many, which generations, when last."""
    old = entry(at=time.time() - 5000, last=time.time() - 4000, count=1000)
    daemon.audit_pages = [
        page(old, more=True, cursor="1-500"),
        page(entry(generation=31), pending=[entry(generation=31, count=311, n=0)]),
    ]
    done = home.ctl("audit")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "lab\n"
        f"  train.py [claimed] by {PYTHON}: 1,312 fetches, generations 7 to 31, last 12 s ago\n"
    )
    assert daemon.asked("audit")[1]["cursor"] == "1-500"


def test_what_is_different_is_told_apart(home: Home, daemon: Standin) -> None:
    """Another program, result, kind or job socket has a line of its own; credd speaks of itself."""
    itself: Any = {"n": 9, "at": time.time() - 1, "what": "renewal", "result": "ok",
                   "credential": "lab", "generation": 8}  # fmt: skip
    daemon.audit_pages = [page(
        entry(at=time.time() - 60.5),
        entry(script="", executable="/usr/bin/curl", at=time.time() - 50.5),
        entry(result="login_required", generation=0, at=time.time() - 40.5),
        entry(what="reject", at=time.time() - 30.5),
        entry(socket="train", uid=4242, executable="", script="", at=time.time() - 20.5),
        itself,
    )]  # fmt: skip
    lines = home.ctl("audit").stdout.splitlines()
    claimed = f"train.py [claimed] by {PYTHON}"
    assert [line.strip() for line in lines[1:]] == [
        f"{claimed}: 1 fetch, generation 7, last 60 s ago",
        "/usr/bin/curl: 1 fetch, generation 7, last 50 s ago",
        f"{claimed}: 1 fetch refused (login_required), last 40 s ago",
        f"{claimed}: 1 rejection, generation 7, last 30 s ago",
        "an unreadable process of uid 4242, job socket train: 1 fetch, generation 7, last 20 s ago",
        "credd itself: 1 refresh, generation 8, last 1 s ago",
    ]


def test_filters_travel_to_the_daemon(home: Home, daemon: Standin) -> None:
    """NAME and how long ago; a day where nothing is said."""
    home.ctl("audit", "--credential", "lab", "--since", "2h")
    home.ctl("audit")
    first, second = daemon.asked("audit")
    assert first["credential"] == "lab"
    assert float(first["since"]) == pytest.approx(time.time() - 7200, abs=60)
    assert float(second["since"]) == pytest.approx(time.time() - 86400, abs=60)
    assert "credential" not in second


def test_json_has_every_line(home: Home, daemon: Standin) -> None:
    """With a schema version, and nothing summed up."""
    daemon.audit_pages = [page(entry(), entry(n=2))]
    told = json.loads(home.ctl("audit", "--json").stdout)
    assert (told["schema"], [one["n"] for one in told["entries"]]) == (1, [1, 2])


def test_an_empty_trail_says_how_to_look_further(home: Home, daemon: Standin) -> None:
    """No table without rows."""
    assert "--since 30d" in home.ctl("audit").stdout


def test_a_trail_that_is_not_written_is_said(home: Home, daemon: Standin) -> None:
    """Somebody who looks must know that lines are missing."""
    daemon.audit_pages = [page(entry(), lost=1200, trouble="No space left on device")]
    done = home.ctl("audit")
    assert done.returncode == 0
    assert "No space left on device" in done.stderr
    assert "1,200" in done.stderr


def test_follow_tells_each_line_once_as_it_comes(home: Home, daemon: Standin) -> None:
    """It goes on where the last page ended, and Ctrl-C is the ordinary way to leave."""
    daemon.audit_pages = [page(entry()), page(), page(entry(n=2, generation=8, count=5))]
    with home.terminal("audit", "--follow") as terminal:
        terminal.expect("lab  fetch generation 7: ok")
        terminal.expect("lab  fetch generation 8 5 times: ok")
        terminal.type("\x03")
        assert terminal.end() == 0
    assert [one.get("cursor") for one in daemon.asked("audit")[:3]] == [None, "1-100", "1-100"]


def test_a_whole_trail_is_said_to_be_whole(home: Home, daemon: Standin) -> None:
    """Exit 0, with the lines that were read."""
    done = home.ctl("audit", "--verify")
    assert (done.returncode, done.stdout) == (0, "The audit trail is whole: lines 1 to 9.\n")


def test_a_changed_trail_exits_1_and_names_the_line(home: Home, daemon: Standin) -> None:
    """On stderr, since nothing is on stdout unless the status is 0."""
    fault: wire_audit.AuditFault = {
        "file": "audit.jsonl", "line": 4, "n": 4, "message": "line 4 is not as it was written",
    }  # fmt: skip
    daemon.audit_faults = [fault]
    done = home.ctl("audit", "--verify")
    assert (done.returncode, done.stdout) == (1, "")
    assert "audit.jsonl:4  line 4 is not as it was written" in done.stderr
    assert done.stderr.splitlines()[-1] == "credd-ctl audit --verify --json"
    machine = home.ctl("audit", "--verify", "--json")
    assert json.loads(machine.stderr.splitlines()[0])["faults"] == [fault]


def test_verify_and_follow_exclude_each_other(home: Home, daemon: Standin) -> None:
    """A usage error."""
    assert home.ctl("audit", "--verify", "--follow").returncode == 2


def test_threat_34_what_a_program_is_called_reaches_no_terminal_unchanged() -> None:
    """An executable may be named with escape sequences."""
    evil = "/tmp/\x1b]0;owned\x07\u202epy"
    hostile = entry(executable=evil, script="", credential=evil, result=evil, what=evil)
    for text in (audit_page.summary([hostile], time.time()), audit_page.line(hostile)):
        assert not set(text) & {"\x1b", "\x07", "\u202e"}
