"""How we are known to an issuer, and what a login seals of it.

Knows the settings of an OpenID credential, and which secrets stand beside its grant. Refuses to
know requests. The hard thing: what was asked at login must be found again at every refresh, for
years, also by a later version whose defaults differ. So the way to prove the client is sealed, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from credd.core.conversation import Conversation, Question
from credd.core.failures import Failed, Failure, Kind
from credd.core.model import Secret
from credd.providers import client_assertion, oauth
from credd.providers.discovery import Endpoints

OF_PERSONS = frozenset({"openid", "offline_access"})
"""Scopes about a person, who is absent from client credentials: issuers refuse them there."""

DEFAULT_METHOD = "client_secret_basic"
"""What every issuer has to accept from a client with a secret (RFC 6749 2.3.1)."""


@dataclass(frozen=True, slots=True)
class Registration:
    """How we are known to an issuer, from the settings. `scopes` is None, and `method` "", where
    nobody chose."""

    issuer: str
    client_id: str
    method: str = ""
    scopes: tuple[str, ...] | None = None
    audience: str = ""
    audience_parameter: str = "resource"
    redirect_uri: str = ""
    assertion_audience: str = "issuer"
    client_key_id: str = ""
    subject_token_type: str = "access_token"
    subject_token_file: str = ""

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Registration:
        """From checked settings."""
        scopes = settings.get("scopes")
        given = {name: settings[name] for name in _PLAIN if name in settings}
        return cls(
            issuer=settings["issuer"],
            client_id=settings["client_id"],
            method=settings.get("token_endpoint_auth_method", ""),
            scopes=None if scopes is None else tuple(scopes),
            **given,
        )

    def narrowed(self, form: oauth.Fields, scope: str = "", audience: str = "") -> oauth.Fields:
        """The form with this scope and audience, under this issuer's name for the latter."""
        return oauth.narrowed(form, scope, audience or self.audience, self.audience_parameter)

    def own_scope(self) -> str:
        """The configured scopes that make sense where no person is involved."""
        return " ".join(one for one in self.scopes or () if one not in OF_PERSONS)

    def all_scopes(self) -> str:
        """The configured scopes; "" leaves them to the issuer."""
        return " ".join(self.scopes or ())

    def wanted_scope(self, offered: frozenset[str]) -> str:
        """The configured scopes; else a login that lasts, where the issuer offers one."""
        if self.scopes is not None:
            return self.all_scopes()
        return "openid offline_access" if "offline_access" in offered else "openid"

    def client(self, method: str, proof: Secret | None) -> oauth.Client:
        """Us, proving by `method` with this client secret or key."""
        audience = self.issuer if self.assertion_audience == "issuer" else ""
        return oauth.Client(self.client_id, method, proof, audience, self.client_key_id)


_PLAIN = (
    "audience", "audience_parameter", "redirect_uri", "assertion_audience", "client_key_id",
    "subject_token_type", "subject_token_file",
)  # fmt: skip
"""Settings that are called here as they are there, and whose default is the one above."""


async def introduce(talk: Conversation, us: Registration) -> oauth.Client:
    """Us, with the secret or key that a person was asked for. Raises Failed for a useless one."""
    method = us.method or "none"
    if method == "none":
        return us.client(method, None)
    if method == "private_key_jwt":
        question = Question("client-key", f"Private key of {us.client_id} (PEM)")
        return us.client(method, client_assertion.check_key((await talk.ask(question)).reveal()))
    return us.client(method, await oauth.ask_client_secret(talk, us.client_id))


def sealed(flow: str, found: Endpoints, client: oauth.Client) -> dict[str, str | Secret]:
    """What later posts rely on, kept with the grant: where to, and how to prove who we are."""
    private: dict[str, str | Secret] = {"flow": flow, "token_endpoint": found.token}
    if found.revocation:
        private["revocation_endpoint"] = found.revocation
    if client.proof is not None:
        private["client_auth"] = client.method
        private[_place(client.method)] = client.proof
    return private


def known_client(us: Registration, private: Mapping[str, str | Secret]) -> oauth.Client:
    """Us, as the login sealed it."""
    method = private.get("client_auth") or us.method
    if not method and "client_secret" in private:  # sealed before the method was
        method = DEFAULT_METHOD
    proof = private.get(_place(str(method)))
    return us.client(str(method) or "none", proof if isinstance(proof, Secret) else None)


def _place(method: str) -> str:
    return "client_key" if method == "private_key_jwt" else "client_secret"


def refuse_without_proof(us: Registration) -> None:
    """Raise Failed where the client is a public one, for flows in which it stands for itself."""
    if us.method == "none":
        raise Failed(Failure(Kind.MISCONFIGURED, "no_client_secret"))
