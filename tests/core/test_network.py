"""Which requests go through the proxy, and what a person may write about it."""

from __future__ import annotations

import pytest

from credd.core.config import BadConfig, Config, parse_config
from credd.core.network import Network
from credd.providers.catalog import load_catalog

CATALOG = load_catalog([]).catalog
PROXY = "http://proxy.example.org:3128"


def findings(text: str) -> list[str]:
    with pytest.raises(BadConfig) as caught:
        parse_config(text, CATALOG)
    return [str(finding) for finding in caught.value.findings]


def test_without_a_word_nothing_is_proxied() -> None:
    """Whatever the environment says."""
    assert Config.empty().network == Network()
    assert Network().proxy_for("login.example.org") == ""


def test_the_network_is_read_as_it_is_written() -> None:
    """Proxy, exceptions, certificates."""
    text = f'[network]\nhttps_proxy = "{PROXY}"\nno_proxy = [".lab.example"]\nca_file = "/a.pem"\n'
    network = parse_config(text, CATALOG).network
    assert (network.https_proxy, network.ca_file) == (PROXY, "/a.pem")
    assert network.proxy_for("login.example.org") == PROXY
    assert network.proxy_for("login.lab.example") == ""


@pytest.mark.parametrize(
    ("entry", "host", "is_direct"),
    [
        ("example.org", "example.org", True),
        ("example.org", "EXAMPLE.org.", True),
        ("example.org", "login.example.org", True),
        (".example.org", "login.example.org", True),
        (".example.org", "example.org", True),
        ("example.org", "badexample.org", False),
        ("example.org", "example.org.evil.example", False),
        ("login.example.org", "example.org", False),
        ("*", "anything.example", True),
        ("*", "192.0.2.7", True),
        ("192.0.2.7", "192.0.2.7", True),
        ("192.0.2.0/24", "192.0.2.7", True),
        ("192.0.2.0/24", "192.0.3.7", False),
        ("192.0.2.0/24", "192.0.2.7.example", False),
        ("2001:db8::/32", "2001:db8::1", True),
        ("2001:db8::/32", "[2001:db8::1]", True),
        ("192.0.2.0/24", "2001:db8::1", False),
        ("2.0", "192.0.2.0", False),
    ],
)
def test_an_exception_means_a_host_and_what_is_below_it(
    entry: str, host: str, is_direct: bool
) -> None:
    """As curl reads it; an address matches addresses alone."""
    assert (Network(PROXY, (entry,)).proxy_for(host) == "") is is_direct


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("https_proxy = 'proxy:3128'", "https_proxy: must be http://HOST:PORT (https goes"),
        ("https_proxy = 'http://proxy'", "https_proxy: must be http://HOST:PORT (https goes"),
        ("https_proxy = 'https://proxy:443'", "https_proxy: must be http://HOST:PORT (https goes"),
        ("https_proxy = 'socks5://p:1'", "https_proxy: must be http://HOST:PORT (https goes"),
        ("https_proxy = 'http://p:0'", "https_proxy: must be http://HOST:PORT (https goes"),
        ("https_proxy = 'http://p:1/x'", "https_proxy: must be http://HOST:PORT (https goes"),
        ("https_proxy = 'http://u:pw-CANARY@p:1'", "https_proxy: must not hold a user name"),
        ("no_proxy = 'localhost'", "no_proxy: must be a list of texts"),
        ("no_proxy = ['a b']", "no_proxy: each is a host, a domain, an address, a network"),
        ("no_proxy = ['']", "no_proxy: each is a host, a domain, an address, a network"),
        ("no_proxy = ['*.example.org']", "no_proxy: each is a host, a domain, an address"),
        ("no_proxy = ['https://a.example']", "no_proxy: each is a host, a domain, an address"),
        ("ca_file = 'ca.pem'", "ca_file: must be an absolute path"),
        ("http_proxy = 'http://p:1'", 'http_proxy: unknown key; did you mean "https_proxy"?'),
    ],
)
def test_a_mistake_about_the_network_is_told_in_one_line(line: str, told: str) -> None:
    """And a password that somebody put there is not repeated."""
    (found,) = findings(f"[network]\n{line}\n")
    assert found.startswith(f"line 2, network.{told}")
    assert "CANARY" not in found


def test_t48_certificates_are_policy_and_no_part_of_the_identity() -> None:
    """Another ca_file asks for no new login, and neither does another proxy."""
    lab = '[credentials.lab]\nprovider = "oidc"\nissuer = "https://a.example"\nclient_id = "x"\n'
    plain = parse_config(lab, CATALOG).credentials["lab"]
    changed = parse_config(
        f'[network]\nhttps_proxy = "{PROXY}"\n{lab}ca_file = "/etc/lab.pem"\n', CATALOG
    ).credentials["lab"]
    assert changed.ca_file == "/etc/lab.pem"
    assert changed.identity() == plain.identity()
