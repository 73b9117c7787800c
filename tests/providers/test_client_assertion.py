"""Clients that prove themselves by a private key."""

from __future__ import annotations

import jwt
import pytest

from credd.core.failures import Failed, Kind
from credd.core.model import Secret
from credd.providers.client_assertion import LIFETIME, Whose, assertion, check_key
from credd.providers.oauth import Client
from demo.issuer_settings import Settings
from tests.fakes.conversation import START, ScriptedConversation
from tests.providers.keys import private_pem, public_pem, signing_client
from tests.providers.oidc_world import Here
from tests.providers.provider_contract import grant_of

ISSUER = "https://login.example.org"
US = Whose("training", ISSUER, "key-1")
NOW = int(START)


@pytest.mark.parametrize(("kind", "algorithm"), [("P-256", "ES256"), ("RSA-2048", "RS256")])
def test_an_assertion_is_for_one_issuer_for_a_minute_and_once(kind: str, algorithm: str) -> None:
    """RFC 7523 3: who, to whom, until when, and a number of its own."""
    signed = assertion(check_key(private_pem(kind)), US, START, Secret("n-1")).reveal()
    assert jwt.get_unverified_header(signed) == {"alg": algorithm, "kid": "key-1", "typ": "JWT"}
    options = {"verify_exp": False, "verify_iat": False}
    claims = jwt.decode(
        signed, public_pem(kind), [algorithm], audience=ISSUER, options=options  # type: ignore[arg-type]
    )  # fmt: skip
    assert claims == {
        "iss": "training", "sub": "training", "aud": ISSUER, "jti": "n-1", "iat": NOW,
        "exp": NOW + LIFETIME,
    }  # fmt: skip


def test_a_key_without_a_name_has_none_in_the_header() -> None:
    """An issuer that knows one key needs none."""
    signed = assertion(Secret(private_pem()), Whose("a", ISSUER), START, Secret("n"))
    assert "kid" not in jwt.get_unverified_header(signed.reveal())


@pytest.mark.parametrize("text", [private_pem(), f"\n{private_pem()}\r\n\r\n",
                                  private_pem("RSA-2048", traditional=True)])  # fmt: skip
def test_a_private_key_in_pem_is_taken(text: str) -> None:
    """With whatever blank lines a file has."""
    assert assertion(check_key(text), US, START, Secret("n"))


@pytest.mark.parametrize(
    "text",
    [
        "", "s3cret", public_pem(), private_pem(passphrase=b"sesame"), private_pem("P-384"),
        private_pem("Ed25519"), private_pem("RSA-1024"), private_pem()[:-40],
        private_pem().replace("M", "Ü"), "x" * 40_000 + private_pem(),
        "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----",
    ],
    ids=["empty", "secret", "public", "passphrase", "P-384", "Ed25519", "short RSA", "cut",
         "no ASCII", "long", "hollow"],
)  # fmt: skip
def test_anything_that_can_not_sign_is_refused_at_once(text: str) -> None:
    """While the person is still there; and nothing of it is repeated."""
    with pytest.raises(Failed, match="bad_client_key") as caught:
        check_key(text)
    assert caught.value.failure.kind is Kind.REFUSED
    assert caught.value.__context__ is None or "BEGIN" not in repr(caught.value.__context__)


def test_the_key_itself_is_never_in_a_request() -> None:
    """Nor the same assertion in two."""
    client = Client("training", "private_key_jwt", Secret(private_pem()), ISSUER)
    talk = ScriptedConversation()
    one, two = (client.body(talk, f"{ISSUER}/token") for _ in range(2))
    assert set(one) == {"client_id", "client_assertion_type", "client_assertion"}
    assert one["client_assertion"] != two["client_assertion"]
    assert client.headers() == {}
    assert "PRIVATE" not in repr(client)


def audience_of(client: Client, url: str) -> str:
    asserted = client.body(ScriptedConversation(), url)["client_assertion"]
    assert isinstance(asserted, Secret)
    claims = jwt.decode(asserted.reveal(), options={"verify_signature": False})
    return str(claims["aud"])


def test_an_assertion_is_for_the_issuer_or_for_the_endpoint_that_is_asked() -> None:
    """Never for one endpoint while it is sent to another: whoever got it could use it there."""
    key = Secret(private_pem())
    for url in (f"{ISSUER}/token", "https://elsewhere.example/revoke"):
        assert audience_of(Client("a", "private_key_jwt", key, ISSUER), url) == ISSUER
        assert audience_of(Client("a", "private_key_jwt", key), url) == url


# --- at an issuer ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["P-256", "RSA-2048"])
@pytest.mark.parametrize("flow", ["device", "authorization-code", "client-credentials"])
async def test_a_signing_client_proves_itself_everywhere(flow: str, kind: str) -> None:
    """Login, refresh and revocation, each with an assertion of its own; the key is sealed."""
    client = signing_client(kind)
    here = Here(client=client, issuer=Settings(clients=(client,)))
    won = await here.login(flow)
    renewal = await here.refresh(grant_of(won))
    await here.provider.revoke(here.talk, grant_of(won, renewal), None)
    assert [question.name for question in here.talk.asked] == ["client-key"]
    assert won.private["client_auth"] == "private_key_jwt"
    key = won.private["client_key"]
    assert isinstance(key, Secret)
    assert key.reveal() == private_pem(kind)
    here.assert_clean()


async def test_an_issuer_that_wants_its_endpoint_named_is_served() -> None:
    """`assertion_audience = "endpoint"`."""
    client = signing_client()
    here = Here(
        {"assertion_audience": "endpoint"}, client=client, issuer=Settings(clients=(client,))
    )
    assert (await here.login("client-credentials")).renewable
    here.assert_clean()


async def test_another_key_is_refused_by_the_issuer() -> None:
    """It is the client's registration that decides."""
    client = signing_client()
    here = Here(client=client, issuer=Settings(clients=(client,)))
    here.talk.answers["client-key"] = private_pem("RSA-2048")
    with pytest.raises(Failed, match="invalid_client"):
        await here.login("client-credentials")
