"""The demo's sum tells the truth, and both views tell the same."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from demo.scene import Scene, duration, plausible_refreshes, verdict
from demo.view import LiveView, PlainView


def make_scene(**changes: Any) -> Scene:
    """A run of a minute in which everything held."""
    scene = Scene(
        seconds=60,
        elapsed=60,
        issuer={"refreshes": {"g1": 10}, "seen_twice": 0, "violations": [], "is_away": False},
        tracking={"accepted": 9000, "rejected": 0, "steps": {"worker-0": 4500, "worker-1": 4500}},
        job={"steps": 9000, "errors": 0, "last_error": "", "p50": 2e-6, "p99": 1.5e-3},
        credential={"generation": 11, "state": "fresh"},
        daemon_pid=4711,
        kills=2,
        outage=4.0,
        job_status=0,
        searched=12,
    )
    vars(scene).update(changes)
    return scene


def test_everything_holds_when_everything_held() -> None:
    """The good run has no failing line, and `rejected: 0` stands in the sum."""
    lines = verdict(make_scene())
    assert all(line.holds for line in lines)
    assert ("rejected", "0") in [(line.label, line.value) for line in lines]


FAULTS: dict[str, dict[str, Any]] = {
    "requests": {"tracking": {"accepted": 0, "rejected": 0}},
    "rejected": {"tracking": {"accepted": 9, "rejected": 1}},
    "client errors": {"job": {"steps": 1, "errors": 1, "last_error": "LoginRequired"}},
    "job's exit status": {"job_status": None},
    "refreshes": {"issuer": {"refreshes": {"g1": 1}, "seen_twice": 0, "violations": []}},
    "refresh tokens seen twice": {"issuer": {"refreshes": {"g1": 10}, "seen_twice": 1}},
    "violations of the standards": {"issuer": {"refreshes": {}, "violations": ["x"]}},
    "secrets in plain text": {"leaks": ["credd.log"]},
    "daemon killed": {"kills": 1},
    "issuer away": {"outage": 0.0},
    "latency of get_token": {"job": {}},
}


@pytest.mark.parametrize("label", sorted(FAULTS))
def test_one_fault_is_enough_to_fail(label: str) -> None:
    """Each line of the sum fails on its own."""
    lines = {line.label: line.holds for line in verdict(make_scene(**FAULTS[label]))}
    assert lines[label] is False


def test_enough_and_not_too_many_refreshes_are_plausible() -> None:
    """A run without refreshes proves nothing; one with dozens is a spinning daemon."""
    assert 1 in plausible_refreshes(20)
    assert plausible_refreshes(60) == range(7, 17)


def test_durations_are_readable() -> None:
    """The unit follows the size."""
    assert [duration(s) for s in (2e-6, 1.5e-3, 2.25)] == ["2 µs", "1.5 ms", "2.2 s"]


def test_the_plain_view_prints_each_event_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Lines that are complete in themselves, for logs."""
    scene, view = make_scene(), PlainView()
    scene.tell("the issuer is back")
    with view:
        view.show(scene)
        view.show(scene)
    view.close(verdict(make_scene(kills=1)))
    shown = capsys.readouterr().out
    assert shown.count("the issuer is back") == 1
    assert shown.count("generation 11") == 1
    assert "\nrejected: 0\n" in shown
    assert "FAILED daemon killed: 1 times" in shown


def test_the_live_view_draws_the_same_facts() -> None:
    """Whatever a plain line says is in the picture, too."""
    stream = io.StringIO()
    scene = make_scene(daemon_pid=0)
    scene.tell("the issuer is back")
    view = LiveView(Console(file=stream, force_terminal=True, width=100))
    with view:
        view.show(scene)
    view.close(verdict(scene))
    for fact in ("9000", "the issuer is back", "dead, killed 2x", "rejected: 0"):
        assert fact in stream.getvalue()
