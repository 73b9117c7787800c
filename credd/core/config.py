"""config.toml: a person's text turned into settings, or into findings that name each mistake.

Rules: strict. A key nobody knows is an error, because a misspelt `hosts` would otherwise be a hole.
All mistakes are told at once, with line, dotted key, and what to write instead. A value is never
repeated in a message: it may be a secret that somebody put in the wrong place. The one core file
that knows tomllib and msgspec.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_origin

import msgspec

from credd import wire
from credd.core.config_lines import Path, line_of_error, lines_of
from credd.core.config_values import (
    argv_problem,
    host_problem,
    is_duration,
    parse_duration,
    plain,
    wanted,
)
from credd.core.model import Credential
from credd.core.network import Network, bypass_problem, path_problem, proxy_problem
from credd.core.provider_table import Catalog, Row, Setting

LONGEST_TEXT = 1024 * 1024
"""Characters; a thousand credentials fit in a fifth of it."""

LONGEST_KEY = 80
"""Characters of a strange key that a finding shows."""

Settings = Sequence[Setting]


@dataclass(frozen=True, slots=True)
class Finding:
    """One mistake: where it is, what it is, and what to do. `line` is 0 where no line is."""

    place: str
    message: str
    remedy: str = ""
    line: int = 0

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"

    def to_wire(self) -> wire.Finding:
        """For the answers of `check` and `reload`."""
        return {"place": self.place, "message": self.message, "remedy": self.remedy}


class BadConfig(Exception):
    """The text, or one credential, can't be used. `findings` say why, in the order of their
    lines."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = sorted(findings, key=lambda finding: (finding.line, finding.place))
        super().__init__("; ".join(str(finding) for finding in self.findings))


@dataclass(frozen=True, slots=True)
class DaemonSettings:
    """`[daemon]`. `in_flight_per_issuer`: token requests that may be under way at one origin."""

    log_level: str = "info"
    log_format: str = "text"
    in_flight_per_issuer: int = 8


@dataclass(frozen=True, slots=True)
class VaultSettings:
    """`[vault]`. `key`: where the data key comes from, when the vault is created."""

    key: str = "auto"


@dataclass(frozen=True, slots=True)
class HookSettings:
    """`[hooks]`: commands as lists of words, none where empty. `desktop`: show notices there."""

    on_login_required: Sequence[str] = ()
    on_error: Sequence[str] = ()
    confirm: Sequence[str] = ()
    desktop: bool = False


@dataclass(frozen=True, slots=True)
class Config:
    """The whole of config.toml, checked."""

    daemon: DaemonSettings = DaemonSettings()
    vault: VaultSettings = VaultSettings()
    hooks: HookSettings = HookSettings()
    network: Network = field(default_factory=Network)
    credentials: Mapping[str, Credential] = field(default_factory=dict)

    @classmethod
    def empty(cls) -> Config:
        """What a missing file means."""
        return cls()


def _in_flight(value: int) -> str:
    return "" if 1 <= value <= 64 else "must be from 1 to 64"  # 64 is the limit of all issuers


def _duration(value: float | str) -> str:
    return "" if is_duration(value) else "must be a duration such as 30d, 12h, 90m, or seconds"


def _hosts(value: list[str]) -> str:
    return next((problem for problem in map(host_problem, value) if problem), "")


DAEMON = (
    Setting("log_level", Literal["debug", "info", "warning", "error"], "how much is logged"),
    Setting("log_format", Literal["text", "json"], "how a log line looks"),
    Setting(
        "in_flight_per_issuer", int, "token requests under way at one issuer", check=_in_flight
    ),
)
VAULT = (
    Setting(
        "key", Literal["auto", "keyring", "systemd", "passphrase", "file"],
        "where the vault's key comes from",
    ),
)  # fmt: skip
HOOKS = (
    Setting("on_login_required", list[str], "the command to run, word by word", check=argv_problem),
    Setting("on_error", list[str], "the command to run, word by word", check=argv_problem),
    Setting("confirm", list[str], "the command that asks a person", check=argv_problem),
    Setting("desktop", bool, "whether notices are shown on the desktop"),
)
NETWORK = (
    Setting("https_proxy", str, "the proxy that https goes through", check=proxy_problem),
    Setting("no_proxy", list[str], "the hosts that are asked directly", check=bypass_problem),
    Setting("ca_file", str, "a PEM file of the certificates to trust", check=path_problem),
)
PROVIDER = Setting("provider", str, "who issues the tokens", required=True)
POLICY = (
    Setting("hosts", list[str], "the hosts that tokens may be sent to", check=_hosts),
    Setting("login_lifetime", float | str, "how long a login lasts", check=_duration),
    Setting("access_lifetime", float | str, "how long a token lasts", check=_duration),
    Setting("ca_file", str, "a PEM file of the certificates to trust here", check=path_problem),
    Setting("max_age", float | str, "how old a login may become", check=_duration),
    Setting("confirm", bool, "whether a person is asked before each token is handed out"),
)
SECTIONS = ("credentials", "daemon", "hooks", "network", "vault")

