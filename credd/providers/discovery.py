"""Where an issuer's endpoints are (OpenID Connect Discovery 1.0).

Knows one document and what may stand in it. The hard thing is believing no more than was asked: the
document must name exactly the configured issuer, or one issuer could speak for another (mix-up),
and an endpoint that isn't https, or carries a user name or a fragment, is as good as absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from credd.core.conversation import Conversation, NeverSent, Reply, ReplyLost
from credd.core.failures import Failed, Failure, Kind, judge_reply
from credd.providers.addresses import is_endpoint


@dataclass(frozen=True, slots=True)
class Endpoints:
    """What an issuer says about itself. "" stands for an endpoint that it doesn't have."""

    token: str
    authorization: str = ""
    device: str = ""
    revocation: str = ""
    keys: str = ""
    scopes: frozenset[str] = frozenset()
    names_itself: bool = False  # in the answers of its authorization endpoint (RFC 9207 3)


def document_of(issuer: str) -> str:
    """The address of the discovery document: a terminating slash is dropped first (4.1)."""
    return issuer.removesuffix("/") + "/.well-known/openid-configuration"


async def discover(talk: Conversation, issuer: str) -> Endpoints:
    """Fetch and check the document. Raises Failed, or NeverSent where no answer came."""
    document = await fetch(talk, document_of(issuer), "bad_discovery")
    if document.get("issuer") != issuer:  # exactly, as 4.3 says: no slash more, none less
        raise Failed(Failure(Kind.MISCONFIGURED, "other_issuer"))
    token = _endpoint(document, "token_endpoint", issuer)
    if not token:
        raise Failed(Failure(Kind.MISCONFIGURED, "bad_discovery"))
    return Endpoints(
        token=token,
        authorization=_code_endpoint(document, issuer),
        device=_endpoint(document, "device_authorization_endpoint", issuer),
        revocation=_endpoint(document, "revocation_endpoint", issuer),
        keys=_endpoint(document, "jwks_uri", issuer),
        scopes=_names(document.get("scopes_supported")),
        names_itself=document.get("authorization_response_iss_parameter_supported") is True,
    )


async def fetch(talk: Conversation, url: str, reason: str) -> Mapping[str, Any]:
    """A JSON document. Raises Failed, with `reason` where the issuer's answer is of no use.

    A reply that is lost is raised as NeverSent: reading spends nothing, so it is as good as unsent,
    and must not look as if a refresh token had been lost on the way.
    """
    try:
        reply = await talk.get(url)
    except ReplyLost as lost:
        raise NeverSent(lost.reason) from None
    document = reply.json() if reply.status == 200 else None
    if document is None:
        raise Failed(_judge_document(reply, reason))
    return document


def _judge_document(reply: Reply, reason: str) -> Failure:
    failure = judge_reply(reply, caller_named=False)
    if reply.status >= 500 or reply.status in (407, 408, 425, 429):
        return Failure(Kind.TRANSIENT, failure.reason, failure.retry_after)
    return Failure(Kind.MISCONFIGURED, reason)


def _endpoint(document: Mapping[str, Any], name: str, issuer: str) -> str:
    address = document.get(name)
    return str(address) if is_endpoint(address, issuer) else ""


def _code_endpoint(document: Mapping[str, Any], issuer: str) -> str:
    """The authorization endpoint of an issuer that gives codes there."""
    types = document.get("response_types_supported", ["code"])
    gives_codes = isinstance(types, list) and "code" in types
    return _endpoint(document, "authorization_endpoint", issuer) if gives_codes else ""


def _names(value: object) -> frozenset[str]:
    listed = value if isinstance(value, list) else []
    return frozenset(one for one in listed if isinstance(one, str))
