"""A line that was removed, edited, swapped or cut off is noticed, and named."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.audit.trails import checked, fetch, lines, opened, write

Lines = list[bytes]


def change(folder: Path, alter: Callable[[Lines], Lines]) -> None:
    """Do something to the lines behind the trail's back."""
    file = folder / "audit.jsonl"
    file.write_bytes(b"".join(alter(file.read_bytes().splitlines(keepends=True))))


def swap(found: Lines) -> Lines:
    found[3], found[4] = found[4], found[3]
    return found


def edit(found: Lines) -> Lines:
    found[3] = found[3].replace(b'"generation":4', b'"generation":9')
    return found


def respell(found: Lines) -> Lines:
    found[3] = found[3].replace(b'"generation":4', b'"generation": 4')
    return found


def double(found: Lines) -> Lines:
    return [*found[:4], *found[3:]]


def noise(found: Lines) -> Lines:
    found[3] = b"\xff\x00 no line\n"
    return found


def forge_all(found: Lines) -> Lines:
    """Leave line 4 out, and number and hash all that follow anew: only the head knows better."""
    from credd.audit.chain import Link, forge, read_link

    before, made = read_link(found[2]), found[:3]
    assert before is not None
    for line in found[4:]:
        fields = {k: v for k, v in json.loads(line).items() if k not in ("n", "hash")}
        before, new = forge(before, fields)
        made.append(new)
    assert isinstance(before, Link)
    return made


@pytest.mark.parametrize(
    ("alter", "named", "word"),
    [
        (lambda found: found[:3] + found[4:], 5, "line 4 is missing"),
        (lambda found: found[:2] + found[6:], 7, "lines 3 to 6 are missing"),
        (lambda found: found[1:], 2, "line 1 is missing"),
        (edit, 4, "line 4 is not as it was written"),
        (respell, 4, "line 4 is not as it was written"),
        (swap, 5, "line 4 is missing"),
        (double, 4, "out of its place"),
        (noise, 4, "no line of the trail"),
        (lambda found: found[:6], 7, "cut off: lines 7 to 8 are gone"),
        (lambda found: [*found[:7], found[7][:-20]], 8, "cut off: line 8 is gone"),
        (lambda found: [], 1, "cut off: lines 1 to 8 are gone"),
        (forge_all, 8, "cut off: line 8 is gone"),
    ],
    ids=["removed", "several", "first", "edited", "respelled", "swapped", "doubled", "noise",
         "cut off", "cut in a line", "emptied", "forged"],
)  # fmt: skip
def test_what_was_done_to_a_line_is_noticed_with_its_number(
    alter: Callable[[Lines], Lines], named: int, word: str, tmp_path: Path
) -> None:
    """The first finding names the line, whatever was done to it."""
    write(tmp_path, 8)
    assert checked(tmp_path).faults == []
    change(tmp_path, alter)
    fault = checked(tmp_path).faults[0]
    assert (fault.n, fault.file) == (named, "audit.jsonl")
    assert word in fault.message


def test_one_edit_is_one_finding(tmp_path: Path) -> None:
    """The chain is followed from what the next line claims."""
    write(tmp_path, 8)
    change(tmp_path, edit)
    assert [(fault.line, fault.n) for fault in checked(tmp_path).faults] == [(4, 4)]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_changed_byte_is_noticed(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Not one byte of a line can be another one."""
    folder = tmp_path_factory.mktemp("trail")
    write(folder, 3)
    file = folder / "audit.jsonl"
    content = bytearray(file.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] = data.draw(st.integers(0, 255).filter(lambda new: new != content[place]))
    file.write_bytes(content)
    assert checked(folder).faults


def test_a_chain_goes_on_over_a_restart(tmp_path: Path) -> None:
    """The next daemon's lines follow the last one's."""
    write(tmp_path, 3)
    write(tmp_path, 3)
    report = checked(tmp_path)
    assert (report.lines, report.first, report.last, report.faults) == (6, 1, 6, [])


def test_a_cut_off_end_stays_to_be_seen_after_a_restart(tmp_path: Path) -> None:
    """The next daemon goes on with the numbers of the head, and writes down what it found."""
    write(tmp_path, 8)
    change(tmp_path, lambda found: found[:6])
    with opened(tmp_path) as trail:
        trail.note(fetch(9))
    assert "cut off after line 6" in trail.damage
    assert [(line["n"], line["what"]) for line in lines(tmp_path)[6:]] == [
        (9, "damage"), (10, "token"),
    ]  # fmt: skip
    assert "lines 7 to 8 are missing" in checked(tmp_path).faults[0].message


def test_a_forged_end_stays_to_be_seen_after_a_restart(tmp_path: Path) -> None:
    """A last line that is not the one the head knows is named, and never built upon."""
    write(tmp_path, 3)
    change(tmp_path, lambda found: [*found[:2], forge_all(found)[2].replace(b"lab", b"lob")])
    write(tmp_path, 1)
    assert checked(tmp_path).faults[0].n == 3


def test_a_missing_head_is_said(tmp_path: Path) -> None:
    """Without it a cut-off end can't be noticed, so its absence is a finding."""
    write(tmp_path, 3)
    (tmp_path / "audit.head").unlink()
    assert [fault.file for fault in checked(tmp_path).faults] == ["audit.head"]
    with opened(tmp_path) as trail:
        pass
    assert trail.damage == "audit.head was missing"


def test_a_line_torn_by_a_crash_is_no_tampering(tmp_path: Path) -> None:
    """What never was a whole line is cut off, and the chain goes on."""
    write(tmp_path, 3)
    with open(tmp_path / "audit.jsonl", "ab") as file:
        file.write(b'{"n":4,"at":17')
    with opened(tmp_path) as trail:
        trail.note(fetch(9))
    assert trail.damage == ""
    assert checked(tmp_path).faults == []
    assert len(lines(tmp_path)) == 4


def test_a_head_behind_its_file_is_no_tampering(tmp_path: Path) -> None:
    """A kill -9 comes between a line and its head; the line counts."""
    write(tmp_path, 3)
    head = (tmp_path / "audit.head").read_bytes()
    write(tmp_path, 3)
    (tmp_path / "audit.head").write_bytes(head)
    write(tmp_path, 1)
    report = checked(tmp_path)
    assert (report.lines, report.faults) == (7, [])


def test_the_chain_goes_on_over_rotated_files(tmp_path: Path) -> None:
    """Rotation by size; the oldest files go, and the head knows up to where."""
    write(tmp_path, 40, rotate_at=1000, keep=3)
    names = sorted(file.name for file in tmp_path.glob("audit.0*.jsonl"))
    assert len(names) == 3
    report = checked(tmp_path)
    assert (report.last, report.faults) == (40, [])
    assert report.first > 1


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_removed_file_is_noticed(which: int, tmp_path: Path) -> None:
    """Each rotated file, the oldest one too."""
    write(tmp_path, 40, rotate_at=1000, keep=3)
    sorted(tmp_path.glob("audit.0*.jsonl"))[which].unlink()
    assert "missing" in checked(tmp_path).faults[0].message


def test_t30_the_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    """0600, rotated or not, the head too."""
    write(tmp_path, 20, rotate_at=1000)
    for file in tmp_path.glob("audit*"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
