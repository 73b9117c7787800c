"""Which addresses credd talks to, and shows to a person, at all.

Pure text to verdict; looks no name up. The hard thing: discovery documents and device replies come
from outside, and an address in them may carry a shell's, a terminal's or a browser's poison, or
lead a secret off to plain http. So characters are allow-listed first, and only then is it parsed.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

LONGEST = 2048
"""Characters; what browsers and proxies are known to carry."""

# RFC 3986 without what means something to a shell even inside quotes, and without ! ' ( ) * ; $.
_ALLOWED = re.compile(r"https?://[A-Za-z0-9._~:/?#\[\]@&+,=%-]+")
_HOST = re.compile(r"[a-z0-9_]([a-z0-9._-]*[a-z0-9_])?")
_PORTS = {"https": 443, "http": 80}


def problem_with(address: object) -> str:
    """What keeps `address` from being an issuer's or endpoint's URL; "" where nothing does."""
    if not isinstance(address, str) or len(address) > LONGEST or not _ALLOWED.fullmatch(address):
        return "must be an https address in plain characters"
    parts = _split(address)
    if parts is None:
        return "must name a host"
    if "@" in parts.netloc:
        return "must not hold a user name or password"
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        return "must be https (plain http is for this machine's own loopback address alone)"
    return ""


def loopback_problem(address: str) -> str:
    """What keeps `address` from being one of this machine that a browser may be sent back to
    (RFC 8252 7.3); "" where nothing does."""
    problem = problem_with(address)
    parts = None if problem else _split(address)
    names = ("127.0.0.1", "::1", "localhost")  # both addresses are listened on, and no others
    if parts is None or parts.scheme != "http" or parts.hostname not in names:
        return "must be http on 127.0.0.1, [::1] or localhost"
    return "must have no ? and no #" if "?" in address or "#" in address else ""


def is_usable(address: object, issuer: str) -> bool:
    """Whether `address`, named by `issuer`, may be asked or shown.

    An issuer elsewhere can't lead us to plain http on this machine's loopback address: whoever
    listens there is not the issuer.
    """
    if not isinstance(address, str) or problem_with(address):
        return False
    return address.startswith("https:") or issuer.startswith("http:")


def is_endpoint(address: object, issuer: str) -> bool:
    """`is_usable`, and without a fragment, as RFC 6749 3.2 demands of endpoints."""
    return is_usable(address, issuer) and "#" not in str(address)


def origin_of(address: str) -> str:
    """`scheme://host:port` of an address that `problem_with` has nothing against; else ""."""
    parts = _split(address)
    if parts is None:
        return ""
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}:{parts.port or _PORTS[parts.scheme]}"


def is_loopback(host: str) -> bool:
    """Whether `host` can only be this machine: `localhost`, 127.0.0.0/8, ::1."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _split(address: str) -> SplitResult | None:
    """The parts, or None where there is no host, or no port that exists."""
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or port == 0:
        return None
    return parts if _HOST.fullmatch(host) or _is_ipv6(host) else None


def _is_ipv6(host: str) -> bool:
    try:
        return bool(ipaddress.IPv6Address(host)) and "%" not in host
    except ValueError:
        return False
