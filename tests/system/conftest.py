"""The ground that system tests stand on: the session's logs, the provider, the proxy, a daemon."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.canary import Canary, register
from tests.fakes.fault_proxy import FaultProxy
from tests.system import browser
from tests.system.harness import Home, throw_away_home
from tests.system.lab import Lab
from tests.system.provider import (
    REQUIRED,
    OpenIDProvider,
    ProviderMissing,
    ProviderSettings,
    installed,
    running_provider,
)


def pytest_configure(config: pytest.Config) -> None:
    """System tests leave logs; they are searched for secrets even when run alone."""
    register(config)


@pytest.fixture
def logs(canary: Canary) -> Path:
    """The one folder where every process of the session leaves what it writes."""
    return canary.folder


@pytest.fixture(scope="session")
def provider_installed() -> Path:
    """npm oidc-provider on this machine; skipped with the reason where it can't be had."""
    try:
        return installed()
    except ProviderMissing as missing:
        reason = f"npm oidc-provider can't be started here: {missing}"
        if os.environ.get(REQUIRED) == "1":
            pytest.fail(f"{reason} ({REQUIRED}=1 asks for it)", pytrace=False)
        pytest.skip(reason)


@pytest.fixture
def provider_settings() -> ProviderSettings:
    """What the provider is told; a module or a parametrization may say otherwise."""
    return ProviderSettings()


@pytest.fixture
async def fault_proxy(canary: Canary) -> AsyncIterator[FaultProxy]:
    """The proxy before the provider; every secret that passes it is looked for in all logs."""
    async with FaultProxy(on_secret=canary.register_secret) as proxy:
        yield proxy


@pytest.fixture
async def openid_provider(
    provider_installed: Path,
    provider_settings: ProviderSettings,
    fault_proxy: FaultProxy,
    logs: Path,
) -> AsyncIterator[OpenIDProvider]:
    """npm oidc-provider behind the fault proxy, whose URL is its issuer."""
    with running_provider(fault_proxy.url, logs, provider_settings) as provider:
        fault_proxy.upstream = provider.url
        yield provider


@pytest.fixture(scope="session")
def browser_installed() -> str:
    """A browser on this machine; skipped by name where there is none."""
    found = browser.installed()
    if not found and os.environ.get(browser.REQUIRED) == "1":
        pytest.fail(f"chromium is not on PATH ({browser.REQUIRED}=1 asks for it)", pytrace=False)
    if not found:
        pytest.skip("chromium is not on PATH")
    return found


@pytest.fixture
async def page(browser_installed: str) -> AsyncIterator[browser.Page]:
    """A tab of headless Chromium; the name rebound.example means this machine there."""
    async with browser.browsing(browser.REBINDING) as page:
        yield page


@pytest.fixture
async def home(canary: Canary) -> AsyncIterator[Home]:
    """A throw-away home; its daemon is started by `await home.start()`."""
    async with throw_away_home(canary) as home:
        yield home


@pytest.fixture
async def lab(home: Home, openid_provider: OpenIDProvider, fault_proxy: FaultProxy) -> Lab:
    """A running daemon with the credential `lab`, logged in at npm oidc-provider."""
    lab = Lab(home, openid_provider, fault_proxy)
    await lab.begin()
    return lab
