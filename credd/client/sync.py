"""What programs call: `get_token`, `TokenSource`, `Client`.

    import credd

    token = credd.get_token("lab")  # asks the daemon, remembers until refresh_at

It knows nothing of its own: routes are in `calls`, memory and hosts in `source`. A client remembers
one source for each credential, audience and scope, so that `get_token` is as cheap as a source.
"""

from __future__ import annotations

import os

from credd.client.calls import Calls, Scope, joined
from credd.client.patience import ABSENT, DEADLINE
from credd.client.source import TokenSource, named

__all__ = ["Client", "TokenSource", "get_token", "remembered"]


class Client(Calls):
    """The daemon: a method for each route, and tokens remembered in this process.

    Nothing needs closing, since each call has a connection of its own; leaving `with` forgets the
    tokens.
    """

    def __init__(
        self,
        socket: str | os.PathLike[str] | None = None,
        timeout: float = DEADLINE,
        *,
        refused: float | None = None,
        absent: float = ABSENT,
    ) -> None:
        super().__init__(socket, timeout, refused=refused, absent=absent)
        self._sources: dict[object, TokenSource] = {}

    def __getstate__(self) -> dict[str, object]:
        """Without the tokens: a pickle travels, and secrets don't."""
        return {**self.__dict__, "_sources": {}}

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Forget the remembered tokens; the client can still be used."""
        self._sources.clear()

    def get_token(
        self,
        name: str | None = None,
        *,
        min_valid: float | None = None,
        audience: str | None = None,
        scope: Scope = None,
    ) -> str:
        """An access token, remembered until it is due for a refresh; see TokenSource.token."""
        source = self._sources.get(name) if audience is None and scope is None else None
        if source is None:
            source = self.source(name, audience=audience, scope=scope)
        return source.token(min_valid)

    def source(
        self, name: str | None = None, *, audience: str | None = None, scope: Scope = None
    ) -> TokenSource:
        """The source of these tokens: the same one each time."""
        # The plain name is the key of what is asked for most, so that `get_token` finds it at once.
        plain, scopes = named(name), joined(scope)
        key = plain if audience is None and scopes is None else (plain, audience, scopes)
        found = self._sources.get(key)
        if found is None:
            fresh = TokenSource(plain, audience=audience, scope=scopes, client=self)
            found = self._sources.setdefault(key, fresh)
        return found


_client = Client()


def get_token(
    name: str | None = None,
    *,
    min_valid: float | None = None,
    audience: str | None = None,
    scope: Scope = None,
) -> str:
    """An access token of the credential `name` (None: CREDD_CREDENTIAL).

    It is remembered in this process until it is due for a refresh, and as long as it is good while
    the daemon is away. `min_valid` is in seconds. Raises CreddError's children; each says what to
    do next.
    """
    return _client.get_token(name, min_valid=min_valid, audience=audience, scope=scope)


def get_token_now(
    name: str | None = None,
    *,
    min_valid: float | None = None,
    audience: str | None = None,
    scope: Scope = None,
) -> str:
    """As `get_token`, without waiting for a person: for who waits in another way."""
    return _client.source(name, audience=audience, scope=scope).token_now(min_valid)


def remembered(
    name: str | None = None,
    *,
    min_valid: float | None = None,
    audience: str | None = None,
    scope: Scope = None,
) -> str | None:
    """What `get_token` would return without asking anyone, or None."""
    return _client.source(name, audience=audience, scope=scope).remembered(min_valid)
