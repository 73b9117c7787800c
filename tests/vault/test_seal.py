"""An envelope opens as what it was sealed as, and as nothing else."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credd.vault.seal import Damaged, key_id, number_of, open_, seal

KEY = bytes(range(32))
PLAIN = b"a refresh token that must not be seen"


def sealed() -> bytes:
    return seal(KEY, "record", "lab", 7, PLAIN)


def damage_of(blob: bytes, kind: str = "record", name: str = "lab", number: int = 7) -> str:
    """The reason for which this does not open."""
    with pytest.raises(Damaged) as caught:
        open_(KEY, kind, name, number, blob)
    return caught.value.reason


@given(st.binary(max_size=5000), st.integers(0, 2**63))
def test_what_was_sealed_is_opened(plaintext: bytes, number: int) -> None:
    """Any bytes, also none, under any number."""
    assert open_(KEY, "record", "lab", number, seal(KEY, "record", "lab", number, plaintext)) == (
        plaintext
    )


def test_an_envelope_shows_nothing_of_what_is_in_it() -> None:
    """Neither plaintext nor key; and sealing twice gives two envelopes that share no salt."""
    one, other = sealed(), sealed()
    assert PLAIN not in one
    assert KEY not in one
    assert one[13:29] != other[13:29]
    assert one[61:] != other[61:]


def test_t24_every_prefix_is_damaged() -> None:
    """Cut off anywhere, an envelope is named truncated."""
    blob = sealed()
    assert {damage_of(blob[:length]) for length in range(len(blob))} == {"truncated"}


def test_t24_every_flipped_bit_is_damaged() -> None:
    """No bit is unguarded, in the header or behind it."""
    blob = sealed()
    for position in range(len(blob) * 8):
        flipped = bytearray(blob)
        flipped[position // 8] ^= 1 << position % 8
        assert damage_of(bytes(flipped))


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"name": "home"}, "swapped"),
        ({"kind": "aside"}, "swapped"),
        ({"number": 8}, "edited_number"),
    ],
)
def test_t26_an_envelope_belongs_to_one_kind_name_and_number(
    arguments: dict[str, str], reason: str
) -> None:
    """Moved to another name, kind or number it does not open, and the reason says what was done."""
    assert damage_of(sealed(), **arguments) == reason  # type: ignore[arg-type]


def test_t26_a_forged_label_does_not_help() -> None:
    """The readable part of the header may be rewritten to fit; the tag still tells."""
    mine, other = sealed(), seal(KEY, "record", "home", 9, PLAIN)
    forged = bytearray(mine)
    forged[29:45] = other[29:45]  # number and belongs, as the other has them
    assert damage_of(bytes(forged), name="home", number=9) == "flipped"


def test_another_key_is_named() -> None:
    """A key that is not this envelope's is told apart from damage."""
    with pytest.raises(Damaged, match="other_key"):
        open_(os.urandom(32), "record", "lab", 7, sealed())


def test_t74_an_unknown_version_is_refused_first() -> None:
    """A layout of the future may mean anything: nothing else about it is judged."""
    blob = bytearray(sealed())
    blob[4] = 2
    assert damage_of(bytes(blob[:70])) != "flipped"
    assert damage_of(bytes(blob)) == "unknown_version"


@pytest.mark.parametrize("blob", [b"CRD2" + bytes(100), b"\0" * 200, b"not sealed at all" * 10])
def test_what_was_never_sealed_is_named(blob: bytes) -> None:
    """Something else altogether is not called truncated or flipped."""
    assert damage_of(blob) == "not_sealed"


def test_the_number_can_be_asked_for() -> None:
    """A record found outside the vault says its number, which opening then proves."""
    assert number_of(sealed()) == 7
    with pytest.raises(Damaged):
        number_of(b"CRD1")


def test_a_key_id_is_stable_and_says_nothing() -> None:
    """The same key has the same id; the id is no part of the key."""
    assert key_id(KEY) == key_id(KEY) != key_id(bytes(32))
    assert key_id(KEY) not in KEY
