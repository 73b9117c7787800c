"""What may leave: addresses, headers, and the TLS that a secret travels in.

Knows: what makes a URL, a header or a connection unfit to carry a secret. Refuses to know: who is
asked, and for what. The hard thing: each check must come before the connection, since afterwards
nobody can say that nothing was sent.
"""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Mapping
from urllib.parse import urlencode

from yarl import URL

from credd.core.conversation import Form, NeverSent
from credd.core.model import Secret

Headers = Mapping[str, "str | Secret"]


def tls_context(ca_file: str = "") -> ssl.SSLContext:
    """Verifies names and certificates, TLS 1.2 or newer (RFC 9325, 3.1.1).

    Built by hand, because `ssl.create_default_context` writes session keys to wherever the variable
    SSLKEYLOGFILE says. Raises OSError where `ca_file` can't be read (ssl.SSLError: no PEM).
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if ca_file:
        context.load_verify_locations(cafile=ca_file)
    else:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    return context


def checked_url(text: str) -> URL:
    """The URL, sent exactly as it is written. Raises NeverSent("refused_url").

    Refused is all that may carry a secret in clear or to another place than it seems: plain HTTP
    beyond this machine, user information, control characters and spaces.
    """
    if not text.isascii() or any(sign <= " " or sign == "\x7f" for sign in text):
        raise NeverSent("refused_url")
    try:
        url = URL(text, encoded=True)
        is_plain = url.scheme == "http" and is_loopback(url.host or "")
        is_fit = bool(url.host) and (is_plain or url.scheme == "https") and url.port != 0
    except ValueError:
        raise NeverSent("refused_url") from None
    if not is_fit or "@" in url.raw_authority:
        raise NeverSent("refused_url")
    return url


def is_loopback(host: str) -> bool:
    """Whether this host is this machine whatever a name server says (RFC 8252, 7.3 and 8.3)."""
    if host.rstrip(".").lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def checked_headers(headers: Headers) -> dict[str, str]:
    """The headers, secrets revealed. Raises NeverSent("refused_header") for what would break one:
    control characters, and what is not Latin-1."""
    plain = {name: reveal(value) for name, value in headers.items()}
    for text in (*plain, *plain.values()):
        if any(sign < " " or "\x7f" <= sign <= "\x9f" or sign > "\xff" for sign in text):
            raise NeverSent("refused_header")
    return plain


def encoded_form(form: Form) -> bytes:
    """The form, secrets revealed. Raises NeverSent("refused_form") for what has no UTF-8."""
    try:
        return urlencode([(name, reveal(value)) for name, value in form.items()]).encode("ascii")
    except UnicodeError:  # it quotes the text
        raise NeverSent("refused_form") from None


def reveal(value: str | Secret) -> str:
    """The text to send."""
    return value.reveal() if isinstance(value, Secret) else value
