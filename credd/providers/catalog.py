"""The whole menu: one sorted table, a row a service.

Adding a service is one row here and one file beside it. Third parties add a row by the entry point
group `credd.providers`, whose value is a `core.provider_table.Row`; the hard thing is that a broken
one of theirs is told to a person as a finding, and everybody else's credentials go on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal, NamedTuple

from credd.core.config import Finding
from credd.core.network import path_problem
from credd.core.provider_table import Catalog, Row, Setting
from credd.providers import oidc, static
from credd.providers.addresses import loopback_problem, problem_with
from credd.providers.token_reply import is_printable, is_scope
from credd.wire import NAME_PATTERN

GROUP = "credd.providers"
"""The entry point group under which an installed package offers a Row."""


def _issuer(value: str) -> str:
    has_more = "?" in value or "#" in value
    return problem_with(value) or ("must have no ? and no #" if has_more else "")


def _printable(value: str) -> str:
    return "" if is_printable(value) else "must be plain characters without spaces"


def _scopes(value: list[str]) -> str:
    wrong = [one for one in value if " " in one or not is_scope(one)]
    return "each scope must be one word of plain characters" if wrong else ""


def _expiry(value: float | str) -> str:
    try:
        static.parse_expiry(value)
    except (ValueError, OverflowError):
        return "must be a date like 2026-12-31, a date and time, or Unix seconds"
    return ""


OIDC = Row(
    name="oidc",
    meaning="any OpenID provider: Keycloak, Auth0, Okta, Google, Authentik, and so on",
    settings=(
        Setting(
            "issuer", str, "the issuer's address, exactly as it names itself", True, check=_issuer
        ),
        Setting(
            "client_id", str, "the name under which credd is registered there", True,
            check=_printable,
        ),
        Setting(
            "scopes", list[str], "what to ask for", default=["openid"], check=_scopes
        ),
        Setting(
            "token_endpoint_auth_method",
            Literal["none", "client_secret_basic", "client_secret_post", "private_key_jwt"],
            "how the client proves who it is",
            default="none",
        ),
        Setting(
            "redirect_uri", str,
            "the registered address on this machine to which a browser comes back, such as "
            "http://127.0.0.1/callback; without a port, any free one is used",
            default="", check=loopback_problem,
        ),
        Setting(
            "client_key_id", str, "the name of the client's key at the issuer (private_key_jwt)",
            default="", check=_printable,
        ),
        Setting(
            "assertion_audience",
            Literal["issuer", "endpoint"],
            "whom a client's signed assertion is made for (private_key_jwt)",
            default="issuer",
        ),
        Setting(
            "subject_token_type",
            Literal["access_token", "id_token", "jwt", "refresh_token", "saml1", "saml2"],
            "what kind of token is exchanged (RFC 8693)",
            default="access_token",
        ),
        Setting(
            "subject_token_file", str,
            "a file with the token to exchange, read at each exchange; nobody is asked for one",
            default="", check=path_problem,
        ),
        Setting(
            "audience", str, "the resource server the tokens are for", default="", check=_printable
        ),
        Setting(
            "audience_parameter",
            Literal["resource", "audience"],
            "the name under which the issuer takes an audience: resource is RFC 8707",
            default="resource",
        ),
    ),
    flows=oidc.FLOWS,
    build=oidc.OidcProvider,
)  # fmt: skip

STATIC = Row(
    name="static",
    meaning="a key that doesn't change, kept sealed and handed out",
    settings=(
        Setting("expires_at", float | str, "when the key ends, where that is known", check=_expiry),
    ),
    flows=static.FLOWS,
    build=static.StaticProvider,
)

ROWS: tuple[Row, ...] = (OIDC, STATIC)


class Loaded(NamedTuple):
    """The catalogue, and what was wrong with third parties' rows."""

    catalog: Catalog
    findings: list[Finding]


def load_catalog(plugins: Iterable[EntryPoint] | None = None) -> Loaded:
    """Our rows and those of installed packages, sorted by name. Never raises for a broken one."""
    rows = {row.name: row for row in ROWS}
    findings: list[Finding] = []
    for plugin in entry_points(group=GROUP) if plugins is None else plugins:
        try:
            row = _load(plugin, rows)
            rows[row.name] = row
        except _Broken as broken:
            findings.append(_finding(plugin, str(broken)))
    return Loaded({name: rows[name] for name in sorted(rows)}, findings)


class _Broken(Exception):
    """A third party's row can't be used; says why, in our words."""


def _load(plugin: EntryPoint, taken: Mapping[str, Row]) -> Row:
    try:
        row: Any = plugin.load()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a stranger's code raises anything
        raise _Broken(f"could not be loaded ({type(error).__name__})") from None
    if not isinstance(row, Row):
        raise _Broken("is no Row")
    if not re.fullmatch(NAME_PATTERN, str(row.name)):
        raise _Broken("has a name that is no provider name")
    if row.name in taken:
        raise _Broken("has the name of another provider")
    if not row.flows:
        raise _Broken("offers no way to log in")
    return row


def _finding(plugin: EntryPoint, problem: str) -> Finding:
    place = f"entry point {plugin.value!a} of {GROUP}"
    remedy = "mend or uninstall the package that brings this entry point"
    return Finding(place, f"this provider {problem}", remedy)
