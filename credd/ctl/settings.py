"""`--set key=value` turned into the settings of a credential.

Pure: text in, values out. A value is TOML where it reads as TOML (`true`, `300`, `["a", "b"]`), and
otherwise just text, so that nobody needs to quote a URL twice. Which keys a provider knows is the
daemon's to say. The one hard thing: a secret typed as a setting is refused, because a command line
can be read by every process on the machine.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

LISTS = frozenset({"scopes", "hosts"})
"""Keys whose value is a list even where one thing is named: `scopes=openid,offline_access`."""

TEXTS = frozenset({"client_id", "account", "audience"})
"""Keys whose value is text even where it looks like a number: a client may be called 4711."""

SECRETS = {
    "client_secret": "--client-secret-stdin",
    "secret": "--client-secret-stdin",
    "key": "--key-stdin",
    "api_key": "--key-stdin",
    "token": "--key-stdin",
    "access_token": "--key-stdin",
    "password": "--client-secret-stdin",
    "refresh_token": "",
    "passphrase": "--passphrase-stdin",
}
"""Keys that would put a secret on the command line and into config.toml; the option to use."""


class BadSetting(ValueError):
    """A `--set` that can't be understood or must not be; `option` is the one to use instead."""

    def __init__(self, message: str, option: str = "") -> None:
        super().__init__(message)
        self.option = option


def parse_settings(pairs: Iterable[str]) -> dict[str, Any]:
    """The settings that these `key=value` texts say; a key given several times becomes a list.

    Raises BadSetting.
    """
    given: dict[str, list[Any]] = {}
    for pair in pairs:
        key, value = _split(pair)
        given.setdefault(key, []).append(_value(key, value))
    return {key: _together(values) for key, values in given.items()}


def _split(pair: str) -> tuple[str, str]:
    key, equals, value = pair.partition("=")
    key = key.strip().replace("-", "_")
    if not equals or not key:
        raise BadSetting(f"--set wants key=value, not {pair.partition('=')[0]!r}")
    if key in SECRETS:
        raise BadSetting(f"{key} is a secret: it does not belong on a command line", SECRETS[key])
    return key, value.strip()


def _value(key: str, text: str) -> Any:
    value = _toml(text)
    if key in LISTS and isinstance(value, str):
        return [piece for piece in value.replace(",", " ").split() if piece]
    if key in TEXTS and not isinstance(value, str):
        return text
    return value


def _together(values: list[Any]) -> Any:
    if len(values) == 1:
        return values[0]
    return [one for value in values for one in (value if isinstance(value, list) else [value])]


def _toml(text: str) -> Any:
    """The TOML value that `text` is, if it also survives JSON; else the text itself."""
    import tomllib

    if "\n" in text:
        return text
    try:
        value = tomllib.loads(f"value = {text}")["value"]
        json.dumps(value, allow_nan=False)
    except (tomllib.TOMLDecodeError, TypeError, ValueError, KeyError):
        return text  # not TOML, or a date or infinity, which JSON has no word for
    return value
