"""A key that is its own access token."""

from __future__ import annotations

from typing import Any

import pytest

from credd.core.failures import Failed
from credd.core.model import PRIMARY
from credd.providers.static import StaticProvider, parse_expiry
from tests.fakes.conversation import START, ScriptedConversation
from tests.providers.provider_contract import grant_of


async def login(key: str, **settings: Any) -> Any:
    """What a login with this key brings."""
    async with ScriptedConversation(answers={"key": key}) as talk:
        return await StaticProvider(settings).login(talk, "")


async def test_a_key_is_asked_for_and_served_as_it_is() -> None:
    """Without an end, as far as anybody says; the line end of a pipe is not part of it."""
    won = await login("key-CANARY-a$b:c\n")
    assert won.renewal.access_token.reveal() == "key-CANARY-a$b:c"
    assert (won.renewable, won.renewal.lifetime, won.login_lifetime) == (False, None, None)
    assert won.renewal.refresh_token is None


async def test_a_key_that_somebody_dated_has_an_end() -> None:
    """`check --for` can then say whether it lasts."""
    won = await login("k", expires_at=START + 86400)
    assert (won.renewal.lifetime, won.login_lifetime) == (86400.0, 86400.0)


@pytest.mark.parametrize(
    "key", ["", "  ", "a b", "a\nb", "a\x00", "é", "a\r\nX-Evil: 1", "k" * 65537]
)
async def test_t35_a_key_that_no_header_can_carry_is_refused(key: str) -> None:
    """Printable ASCII without spaces, or the person hears so at once."""
    with pytest.raises(Failed, match="bad_key"):
        await login(key)


async def test_a_key_that_has_expired_already_is_refused() -> None:
    """Rather than served for nothing."""
    with pytest.raises(Failed, match="key_expired"):
        await login("k", expires_at=START)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (1_767_225_600, 1_767_225_600.0), (1.5, 1.5),
        ("2025-12-31", 1_767_225_600.0),  # its end, in UTC
        ("2026-01-01T00:00:00Z", 1_767_225_600.0),
        ("2026-01-01T01:00:00+01:00", 1_767_225_600.0),
        ("2026-01-01 00:00:00", 1_767_225_600.0),
    ],
)  # fmt: skip
def test_an_end_is_a_date_or_a_time(written: float | str, seconds: float) -> None:
    """A date means its whole day: a key is not given up a day early."""
    assert parse_expiry(written) == seconds


@pytest.mark.parametrize(
    "written", ["", "soon", "2026-13-01", "9999-12-31", 0, -1, 1e99, float("nan"), float("inf")]
)
def test_an_end_that_no_calendar_shows_is_refused(written: float | str) -> None:
    """A ValueError or OverflowError, which the configuration turns into a finding."""
    with pytest.raises((ValueError, OverflowError)):
        parse_expiry(written)


async def test_only_a_person_can_bring_another_key() -> None:
    """A refresh is refused, and nobody is asked."""
    won = await login("k")
    async with ScriptedConversation() as talk:
        with pytest.raises(Failed, match="static_key"):
            await StaticProvider({}).refresh(talk, grant_of(won), PRIMARY)
