"""Each fact that a person can mend becomes a finding with a place and a remedy; others do not."""

from __future__ import annotations

from typing import Any

import pytest

from credd import wire
from credd.core.instant import Instant
from credd.core.states import STATES
from credd.findings.findings import SILENT, STEPS_KEPT, ClockSteps, Facts, find
from tests.api.front import CREDENTIAL

VERSION: wire.VersionReply = {
    "version": "0.1.0", "installed": "0.1.0", "api": "1", "pid": 1, "started_at": 1.0,
    "vault": "open", "key_source": "file",
}  # fmt: skip


def facts(**changes: Any) -> Facts:
    plain: dict[str, Any] = {
        "version": VERSION, "config": [], "credentials": [], "vault_reason": "", "vault_remedy": "",
        "audit_fault": "", "audit_lost": 0, "audit_damage": "", "steps": [],
    }  # fmt: skip
    return Facts(**{**plain, **changes})


def test_where_all_is_well_there_is_no_finding() -> None:
    """A good credential and an open vault are none."""
    assert find(facts(credentials=[CREDENTIAL])) == []


@pytest.mark.parametrize(
    ("changes", "place", "word"),
    [
        ({"version": {**VERSION, "installed": "0.2.0"}}, "credd", "0.2.0 is installed"),
        ({"version": {**VERSION, "vault": "restored"}}, "vault", "copy"),
        ({"vault_reason": "the keyring is locked", "vault_remedy": "credd-ctl unlock"}, "vault",
         "keyring"),
        ({"audit_fault": "No space left on device"}, "audit.jsonl", "No space left"),
        ({"audit_lost": 5}, "audit.jsonl", "5 lines"),
        ({"audit_damage": "cut off after line 6, of 8"}, "audit.jsonl", "line 6"),
        ({"steps": [(1e9, 86400.0)]}, "clock", "forward by 86400 s"),
        ({"steps": [(1e9, -5.0)]}, "clock", "back by 5 s"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_place_and_remedy(
    changes: dict[str, Any], place: str, word: str
) -> None:
    """Version, vault, audit trail, clock."""
    (found,) = find(facts(**changes))
    assert found["place"] == place
    assert word in found["message"]
    assert found["remedy"]


def test_findings_of_a_configuration_that_was_not_applied_are_kept() -> None:
    """As the reload said them."""
    kept: wire.Finding = {"place": "config.toml:3", "message": "unknown key", "remedy": "x"}
    assert find(facts(config=[kept])) == [kept]


@pytest.mark.parametrize("state", sorted(STATES))
def test_a_state_that_needs_somebody_is_a_finding(state: str) -> None:
    """Unsaved, damaged, restored, refused; what goes well, or waits, is none."""
    one: Any = {**CREDENTIAL, "state": state, "meaning": "what it means"}
    found = find(facts(credentials=[one]))
    assert bool(found) == (state not in SILENT)
    for finding in found:
        assert finding["place"] == "credentials.lab"
        assert "no name" in finding["message"], "what went wrong last is told"
        assert finding["remedy"] == "credd-ctl status lab"


def test_t59_a_clock_that_was_set_is_noticed() -> None:
    """A jump of one clock alone; suspend moves both, and slewing is too small."""
    steps, boot = ClockSteps(), "boot"
    for wall, boottime in ((1000, 10), (1005, 15), (30_005, 29_015), (30_011.5, 29_020)):
        steps.look(Instant(wall, boottime, boot))
    assert steps.seen == []
    steps.look(Instant(40_011.5, 29_025, boot))
    assert steps.seen == [(40_011.5, 9995.0)]
    for number in range(20):
        steps.look(Instant(50_000 + 1000 * number, 29_025, boot))
    assert len(steps.seen) == STEPS_KEPT
