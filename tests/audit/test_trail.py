"""Equal deeds are counted together, and no disk stops what is watched."""

from __future__ import annotations

import errno
import os
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from credd.audit import files as files_module
from credd.audit import trail as trail_module
from credd.audit.reading import MOST_LINES, Wanted
from credd.audit.trail import Trail
from credd.core.deeds import Asker, Deed
from tests.audit.trails import TRAINER, Wall, checked, fetch, lines, opened, until, write


class Disk:
    """os.write, which can be made to fail, after having written a part."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_full = False
        self.hold: threading.Event | None = None
        self._write = os.write
        monkeypatch.setattr(files_module.os, "write", self)
        monkeypatch.setattr(trail_module, "RETRY_EVERY", 0.02)

    def __call__(self, descriptor: int, data: bytes) -> int:
        if self.hold is not None:
            self.hold.wait(20)
        if not self.is_full:
            return self._write(descriptor, data)
        self._write(descriptor, data[:10])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_line_says_who_got_what(tmp_path: Path) -> None:
    """Who: uid, pid, executable, what it calls itself, cgroup. What, which generation, result."""
    with opened(tmp_path) as trail:
        trail.note(fetch(7))
        trail.note(Deed("start"))
    first, second = lines(tmp_path)
    assert {k: v for k, v in first.items() if k != "hash"} == {
        "n": 1, "at": 1_700_000_000.0, "what": "token", "credential": "lab", "generation": 7,
        "pid": 4711, "executable": "/usr/bin/python3.11", "script": "train.py",
        "cgroup": "/job.slice", "uid": 1000, "result": "ok",
    }  # fmt: skip
    assert {k: v for k, v in second.items() if k != "hash"} == {
        "n": 2, "at": 1_700_000_000.0, "what": "start", "result": "ok",
    }  # fmt: skip


def test_equal_fetches_are_counted_together(tmp_path: Path) -> None:
    """The first at once; a thousand within its minute are one line more, with first and last."""
    wall = Wall()
    with opened(tmp_path, wall) as trail:
        for _ in range(1001):
            trail.note(replace(fetch(7), asker=replace(TRAINER, pid=int(wall.at))))
            wall.at += 0.05
        assert len(trail.pending("lab")) == 1
        assert trail.pending("other") == []
        until(lambda: trail.files.last.n == 1)
        wall.at += 10
        trail.sweep()
        until(lambda: trail.files.last.n == 2)
    told = lines(tmp_path)
    assert ["count" in line for line in told] == [False, True]
    assert (told[1]["count"], told[1]["at"], told[1]["last"]) == (
        1000, pytest.approx(1_700_000_000.05), pytest.approx(1_700_000_050.0),
    )  # fmt: skip


@pytest.mark.parametrize(
    "other",
    [
        fetch(8),
        fetch(7, credential="b"),
        fetch(7, result="locked"),
        fetch(7, what="reject"),
        fetch(7, asker=replace(TRAINER, executable="/usr/bin/curl")),
        fetch(7, asker=replace(TRAINER, cgroup="/other")),
        fetch(7, asker=replace(TRAINER, uid=0)),
        fetch(7, asker=replace(TRAINER, socket="job")),
    ],
)
def test_different_deeds_are_never_counted_together(other: Deed, tmp_path: Path) -> None:
    """Another generation, credential, result, deed, program, cgroup, user or socket."""
    with opened(tmp_path) as trail:
        trail.note(fetch(7))
        trail.note(other)
    assert len(lines(tmp_path)) == 2


def test_a_clock_set_back_does_not_keep_a_count_open(tmp_path: Path) -> None:
    """What seems to begin in the future is written, and counted anew."""
    wall = Wall()
    with opened(tmp_path, wall) as trail:
        trail.note(fetch(7))
        wall.at -= 86400
        trail.note(fetch(7))
    assert [line["at"] for line in lines(tmp_path)] == [1_700_000_000.0, 1_699_913_600.0]


def test_a_crowd_of_different_askers_takes_bounded_memory(tmp_path: Path) -> None:
    """Beyond so many open counts, the oldest is written early, and nothing is lost."""
    with opened(tmp_path) as trail:
        for _ in range(2):
            for pid in range(2000):
                trail.note(fetch(1, asker=Asker(1000, pid, f"/bin/{pid}")))
        assert len(trail._open) <= trail_module.OPEN_AT_MOST
    assert sum(line.get("count", 1) for line in lines(tmp_path)) == 4000


def test_t29_a_full_disk_stops_nobody_and_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Telling returns at once, the file stays whole, and what waited is written later."""
    disk = Disk(monkeypatch)
    with opened(tmp_path) as trail:
        trail.note(fetch(1))
        until(lambda: trail.files.last.n == 1)
        disk.is_full = True
        for number in range(2, 50):
            trail.note(fetch(number))
        until(lambda: trail.fault != "")
        assert trail.fault == os.strerror(errno.ENOSPC)
        time.sleep(0.1)  # a few tries more, which must not be said again
        assert len(lines(tmp_path)) == 1, "a torn line was left behind"
        disk.is_full = False
        until(lambda: trail.fault == "" and trail.files.last.n == 49)
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    assert checked(tmp_path).faults == []
    assert trail.lost == 0


