"""An id token is believed only when everything about it is right."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import warnings
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from credd.providers.id_token import BadIdToken, UnknownKey, account_name, verify

ISSUER, CLIENT, NOW = "https://login.example.org", "training", 1_750_000_000.0
CLAIMS = {"iss": ISSUER, "aud": CLIENT, "sub": "ada", "iat": NOW - 1, "exp": NOW + 300}
KEY = ec.generate_private_key(ec.SECP256R1())
OTHER = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def public(key: ec.EllipticCurvePrivateKey, **more: Any) -> dict[str, Any]:
    """The public half as a JWK."""
    return {**json.loads(ECAlgorithm.to_jwk(key.public_key())), **more}


def keys(*listed: Any) -> dict[str, Any]:
    """A JWK Set."""
    return {"keys": list(listed)}


def signed(kid: str | None = "k1", **changes: Any) -> str:
    """An id token with these claims changed; None leaves one out."""
    claims = {name: value for name, value in {**CLAIMS, **changes}.items() if value is not None}
    return jwt.encode(claims, KEY, algorithm="ES256", headers={"kid": kid} if kid else None)


def check(token: str, published: Any = None) -> dict[str, Any]:
    """Verify this token against these keys, now."""
    known = keys(public(KEY, kid="k1")) if published is None else published
    return dict(verify(token, known, ISSUER, CLIENT, NOW))


def test_a_good_token_tells_who_logged_in() -> None:
    """Signed by the issuer, for us, now."""
    assert check(signed())["sub"] == "ada"


@pytest.mark.parametrize(
    ("algorithm", "key", "to_jwk"),
    [
        ("RS256", RSA, RSAAlgorithm.to_jwk), ("PS512", RSA, RSAAlgorithm.to_jwk),
        ("ES384", ec.generate_private_key(ec.SECP384R1()), ECAlgorithm.to_jwk),
        ("EdDSA", ed25519.Ed25519PrivateKey.generate(), OKPAlgorithm.to_jwk),
    ],
)  # fmt: skip
def test_the_usual_algorithms_are_known(
    algorithm: str, key: Any, to_jwk: Callable[[Any], str]
) -> None:
    """RSA, RSA-PSS, elliptic curves, Edwards curves."""
    token = jwt.encode(CLAIMS, key, algorithm=algorithm)
    assert check(token, keys(json.loads(to_jwk(key.public_key()))))["sub"] == "ada"


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"iss": f"{ISSUER}/"}, "another issuer"),
        ({"iss": None}, "another issuer"),
        ({"aud": "other"}, "another client"),
        ({"aud": None}, "another client"),
        ({"aud": []}, "another client"),
        ({"aud": ["other", "more"]}, "another client"),
        ({"aud": [CLIENT, "other"]}, "another party"),
        ({"aud": [CLIENT, "other"], "azp": "other"}, "another party"),
        ({"azp": "other"}, "another party"),
        ({"sub": None}, "no subject"),
        ({"sub": ""}, "no subject"),
        ({"sub": 5}, "no subject"),
        ({"sub": "a" * 256}, "no subject"),
        ({"sub": "a\nb"}, "characters"),
        ({"sub": "\u202eada"}, "characters"),
        ({"exp": None}, "when"),
        ({"iat": None}, "when"),
        ({"exp": True}, "when"),
        ({"exp": "soon"}, "when"),
        ({"exp": NOW - 61}, "expired"),
        ({"iat": NOW + 61}, "future"),
        ({"exp": -1e99}, "expired"),
    ],
)  # fmt: skip
def test_a_token_that_is_not_for_us_now_is_refused(changes: dict[str, Any], word: str) -> None:
    """Issuer, audience, authorized party, subject and time each have to be right."""
    with pytest.raises(BadIdToken, match=word):
        check(signed(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": NOW - 59}, {"iat": NOW + 59}, {"aud": [CLIENT]}, {"azp": CLIENT},
        {"aud": [CLIENT, "other"], "azp": CLIENT}, {"nbf": NOW + 9999}, {"jti": 5},
    ],
)  # fmt: skip
def test_two_clocks_may_differ_a_little(changes: dict[str, Any]) -> None:
    """A minute; and what is not ours to judge is left alone."""
    assert check(signed(**changes))


def test_the_time_is_the_one_passed_in() -> None:
    """These claims are long over by every clock but the one handed in."""
    assert check(signed())["exp"] == NOW + 300


def unsigned(algorithm: str, signature: str = "") -> str:
    """A token whose header claims this algorithm."""
    parts = [json.dumps({"alg": algorithm, "kid": "k1"}), json.dumps(CLAIMS)]
    encoded = [base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts]
    return ".".join([*encoded, signature])


def hmac_signed() -> str:
    """A token 'signed' with the public key as if it were a shared secret."""
    body = unsigned("HS256").rstrip(".")
    secret = json.dumps(public(KEY, kid="k1")).encode()
    proof = hmac.new(secret, body.encode(), hashlib.sha256).digest()
    return f"{body}.{base64.urlsafe_b64encode(proof).decode().rstrip('=')}"


@pytest.mark.parametrize(
    "token",
    [
        unsigned("none"), unsigned("None"), unsigned("HS256", "c2ln"), unsigned("ES256K", "c2ln"),
        unsigned("RS1", "c2ln"), hmac_signed(), "", "x", "a.b", "a.b.c", "....", "é.é.é",
        "a" * 70_000, signed()[:-4], signed() + "x", "." + signed(), signed().replace(".", "..", 1),
    ],
)  # fmt: skip
def test_a_token_that_picks_its_own_proof_is_refused(token: str) -> None:
    """No `none`, no HMAC with a public key, no damaged signature, no nonsense."""
    with pytest.raises(BadIdToken):
        check(token)


def test_a_key_that_is_not_published_is_told_apart() -> None:
    """Then the keys are worth fetching again: the issuer may just have changed them."""
    with pytest.raises(UnknownKey):
        check(signed(), keys(public(OTHER, kid="k2")))
    with pytest.raises(UnknownKey):
        check(signed(kid=None), keys(public(OTHER)))


def test_a_token_without_a_key_name_tries_all() -> None:
    """Small issuers name neither the key nor its algorithm."""
    assert check(signed(kid=None), keys(public(OTHER, kid="a"), public(KEY, kid="b")))
    assert check(signed(), keys(public(OTHER), public(KEY)))


@pytest.mark.parametrize(
    "published",
    [
        {}, {"keys": None}, {"keys": {}}, {"keys": "x"}, keys(), keys(None), keys(5), keys([]),
        keys({}), keys({"kty": "oct", "k": "c2VjcmV0"}), keys({"kty": "EC"}),
        keys({"kty": "EC", "crv": 5}),
        keys({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}),
        keys({"kty": "EC", "crv": "P-256", "x": None, "y": []}),
        keys({"kty": "RSA", "n": "AA", "e": "AA"}), keys({"kty": "RSA", "n": "é", "e": "AQAB"}),
        keys({"kty": "RSA", "n": "B" * 4000, "e": "AQAB"}), keys({"kty": "OKP", "crv": "X"}),
        keys(public(KEY, kid="k1", use="enc")), keys(public(KEY, kid="k1", alg="ES512")),
        keys(public(KEY, kid="k1", alg="HS256")), keys(*[public(OTHER, kid="k1")] * 101),
    ],
)  # fmt: skip
def test_t37_a_monstrous_key_set_proves_nothing_and_breaks_nothing(published: Any) -> None:
    """Whatever an issuer publishes, the token is verified or it is not, without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UnknownKey):
            check(signed(), published)


