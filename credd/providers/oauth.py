"""OAuth 2.0 as a client speaks it: who we are, refresh, client credentials, revocation.

Knows forms and replies (RFC 6749, 7009, 8707); refuses to know discovery, people and clocks. The
hard thing: each of these posts spends or ends something, so each is posted once. Whatever is worth
trying again is for the broker to say.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote_plus

from credd.core.conversation import Conversation, Question, Reply
from credd.core.failures import Failed, Failure, Kind, judge_reply
from credd.core.model import Secret
from credd.providers import client_assertion

Fields = Mapping[str, "str | Secret"]

LONGEST_SECRET = 4096
"""Characters of a client secret; the longest that issuers make are a tenth of it."""


@dataclass(frozen=True, slots=True)
class Client:
    """Who we are to the issuer (RFC 6749 2.3): `method` is the registered name of the way to prove
    it (`none`, `client_secret_basic`, `client_secret_post`, `private_key_jwt`), `proof` the client
    secret or the private key (PEM).

    `audience` is whom an assertion is made for, "" for the very endpoint that is asked; `key_id`
    names the key to an issuer that knows several.
    """

    client_id: str
    method: str = "none"
    proof: Secret | None = None
    audience: str = ""
    key_id: str = ""

    def body(self, talk: Conversation, url: str) -> Fields:
        """What belongs into the body of every request of this client. Raises Failed for a key that
        can't sign."""
        if self.method == "client_secret_basic":
            return {}
        if self.method == "private_key_jwt" and self.proof is not None:
            whose = client_assertion.Whose(self.client_id, self.audience or url, self.key_id)
            return {
                "client_id": self.client_id,
                "client_assertion_type": client_assertion.TYPE,
                "client_assertion": client_assertion.assertion(
                    self.proof, whose, talk.now().wall, talk.new_secret()
                ),
            }
        own: dict[str, str | Secret] = {"client_id": self.client_id}
        if self.method == "client_secret_post" and self.proof is not None:
            own["client_secret"] = self.proof
        return own

    def headers(self) -> Mapping[str, str | Secret]:
        """The Authorization header, where that is this client's way."""
        if self.method != "client_secret_basic" or self.proof is None:
            return {}
        # Both halves are form-encoded before the base64 (RFC 6749 2.3.1): a colon in the id, or a
        # plus sign in the secret, would otherwise be read as something else.
        pair = f"{quote_plus(self.client_id)}:{quote_plus(self.proof.reveal())}"
        return {"Authorization": Secret("Basic " + base64.b64encode(pair.encode()).decode())}

    async def post(self, talk: Conversation, url: str, form: Fields) -> Reply:
        """Post a form as this client, once. NeverSent and ReplyLost pass through."""
        return await talk.post(url, {**form, **self.body(talk, url)}, headers=self.headers())


async def ask_client_secret(talk: Conversation, client_id: str) -> Secret:
    """The client secret, from a person. Raises Failed for one that no request could carry."""
    answer = await talk.ask(Question("client-secret", f"Client secret of {client_id}"))
    text = answer.reveal().strip("\r\n")
    if not text or len(text) > LONGEST_SECRET or not (text.isascii() and text.isprintable()):
        raise Failed(Failure(Kind.REFUSED, "bad_client_secret"))
    return Secret(text)


def refresh_form(refresh_token: Secret) -> Fields:
    """RFC 6749 6. `scope` is added only by who wants less than was granted."""
    return {"grant_type": "refresh_token", "refresh_token": refresh_token}


def client_credentials_form() -> Fields:
    """RFC 6749 4.4.2."""
    return {"grant_type": "client_credentials"}


def narrowed(form: Fields, scope: str, audience: str, parameter: str = "resource") -> Fields:
    """The form with what is asked for; empty values are left out, as they mean something else.

    `parameter` is the name under which this issuer takes an audience: `resource` (RFC 8707), or
    `audience`.
    """
    extra = {"scope": scope, parameter: audience}
    return {**form, **{name: value for name, value in extra.items() if value}}


def plain(form: Fields) -> Mapping[str, str]:
    """A form without secrets, for an address."""
    return {name: value for name, value in form.items() if isinstance(value, str)}


async def revoke(talk: Conversation, url: str, client: Client, token: Secret, hint: str) -> None:
    """End `token` (RFC 7009). `hint` is `refresh_token` or `access_token`. Raises Failed where the
    issuer did not say that it is gone."""
    reply = await client.post(talk, url, {"token": token, "token_type_hint": hint})
    if 200 <= reply.status < 300:
        return
    failure = _judge_revocation(reply)
    if failure.reason != "invalid_grant":  # already gone, said by issuers that don't say 200
        raise Failed(failure)


def _judge_revocation(reply: Reply) -> Failure:
    answer = reply.json() or {}
    if answer.get("error") == "unsupported_token_type":  # RFC 7009 2.2.1
        return Failure(Kind.MISCONFIGURED, "unsupported_token_type")
    if answer.get("error") == "invalid_token":  # not in the RFC, yet said
        return Failure(Kind.REFUSED, "invalid_grant")
    return judge_reply(reply, caller_named=False)
