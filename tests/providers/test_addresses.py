"""Which addresses credd talks to and shows."""

from __future__ import annotations

import pytest

from credd.providers.addresses import is_endpoint, is_usable, origin_of, problem_with

FAR = "https://login.example.org"
NEAR = "http://127.0.0.1:8080"


@pytest.mark.parametrize(
    ("address", "origin"),
    [
        ("https://login.example.org", "https://login.example.org:443"),
        ("https://LOGIN.example.org:8443/realms/lab?x=1", "https://login.example.org:8443"),
        ("http://127.0.0.1:8080/token", "http://127.0.0.1:8080"),
        ("http://localhost/token", "http://localhost:80"),
        ("http://[::1]:8080/token", "http://[::1]:8080"),
        ("https://sso_1.internal/a%20b", "https://sso_1.internal:443"),
    ],
)
def test_an_honest_address_is_taken_and_has_an_origin(address: str, origin: str) -> None:
    """https anywhere, http on this machine's loopback alone."""
    assert problem_with(address) == ""
    assert origin_of(address) == origin


@pytest.mark.parametrize(
    "address",
    [
        None, 5, "", "https://", "https:///x", "//login.example.org", "file:///etc/passwd",
        "javascript:alert(1)", "-https://login.example.org", "--url=https://login.example.org",
        "https://login.example.org/$(id)", "https://login.example.org/`id`",
        "https://login.example.org/a'b", 'https://login.example.org/a"b',
        "https://login.example.org/a b", "https://login.example.org/a\nb",
        "https://login.example.org/a\x1b[31m", "https://login.example.org/\u202eb",
        "https://login.example.org\\@evil.example", "https://user@login.example.org",
        "https://user:pw@login.example.org", "https://login.example.org:0/",
        "https://login.example.org:99999/", "https://login.example.org:x/", "https://[::1",
        "https://[nonsense]/", "https://%65vil.example/", "https://.example/", "HTTPS://x.example",
        "http://login.example.org", "http://127.0.0.1.evil.example", "http://127.1/",
        "http://2130706433/", "http://localhost.evil.example/", "http://0.0.0.0/",
        "https://login.example.org/" + "a" * 2048,
    ],
)  # fmt: skip
def test_t45_a_poisoned_address_is_refused(address: object) -> None:
    """Schemes, shells, terminals, users, ports that don't exist, plain http: nothing gets by."""
    assert problem_with(address)
    assert not is_usable(address, FAR)
    assert not is_usable(address, NEAR)


def test_a_distant_issuer_leads_nobody_to_this_machine() -> None:
    """Whoever listens on a loopback port is not the issuer out there."""
    assert is_usable("http://127.0.0.1:9/token", NEAR)
    assert not is_usable("http://127.0.0.1:9/token", FAR)


def test_t47_an_endpoint_has_no_fragment_and_a_page_may() -> None:
    """RFC 6749 3.2; a page for people may be drawn by a script that reads one."""
    assert is_usable(f"{FAR}/#/device", FAR)
    assert not is_endpoint(f"{FAR}/token#x", FAR)


def test_what_is_no_address_has_no_origin() -> None:
    """The origin of nonsense is nothing, and never an exception."""
    assert origin_of("nonsense") == origin_of("https://[") == origin_of("") == ""
