"""How requests leave this machine: through which proxy, past it where, and whom TLS believes.

Pure: settings and a host in, an answer out. It refuses to know the environment, because a service
does not inherit the shell's. The hard thing is `no_proxy`, which every program reads differently;
here it is read as curl does, and an entry that says nothing for certain is refused.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

_PROXY = re.compile(r"http://[A-Za-z0-9._\[\]:-]+/?")
_ENTRY = re.compile(r"\*|\.?[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?")


@dataclass(frozen=True, slots=True)
class Network:
    """`[network]`. `https_proxy` is an http address, "" for none; `no_proxy` lists hosts that are
    asked directly; `ca_file` is a PEM file that replaces the system's certificates, "" for none."""

    https_proxy: str = ""
    no_proxy: Sequence[str] = ()
    ca_file: str = ""

    def proxy_for(self, host: str) -> str:
        """The proxy through which `host` (a name or an address) is asked, "" for none."""
        if not self.https_proxy or any(_covers(entry, host) for entry in self.no_proxy):
            return ""
        return self.https_proxy


def _covers(entry: str, host: str) -> bool:
    """Whether this entry of `no_proxy` means `host`: the name itself, what is below it (with or
    without a leading dot), an address or a network, or everything (`*`)."""
    if entry == "*":
        return True
    address = _address(host)
    if address is not None:
        return address in network if (network := _network(entry)) is not None else False
    name, wanted = host.lower().rstrip("."), entry.lower().removeprefix(".")
    return name == wanted or name.endswith("." + wanted)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def _network(entry: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        return None


def proxy_problem(value: str) -> str:
    """What keeps `value` from being a proxy's address; "" where nothing does."""
    if "@" in value:
        return "must not hold a user name or password: secrets have no place in this file"
    try:
        parts = urlsplit(value)
        is_right = bool(parts.hostname) and parts.port is not None and parts.port > 0
    except ValueError:
        is_right = False
    if value and not (is_right and _PROXY.fullmatch(value)):
        return "must be http://HOST:PORT (https goes through it by CONNECT)"
    return ""


def bypass_problem(value: Sequence[str]) -> str:
    """What is wrong with a list of hosts that are asked directly; "" where nothing is."""
    for entry in value:
        if not _ENTRY.fullmatch(entry) and _network(entry) is None:
            return "each is a host, a domain, an address, a network such as 10.0.0.0/8, or *"
    return ""


def path_problem(value: str) -> str:
    """What keeps `value` from naming a file for certain; "" where nothing does."""
    if value.startswith("/") and value.isprintable():
        return ""
    return "must be an absolute path"