SECRETS = {
    "access_token": " --key-stdin",
    "api_key": " --key-stdin",
    "client_secret": " --client-secret-stdin",
    "key": " --key-stdin",
    "passphrase": "",
    "password": " --client-secret-stdin",
    "refresh_token": "",
    "secret": " --client-secret-stdin",
    "token": " --key-stdin",
}
"""Keys that look like secrets, and the option of `credd-ctl login` that takes each instead."""


def parse_config(text: str, catalog: Catalog) -> Config:
    """The configuration in `text`. Raises BadConfig with everything that is wrong with it."""
    document = _parse_toml(text)
    book = _Book(text)
    _know_sections(document, book)
    config = Config(
        daemon=DaemonSettings(**_section(document, "daemon", DAEMON, book)),
        vault=VaultSettings(**_section(document, "vault", VAULT, book)),
        hooks=HookSettings(**_section(document, "hooks", HOOKS, book)),
        network=Network(**_section(document, "network", NETWORK, book)),
        credentials=_credentials(document, catalog, book),
    )
    book.settle()
    return config


def check_credential(
    name: str, provider: str, settings: Mapping[str, Any], catalog: Catalog
) -> Credential:
    """One credential that is not in the file yet; `settings` are its provider's and its policy.

    Raises BadConfig.
    """
    book = _Book("")
    credential = _credential(name, {**settings, "provider": provider}, catalog, book)
    book.settle()
    if credential is None:  # unreachable: whatever refuses a credential writes a finding
        raise BadConfig([])
    return credential


