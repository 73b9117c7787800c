"""docs/logins.md agrees with what can be configured and asked for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from credd.core.config import parse_config
from credd.ctl.login import FLOWS
from credd.providers.catalog import load_catalog
from credd.world.loopback import PATH

PAGE = (Path(__file__).parents[2] / "docs/logins.md").read_text("utf-8")
CATALOG = load_catalog([]).catalog
SNIPPETS = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
LAB = '[credentials.lab]\nprovider = "oidc"\nissuer = "https://a.example"\nclient_id = "x"\n'


def test_every_flow_is_told_and_no_other() -> None:
    """The page's table, the providers' flows, and the choices of credd-ctl."""
    told = set(re.findall(r"^\| `([a-z-]+)` \|", PAGE, re.MULTILINE))
    offered = {flow for row in CATALOG.values() for flow in row.flows}
    assert told == offered == set(FLOWS)


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_every_example_is_accepted(snippet: str) -> None:
    """As it stands, in the table that it belongs to."""
    text = snippet.replace("[credentials.lab]\n", LAB)
    if "[credentials." not in text:
        text = LAB + text
    assert parse_config(text, CATALOG).credentials


def test_the_address_to_register_is_the_one_that_is_used() -> None:
    """A browser that comes back to another path is a login that fails at the issuer."""
    assert f"`http://127.0.0.1{PATH}`" in PAGE
