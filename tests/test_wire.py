"""What the socket promises can be read by a program, on every Python of the guest wing."""

from __future__ import annotations

import re
import typing

import pytest

from credd import wire, wire_audit, wire_vault

ROUTES = {name: value for name, value in vars(wire).items() if str(value).startswith("/v1/")}
NAMED = {**vars(wire), **vars(wire_audit), **vars(wire_vault)}
VALUES = [value for name, value in NAMED.items() if not name.startswith("_")]  # not their bases
SHAPES = (
    [value for value in VALUES if typing.is_typeddict(value)]
    if hasattr(typing, "is_typeddict")
    else [value for value in VALUES if hasattr(value, "__total__")]
)  # before 3.10


def test_routes_are_distinct_and_versioned() -> None:
    """Each name is a route of its own below the API's version."""
    assert len(set(ROUTES.values())) == len(ROUTES) > 10
    prefix = f"/v{wire.API_VERSION}/"
    assert all(route.startswith(prefix) for route in ROUTES.values())


def test_routes_have_only_places_that_are_known() -> None:
    """A name of a credential, or the number of a login."""
    places = {place for route in ROUTES.values() for place in re.findall(r"{(.*?)}", route)}
    assert places == {"name", "id"}


@pytest.mark.parametrize("name", ["a", "0", "lab", "lab-2.eu_x", "x" * 64])
def test_a_name_is_safe_everywhere(name: str) -> None:
    """In a path, a shell line, a file name and a remedy."""
    assert re.fullmatch(wire.NAME_PATTERN, name)


@pytest.mark.parametrize("name", ["", ".", "-a", "_a", "A", "a b", "a/b", "a;b", "ä", "x" * 65])
def test_what_is_not_safe_is_no_name(name: str) -> None:
    """No dot or dash first, no separators, no capitals (file systems may fold them)."""
    assert not re.fullmatch(wire.NAME_PATTERN, name)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_each_shape_says_what_it_is_for(shape: type) -> None:
    """And its fields have types that Python 3.9 can evaluate."""
    assert shape.__doc__
    assert typing.get_type_hints(shape)


def test_waits_fit_into_each_other() -> None:
    """The daemon answers before the client gives up."""
    assert wire.MAX_WAIT < wire.CLIENT_DEADLINE
