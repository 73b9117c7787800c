"""Single values of config.toml: durations and hosts."""

from __future__ import annotations

import datetime as dt
import math

import pytest

from credd.client.hosts import check_url
from credd.core.config_values import host_problem, is_duration, parse_duration, plain, wanted


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (90, 90.0), (0.5, 0.5), ("90", 90.0), ("90s", 90.0), ("15m", 900.0), ("72h", 259200.0),
        ("30d", 2592000.0), ("1w", 604800.0), ("1h30m", 5400.0), (" 1H30M ", 5400.0),
        ("1.5h", 5400.0),
    ],
)  # fmt: skip
def test_a_duration_is_written_as_people_write_it(written: float | str, seconds: float) -> None:
    """Seconds as a number, or a number with a unit."""
    assert parse_duration(written) == seconds


@pytest.mark.parametrize(
    "written",
    ["", "h", "1 h", "1y", "-5", -5, 0, "0", "1h-", "1e9", math.nan, math.inf, 1e300,
     "9" * 10 + "w", "٣", "1h٣m", 10**400],
)  # fmt: skip
def test_what_is_no_duration_is_refused(written: float | str) -> None:
    """Nothing, negatives, infinities, strange digits, and more than a hundred years."""
    assert not is_duration(written)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("mlflow.example.org", "https://mlflow.example.org/api"),
        ("MLflow.Example.org", "https://mlflow.example.org/api"),
        ("mlflow.example.org:8443", "https://mlflow.example.org:8443/"),
        ("*.example.org", "https://mlflow.example.org/"),
        ("localhost", "http://localhost:5000/"),
        ("mlflow_server", "https://mlflow_server/"),
        ("127.0.0.1:5000", "http://127.0.0.1:5000/"),
        ("[::1]:5000", "http://[::1]:5000/"),
        ("::1", "http://[::1]/"),
        ("xn--bcher-kva.example", "https://xn--bcher-kva.example/"),
    ],
)
def test_a_host_that_the_configuration_takes_is_one_that_clients_send_to(
    host: str, url: str
) -> None:
    """The two readers of a pattern agree: what one accepts, the other understands."""
    assert host_problem(host) == ""
    check_url("lab", url, [host.lower()])


@pytest.mark.parametrize(
    "host",
    ["", "*", "*.", "*.org", "*.127.0.0.1", "a.*.org", "*.*.example.org", "*mlflow.example.org",
     "https://mlflow.example.org", "mlflow.example.org/", "mlflow.example.org/api", "//x",
     "a b.org", "user@example.org", "example.org:", "example.org:0", "example.org:65536",
     "example.org:http",
     "example.org:1:2", "[::1", "[::1]x", "[example.org]", "::1%lo", ".example.org", "example..org",
     "example.org.", "-x.org", "exa\nmple.org", "bücher.example", "2130706433", "127.1", "0x7f.0x1",
     "x?y", "x#y", "a" * 64 + ".org", ".".join(["abcdefgh"] * 40)],
)  # fmt: skip
def test_what_is_no_place_for_a_token_is_refused(host: str) -> None:
    """Empty, everywhere, URLs, paths, users, ports that don't exist, and disguised addresses."""
    assert host_problem(host)


def test_dates_become_text() -> None:
    """A TOML date can stand in a sealed record, which is JSON."""
    written = {"at": dt.date(2026, 12, 31), "list": [dt.datetime(2026, 1, 2, 3, 4, tzinfo=dt.UTC)]}
    assert plain(written) == {"at": "2026-12-31", "list": ["2026-01-02T03:04:00+00:00"]}


def test_a_strange_type_has_words_too() -> None:
    """A third party's setting of a type we never thought of still makes a sentence."""
    assert wanted(dict[str, int]) == "of another type"
