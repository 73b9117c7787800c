"""Promises about moments: however the clocks are bent, waiting ends and tokens only age."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credd.core.instant import Instant, elapsed, until
from tests.core.facts import NOW, later, modest, moments

SECONDS = st.floats(0, 1e8)


def test_both_clocks_agree_in_good_times() -> None:
    """A minute is a minute."""
    assert elapsed(NOW, later(60)) == 60


@pytest.mark.parametrize(
    ("wall", "boottime", "boot", "expected"),
    [
        (60.0, 60.0, "boot-1", 60.0),
        (86460.0, 60.0, "boot-1", 86460.0),  # the wall clock was set forward
        (-86340.0, 60.0, "boot-1", 60.0),  # it was set back
        (28800.0, 0.0, "boot-1", 28800.0),  # a paused machine: boottime stood still
        (60.0, -4000.0, "boot-2", 60.0),  # another boot: only the wall clock counts
        (-60.0, -4000.0, "boot-2", math.inf),  # and where that is earlier, nobody can tell
        (0.0, 0.0, "boot-1", 0.0),
        (0.0, -4000.0, "boot-2", 0.0),
    ],
)
def test_the_clock_that_says_more_is_believed(
    wall: float, boottime: float, boot: str, expected: float
) -> None:
    """Suspend, steps, pauses and reboots, one row each."""
    now = Instant(NOW.wall + wall, NOW.boottime + boottime, boot)
    assert elapsed(NOW, now) == expected


@modest
@given(moments, SECONDS, st.floats(-1e9, 1e9))
def test_no_step_of_the_wall_clock_makes_anything_younger(
    since: Instant, passed: float, step: float
) -> None:
    """Within one boot, at least the seconds since boot have passed."""
    now = Instant(since.wall + passed + step, since.boottime + passed, since.boot_id)
    assert elapsed(since, now) >= now.boottime - since.boottime


@modest
@given(moments, moments)
def test_time_since_an_earlier_boot_is_never_negative(since: Instant, now: Instant) -> None:
    """Another boot came later, whatever the wall clock says."""
    if since.boot_id != now.boot_id:
        assert elapsed(since, now) >= 0


@modest
@given(moments, moments, SECONDS)
def test_what_is_left_is_neither_negative_nor_endless(
    since: Instant, now: Instant, seconds: float
) -> None:
    """`until` is a sleep: at least 0, and finite whatever the clocks say."""
    left = until(since, seconds, now)
    assert 0 <= left < math.inf


@modest
@given(moments, SECONDS, SECONDS)
def test_waiting_ends_when_its_time_has_passed(since: Instant, seconds: float, more: float) -> None:
    """Once the seconds have passed on either clock nothing is left, and nothing comes back."""
    by_boot = Instant(since.wall - 1e6, since.boottime + seconds + 1 + more, since.boot_id)
    by_wall = Instant(since.wall + seconds + 1 + more, since.boottime, since.boot_id)
    assert until(since, seconds, by_boot) == until(since, seconds, by_wall) == 0


@modest
@given(moments)
def test_a_moment_survives_being_written_down(moment: Instant) -> None:
    """To the last bit: a due time must not move because a daemon was restarted."""
    assert Instant.from_json(moment.to_json()) == moment


@pytest.mark.parametrize(
    "value", [[], [1], [1, 2], [1, 2, "b", 4], ["x", 2, "b"], ["nan", 1, "b"], [1, "inf", "b"]]
)
def test_what_is_no_moment_is_refused(value: list[object]) -> None:
    """ValueError, never a moment that no clock has shown."""
    with pytest.raises(ValueError, match=r"."):
        Instant.from_json(value)
