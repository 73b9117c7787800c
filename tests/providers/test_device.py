"""The device login's pace and patience, and what it shows."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from credd.core.conversation import NeverSent, Reply, ReplyLost
from credd.core.failures import Failed, Kind
from credd.providers import device
from credd.providers.oauth import Client
from tests.fakes.conversation import ScriptedConversation, Step, post

ISSUER = "https://login.example.org"
CODES = {
    "device_code": "dc-CANARY-1", "user_code": "WDJB-MJHT", "verification_uri": f"{ISSUER}/device",
    "verification_uri_complete": f"{ISSUER}/device?user_code=WDJB-MJHT", "expires_in": 600,
}  # fmt: skip
TOKENS = {"access_token": "at-1", "token_type": "Bearer"}
US = Client("training")


def says(code: str, status: int = 400, **more: Any) -> Step:
    """A poll that is answered with an OAuth error."""
    return post("/token", {"error": code, **more}, status)


@contextlib.asynccontextmanager
async def login(*polls: Step, **changes: Any) -> AsyncIterator[ScriptedConversation]:
    """A talk in which these polls are expected after the codes."""
    codes = {name: value for name, value in {**CODES, **changes}.items() if value is not None}
    async with ScriptedConversation(post("/device_authorization", codes), *polls) as talk:
        yield talk


async def start(talk: ScriptedConversation) -> device.Device:
    url = f"{ISSUER}/device_authorization"
    return await device.start(talk, url, US, {"scope": "openid"}, ISSUER)


async def go(talk: ScriptedConversation) -> Reply:
    """Log in, up to the first tokens."""
    return await device.wait(talk, f"{ISSUER}/token", US, await start(talk), {})


async def test_slow_down_adds_five_seconds_for_good() -> None:
    """RFC 8628 3.5, in ten lines: no network, no clock, no waiting."""
    pending, slow_down = says("authorization_pending"), says("slow_down")
    tokens = post("/token", TOKENS, form={
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        "device_code": "dc-CANARY-1", "client_id": "training",
    })  # fmt: skip
    async with login(pending, slow_down, pending, slow_down, pending, tokens) as talk:
        assert (await go(talk)).json() == TOKENS
    assert talk.pauses == [5, 5, 10, 10, 15, 15]


@pytest.mark.parametrize(
    ("interval", "pause"),
    [(1, 1), (2.5, 2.5), (30, 30), (0, 1), (None, 5), (-3, 5), ("7", 5), (True, 5), ([], 5)],
)
async def test_the_issuer_sets_the_pace(interval: object, pause: float) -> None:
    """5 s where it says nothing; a second at least, or we would ask as fast as we can."""
    async with login(post("/token", TOKENS), interval=interval) as talk:
        await go(talk)
    assert talk.pauses == [pause]


@pytest.mark.parametrize("miss", [NeverSent("connect"), ReplyLost("time_out")])
async def test_a_lost_poll_doubles_the_pause_for_that_poll(miss: Exception) -> None:
    """RFC 8628 3.5: back off while polls get lost, and return to the old pace after an answer."""
    lost, pending = post("/token", miss), says("authorization_pending")
    async with login(lost, lost, pending, lost, post("/token", TOKENS)) as talk:
        await go(talk)
    assert talk.pauses == [5, 10, 20, 5, 10]


async def test_the_pause_after_lost_polls_stays_short_enough_for_a_person() -> None:
    """Whoever has approved does not wait more than a minute for us to notice."""
    lost = [post("/token", NeverSent("dns")) for _ in range(8)]
    async with login(*lost, post("/token", TOKENS), expires_in=3600) as talk:
        await go(talk)
    assert talk.pauses == [5, 10, 20, 40, 60, 60, 60, 60, 60]


@pytest.mark.parametrize(
    ("poll", "pause"),
    [
        (post("/token", b"<html>", 502), 10),
        (post("/token", b"<html>portal", 200), 10),
        (post("/token", {}, 200), 10),
        (post("/token", {"error": "temporarily_unavailable"}, 503), 10),
        (post("/token", b"", 429, headers={"retry-after": "42"}), 42),
        (post("/token", b"", 429, headers={"retry-after": "2"}), 10),
    ],
)
async def test_an_issuer_in_trouble_is_asked_again_more_slowly(poll: Step, pause: float) -> None:
    """A gateway's error page does not end a login that a person is busy approving."""
    async with login(poll, post("/token", TOKENS)) as talk:
        await go(talk)
    assert talk.pauses == [5, pause]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("access_denied", Kind.REFUSED), ("expired_token", Kind.REFUSED),
        ("invalid_grant", Kind.REFUSED), ("invalid_client", Kind.MISCONFIGURED),
        ("unsupported_grant_type", Kind.MISCONFIGURED), ("invalid_scope", Kind.MISCONFIGURED),
    ],
)  # fmt: skip
async def test_a_definite_no_ends_the_login(code: str, kind: Kind) -> None:
    """And says which one it was."""
    async with login(says(code)) as talk:
        with pytest.raises(Failed) as caught:
            await go(talk)
    assert (caught.value.failure.kind, caught.value.failure.reason) == (kind, code)