class _Book:
    """The findings so far. Looks up on which line a key stands only once something is wrong."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._lines: Mapping[Path, int] | None = None
        self._findings: list[Finding] = []

    def add(self, path: Path, message: str, remedy: str = "") -> None:
        self._lines = lines_of(self._text) if self._lines is None else self._lines
        line = self._lines.get(path, 0)
        dotted = ".".join(_readable(key) for key in path)
        place = f"line {line}, {dotted}" if line else dotted
        self._findings.append(Finding(place, message, remedy, line))

    def __len__(self) -> int:
        return len(self._findings)

    def settle(self) -> None:
        """Raise BadConfig if anything was found."""
        if self._findings:
            raise BadConfig(self._findings)


def _parse_toml(text: str) -> dict[str, Any]:
    if len(text) > LONGEST_TEXT:
        raise BadConfig([Finding("config.toml", "is far too long", "shorten it")])
    try:
        return tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError, or Python's own on a number of 5,000 digits
        line = line_of_error(error, text)
        what = str(error).partition(" (at ")[0]
        finding = Finding(f"line {line}", f"no valid TOML: {what}", "correct this line", line)
        raise BadConfig([finding]) from None
    except RecursionError:
        finding = Finding("config.toml", "is nested too deeply", "write it flat")
        raise BadConfig([finding]) from None


def _section(
    document: Mapping[str, Any], name: str, settings: Settings, book: _Book
) -> dict[str, Any]:
    table = _table(document.get(name, {}), (name,), book)
    _know_keys(table, (name,), settings, book)
    return _values(table, (name,), settings, book)


def _credentials(
    document: Mapping[str, Any], catalog: Catalog, book: _Book
) -> dict[str, Credential]:
    tables = _table(document.get("credentials", {}), ("credentials",), book)
    found = (_credential(name, table, catalog, book) for name, table in tables.items())
    return {one.name: one for one in found if one is not None}


def _credential(name: str, value: Any, catalog: Catalog, book: _Book) -> Credential | None:
    """The credential, or None where findings say why not."""
    path, before = ("credentials", name), len(book)
    if not re.fullmatch(wire.NAME_PATTERN, name):
        book.add(path, "bad name: only a-z, 0-9, . _ and -, at most 64 of them", "rename it")
    table = _table(value, path, book)
    if not isinstance(value, Mapping):
        return None
    provider = _values(table, path, (PROVIDER,), book).get("provider")
    policy = _values(table, path, POLICY, book)
    row = catalog.get(provider) if provider is not None else None
    if row is None:
        _refuse_secrets(table, path, book)
        _name_provider(provider, path, catalog, book)
        return None
    _know_keys(table, path, (PROVIDER, *POLICY, *row.settings), book)
    settings = _values(table, path, row.settings, book)
    return _assembled(name, row, settings, policy, book) if len(book) == before else None


def _name_provider(provider: str | None, path: Path, catalog: Catalog, book: _Book) -> None:
    if provider is not None:
        message = "unknown provider; " + _nearest(provider, list(catalog))
        book.add((*path, "provider"), message, "install the package that brings it, or correct it")


def _assembled(
    name: str, row: Row, settings: dict[str, Any], policy: dict[str, Any], book: _Book
) -> Credential | None:
    durations = {
        key: parse_duration(policy[key])
        for key in ("login_lifetime", "access_lifetime", "max_age")
        if key in policy
    }  # fmt: skip
    try:
        hosts = policy["hosts"] if "hosts" in policy else row.default_hosts(settings)
    except Exception as error:  # noqa: BLE001 - a third party's row raises whatever it likes
        book.add(("credentials", name), f"its provider is broken ({type(error).__name__})")
        return None
    return Credential(
        name=name,
        provider=row.name,
        settings=settings,
        hosts=tuple(host.lower() for host in hosts),
        environment=dict(row.environment),
        confirm=policy.get("confirm", False),
        ca_file=policy.get("ca_file", ""),
        **durations,
    )


def _table(value: Any, path: Path, book: _Book) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return value
    header = ".".join(_readable(key) for key in path)
    book.add(path, "must be a table", f"write it as [{header}]")
    return {}


def _values(
    table: Mapping[str, Any], path: Path, settings: Settings, book: _Book
) -> dict[str, Any]:
    """The values that the table gives for these settings and that are right; a finding for each
    that is missing or wrong. What is not written stays out: a default may change, and whom a
    credential is must not change with it."""
    values: dict[str, Any] = {}
    for setting in settings:
        if setting.name in table:
            value, problem = _value(table[setting.name], setting)
            if problem:
                book.add((*path, setting.name), problem, f"{setting.name} is {setting.meaning}")
            else:
                values[setting.name] = value
        elif setting.required:
            remedy = f'add {setting.name} = "...": {setting.meaning}'
            book.add(path, f'missing key "{setting.name}"', remedy)
    return values


def _value(written: Any, setting: Setting) -> tuple[Any, str]:
    """The value, and what is wrong with it ("" for nothing). Never repeats the value."""
    try:
        value = msgspec.convert(plain(written), setting.kind)
    except msgspec.ValidationError:
        return None, "must be " + wanted(setting.kind) + _nearest_choice(written, setting.kind)
    try:
        return value, setting.check(value) if setting.check is not None else ""
    except Exception as error:  # noqa: BLE001 - a third party's check raises whatever it likes
        return None, f"could not be checked ({type(error).__name__})"


def _know_keys(table: Mapping[str, Any], path: Path, settings: Settings, book: _Book) -> None:
    """A finding for each key that is none of these settings."""
    known = [setting.name for setting in settings]
    for key in table:
        if key not in known and not _is_secret(key):
            message = "unknown key; " + _nearest(key, known)
            book.add((*path, key), message, "rename it or remove it")
    _refuse_secrets({key: None for key in table if key not in known}, path, book)


def _know_sections(document: Mapping[str, Any], book: _Book) -> None:
    for key in document:
        if key not in SECTIONS:
            message = "unknown section; " + _nearest(key, SECTIONS)
            book.add((key,), message, "rename it or remove it")


def _refuse_secrets(table: Mapping[str, Any], path: Path, book: _Book) -> None:
    name = path[1] if path[0] == "credentials" and re.fullmatch(wire.NAME_PATTERN, path[1]) else ""
    for key in filter(_is_secret, table):
        option = SECRETS[_normal(key)]
        remedy = f"credd-ctl login {name or 'NAME'}{option}"
        book.add((*path, key), "secrets are never in config.toml; remove this line", remedy)


def _is_secret(key: str) -> bool:
    return _normal(key) in SECRETS


def _normal(key: str) -> str:
    return key.lower().replace("-", "_")


def _nearest(word: str, known: Sequence[str]) -> str:
    """`did you mean "issuer"?`, or all there is where nothing is near."""
    near = difflib.get_close_matches(_normal(word), known, n=1)
    return f'did you mean "{near[0]}"?' if near else "known are: " + ", ".join(sorted(known))


def _nearest_choice(written: Any, kind: Any) -> str:
    choices = get_args(kind) if get_origin(kind) is Literal else ()
    near = difflib.get_close_matches(_normal(str(written)), choices, n=1)
    return f'; did you mean "{near[0]}"?' if near else ""


def _readable(key: str) -> str:
    """A key as it can be shown anywhere: bare, or quoted with all but ASCII escaped."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key[:LONGEST_KEY])
