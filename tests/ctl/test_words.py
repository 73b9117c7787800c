"""Durations, and foreign text made harmless: the pure small things."""

from __future__ import annotations

import json

import pytest

from credd.ctl.durations import clock, parse_duration, spoken
from credd.ctl.harmless import harmless, is_harmless, width_of
from credd.ctl.output import to_json
from credd.ctl.settings import BadSetting, parse_settings
from credd.ctl.terminal import is_safe_link

HOSTILE = [
    "\x1b[2J", "\x1b]0;title\x07", "\x9b31m", "a\rb", "\u202eevil", "\x00", "\udc80", "\x7f",
    "\u2028", "\u200b", "\ue000",
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("15m", 900), ("72h", 259200), ("3d", 259200), ("1h30m", 5400),
     ("0.5h", 1800), ("1W", 604800)],
)  # fmt: skip
def test_a_duration_is_understood_in_each_of_its_forms(text: str, seconds: float) -> None:
    """Bare seconds, one unit, or several in a row."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "h", "-5", "1h30", "inf", "nan", "1e9", "3 d 4", "٣d", "9999999d"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    """A slip of the finger is an error that shows the forms, not a guess."""
    with pytest.raises(ValueError, match=r"duration|hundred years"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-3, "0 s"), (42.9, "42 s"), (119, "119 s"), (120, "2 min"), (7500, "2 h 5 min"),
     (7200, "2 h"), (529300, "6 d 3 h")],
)  # fmt: skip
def test_a_length_of_time_reads_well(seconds: float, words: str) -> None:
    """At most two units, and never a negative one."""
    assert spoken(seconds) == words


def test_an_instant_beyond_every_calendar_is_no_crash() -> None:
    """A daemon's broken number is shown as what it is."""
    assert clock(1e300) == "a time no calendar knows"


@pytest.mark.parametrize("text", HOSTILE)
def test_threat_34_nothing_foreign_can_move_the_cursor(text: str) -> None:
    """Controls, bidirectional overrides and lone surrogates are dropped before a terminal."""
    shown = harmless(f"<{text}>")
    assert shown.isprintable()
    assert "\x1b" not in shown
    assert not is_harmless(text)


@pytest.mark.parametrize("text", HOSTILE)
def test_threat_34_json_output_is_plain_ascii(text: str) -> None:
    """A terminal that shows --json is as safe as one that shows a table."""
    line = to_json({"account": text})
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["account"] == text


def test_a_long_foreign_text_is_cut() -> None:
    """64 KiB of account name don't push everything else off the screen."""
    assert len(harmless("x" * 65536)) == 600


def test_wide_characters_take_two_columns() -> None:
    """A table with an account in Japanese still lines up."""
    assert width_of("日本") == 4
    assert width_of("e\u0301") == 1


# --- settings -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pair", "key", "value"),
    [
        ("issuer=https://login.example.org/?a=b", "issuer", "https://login.example.org/?a=b"),
        ("scopes=openid,offline_access", "scopes", ["openid", "offline_access"]),
        ("scopes=openid offline_access", "scopes", ["openid", "offline_access"]),
        ('scopes=["openid"]', "scopes", ["openid"]),
        ("hosts=a.example.org", "hosts", ["a.example.org"]),
        ("login_lifetime=3600", "login_lifetime", 3600),
        ("public=true", "public", True),
        ("client_id=4711", "client_id", "4711"),
        ("client-id=x", "client_id", "x"),
        ("since=2024-01-01", "since", "2024-01-01"),
        ("limit=inf", "limit", "inf"),
        ("note=a\nb = 2", "note", "a\nb = 2"),
        ("empty=", "empty", ""),
    ],
)
def test_a_setting_is_toml_where_it_reads_as_toml(pair: str, key: str, value: object) -> None:
    """And text otherwise; what JSON has no word for stays text, too."""
    assert parse_settings([pair]) == {key: value}


def test_a_setting_given_several_times_is_a_list() -> None:
    """`--set scopes=openid --set scopes=email` is one list of two."""
    assert parse_settings(["scopes=a,b", "scopes=c", "x=1", "x=2"]) == {
        "scopes": ["a", "b", "c"],
        "x": [1, 2],
    }


@pytest.mark.parametrize(
    "key", ["client_secret", "client-secret", "password", "key", "refresh_token"]
)
def test_a_secret_is_refused_as_a_setting(key: str) -> None:
    """A command line can be read by every process of the machine; the message has no value."""
    with pytest.raises(BadSetting, match="secret") as caught:
        parse_settings([f"{key}=hunter2"])
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("pair", ["issuer", "=x", " = "])
def test_a_setting_without_key_or_value_is_refused(pair: str) -> None:
    """`--set issuer` says nothing."""
    with pytest.raises(BadSetting):
        parse_settings([pair])


@pytest.mark.parametrize(
    ("url", "is_safe"),
    [
        ("https://login.example.org/device?user_code=A-B", True),
        ("http://127.0.0.1:8080/device", True),
        ("http://[::1]:8080/device", True),
        ("http://localhost/device", True),
        ("http://login.example.org/device", False),
        ("http://127.0.0.1.example.org/", False),
        ("file:///etc/passwd", False),
        ("javascript:alert(1)", False),
        ("--new-window", False),
        ("https://", False),
        ("https://x\x1b.example.org/", False),
        ("https://[broken", False),
        ("", False),
    ],
)
def test_a_browser_is_sent_only_to_https_or_this_machine(url: str, is_safe: bool) -> None:
    """An issuer's link is foreign text: a file, a script or an option is never opened."""
    assert is_safe_link(url) is is_safe
