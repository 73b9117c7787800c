"""What every test shares: nothing but the settings that let the guest wing run bare.

The guest wing is tested on old Pythons with pytest and pytest-timeout alone. There the settings
that belong to pytest-asyncio are nobody's, and strict configuration would refuse them.
"""

from __future__ import annotations

import importlib.util
import sys

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Watch the whole session for secrets, where the daemon's tests can run at all."""
    if sys.version_info >= (3, 11):
        from tests.canary import register

        register(config)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Own pytest-asyncio's settings where pytest-asyncio itself is not installed."""
    if importlib.util.find_spec("pytest_asyncio") is None:
        for setting in ("asyncio_mode", "asyncio_default_fixture_loop_scope"):
            parser.addini(setting, "unused: pytest-asyncio is not installed here")
