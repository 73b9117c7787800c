"""How a service describes itself to the rest of the house: one row of the catalogue.

Rules: a row is data. The configuration is checked against its settings, the broker builds a
provider with it, clients get its environment. Third parties add a row by the entry point group
`credd.providers`, whose value is a `Row`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from credd.core.conversation import Provider


@dataclass(frozen=True, slots=True)
class Setting:
    """One key that a credential of this provider takes. `kind` is a Python type or generic alias
    (`str`, `list[str]`, `bool`); `check` returns what is wrong with a value, or ""."""

    name: str
    kind: Any
    meaning: str
    required: bool = False
    default: Any = None
    check: Callable[[Any], str] | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One service. `build` makes a provider from checked settings; `default_hosts` tells where its
    tokens may go, from the same settings; `flows` are the ways to log in.
    `complete` is true where the defaults alone make a working credential (`credd-ctl login
    NAME`)."""

    name: str
    meaning: str
    settings: tuple[Setting, ...]
    flows: tuple[str, ...]
    build: Callable[[Mapping[str, Any]], Provider]
    default_hosts: Callable[[Mapping[str, Any]], tuple[str, ...]] = lambda _: ()
    environment: Mapping[str, str] = field(default_factory=dict)
    complete: bool = False


Catalog = Mapping[str, Row]
"""Rows by provider name, sorted."""