def test_lines_beyond_all_patience_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What can't be kept in memory either is lost, and a line says how much."""
    disk = Disk(monkeypatch)
    monkeypatch.setattr(trail_module, "WAITING_AT_MOST", 10)
    with opened(tmp_path) as trail:
        disk.is_full = True
        for number in range(1, 101):
            trail.note(fetch(number))
        assert trail.lost >= 80
        disk.is_full = False
        until(lambda: trail.files.last.n > 0)
        trail.note(fetch(1000))
    told = lines(tmp_path)
    assert sum(line["count"] for line in told if line["what"] == "lost") == trail.lost
    assert sum(line["what"] == "token" for line in told) == 101 - trail.lost


def test_t87_a_disk_that_hangs_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Telling takes no time while a write does not return, and the end waits no longer than so."""
    disk = Disk(monkeypatch)
    disk.hold = threading.Event()
    trail = Trail(files_module.Files(tmp_path / "audit.jsonl"), Wall())
    trail.open()
    start = time.monotonic()
    for number in range(1000):
        trail.note(fetch(number))
    trail.close(within=0.2)
    assert time.monotonic() - start < 2
    disk.hold.set()
    until(lambda: trail._thread is not None and not trail._thread.is_alive())


@pytest.mark.parametrize("what", ["removed", "replaced", "shortened", "lengthened"])
def test_what_is_done_to_the_open_file_is_noticed(what: str, tmp_path: Path) -> None:
    """The writer looks before it writes, says so in the trail, and goes on."""
    file = tmp_path / "audit.jsonl"
    with opened(tmp_path) as trail:
        for number in range(1, 6):
            trail.note(fetch(number))
        until(lambda: trail.files.last.n == 5)
        content = file.read_bytes()
        if what == "removed":
            file.unlink()
        elif what == "replaced":
            (tmp_path / "other").write_bytes(content[:-10])
            (tmp_path / "other").rename(file)
        else:
            file.write_bytes(content[:100] if what == "shortened" else content + b"more\n")
        trail.note(fetch(6))
        until(lambda: trail.files.last.n == 7)
        assert "audit.jsonl was" in trail.damage
    assert last_two(tmp_path)["what"] == "damage"
    assert checked(tmp_path).faults


def last_two(folder: Path) -> dict[str, object]:
    import json

    line: dict[str, object] = json.loads((folder / "audit.jsonl").read_text().splitlines()[-2])
    return line


def test_where_no_trail_can_be_opened_tokens_are_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder where the file should be: said, retried, and written once it can be."""
    monkeypatch.setattr(trail_module, "RETRY_EVERY", 0.02)
    (tmp_path / "audit.jsonl").mkdir()
    with opened(tmp_path) as trail:
        trail.note(fetch(1))
        until(lambda: trail.fault != "")
        (tmp_path / "audit.jsonl").rmdir()
        until(lambda: trail.files.last.n == 1)
    assert checked(tmp_path).faults == []


def test_a_symlink_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trail is never written through a link to somewhere else."""
    monkeypatch.setattr(trail_module, "RETRY_EVERY", 0.02)
    (tmp_path / "elsewhere").write_text("mine")
    (tmp_path / "audit.jsonl").symlink_to(tmp_path / "elsewhere")
    with opened(tmp_path) as trail:
        trail.note(fetch(1))
        until(lambda: trail.fault != "")
    assert (tmp_path / "elsewhere").read_text() == "mine"


# --- pages -----------------------------------------------------------------------------------


def test_pages_follow_one_another_over_rotated_files(tmp_path: Path) -> None:
    """Every line once, in order, though a file is rotated between two pages."""
    with opened(tmp_path, rotate_at=1500) as trail:
        seen, cursor, number = list[int](), "", 0
        for _ in range(12):
            for _ in range(3):
                number += 1
                trail.note(fetch(number))
                until(lambda: trail.files.last.n == number)  # noqa: B023
            page = trail.page(Wanted(cursor=cursor, limit=2))
            seen, cursor = seen + [entry["n"] for entry in page.entries], page.cursor
            assert page.more == (number > len(seen))
        while page.more:
            page = trail.page(Wanted(cursor=page.cursor, limit=5))
            seen += [entry["n"] for entry in page.entries]
        assert trail.page(Wanted(cursor=page.cursor)).entries == []
    assert seen == list(range(1, 37))


def test_a_page_can_be_of_one_credential_and_of_late(tmp_path: Path) -> None:
    """Filters: the credential, and not before."""
    wall = Wall()
    with opened(tmp_path, wall) as trail:
        for number in range(1, 5):
            trail.note(fetch(number, credential="lab" if number % 2 else "hub"))
            wall.at += 100
        until(lambda: trail.files.last.n == 4)
        hub = trail.page(Wanted(credential="hub")).entries
        late = trail.page(Wanted(since=1_700_000_200.0)).entries
    assert [entry["n"] for entry in hub] == [2, 4]
    assert [entry["n"] for entry in late] == [3, 4]
    assert "hash" not in hub[0]


def test_a_page_is_bounded_and_its_cursor_checked(tmp_path: Path) -> None:
    """Whatever limit is asked for; what is no cursor of ours is refused."""
    write(tmp_path, MOST_LINES + 5)
    with opened(tmp_path) as trail:
        until(lambda: trail.files.last.n > MOST_LINES)
        assert len(trail.page(Wanted(limit=10**9)).entries) == MOST_LINES
        for cursor in ("x", "1", "-1-2", "1-2-3", "1" * 30 + "-1"):
            with pytest.raises(ValueError, match="cursor"):
                trail.page(Wanted(cursor=cursor))
