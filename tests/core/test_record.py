"""Promises about records: what was sealed comes back whole, anything else is refused unquoted."""

from __future__ import annotations

import dataclasses
import json
import traceback
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credd.core.model import PRIMARY, Secret, TokenKey
from credd.core.record import FORMAT, NARROWED, Record, pack, unpack, with_token
from tests.core.facts import grant, modest, records, token, trouble

PLANTED = "rt-CANARY-planted"


def record(**changes: Any) -> Record:
    """alice's login with one token."""
    usual = Record("oidc", "identity", {"scopes": ["openid"]}, 1, grant(), (token(),))
    return dataclasses.replace(usual, **changes)


@modest
@given(records)
def test_a_record_comes_back_as_it_was(one: Record) -> None:
    """Secrets, moments, lists and all."""
    again = unpack(pack(one))
    assert dataclasses.replace(again, settings=one.settings) == one
    assert dict(again.settings) == dict(one.settings)


def test_tuples_in_settings_come_back_as_lists_and_keep_their_identity() -> None:
    """What a configuration says is compared by its digest, which knows no difference."""
    from credd.core.model import Credential

    one = record(settings={"scopes": ("a", "b")})
    again = unpack(pack(one))
    assert again.settings == {"scopes": ["a", "b"]}
    identities = [Credential("lab", "oidc", each.settings).identity() for each in (one, again)]
    assert identities[0] == identities[1]


def refused(payload: bytes) -> str:
    """Everything that a log could show of the refusal of `payload`."""
    with pytest.raises(ValueError, match="not a record") as caught:
        unpack(payload)
    return "".join(traceback.format_exception(caught.value)) + repr(caught.value)


@modest
@given(st.binary(max_size=200))
def test_any_bytes_are_refused_with_a_value_error(payload: bytes) -> None:
    """Whatever lies where a record should be."""
    refused(payload)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@modest
@given(JSON_VALUES)
def test_any_json_is_refused_with_a_value_error(value: object) -> None:
    """Also where it is well-formed."""
    refused(json.dumps(value).encode())


@modest
@given(records, st.data())
def test_a_record_cut_anywhere_is_refused_unquoted(one: Record, data: st.DataObject) -> None:
    """Half a record is none, and the other half is not shown."""
    whole = pack(dataclasses.replace(one, grant=grant(refresh_token=Secret(PLANTED))))
    cut = data.draw(st.integers(0, len(whole) - 1))
    assert PLANTED not in refused(whole[:cut])


@pytest.mark.parametrize("field", [entry.name for entry in dataclasses.fields(Record)])
def test_a_record_without_one_of_its_fields_is_refused(field: str) -> None:
    """Nothing is guessed."""
    plain = json.loads(pack(record(grant=grant(refresh_token=Secret(PLANTED)))))
    del plain[field]
    assert PLANTED not in refused(json.dumps(plain).encode())


@pytest.mark.parametrize("field", json.loads(pack(record()))["grant"])
def test_a_grant_of_the_wrong_shape_is_refused_unquoted(field: str) -> None:
    """A field that this version does not know is a newer record's."""
    plain = json.loads(pack(record(grant=grant(refresh_token=Secret(PLANTED)))))
    plain["grant"]["x" + field] = PLANTED
    assert PLANTED not in refused(json.dumps(plain).encode())


def test_a_number_that_is_none_is_refused_unquoted() -> None:
    """float() would quote it."""
    plain = json.loads(pack(record()))
    plain["grant"]["obtained"] = [PLANTED, PLANTED, PLANTED]
    assert PLANTED not in refused(json.dumps(plain).encode())


def test_a_bottomless_payload_is_refused() -> None:
    """Nested deeper than a parser goes."""
    refused(b"[" * 200_000)
    refused(b'{"a":' * 200_000)


def test_a_newer_format_is_left_alone() -> None:
    """Refused before anything of it is believed."""
    plain = json.loads(pack(record()))
    plain["format"] = FORMAT + 1
    refused(json.dumps(plain).encode())


def test_the_trouble_is_part_of_it() -> None:
    """A verdict survives a restart."""
    one = record(trouble=trouble(final=True, reply_lost_at=5.0), ending=True, suspect=True)
    assert unpack(pack(one)) == one


# --- the tokens of one grant ----------------------------------------------------------------------


def narrowed(number: int) -> Any:
    """A token of a scope of its own."""
    return token(key=TokenKey(f"scope-{number}"), generation=number)


def test_a_newer_token_replaces_only_its_own_key() -> None:
    """Each key has one."""
    one = with_token(with_token(record(), narrowed(2)), token(generation=3))
    assert {held.key: held.generation for held in one.tokens} == {
        PRIMARY: 3,
        TokenKey("scope-2"): 2,
    }


def test_made_up_scopes_do_not_fill_the_vault() -> None:
    """The oldest narrowed ones go, the grant's own never."""
    one = record()
    for number in range(2, 500):
        one = with_token(one, narrowed(number))
    assert len(one.tokens) == NARROWED + 1
    assert one.tokens[0].key == PRIMARY
    assert one.tokens[-1].generation == 499


@modest
@given(st.lists(st.integers(0, 100), max_size=200))
def test_the_newest_token_of_a_key_is_always_there(numbers: list[int]) -> None:
    """In whatever order they come."""
    one = record()
    for number in numbers:
        one = with_token(one, narrowed(number))
        assert one.tokens[-1].generation == number
    assert [held.key for held in one.tokens].count(PRIMARY) == 1
    assert len({held.key for held in one.tokens}) == len(one.tokens)
