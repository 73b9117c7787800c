"""Shapes as schemas: what is refused, and that nothing of a value is repeated."""

from __future__ import annotations

import contextlib
from typing import Any, Optional, TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credd import wire
from credd.api.asking import parse_body
from credd.api.schema import Schemas
from credd.errors import BadRequest


class Inner(TypedDict):
    count: int


class Shape(TypedDict, total=False):
    text: str
    ratio: float
    flag: bool
    maybe: Optional[float]  # noqa: UP045 - the spelling that `wire` needs on Python 3.9
    other: int | None
    many: list[Inner]
    free: dict[str, Any]
    counts: dict[str, int]


FIELDS = ("text", "ratio", "flag", "maybe", "other", "many", "free", "counts")


def fault(value: Any, *, is_closed: bool = True) -> str | None:
    schemas = Schemas()
    return schemas.find_fault(value, schemas.of(Shape, is_closed=is_closed))


@pytest.mark.parametrize(
    "value",
    [
        {}, {"text": "", "ratio": 1, "flag": True}, {"ratio": 1.5}, {"maybe": None},
        {"maybe": 2}, {"other": None}, {"many": []}, {"many": [{"count": 1}, {"count": 2}]},
        {"free": {"a": [1, None, {"b": "c"}]}}, {"counts": {"a": 1}},
        {"many": [{"count": 1, "new": 2}]},
    ],
)  # fmt: skip
def test_what_fits_is_accepted(value: dict[str, Any]) -> None:
    """Every kind of field that `wire` uses."""
    assert fault(value) is None


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([], "the body must be an object"),
        ({"text": 1}, "'text' must be a string"),
        ({"ratio": "CANARY"}, "'ratio' must be a number"),
        ({"ratio": True}, "'ratio' must be a number"),
        ({"flag": 1}, "'flag' must be a boolean"),
        ({"maybe": "CANARY"}, "'maybe' is of the wrong kind"),
        ({"other": 1.5}, "'other' is of the wrong kind"),
        ({"many": {}}, "'many' must be an array"),
        ({"many": [{"count": 1}, {}]}, "'many' lacks 'count'"),
        ({"many": [{"count": "CANARY"}]}, "'count' must be an integer"),
        ({"counts": {"CANARY": "x"}}, "'counts' must be an integer"),
        ({"free": []}, "'free' must be an object"),
        ({"CANARY": 1}, "the body has an unknown field; known: " + ", ".join(FIELDS)),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said_in_our_own_words(value: Any, said: str) -> None:
    """The place and what is expected; neither the value nor an unknown name comes back."""
    assert fault(value) == said


def test_an_open_shape_takes_unknown_fields() -> None:
    """Replies grow."""
    assert fault({"new": 1}, is_closed=False) is None


def test_a_kind_of_field_that_nobody_needed_is_noticed() -> None:
    """A new shape in `wire` can't slip by unchecked."""
    with pytest.raises(TypeError, match="no schema"):
        Schemas().of(set[str])


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_t37_any_bytes_are_a_body_or_a_bad_request(raw: bytes) -> None:
    """Nothing else is raised, whatever comes."""
    with contextlib.suppress(BadRequest):
        assert isinstance(parse_body(raw), dict)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_t37_any_value_is_held_against_any_request(value: Any) -> None:
    """A sentence or nothing: no value breaks the check."""
    schemas = Schemas()
    for shape in (wire.LoginRequest, wire.LoginAnswer, wire.UnlockRequest, wire.RejectionRequest):
        assert isinstance(
            schemas.find_fault(value, schemas.of(shape, is_closed=True)), str | type(None)
        )
