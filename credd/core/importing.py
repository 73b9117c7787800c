"""What moves in: a secret that another program obtained, and how a provider makes a grant of it.

Rules: taking over posts nothing that an issuer could burn. It only finds out where and how the
secret will be used; whether it lives is shown by the first refresh, which is like every other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from credd.core.conversation import Authorization, Conversation
from credd.core.model import Secret


@dataclass(frozen=True, slots=True)
class Handover:
    """What was read where another program kept it. `secret` is a refresh token or a key;
    `client_secret` proves the client to the issuer, where it needs to. `account` and `scope` are
    what the other program said of it: labels, and no proof of anything."""

    secret: Secret
    client_secret: Secret | None = None
    account: str = ""
    scope: str = ""


@runtime_checkable
class Importer(Protocol):
    """A provider that can begin with a secret from elsewhere."""

    async def take_over(self, talk: Conversation, handed: Handover) -> Authorization:
        """The material of a grant. Raises Failed for a secret that no request could carry.

        One that is renewed comes without an access token: it has not been posted yet. A static
        key, which is its own access token, comes with it.
        """
        ...
