"""Announcing: which commands stand for a notice, by the settings of that moment."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

import pytest

from credd.core.config import HookSettings
from credd.core.notices import ERROR, LOGIN_REQUIRED, Notice
from credd.daemon.announcing import Announcer


class Runner:
    """Writes down what would be run."""

    def __init__(self) -> None:
        self.begun: list[tuple[list[str], Mapping[str, str]]] = []

    def start(self, argv: Sequence[str], told: Mapping[str, str]) -> bool:
        self.begun.append((list(argv), told))
        return True


def notice(event: str) -> Notice:
    state = "login-required" if event == LOGIN_REQUIRED else "misconfigured"
    return Notice(event, "lab", state, "invalid_grant", "it has ended", "credd-ctl login lab")


def begun(settings: HookSettings, event: str) -> list[list[str]]:
    """The commands for an event."""
    runner = Runner()
    Announcer(runner, "/run/credd.sock", lambda: settings).tell(notice(event))
    return [argv for argv, _ in runner.begun]


def test_each_event_has_its_own_command() -> None:
    """A login that is needed, and everything else that is wrong."""
    settings = HookSettings(on_login_required=["notify-me", "--urgent"], on_error=["alarm"])
    assert begun(settings, LOGIN_REQUIRED) == [["notify-me", "--urgent"]]
    assert begun(settings, ERROR) == [["alarm"]]


@pytest.mark.parametrize("event", [LOGIN_REQUIRED, ERROR])
def test_without_settings_nothing_is_run(event: str) -> None:
    """Nobody's desktop is used unasked."""
    assert begun(HookSettings(), event) == []


def test_the_desktop_is_used_where_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the command; it says whose login, and what to type."""
    monkeypatch.setattr(sys, "platform", "linux")
    (argv,) = begun(HookSettings(desktop=True), LOGIN_REQUIRED)
    assert argv[0] == "notify-send"
    assert argv[-2:] == ["credd: lab needs a login", "it has ended\ncredd-ctl login lab"]
    both = HookSettings(on_error=["alarm"], desktop=True)
    assert [argv[0] for argv in begun(both, ERROR)] == ["alarm", "notify-send"]


def test_a_reload_counts_at_once() -> None:
    """Whatever settings are in force when there is something to tell."""
    now, runner = [HookSettings()], Runner()
    announcer = Announcer(runner, "/run/credd.sock", lambda: now[0])
    announcer.tell(notice(ERROR))
    now[0] = HookSettings(on_error=["alarm"])
    announcer.tell(notice(ERROR))
    assert [argv for argv, _ in runner.begun] == [["alarm"]]


def test_t46_a_command_is_told_by_its_environment() -> None:
    """Name, state, remedy, and the socket of the daemon that calls."""
    runner = Runner()
    settings = HookSettings(on_error=["alarm"])
    Announcer(runner, "/run/credd.sock", lambda: settings).tell(notice(ERROR))
    told = runner.begun[0][1]
    assert told["CREDD_CREDENTIAL"] == "lab"
    assert told["CREDD_SOCK"] == "/run/credd.sock"
    assert told["CREDD_REMEDY"] == "credd-ctl login lab"
