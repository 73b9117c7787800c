"""Token exchange: another token for one of this issuer's, as often as it is needed."""

from __future__ import annotations

from typing import Any

import pytest

from credd.core.failures import Failed, Kind
from credd.core.model import Secret, TokenKey
from demo.issuer_settings import BASIC_CLIENT, OTHER_AUDIENCE, Settings
from tests.providers.oidc_world import Here, said
from tests.providers.provider_contract import grant_of

FILE = "/run/secrets/token"
EXCHANGE = "token-exchange"


class There(Here):
    """A client that exchanges tokens, and a person's token to begin with."""

    subject = ""

    async def begin(self) -> None:
        """A person logs in at the same issuer."""
        person = Here()
        person.core = person.talk.core = self.core
        first = (await person.login()).renewal.access_token
        assert first is not None
        self.subject = first.reveal()


async def there(settings: dict[str, Any] | None = None, **issuer: Any) -> There:
    own = {"scopes": ["metrics"], **(settings or {})}
    made = There(own, Settings(access_lifetime=60.0, **issuer), BASIC_CLIENT)
    await made.begin()
    made.talk.answers["subject-token"] = made.subject + "\n"
    made.talk.files[FILE] = made.subject
    return made


async def test_a_token_is_exchanged_for_another() -> None:
    """The subject stays the person's business; the login lasts as long as what is exchanged."""
    here = await there()
    won = await here.login(EXCHANGE)
    assert [question.name for question in here.talk.asked] == ["client-secret", "subject-token"]
    assert won.renewable
    assert won.scope == "metrics"
    assert won.login_lifetime == pytest.approx(60.0, abs=1.0)
    assert won.private["subject_token"] == Secret(here.subject)
    assert here.subject not in repr(won)
    here.assert_clean()


async def test_it_is_exchanged_again_and_does_not_burn() -> None:
    """Each time with the sealed token, for narrower scopes and other audiences, too."""
    here = await there()
    grant = grant_of(await here.login(EXCHANGE))
    assert not here.provider.spends(grant)
    for _ in range(3):
        assert (await here.refresh(grant)).refresh_token is None
    narrowed = await here.refresh(grant, TokenKey("metrics", OTHER_AUDIENCE))
    assert said(narrowed)["aud"] == OTHER_AUDIENCE
    assert here.core.record.count("token/token_exchange") == 5
    here.assert_clean()


async def test_a_subject_token_in_a_file_is_read_at_each_exchange() -> None:
    """Nobody is asked, nothing of it is sealed, and whoever keeps the file keeps the login."""
    here = await there({"subject_token_file": FILE})
    won = await here.login(EXCHANGE)
    assert [question.name for question in here.talk.asked] == ["client-secret"]
    assert (won.login_lifetime, "subject_token" in won.private) == (None, False)
    del here.talk.files[FILE]
    with pytest.raises(AssertionError, match="expected"):
        await here.refresh(grant_of(won))
    here.talk.files[FILE] = here.subject
    await here.refresh(grant_of(won))
    here.assert_clean()


@pytest.mark.parametrize(
    ("settings", "kind"),
    [({}, Kind.REFUSED), ({"subject_token_file": FILE}, Kind.MISCONFIGURED)],
    ids=["asked", "from a file"],
)
@pytest.mark.parametrize("error", ["invalid_request", "invalid_grant"])
async def test_a_token_that_is_no_longer_taken_says_so(
    settings: dict[str, Any], kind: Kind, error: str
) -> None:
    """A person must bring another; a file will hold another one day, so it is tried again."""
    here = await there(settings)
    grant = grant_of(await here.login(EXCHANGE))
    here.core.faults.answer(400, {"error": error})
    with pytest.raises(Failed, match="subject_token_refused") as caught:
        await here.refresh(grant)
    assert caught.value.failure.kind is kind


async def test_an_expired_subject_token_is_refused_by_the_issuer() -> None:
    """As by every issuer that follows RFC 8693 2.2.2."""
    here = await there()
    grant = grant_of(await here.login(EXCHANGE))
    here.talk.clock.advance(61.0)
    with pytest.raises(Failed, match="subject_token_refused"):
        await here.refresh(grant)


async def test_a_refresh_token_that_came_along_is_used() -> None:
    """Where the token was asked for once; beside a file it would only be one more thing to lose."""
    for settings, kept in (({}, True), ({"subject_token_file": FILE}, False)):
        here = await there(settings)
        here.core.faults.edit_reply({"refresh_token": "rt-CANARY-exchanged"})
        won = await here.login(EXCHANGE)
        assert (won.renewal.refresh_token is not None) is kept
        assert won.login_lifetime is None
        assert here.provider.spends(grant_of(won)) is kept


@pytest.mark.parametrize("answer", ["", "two words", "a\nb", "ü", "x" * 70_000])
async def test_what_is_no_token_is_not_sent(answer: str) -> None:
    """And the person hears it at once."""
    here = await there()
    here.talk.answers["subject-token"] = answer
    before = here.core.record.count("token")
    with pytest.raises(Failed, match="bad_subject_token"):
        await here.login(EXCHANGE)
    assert here.core.record.count("token") == before


async def test_another_kind_of_token_is_named_by_its_urn() -> None:
    """RFC 8693 3: `jwt` is a kind that this issuer does not take."""
    here = await there({"subject_token_type": "jwt"})
    with pytest.raises(Failed, match="subject_token_refused"):
        await here.login(EXCHANGE)
