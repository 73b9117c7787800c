"""The issuer's signing key and what it signs: access tokens and id tokens, both as JWTs.

Knows keys and claims. Refuses to know grants and requests; time is passed in.
The one hard thing: an access token's times are exact to the millisecond, because a test that
checks a token in its last second must not be helped or hurt by rounding.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

RSA_BITS = 2048  # the least that RFC 7518 section 3.3 allows


def number(seconds: float) -> int | float:
    """Seconds as JSON shows them: whole where whole, else to the millisecond."""
    return int(seconds) if float(seconds).is_integer() else round(seconds, 3)


class Signer:
    """Signs and checks JWTs with one key that lives as long as the issuer."""

    def __init__(self, algorithm: str) -> None:
        self.algorithm = algorithm
        self.key_id = secrets.token_hex(4)
        self._key: Any = _new_key(algorithm)

    def __repr__(self) -> str:
        return f"<Signer {self.algorithm} kid={self.key_id}>"

    def sign(self, claims: Mapping[str, Any], kind: str) -> str:
        """A compact JWT; ``kind`` is its ``typ`` header (``at+jwt``: RFC 9068)."""
        headers = {"kid": self.key_id, "typ": kind}
        return jwt.encode(dict(claims), self._key, algorithm=self.algorithm, headers=headers)

    def read(self, token: str) -> dict[str, Any] | None:
        """The claims of a token that this key signed, expired or not; None for any other."""
        options: Any = {"verify_exp": False, "verify_aud": False, "verify_iat": False}
        try:
            return jwt.decode(
                token, self._key.public_key(), algorithms=[self.algorithm], options=options
            )
        except jwt.PyJWTError:
            return None

    def jwks(self) -> dict[str, Any]:
        """The public half, as RFC 7517 writes it."""
        algorithm = ECAlgorithm if self.algorithm == "ES256" else RSAAlgorithm
        public = json.loads(algorithm.to_jwk(self._key.public_key()))
        return {"keys": [public | {"kid": self.key_id, "alg": self.algorithm, "use": "sig"}]}


def _new_key(algorithm: str) -> Any:
    if algorithm == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
