"""May a credential's token go to this URL? Pure.

It knows the list of hosts that came with the token. It refuses to know the token, and to guess: a
URL that two programs could read in two ways is refused, since the one that sends may read the other
host out of it.

A host in the list is `name`, `name:port` (that port alone), `*.name` (one label more, and `name`
has two at least), or an IPv6 address in brackets. Without a port, any port will do.
"""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from credd.errors import Denied

HOST_SIGNS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789.-_:")
"""What a host may be made of here: names in their ASCII form (RFC 5890), and addresses."""

DEFAULT_PORTS = {"https": 443, "http": 80}


def check_url(credential: str, url: str, hosts: list[str]) -> None:
    """Return if a token of `credential`, whose hosts these are, may be sent to `url`.

    Else raise Denied: not https (or http to this very machine), a host that is not in the list, or
    no URL that has one meaning only. Where adding a host would help, the remedy is the line.
    """
    scheme, host, port = parse_url(url)
    if scheme != "https" and not (scheme == "http" and is_loopback(host)):
        raise Denied(
            f"a token goes over https only, or to this machine: not to {scheme}://{_shown(host)}",
            remedy=f"https://{_shown(host)}",
        )
    if not any(_matches(entry, host, port) for entry in hosts):
        wanted = _shown(host) if port == DEFAULT_PORTS[scheme] else f"{_shown(host)}:{port}"
        raise Denied(
            f"the token of {credential} may not go to {wanted}",
            remedy=line_to_add(credential, hosts, wanted),
        )


def parse_url(url: str) -> tuple[str, str, int]:
    """Scheme, host (lower case, no trailing dot, no brackets) and port. Raises Denied."""
    # Spaces, control characters and backslashes: what browsers and libraries read differently.
    if any(sign <= " " or sign in "\\\x7f" for sign in url):
        raise _unclear("it holds a space, a control character or a backslash")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise _unclear("it can't be parsed") from None
    if "@" in parts.netloc:
        raise _unclear("it holds a user name, which can be mistaken for the host")
    host = host.removesuffix(".")
    if not host or not HOST_SIGNS.issuperset(host):
        raise _unclear("its host is missing, or not in its ASCII form (xn--…)")
    if parts.scheme not in DEFAULT_PORTS:
        raise _unclear("it begins neither with https:// nor with http://")
    return parts.scheme, host, DEFAULT_PORTS[parts.scheme] if port is None else port


def is_loopback(host: str) -> bool:
    """Whether this name or address is always the machine itself."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def line_to_add(credential: str, hosts: list[str], wanted: str) -> str:
    """The line of config.toml that lets the token go to `wanted` too."""
    listed = ", ".join(f'"{entry}"' for entry in [*hosts, wanted])
    return f"hosts = [{listed}]  # in [credentials.{credential}] of config.toml"


def _matches(entry: str, host: str, port: int) -> bool:
    name, pinned = split_port(entry.lower())
    if pinned is not None and pinned != str(port):
        return False
    if name.startswith("*."):
        _, _, above = host.partition(".")
        return above == name[2:] and "." in above and not is_address(host)
    return host == name


def split_port(entry: str) -> tuple[str, str | None]:
    """Host and port of an entry; the port is None where there is none. Brackets are taken off."""
    if entry.startswith("["):
        name, _, rest = entry[1:].partition("]")
        return name, rest[1:] if rest.startswith(":") else None
    if entry.count(":") == 1:
        name, _, port = entry.partition(":")
        return name, port
    return entry.removesuffix("."), None


def is_address(host: str) -> bool:
    """Whether this is an IP address rather than a name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _unclear(why: str) -> Denied:
    # The URL itself is not repeated: it may carry a password.
    return Denied(f"no token is sent to this URL: {why}", remedy="https://HOST/PATH")
