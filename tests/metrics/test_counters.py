"""The page is what Prometheus reads, its counts are right, and nobody can make it grow."""

from __future__ import annotations

from typing import Any

import pytest

from credd.core.deeds import Asker, Deed, Landing
from credd.core.states import STATES
from credd.metrics.counters import BOUNDS, Counters, Moment
from credd.metrics.text import Family, Sample, written
from tests.api.front import CREDENTIAL
from tests.metrics.exposition import Family as Read
from tests.metrics.exposition import parse


def moment(**changes: Any) -> Moment:
    plain: dict[str, Any] = {
        "version": "0.1.0", "credentials": [CREDENTIAL], "ages": {"lab": 12.5}, "in_flight": 2,
        "connections": 3, "audit_lost": 0, "audit_ok": True,
        "process": {"cpu_seconds_total": 1.25, "open_fds": 9.0, "max_fds": float("inf")},
    }  # fmt: skip
    return Moment(**{**plain, **changes})


def read(counters: Counters, **changes: Any) -> dict[str, Read]:
    return parse(counters.page(moment(**changes)))


def fetch(counters: Counters, **changes: Any) -> None:
    counters.began("token")
    counters.ended(Deed(**{"what": "token", "credential": "lab", **changes}))


def test_a_fresh_daemon_has_a_page() -> None:
    """Also before anything was counted, and without a credential."""
    assert read(Counters())["credd_refreshes_in_flight"].samples["", ()] == 2
    assert "credd_credential_state" not in read(Counters(), credentials=[], ages={})


def test_fetches_are_counted_by_credential_and_result() -> None:
    """Whoever asked, and whatever generation it was."""
    counters = Counters()
    for generation in range(5):
        fetch(counters, generation=generation, asker=Asker(1, generation))
    fetch(counters, result="login_required")
    found = read(counters)["credd_fetches_total"].samples
    assert found == {
        ("", (("credential", "lab"), ("result", "ok"))): 5,
        ("", (("credential", "lab"), ("result", "login_required"))): 1,
    }


def test_callers_who_wait_are_a_gauge() -> None:
    """From a request's beginning to its end."""
    counters = Counters()
    counters.began("token")
    counters.began("token")
    assert read(counters)["credd_waiting_callers"].samples["", ()] == 2
    counters.ended(Deed("token", result="left"))
    assert read(counters)["credd_waiting_callers"].samples["", ()] == 1


def test_names_that_callers_make_up_do_not_make_the_page_grow() -> None:
    """Unknown credentials are counted together."""
    counters = Counters()
    for number in range(1000):
        fetch(counters, credential=f"made-up-{number}", result="unknown_credential")
    assert read(counters)["credd_fetches_total"].samples == {
        ("", (("credential", ""), ("result", "unknown_credential"))): 1000,
    }


def test_refreshes_are_counted_by_outcome_and_timed() -> None:
    """A histogram of seconds with all buckets, and a count for each way it ended."""
    counters = Counters()
    for seconds in (0.01, 0.05, 0.3, 1000.0):
        counters.landed(Landing("lab", "refreshed", "", 7, seconds))
    counters.landed(Landing("lab", "transient", "dns", 7, 2.0))
    page = read(counters)
    seconds = page["credd_refresh_seconds"].samples
    assert seconds["_bucket", (("le", "0.05"),)] == 2, "a bound belongs to its bucket"
    assert seconds["_bucket", (("le", "0.5"),)] == 3
    assert seconds["_bucket", (("le", "+Inf"),)] == 5
    assert seconds["_sum", ()] == pytest.approx(1002.36)
    assert len(seconds) == len(BOUNDS) + 3
    counts = page["credd_refreshes_total"].samples
    outcomes = {dict(labels)["outcome"]: count for (_, labels), count in counts.items()}
    assert outcomes == {"refreshed": 4, "transient": 1}


def test_a_credential_is_in_one_state_of_all() -> None:
    """One sample a state, so that an alert can be written about each."""
    samples = read(Counters())["credd_credential_state"].samples
    assert len(samples) == len(STATES)
    assert [dict(labels)["state"] for (_, labels), value in samples.items() if value] == ["fresh"]


def test_ages_and_ends_are_there_where_they_are_known() -> None:
    """An unknown end has no sample, rather than a wrong one."""
    page = read(Counters())
    assert page["credd_token_age_seconds"].samples["", (("credential", "lab"),)] == 12.5
    assert page["credd_token_expires_seconds"].samples["", (("credential", "lab"),)] == 1060
    assert "credd_login_ends_seconds" not in page


def test_the_process_tells_of_itself() -> None:
    """CPU as a counter, the rest as gauges, infinity as the format spells it."""
    page = read(Counters(), audit_ok=False, audit_lost=7)
    assert page["credd_process_cpu_seconds_total"].kind == "counter"
    assert page["credd_process_max_fds"].samples["", ()] == float("inf")
    assert page["credd_build_info"].samples["", (("version", "0.1.0"),)] == 1
    assert page["credd_audit_writable"].samples["", ()] == 0
    assert page["credd_audit_lost_total"].samples["", ()] == 7


def test_t34_labels_are_escaped() -> None:
    """Quotes, backslashes and line ends come back as they were."""
    evil = 'a"b\\c\nd'
    page = parse(written([Family("credd_x", "gauge", "Help.", (Sample(1, {"of": evil}),))]))
    assert page["credd_x"].samples == {("", (("of", evil),)): 1}
