"""A token goes only to the hosts it belongs to, over https or to this machine."""

from __future__ import annotations

import pytest

from credd.client.hosts import check_url
from credd.errors import Denied

HOSTS = [
    "mlflow.example.org",
    "Pinned.example.org:8443",
    "*.pool.example.org",
    "localhost:5000",
    "127.0.0.1",
    "[::1]:5000",
    "[2001:db8::7]",
]

ALLOWED = [
    "https://mlflow.example.org",
    "https://mlflow.example.org/",
    "https://mlflow.example.org/api?x=1#part",
    "https://mlflow.example.org:443/",
    "https://mlflow.example.org:8443/",
    "HTTPS://MLflow.Example.ORG/",
    "https://mlflow.example.org./",
    "https://pinned.example.org:8443/",
    "https://a.pool.example.org/",
    "https://localhost:5000/",
    "http://localhost:5000/",
    "http://127.0.0.1/",
    "http://127.0.0.1:8080/",
    "http://[::1]:5000/",
    "https://[2001:db8::7]/",
    "https://[2001:DB8::7]:9/",
]

REFUSED = [
    # another host
    "https://example.org/",
    "https://evil.example/",
    "https://mlflow.example.org.evil.example/",
    "https://evilmlflow.example.org/",
    "https://sub.mlflow.example.org/",
    # another port than the pinned one
    "https://pinned.example.org/",
    "https://pinned.example.org:443/",
    "http://localhost:5001/",
    "http://localhost/",
    # a wildcard stands for one label
    "https://pool.example.org/",
    "https://a.b.pool.example.org/",
    # http to another machine, or to one that merely looks like this one
    "http://mlflow.example.org/",
    "http://0.0.0.0/",
    "http://[2001:db8::7]/",
    "http://localhost.example.org/",
    # no way to send a token
    "ftp://mlflow.example.org/",
    "ws://mlflow.example.org/",
    "file:///etc/passwd",
    "//mlflow.example.org/",
    "mlflow.example.org",
    "https:mlflow.example.org/",
    "https:///mlflow.example.org",
    "https://",
    "",
    # read as one host by one program and as another by the next
    "https://mlflow.example.org@evil.example/",
    "https://user:secret@mlflow.example.org/",
    "https://@mlflow.example.org/",
    "https://evil.example\\@mlflow.example.org/",
    "https://mlflow.example.org\\.evil.example/",
    "https://mlflow.example.org /",
    " https://mlflow.example.org/",
    "https://mlflow.example.org/\n",
    "https://mlflow.exam\tple.org/",
    "https://mlflow.example.org%2eevil.example/",
    "https://mlflow。example。org/",
    "https://mlflöw.example.org/",
    "https://mlflow.example.org:port/",
    "https://mlflow.example.org:99999/",
    "https://[::1/",
    "https://[fe80::1%25eth0]/",
    "https://mlflow.example.org../",
]


@pytest.mark.parametrize("url", ALLOWED)
def test_a_listed_host_gets_the_token(url: str) -> None:
    """https to a listed host, in any spelling of the same name, and http to this machine."""
    check_url("lab", url, HOSTS)


@pytest.mark.parametrize("url", REFUSED)
def test_any_other_url_gets_none(url: str) -> None:
    """Other hosts, other ports, plain http, and URLs that can be read in two ways."""
    with pytest.raises(Denied) as caught:
        check_url("lab", url, HOSTS)
    assert caught.value.remedy


def test_no_hosts_mean_nowhere() -> None:
    """A credential without hosts sends its token to no one, not to everyone."""
    with pytest.raises(Denied):
        check_url("lab", "https://mlflow.example.org/", [])


@pytest.mark.parametrize("entry", ["*", "*.org", "*.*.org", "mlflow.*.org", "https://x.org", ""])
def test_an_entry_that_means_everything_means_nothing(entry: str) -> None:
    """A wildcard is one leading label above a name of two."""
    with pytest.raises(Denied):
        check_url("lab", "https://mlflow.example.org/", [entry])
    with pytest.raises(Denied):
        check_url("lab", "https://x.org/", [entry])


def test_the_remedy_is_the_line_to_add() -> None:
    """It holds what was listed and the new host, as config.toml wants it."""
    with pytest.raises(Denied, match=r"may not go to new\.example\.org:8443") as caught:
        check_url("lab", "https://new.example.org:8443/x", ["mlflow.example.org"])
    assert caught.value.remedy == (
        'hosts = ["mlflow.example.org", "new.example.org:8443"]'
        "  # in [credentials.lab] of config.toml"
    )


def test_plain_http_is_mended_by_https() -> None:
    """Adding the host to the list would not help, so it isn't proposed."""
    with pytest.raises(Denied, match="https only") as caught:
        check_url("lab", "http://mlflow.example.org/x", HOSTS)
    assert caught.value.remedy == "https://mlflow.example.org"


def test_an_error_repeats_no_password() -> None:
    """A URL with a password in it is refused without being quoted."""
    with pytest.raises(Denied) as caught:
        check_url("lab", "https://user:hunter2@evil.example/", HOSTS)
    assert "hunter2" not in caught.value.detail + caught.value.remedy
