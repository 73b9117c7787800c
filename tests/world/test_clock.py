"""The clock: three readings that belong together, and dice."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from credd.core.instant import elapsed
from credd.world.clock import BOOT_ID, Clock, read_boot_id, read_boottime


def test_now_reads_wall_boottime_and_the_name_of_this_boot() -> None:
    """Two instants of one boot can be subtracted, and lie between two looks at the system."""
    clock = Clock()
    before, first, second, after = time.time(), clock.now(), clock.now(), time.time()
    assert before <= first.wall <= after
    assert first.boot_id == second.boot_id != ""
    assert 0 <= elapsed(first, second) < 60
    assert first.boottime <= second.boottime


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="CLOCK_BOOTTIME is Linux's")
def test_boottime_counts_suspend() -> None:
    """The clock that runs through suspend is read, never the one that stands still."""
    assert abs(read_boottime() - time.clock_gettime(time.CLOCK_BOOTTIME)) < 1


@pytest.mark.skipif(not BOOT_ID.exists(), reason="this system names no boot")
def test_two_processes_of_one_boot_agree_on_its_name() -> None:
    """The name comes from the kernel."""
    assert read_boot_id() == read_boot_id() == BOOT_ID.read_text().strip()


def test_without_a_name_each_process_is_a_boot_of_its_own(tmp_path: Path) -> None:
    """Then only the wall clock counts across processes, which is the careful side."""
    (tmp_path / "empty").write_text("")
    (tmp_path / "odd").write_bytes(b"\xff\n")
    names = {read_boot_id(tmp_path / name) for name in ("absent", "empty", "odd")}
    assert len(names) == 3
    assert all(names)


def test_a_test_hands_in_its_own_time_and_dice() -> None:
    """Nothing of the real world is left where a test brings its own."""
    clock = Clock(wall=lambda: 5.0, boottime=lambda: 7.0, boot_id="b", throw=lambda: 0.25)
    assert (clock.now().to_json(), clock.dice()) == ([5.0, 7.0, "b"], 0.25)
    assert repr(clock) == "<Clock boot=b boottime=7>"


def test_dice_fall_differently() -> None:
    """Uniform in [0, 1), and not always the same number."""
    throws = [Clock().dice() for _ in range(100)]
    assert all(0 <= throw < 1 for throw in throws)
    assert len(set(throws)) > 90
