"""What a strict issuer is told before it starts, and the marks its secrets carry.

Knows the clients that are registered and how long things live. Refuses to know any request.
The one hard thing: every secret that the issuer mints or registers starts with a mark of its
own, so that a test can search logs, tracebacks and environments for all of them at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

REFRESH_TOKEN_MARK = "rt-CANARY-"
CLIENT_SECRET_MARK = "cs-CANARY-"
DEVICE_CODE_MARK = "dc-CANARY-"
CODE_MARK = "ac-CANARY-"
CANARIES = (REFRESH_TOKEN_MARK, CLIENT_SECRET_MARK, DEVICE_CODE_MARK, CODE_MARK)

AuthMethod = Literal["none", "client_secret_basic", "client_secret_post", "private_key_jwt"]

SCOPES = ("openid", "offline_access", "profile", "email", "metrics", "artifacts")
AUDIENCE = "https://tracking.example.org"
OTHER_AUDIENCE = "https://artifacts.example.org"


@dataclass(frozen=True)
class Client:
    """A registered client (RFC 6749 section 2); ``auth`` is the one method it may use.

    ``public_key`` is a PEM, for private_key_jwt; ``paths`` are those of its loopback redirect
    addresses, whose port may be any (RFC 8252 section 7.3).
    """

    client_id: str
    auth: AuthMethod = "none"
    secret: str = ""
    scopes: tuple[str, ...] = SCOPES
    public_key: str = ""
    paths: tuple[str, ...] = ("/callback",)

    def __repr__(self) -> str:
        return f"<Client {self.client_id} {self.auth}>"


PUBLIC_CLIENT = Client("demo-training")
# The secret needs percent-encoding: client_secret_basic form-encodes both halves before the
# base64 (RFC 6749 section 2.3.1), and a client that forgets it works until the day it doesn't.
BASIC_CLIENT = Client("demo-service", "client_secret_basic", f"{CLIENT_SECRET_MARK}a%2Bb+c:d/e")
POST_CLIENT = Client("demo-service-post", "client_secret_post", f"{CLIENT_SECRET_MARK}f&g=h+i")
RESOURCE_SERVER = Client(
    "demo-resource-server", "client_secret_basic", f"{CLIENT_SECRET_MARK}resource-server"
)


@dataclass(frozen=True)
class Settings:
    """How this issuer behaves while nothing is wrong. All times in seconds."""

    access_lifetime: float = 10.0
    refresh_lifetime: float = 86_400.0
    rotate: bool = True
    reuse_grace: float = 0.0
    id_token: bool = True
    id_token_lifetime: float = 3_600.0
    needs_offline_access: bool = True
    subject: str = "ada"
    audience: str = AUDIENCE
    audiences: tuple[str, ...] = (AUDIENCE, OTHER_AUDIENCE)
    clients: tuple[Client, ...] = (PUBLIC_CLIENT, BASIC_CLIENT, POST_CLIENT, RESOURCE_SERVER)
    device_lifetime: float = 300.0
    interval: float = 1.0
    auto_approve_after: float | None = None
    algorithm: Literal["ES256", "RS256"] = "ES256"

    def client(self, client_id: str) -> Client | None:
        """The registered client of that name, or None."""
        return next((one for one in self.clients if one.client_id == client_id), None)