async def test_a_code_that_was_exchanged_unheard_says_that_a_reply_was_lost() -> None:
    """The tokens were on the way and got lost: `invalid_grant` would send the person astray."""
    async with login(post("/token", ReplyLost("reset")), says("invalid_grant")) as talk:
        with pytest.raises(Failed, match="reply_lost"):
            await go(talk)


async def test_a_token_endpoint_that_is_not_there_ends_the_login() -> None:
    """Discovery named it a moment ago; polling a 404 would keep a person waiting for nothing."""
    async with login(post("/token", b"", 404)) as talk:
        with pytest.raises(Failed, match="not_found"):
            await go(talk)


@pytest.mark.parametrize(("life", "seconds"), [(12, 12), (None, 600), ("x", 600), (10**6, 3600)])
async def test_nothing_keeps_us_past_the_codes_end(life: object, seconds: float) -> None:
    """The code's life is counted on our own clock, and no poll is sent after it."""
    polls = [says("authorization_pending") for _ in range(int((seconds - 1) // 5))]
    async with login(*polls, expires_in=life) as talk:
        with pytest.raises(Failed, match="expired_token"):
            await go(talk)
    assert sum(talk.pauses) == seconds


async def test_an_interval_longer_than_the_code_is_cut_at_its_end() -> None:
    """An issuer that says 'once a year' does not keep a login open for a year."""
    async with login(interval=31_536_000, expires_in=60) as talk:
        with pytest.raises(Failed, match="expired_token"):
            await go(talk)
    assert talk.pauses == [60]


async def test_the_person_is_shown_where_to_go_and_until_when() -> None:
    """Page, page with the code, code and end; the device code stays hidden."""
    async with login() as talk:
        shown = await start(talk)
    assert shown.event() == {
        "type": "device-code", "verification_uri": f"{ISSUER}/device",
        "verification_uri_complete": f"{ISSUER}/device?user_code=WDJB-MJHT",
        "user_code": "WDJB-MJHT", "expires_at": shown.started.wall + 600,
    }  # fmt: skip
    assert "CANARY" not in repr(shown)


async def test_googles_older_name_of_the_page_is_understood() -> None:
    """`verification_url`, as drafts of RFC 8628 had it."""
    page = f"{ISSUER}/google"
    async with login(verification_uri=None, verification_url=page) as talk:
        assert (await start(talk)).page == page


BAD_PAGES = [
    "http://login.example.org/device", "http://127.0.0.1/device", "file:///etc/passwd",
    "javascript:alert(1)", "-https://x.example", "https://x.example/$(id)", "https://x.example/`id`",
    "https://x.example/'", 'https://x.example/"', "https://x.example/a b", "https://x.example/\x1b",
    "https://a@x.example/", "", 5, [],
]  # fmt: skip


@pytest.mark.parametrize("page", BAD_PAGES)
async def test_t45_a_poisoned_page_is_never_shown(page: object) -> None:
    """What reaches a terminal or a browser is an https address in plain characters, or nothing."""
    async with login(verification_uri=page) as talk:
        with pytest.raises(Failed, match="bad_device_reply"):
            await start(talk)


@pytest.mark.parametrize("page", [*BAD_PAGES, None])
async def test_t45_a_poisoned_page_with_the_code_is_left_out(page: object) -> None:
    """It is only a convenience: the login goes on with the page and the code."""
    async with login(verification_uri_complete=page) as talk:
        assert (await start(talk)).page_with_code == ""


@pytest.mark.parametrize(
    "changes",
    [
        *[{"user_code": code} for code in
          ("", "A B", "A\x1b[31mB", "A\nB", "\u202eAB", "É", "-AB", "A" * 65, "$(id)", 5, ["A"])],
        *[{"device_code": code} for code in ("", "a b", "a\nb", "é", 5, "a" * 65537)],
        {"user_code": None}, {"device_code": None}, {"verification_uri": None},
    ],
)  # fmt: skip
async def test_t34_codes_in_strange_characters_are_refused(changes: Mapping[str, object]) -> None:
    """A user code is typed by a person and printed on a terminal: letters, digits, . _ and -."""
    async with login(**changes) as talk:
        with pytest.raises(Failed, match="bad_device_reply"):
            await start(talk)


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (400, {"error": "invalid_scope"}, "invalid_scope"),
        (200, {"error": "invalid_client"}, "invalid_client"),
        (401, {"error": "invalid_client"}, "invalid_client"),
        (302, b"", "redirect"),
        (200, b"<html>", "no_oauth_answer"),
        (200, [], "no_oauth_answer"),
        (500, b"", "no_oauth_answer"),
    ],
)
async def test_a_refused_start_says_why(status: int, body: object, reason: str) -> None:
    """Before a person is bothered, the issuer's answer is judged."""
    async with ScriptedConversation(post("/device_authorization", body, status)) as talk:
        with pytest.raises(Failed, match=reason):
            await start(talk)
