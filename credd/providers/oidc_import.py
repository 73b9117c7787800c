"""A refresh token from elsewhere as a grant at an OpenID provider.

Knows what a login would have sealed, and finds it out without one. The hard thing is not to touch
the token: it may be the only living one, and is posted by a refresh, once it lies in the vault.
"""

from __future__ import annotations

from credd.core.conversation import Authorization, Conversation, Renewal
from credd.core.failures import Failed, Failure, Kind
from credd.core.importing import Handover
from credd.providers import client_assertion, oauth
from credd.providers.discovery import discover
from credd.providers.registration import DEFAULT_METHOD, Registration, sealed
from credd.providers.token_reply import is_printable, is_scope

IMPORT = "import"
"""The flow that is sealed with such a grant."""

LONGEST_ACCOUNT = 256
"""Characters of a label; it is shown in a table."""


async def take_over(talk: Conversation, us: Registration, handed: Handover) -> Authorization:
    """The grant of a refresh token that was obtained by somebody else. Raises Failed."""
    if not is_printable(handed.secret.reveal()):
        raise Failed(Failure(Kind.REFUSED, "bad_refresh_token"))
    client = _client(us, handed)
    found = await discover(talk, us.issuer)
    return Authorization(
        Renewal(sent=talk.now(), refresh_token=handed.secret),
        account=handed.account[:LONGEST_ACCOUNT] if handed.account.isprintable() else "",
        scope=handed.scope if is_scope(handed.scope) else " ".join(us.scopes or ()),
        private=sealed(IMPORT, found, client),
    )


def _client(us: Registration, handed: Handover) -> oauth.Client:
    proof = handed.client_secret
    method = us.method or (DEFAULT_METHOD if proof is not None else "none")
    if method == "none":
        return us.client(method, None)
    if proof is None:
        raise Failed(Failure(Kind.MISCONFIGURED, "no_client_secret"))
    if method == "private_key_jwt":
        return us.client(method, client_assertion.check_key(proof.reveal()))
    if not is_printable(proof.reveal()):
        raise Failed(Failure(Kind.REFUSED, "bad_client_secret"))
    return us.client(method, proof)