def test_an_algorithm_that_nobody_chose_is_refused() -> None:
    """A right signature of a curve that is not on the list is still none of ours."""
    key = ec.generate_private_key(ec.SECP256K1())
    token = jwt.encode(CLAIMS, key, algorithm="ES256K")
    with pytest.raises(BadIdToken, match="proves nothing"):
        check(token, keys(public(key)))


def test_a_key_too_short_to_prove_anything_is_passed_over() -> None:
    """RFC 7518 3.3 wants RSA keys of 2048 bits at least."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pyjwt warns whoever signs with it; here that's the test
        token = jwt.encode(CLAIMS, key, algorithm="RS256")
    with pytest.raises(UnknownKey):
        check(token, keys(json.loads(RSAAlgorithm.to_jwk(key.public_key()))))


def test_t37_no_key_is_looked_for_behind_a_hundred_others() -> None:
    """A set without end would have us try without end."""
    with pytest.raises(UnknownKey):
        check(signed(), keys(*[public(OTHER, kid="k1")] * 100, public(KEY, kid="k1")))


def test_a_good_key_among_bad_ones_is_found() -> None:
    """One broken entry does not hide its neighbour."""
    assert check(signed(), keys({"kty": "EC", "kid": "k1"}, None, public(KEY, kid="k1")))


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"preferred_username": "ada", "email": "a@x.org", "sub": "1"}, "ada"),
        ({"email": "a@x.org", "sub": "1"}, "a@x.org"),
        ({"sub": "1"}, "1"),
        ({"preferred_username": "\x1b\x00\u202e\ud800", "sub": "1"}, "1"),
        ({"preferred_username": 5, "email": None, "sub": "1"}, "1"),
        ({"preferred_username": "a\x1b[31mda\u202e\r\nx\u2028"}, "a[31mdax"),
        ({"preferred_username": " a   b "}, "a b"),
        ({"preferred_username": "Zoë 張"}, "Zoë 張"),
        ({"preferred_username": "a" * 10**6}, "a" * 128),
        ({}, ""),
    ],
)  # fmt: skip
def test_t34_an_account_has_a_name_that_is_safe_to_show(claims: dict[str, Any], name: str) -> None:
    """No escape sequence, no line end, no turned text; short enough for a line."""
    assert account_name(claims) == name
