"""Keys of clients that prove themselves by signing."""

from __future__ import annotations

from functools import cache
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from demo.issuer_settings import Client


@cache
def key(kind: str) -> Any:
    """A private key of this kind, made once."""
    makers: dict[str, Any] = {
        "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
        "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
        "RSA-2048": lambda: rsa.generate_private_key(65537, 2048),
        "RSA-1024": lambda: rsa.generate_private_key(65537, 1024),
        "Ed25519": ed25519.Ed25519PrivateKey.generate,
    }
    return makers[kind]()


def private_pem(kind: str = "P-256", passphrase: bytes = b"", traditional: bool = False) -> str:
    """As `openssl genpkey` writes it; `traditional` is what older tools write."""
    cipher: Any = serialization.NoEncryption()
    if passphrase:
        cipher = serialization.BestAvailableEncryption(passphrase)
    form = serialization.PrivateFormat.PKCS8
    if traditional:
        form = serialization.PrivateFormat.TraditionalOpenSSL
    return str(key(kind).private_bytes(serialization.Encoding.PEM, form, cipher).decode())


def public_pem(kind: str = "P-256") -> str:
    """The half that an issuer has."""
    public = key(kind).public_key()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return str(public.public_bytes(serialization.Encoding.PEM, form).decode())


def signing_client(kind: str = "P-256") -> Client:
    """A registered client; as its `secret`, the key that a person holds."""
    return Client("demo-signing", "private_key_jwt", private_pem(kind), public_key=public_pem(kind))
