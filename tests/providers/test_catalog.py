"""The menu: our rows, and third parties'."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any, Literal, get_origin

import msgspec
import pytest

from credd.core.config import check_credential
from credd.core.provider_table import Row, Setting
from credd.providers import catalog
from credd.providers.catalog import load_catalog
from credd.providers.static import StaticProvider

FINE = Row("fine", "a third party's", (Setting("x", str, "x"),), ("key",), StaticProvider)
NO_ROW = {"name": "fine"}
NAMED_LIKE_OURS = Row("oidc", "", (), ("key",), StaticProvider)
BADLY_NAMED = Row("Bad Name", "", (), ("key",), StaticProvider)
WITHOUT_FLOWS = Row("mute", "", (), (), StaticProvider)


def __getattr__(name: str) -> Any:
    """Attributes that fail when an entry point loads them."""
    errors: dict[str, BaseException] = {
        "raises": RuntimeError("key-CANARY-x"), "exits": SystemExit(3), "lacks": ImportError("y"),
    }  # fmt: skip
    raise errors.get(name, AttributeError(name))


def plugin(attribute: str) -> EntryPoint:
    """An installed package's entry point, which is found in this module."""
    return EntryPoint(attribute, f"{__name__}:{attribute}", catalog.GROUP)


def test_the_menu_is_sorted_and_complete() -> None:
    """One row a service, by name; each says what it is and how to log in."""
    rows = load_catalog([]).catalog
    assert list(rows) == sorted(rows) == ["oidc", "static"]
    for row in rows.values():
        assert row.meaning
        assert row.flows
        assert row.default_hosts({}) == ()
        assert all(setting.meaning for setting in row.settings)


@pytest.mark.parametrize("row", catalog.ROWS, ids=lambda row: row.name)
def test_each_default_would_be_accepted_if_somebody_wrote_it(row: Row) -> None:
    """A default is a value like any other."""
    for setting in row.settings:
        if setting.default is not None and setting.default != "":
            assert msgspec.convert(setting.default, setting.kind) == setting.default
            assert setting.check is None or setting.check(setting.default) == ""
        assert get_origin(setting.kind) is not Literal or setting.default


def test_the_daemons_start_finds_the_installed_rows() -> None:
    """Without an argument, what is installed is looked up; nothing of it is broken here."""
    assert load_catalog().findings == []


def test_a_third_partys_row_stands_beside_ours() -> None:
    """And its credentials are checked by the same rules."""
    loaded = load_catalog([plugin("FINE")])
    assert list(loaded.catalog) == ["fine", "oidc", "static"]
    assert loaded.findings == []
    assert check_credential("t", "fine", {"x": "y"}, loaded.catalog).settings == {"x": "y"}


@pytest.mark.parametrize(
    ("attribute", "word"),
    [
        ("raises", "could not be loaded (RuntimeError)"),
        ("exits", "could not be loaded (SystemExit)"),
        ("lacks", "could not be loaded (ImportError)"),
        ("nowhere", "could not be loaded (AttributeError)"),
        ("NO_ROW", "is no Row"),
        ("NAMED_LIKE_OURS", "has the name of another provider"),
        ("BADLY_NAMED", "has a name that is no provider name"),
        ("WITHOUT_FLOWS", "offers no way to log in"),
    ],
)
def test_a_broken_row_is_a_finding_and_nothing_else(attribute: str, word: str) -> None:
    """Everybody else's credentials go on, and a person reads which package to mend."""
    loaded = load_catalog([plugin(attribute), plugin("FINE")])
    (finding,) = loaded.findings
    assert finding.message == f"this provider {word}"
    assert attribute in finding.place
    assert "uninstall" in finding.remedy
    assert list(loaded.catalog) == ["fine", "oidc", "static"]
