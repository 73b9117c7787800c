"""What the heart's tests are fed with: facts as a test writes them, and as hypothesis draws them.

Everything has a default, so that a test names only what it is about.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from credd.core.failures import Failure, Kind
from credd.core.instant import Instant
from credd.core.model import PRIMARY, AccessToken, Grant, Secret, TokenKey
from credd.core.record import Record
from credd.core.trouble import Circumstances, Trouble

WALL = 1_900_000_000.0
NOW = Instant(WALL, 5000.0, "boot-1")

A_SECOND, A_MONTH = 1.0, 30 * 86400.0

modest = settings(max_examples=60, deadline=None)
"""Enough to find the corners, few enough to be run by everybody all the time."""


def later(seconds: float, since: Instant = NOW) -> Instant:
    """`seconds` after, on both clocks."""
    return Instant(since.wall + seconds, since.boottime + seconds, since.boot_id)


def token(**changes: Any) -> AccessToken:
    """A token of five minutes, obtained now."""
    usual = AccessToken(Secret("at-1"), "Bearer", 1, PRIMARY, "openid", NOW, 300.0, 160.0)
    return dataclasses.replace(usual, **changes)


def grant(**changes: Any) -> Grant:
    """A login of alice's that can be renewed."""
    usual = Grant(1, Secret("rt-CANARY-1"), "alice", "alice@example", "openid", NOW, NOW)
    return dataclasses.replace(usual, **changes)


def trouble(kind: Kind = Kind.TRANSIENT, reason: str = "connect", **changes: Any) -> Trouble:
    """One failed try, now, with a pause of ten seconds after it."""
    return dataclasses.replace(Trouble(kind, reason, NOW, NOW, 10.0), **changes)


def around(seconds: float = 0.0, left: float = 100.0, dice: float = 0.5) -> Circumstances:
    """`seconds` from now, with a token of five minutes."""
    return Circumstances(later(seconds), 300.0, left, dice)


def failure(kind: Kind = Kind.TRANSIENT, reason: str = "connect", **changes: Any) -> Failure:
    """A failure of this kind."""
    return Failure(kind, reason, **changes)


# --- drawn --------------------------------------------------------------------------------------

lifetimes = st.floats(A_SECOND, A_MONTH)
dice = st.floats(0.0, 1.0)
texts = st.text(max_size=20)
moments = st.builds(
    Instant, st.floats(0, 4e9), st.floats(0, 1e8), st.sampled_from(["boot-1", "boot-2"])
)
secrets = st.builds(Secret, texts)
keys = st.builds(TokenKey, texts, texts)
spans = st.none() | st.floats(0, 1e9)
kinds = st.sampled_from(list(Kind))

tokens = st.builds(
    AccessToken,
    value=secrets,
    token_type=texts,
    generation=st.integers(0, 10**9),
    key=keys,
    scope=texts,
    obtained=moments,
    lifetime=spans,
    soft_after=spans,
)
grants = st.builds(
    Grant,
    number=st.integers(1, 1000),
    refresh_token=st.none() | secrets,
    subject=texts,
    account=texts,
    scope=texts,
    obtained=moments,
    refreshed=moments,
    renewable=st.booleans(),
    login_lifetime=spans,
    refresh_lifetime=spans,
    first_lifetime=spans,
    private=st.dictionaries(texts, texts | secrets, max_size=3),
)
troubles = st.builds(
    Trouble,
    kind=kinds,
    reason=texts,
    first=moments,
    last=moments,
    delay=st.floats(0, 1e6),
    tries=st.integers(1, 10**6),
    reply_lost_at=spans,
    final=st.booleans(),
    probes=st.integers(0, 1000),
    refusals=st.integers(0, 1000),
    alike=st.integers(0, 1000),
    asked=st.booleans(),
)
plain = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts
records = st.builds(
    Record,
    provider=texts,
    identity=texts,
    settings=st.dictionaries(texts, plain | st.lists(plain, max_size=3), max_size=4),
    generation=st.integers(0, 10**9),
    grant=grants,
    tokens=st.lists(tokens, max_size=3).map(tuple),
    trouble=st.none() | troubles,
    ending=st.booleans(),
    suspect=st.booleans(),
)
