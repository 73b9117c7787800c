"""What a login is about to do, decided before anyone logs in.

Pure but for reading config.toml: command line and entries in, a Plan out. The one hard thing: to
refuse early what would fail late, because a person who has just typed a code on another device
should not learn afterwards that config.toml can't be written.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypedDict

import click

from credd import wire
from credd.ctl.configfile import ConfigFile
from credd.ctl.settings import BadSetting, parse_settings
from credd.errors import BadRequest

VAULT_KEYS = ("keyring", "systemd", "passphrase", "file")


class Plan:
    """One login: whose, how, and what to write afterwards. `settings` are a new entry's."""

    def __init__(
        self,
        name: str,
        *,
        is_new: bool,
        settings: Mapping[str, Any],
        request: wire.LoginRequest,
        words: Iterable[str],
    ) -> None:
        self.name = name
        self.is_new = is_new
        self.settings = dict(settings)
        self.request = request
        self._words = tuple(words)

    def __repr__(self) -> str:
        return f"<Plan login {self.name}{' (new)' if self.is_new else ''}>"

    @property
    def vault_key(self) -> str:
        """Where a new vault shall have its key; "" leaves it to the daemon."""
        return self.request.get("vault_key", "")

    def choose_vault_key(self, source: str) -> None:
        """Decide it, for the next try."""
        self.request["vault_key"] = source

    def command(self, *more: str) -> str:
        """This login as a command line to paste, with `more` options. It holds no secret."""
        words = [*more, *(word for word in self._words if word not in more)]
        line = shlex.join(["credd-ctl", "login", self.name, *words])
        return f"{line} < FILE" if any(word.endswith("-stdin") for word in words) else line


class Given(TypedDict):
    """What the command line says about a login, besides its name."""

    provider: str | None
    settings: tuple[str, ...]
    flow: str | None
    timeout: float
    switch_account: bool
    vault_key: str | None
    client_secret_stdin: bool
    key_stdin: bool
    passphrase_stdin: bool
    subject_token_stdin: bool
    client_key_stdin: bool


FromStdin = Literal[
    "client_secret_stdin", "key_stdin", "passphrase_stdin", "subject_token_stdin",
    "client_key_stdin",
]  # fmt: skip

STDIN_OPTIONS: dict[str, FromStdin] = {
    "--client-secret-stdin": "client_secret_stdin",
    "--key-stdin": "key_stdin",
    "--passphrase-stdin": "passphrase_stdin",
    "--subject-token-stdin": "subject_token_stdin",
    "--client-key-stdin": "client_key_stdin",
}


def announced(given: Given) -> set[str]:
    """The options that say that stdin holds an answer."""
    return {option for option, name in STDIN_OPTIONS.items() if given[name]}


def make_plan(config: ConfigFile, name: str | None, given: Given) -> Plan:
    """The plan. Raises UsageError or BadRequest for a command line that contradicts itself or
    config.toml, Misconfigured where config.toml could not be written afterwards."""
    settings = understood(given["settings"])
    name = name or default_name(config, given["provider"])
    entry = config.entry(name)
    if entry is not None:
        check_same(entry, name, given["provider"], settings)
    if entry is None or given["vault_key"]:
        config.check_writable()
    return Plan(
        name,
        is_new=entry is None,
        settings=settings,
        request=request_of(name, settings, given, is_new=entry is None),
        words=words_of(given),
    )


def request_of(
    name: str, settings: Mapping[str, Any], given: Given, *, is_new: bool
) -> wire.LoginRequest:
    """What was said explicitly; the rest is the daemon's to decide."""
    request: wire.LoginRequest = {"name": name, "timeout": given["timeout"]}
    if is_new:
        request["settings"] = dict(settings)
    if is_new and given["provider"]:
        request["provider"] = given["provider"]
    if given["flow"]:
        request["flow"] = given["flow"]
    if given["switch_account"]:
        request["switch_account"] = True
    if given["vault_key"]:
        request["vault_key"] = given["vault_key"]
    return request


def understood(settings: tuple[str, ...]) -> dict[str, Any]:
    """The settings as values; a usage error that names the option to use for a secret."""
    try:
        return parse_settings(settings)
    except BadSetting as error:
        remedy = f"credd-ctl login NAME {error.option} < FILE" if error.option else ""
        raise BadRequest(str(error), remedy=remedy or "credd-ctl login --help") from None


def default_name(config: ConfigFile, provider: str | None) -> str:
    """Whom `credd-ctl login` means: the provider's own name, else the only credential there is."""
    if provider:
        return provider
    names = list(config.credentials())
    if len(names) == 1:
        return str(names[0])
    known = f"one of {', '.join(names)}" if names else "a name of your choice, such as lab"
    raise click.UsageError(f"log in to which credential? Name it: {known}", _context())


def _context() -> click.Context | None:
    return click.get_current_context(silent=True)


def check_same(
    entry: Mapping[str, Any], name: str, provider: str | None, values: Mapping[str, Any]
) -> None:
    """Raise BadRequest where config.toml says something else than the command line."""
    given = {"provider": provider, **values} if provider else dict(values)
    for key, value in given.items():
        if entry.get(key) != value:
            raise BadRequest(
                f"{name} is in config.toml already, with another {key}; log in as it stands there,"
                " choose another name, or remove it first",
                remedy=f"credd-ctl login {name}",
            )


def words_of(given: Given) -> list[str]:
    """The options that must be repeated with the next try."""
    words = ["--provider", given["provider"]] if given["provider"] else []
    for pair in given["settings"]:
        words += ["--set", pair]
    if given["flow"]:
        words += ["--flow", given["flow"]]
    return words + [option for option, key in STDIN_OPTIONS.items() if given[key]]
