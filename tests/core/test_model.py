"""Promises about the nouns: secrets don't show, keys are the same however they were asked for."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import logging
import pickle
import sys
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credd.core.conversation import Authorization, Renewal, Reply
from credd.core.keeping import Attempt, Kept
from credd.core.model import PRIMARY, Credential, Secret, TokenKey, token_key
from credd.core.record import Record, pack
from tests.core.facts import NOW, grant, modest, token

PLANTED = "rt-CANARY-planted"
ALL_TEXT = st.text(st.characters(exclude_categories=()), max_size=30)  # lone surrogates too


def everything_that_holds_it() -> list[object]:
    """One of each noun, each with the secret inside."""
    secret = Secret(PLANTED)
    renewal = Renewal(NOW, secret, secret)
    login = grant(refresh_token=secret, private={"client_secret": secret})
    issued = token(value=secret)
    record = Record("oidc", "id", {}, 1, login, (issued,))
    return [
        secret,
        renewal,
        Authorization(renewal, private={"client_secret": secret}),
        login,
        issued,
        record,
        Kept("lab", 1, pack(record)),
        Attempt("id", 1, secret.digest(), 0.0),
        Reply(200, {}, PLANTED.encode(), NOW),
        {"in a": [secret, (secret,)]},
    ]


@pytest.mark.parametrize("holder", everything_that_holds_it(), ids=lambda one: type(one).__name__)
def test_no_noun_shows_the_secret_it_holds(holder: object) -> None:
    """repr, str, format, %, f-string: whichever a careless line uses."""
    shown = [
        repr(holder), str(holder), f"{holder}", f"{holder!r}", f"{holder!s:>60}",
        "%s %r" % (holder, holder), "{}".format(holder), ascii(holder),  # noqa: UP031, UP032
    ]  # fmt: skip
    assert PLANTED not in "".join(shown)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_secret_can_not_be_pickled(protocol: int) -> None:
    """Nor what holds it: a pickle goes to caches, queues and child processes."""
    for holder in (Secret(PLANTED), grant(refresh_token=Secret(PLANTED))):
        with pytest.raises(TypeError) as caught:
            pickle.dumps(holder, protocol)
        assert PLANTED not in str(caught.value)


def test_a_secret_can_not_be_copied_into_plain_things() -> None:
    """`asdict`, `copy` and JSON refuse it instead of unwrapping it."""
    for unwrap in (copy.copy, copy.deepcopy, json.dumps, dataclasses.asdict):
        with pytest.raises(TypeError) as caught:
            unwrap(Secret(PLANTED) if unwrap is not dataclasses.asdict else token())
        assert PLANTED not in str(caught.value)
    assert PLANTED not in json.dumps([Secret(PLANTED)], default=str)


def test_a_secret_has_no_attributes_to_dump() -> None:
    """No `__dict__`: what prints all attributes of everything finds none."""
    with pytest.raises(TypeError):
        vars(Secret(PLANTED))


def test_a_traceback_that_prints_variables_shows_no_secret() -> None:
    """Crash reporters print locals; ours are wrapped."""

    def fail(refresh_token: Secret) -> None:
        holder = grant(refresh_token=refresh_token)
        raise RuntimeError(f"while holding {holder} and {refresh_token}")

    try:
        fail(Secret(PLANTED))
    except RuntimeError:
        kind, error, trace = sys.exc_info()
        assert kind is not None
        assert error is not None
        found = traceback.TracebackException(kind, error, trace, capture_locals=True)
        assert PLANTED not in "".join(found.format())


def test_a_log_line_shows_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    """Logged by accident, it is logged as `<Secret>`."""
    logging.getLogger("credd.test").error("got %s and %r", Secret(PLANTED), grant())
    assert "<Secret>" in caplog.text
    assert PLANTED not in caplog.text
    assert "rt-CANARY-1" not in caplog.text


@modest
@given(ALL_TEXT, ALL_TEXT)
def test_secrets_are_equal_as_their_texts_are(one: str, other: str) -> None:
    """For any text at all, a lone surrogate included: comparing never raises (that error would
    quote the text)."""
    assert (Secret(one) == Secret(other)) is (one == other)
    assert Secret(one) == Secret(one)
    assert hash(Secret(one)) == hash(Secret(one))
    assert Secret(one).reveal() == one
    assert bool(Secret(one)) is bool(one)
    assert Secret(one) != one


@modest
@given(st.text(max_size=30))
def test_a_digest_names_a_secret_without_showing_it(text: str) -> None:
    """SHA-256 of its UTF-8, as anybody would compute it."""
    assert Secret(text).digest() == hashlib.sha256(text.encode()).digest()


@modest
@given(st.lists(st.sampled_from("abcde")), st.text(max_size=5), st.randoms())
def test_a_key_is_the_same_in_whatever_order_it_was_asked_for(
    scopes: list[str], audience: str, random: object
) -> None:
    """Two jobs that name the same scopes share one token."""
    shuffled = [*scopes, *scopes]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert token_key(shuffled, audience) == token_key(scopes, audience)


def test_the_primary_key_asks_for_nothing() -> None:
    """No scope, no audience: what the grant itself was given."""
    assert token_key([], "") == PRIMARY == TokenKey("", "")


def test_identity_is_provider_and_settings_in_any_order() -> None:
    """The order of keys in a file is nobody's identity."""
    one = Credential("lab", "oidc", {"issuer": "a", "client_id": "b"})
    other = Credential("lab", "oidc", {"client_id": "b", "issuer": "a"})
    assert one.identity() == other.identity()


@pytest.mark.parametrize(
    ("change", "is_other"),
    [
        ({"provider": "static"}, True),
        ({"settings": {"issuer": "b"}}, True),
        ({"settings": {"issuer": "a", "audience": ""}}, True),
        ({"name": "other"}, False),
        ({"hosts": ("example.org",)}, False),
        ({"login_lifetime": 60.0}, False),
        ({"access_lifetime": 60.0}, False),
        ({"environment": {"A": "b"}}, False),
    ],
)
def test_everything_is_identity_but_what_is_policy(
    change: dict[str, object], is_other: bool
) -> None:
    """A secret obtained under one identity is never offered under another."""
    usual = Credential("lab", "oidc", {"issuer": "a"})
    changed = dataclasses.replace(usual, **change)  # type: ignore[arg-type]
    assert (changed.identity() != usual.identity()) is is_other
