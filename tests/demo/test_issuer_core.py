"""The strict issuer's decisions, without a network and on a clock that the test holds."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import quote_plus

import pytest

from demo.issuer_core import IssuerCore
from demo.issuer_endpoints import DEVICE_GRANT
from demo.issuer_faults import Away, ReplyLost
from demo.issuer_request import Reply
from demo.issuer_settings import (
    BASIC_CLIENT,
    OTHER_AUDIENCE,
    POST_CLIENT,
    REFRESH_TOKEN_MARK,
    RESOURCE_SERVER,
    Client,
    Settings,
)

NOW = 1_700_000_000.0
PUBLIC = {"client_id": "demo-training"}


def basic(client: Client) -> dict[str, str]:
    """The header of client_secret_basic, encoded as RFC 6749 section 2.3.1 wants it."""
    pair = f"{quote_plus(client.client_id)}:{quote_plus(client.secret)}"
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def post(core: IssuerCore, path: str, now: float = NOW, **form: str) -> Reply:
    """A form from the public client."""
    return core.handle("POST", path, {}, PUBLIC | form, now)


def start_device(core: IssuerCore, scope: str = "openid offline_access metrics") -> dict[str, Any]:
    """A pair of codes."""
    return dict(post(core, "/device_authorization", scope=scope).json())


def poll(core: IssuerCore, code: str, now: float = NOW) -> Reply:
    """One poll of a device code."""
    return post(core, "/token", now, grant_type=DEVICE_GRANT, device_code=code)


def log_in(core: IssuerCore, now: float = NOW) -> dict[str, Any]:
    """The tokens of a fresh login."""
    codes = start_device(core)
    core.approve(codes["user_code"])
    return dict(poll(core, codes["device_code"], now).json())


def refresh(core: IssuerCore, token: str, now: float = NOW, **form: str) -> Reply:
    """One refresh."""
    return post(core, "/token", now, grant_type="refresh_token", refresh_token=token, **form)


def is_active(core: IssuerCore, token: str, now: float = NOW) -> bool:
    """What introspection says."""
    reply = core.handle("POST", "/introspect", basic(RESOURCE_SERVER), {"token": token}, now)
    return bool(reply.json()["active"])


def error(reply: Reply) -> str:
    """The standard's word for a refusal."""
    return str(reply.json()["error"])


def test_discovery_names_the_issuer_and_every_endpoint() -> None:
    """What the discovery document promises answers something other than 404."""
    core = IssuerCore(url="http://127.0.0.1:1/realms/lab")
    document = core.handle(
        "GET", f"{core.url}/.well-known/openid-configuration", {}, {}, NOW
    ).json()
    assert document["issuer"] == core.url
    names = [name for name in document if name.endswith("_endpoint")]
    for name in names:
        method = "GET" if name in ("authorization_endpoint", "userinfo_endpoint") else "POST"
        assert core.handle(method, document[name], {}, {}, NOW).status != 404, name


def test_a_device_code_is_pending_until_a_person_approves() -> None:
    """authorization_pending, then tokens, once."""
    core = IssuerCore()
    codes = start_device(core)
    assert error(poll(core, codes["device_code"], NOW + 1)) == "authorization_pending"
    core.approve(codes["user_code"])
    tokens = poll(core, codes["device_code"], NOW + 2).json()
    assert tokens["refresh_token"].startswith(REFRESH_TOKEN_MARK)
    assert {"access_token", "id_token", "expires_in", "scope"} <= set(tokens)
    assert error(poll(core, codes["device_code"], NOW + 3)) == "invalid_grant"
    assert core.record.violations == ["device code posted after it was exchanged"]


def test_polling_too_fast_is_slowed_down_for_good_and_noticed() -> None:
    """slow_down raises the interval by 5 s (RFC 8628 section 3.5)."""
    core = IssuerCore()
    code = start_device(core)["device_code"]
    poll(core, code, NOW)
    assert error(poll(core, code, NOW + 0.5)) == "slow_down"
    assert error(poll(core, code, NOW + 4)) == "slow_down"
    assert error(poll(core, code, NOW + 16)) == "authorization_pending"
    assert len(core.record.violations) == 2


def test_slow_down_on_purpose_is_no_violation() -> None:
    """A test can ask for slow_down without the client having hurried."""
    core = IssuerCore()
    code = start_device(core)["device_code"]
    core.faults.slow_down(1)
    assert error(poll(core, code, NOW)) == "slow_down"
    assert error(poll(core, code, NOW + 6)) == "authorization_pending"
    assert core.record.violations == []


@pytest.mark.parametrize(("verdict", "word"), [("deny", "access_denied"), ("", "expired_token")])
def test_a_device_code_ends_without_approval(verdict: str, word: str) -> None:
    """Denied and forgotten codes have words of their own."""
    core = IssuerCore()
    codes = start_device(core)
    if verdict:
        core.deny(codes["user_code"])
    assert error(poll(core, codes["device_code"], NOW + 301)) == word


def test_a_device_code_approves_itself_when_told_to() -> None:
    """auto_approve_after plays the person."""
    core = IssuerCore(Settings(auto_approve_after=3))
    code = start_device(core)["device_code"]
    assert error(poll(core, code, NOW + 2)) == "authorization_pending"
    assert poll(core, code, NOW + 3).status == 200


def test_a_refresh_token_is_good_once_and_its_reuse_kills_the_family() -> None:
    """After reuse nothing of the grant is active any more."""
    core = IssuerCore()
    first = log_in(core)
    second = refresh(core, first["refresh_token"]).json()
    assert is_active(core, second["access_token"])
    assert error(refresh(core, first["refresh_token"])) == "invalid_grant"
    assert not is_active(core, second["access_token"])
    assert error(refresh(core, second["refresh_token"])) == "invalid_grant"
    assert core.record.violations == ["refresh token seen twice (grant g1)"]
    assert core.record.refreshes == {"g1": 1}


def test_reuse_within_the_grace_gives_the_same_successor() -> None:
    """Inside the grace a repeated request is answered, outside it the family dies."""
    core = IssuerCore(Settings(reuse_grace=10))
    old = log_in(core)["refresh_token"]
    new = refresh(core, old).json()["refresh_token"]
    assert refresh(core, old, NOW + 9).json()["refresh_token"] == new
    assert error(refresh(core, old, NOW + 11)) == "invalid_grant"


def test_without_rotation_a_refresh_token_stays() -> None:
    """Settings(rotate=False) is the other half of the world."""
    core = IssuerCore(Settings(rotate=False))
    token = log_in(core)["refresh_token"]
    assert refresh(core, token).json()["refresh_token"] == token
    assert refresh(core, token).status == 200
    assert core.record.violations == []


def test_scope_is_narrowed_and_never_widened() -> None:
    """A wider scope is refused before the refresh token is spent."""
    core = IssuerCore()
    token = log_in(core)["refresh_token"]
    assert error(refresh(core, token, scope="metrics artifacts")) == "invalid_scope"
    reply = refresh(core, token, scope="metrics").json()
    assert reply["scope"] == "metrics"
    assert "id_token" not in reply


def test_an_audience_is_one_of_the_allowed() -> None:
    """RFC 8707: resource names the audience; an unknown one is invalid_target."""
    core = IssuerCore()
    token = log_in(core)["refresh_token"]
    assert error(refresh(core, token, resource="https://evil.example")) == "invalid_target"
    reply = refresh(core, token, resource=OTHER_AUDIENCE).json()
    claims = core.endpoints.signer.read(reply["access_token"])
    assert claims is not None
    assert claims["aud"] == OTHER_AUDIENCE
    assert claims["exp"] - claims["iat"] == 10


def test_client_credentials_come_by_the_registered_way_only() -> None:
    """Basic with form-encoding, post in the body, and neither for a public client."""
    core = IssuerCore()
    form = {"grant_type": "client_credentials", "scope": "metrics"}
    reply = core.handle("POST", "/token", basic(BASIC_CLIENT), form, NOW)
    assert reply.status == 200
    assert "refresh_token" not in reply.json()
    in_body = form | {"client_id": POST_CLIENT.client_id, "client_secret": POST_CLIENT.secret}
    assert core.handle("POST", "/token", {}, in_body, NOW).status == 200
    assert error(core.handle("POST", "/token", {}, PUBLIC | form, NOW)) == "unauthorized_client"
    assert core.record.violations == []
    assert core.handle("POST", "/token", basic(POST_CLIENT), form, NOW).status == 401
    assert len(core.record.violations) == 1


def test_revoking_a_refresh_token_ends_its_family() -> None:
    """RFC 7009: 200 whether the token was known or not."""
    core = IssuerCore()
    tokens = log_in(core)
    assert post(core, "/revoke", token=tokens["refresh_token"]).status == 200
    assert not is_active(core, tokens["access_token"])
    assert post(core, "/revoke", token="never heard of").status == 200


def test_an_access_token_is_active_until_its_last_moment() -> None:
    """Introspection has no leeway."""
    core = IssuerCore()
    token = log_in(core)["access_token"]
    assert is_active(core, token, NOW + 9.999)
    assert not is_active(core, token, NOW + 10)
    headers = {"Authorization": f"Bearer {token}"}
    assert core.handle("GET", "/userinfo", headers, {}, NOW).json()["sub"] == "ada"
    assert core.handle("GET", "/userinfo", headers, {}, NOW + 10).status == 401


MALFORMED = {
    "client_id is missing": ({}, {"grant_type": "refresh_token", "refresh_token": "x"}),
    "content type": ({"Content-Type": "application/json"}, PUBLIC | {"grant_type": "x"}),
    "given twice": ({}, [("client_id", "demo-training")] * 2 + [("grant_type", "refresh_token")]),
    "unknown parameter audience": (
        {},
        PUBLIC | {"grant_type": "refresh_token", "refresh_token": "x", "audience": "y"},
    ),
    "unexpected Authorization header": (
        {"Authorization": "Bearer x"},
        {"grant_type": "refresh_token", "refresh_token": "x"},
    ),
    "scope is empty": (
        {},
        PUBLIC | {"grant_type": "refresh_token", "refresh_token": "x", "scope": ""},
    ),
    "client_secret from a public client": (
        {},
        PUBLIC | {"grant_type": "refresh_token", "refresh_token": "x", "client_secret": "y"},
    ),
    "grant_type missing": ({}, PUBLIC),
}


@pytest.mark.parametrize("what", sorted(MALFORMED))
def test_a_malformed_request_is_written_down(what: str) -> None:
    """Whatever the answer is, a test can fail on the violation."""
    core = IssuerCore()
    headers, form = MALFORMED[what]
    reply = core.handle("POST", "/token", headers, form, NOW)  # type: ignore[arg-type]
    assert reply.status in (400, 401)
    assert any(what in one for one in core.record.violations)


def test_parameters_in_the_url_are_refused() -> None:
    """A secret in a URL ends up in logs."""
    core = IssuerCore()
    reply = core.handle("POST", "/token?grant_type=refresh_token", {}, PUBLIC, NOW)
    assert reply.status == 400
    assert core.record.violations


def test_a_lost_reply_costs_the_token_but_is_nobodys_fault() -> None:
    """The grant moved on; posting the same token again is counted, and no violation."""
    core = IssuerCore()
    token = log_in(core)["refresh_token"]
    core.faults.lose_reply()
    with pytest.raises(ReplyLost):
        refresh(core, token)
    assert error(refresh(core, token)) == "invalid_grant"
    assert [reuse.excused for reuse in core.record.reuses] == [True]
    assert core.record.violations == []


def test_a_canned_answer_spends_nothing() -> None:
    """After a 429 or a captive portal the refresh token is as good as before."""
    core = IssuerCore()
    token = log_in(core)["refresh_token"]
    core.faults.too_many_requests(7)
    core.faults.answer(503, {"error": "temporarily_unavailable"}, times=2)
    reply = refresh(core, token)
    assert (reply.status, reply.headers["Retry-After"]) == (429, "7")
    assert [refresh(core, token).status for _ in range(3)] == [503, 503, 200]


def test_a_captive_portal_answers_everything_with_a_page() -> None:
    """200 and HTML, on every route."""
    core = IssuerCore()
    core.faults.html()
    assert core.handle("GET", "/jwks", {}, {}, NOW).headers["Content-Type"] == "text/html"
    core.faults.html(on=False)
    assert core.handle("GET", "/jwks", {}, {}, NOW).json()["keys"]


def test_replies_lie_as_told() -> None:
    """expires_in and both tokens can be changed or left out; each lie lasts as long as asked."""
    core = IssuerCore()
    token = log_in(core)["refresh_token"]
    core.faults.lie_about_expiry("soon")
    core.faults.lie_about_expiry(1e99)
    core.faults.hide_expiry()
    core.faults.break_access_token(42)
    core.faults.omit_refresh_token()
    seen = []
    for _ in range(5):
        reply = refresh(core, token).json()
        seen.append(reply)
        token = reply.get("refresh_token", token)
    assert [one.get("expires_in") for one in seen] == ["soon", 1e99, None, 10, 10]
    assert seen[3]["access_token"] == 42
    assert "refresh_token" not in seen[4]


def test_grants_can_be_refused_for_ever() -> None:
    """invalid_grant until somebody ends it; the token itself stays good."""
    core = IssuerCore()
    token = log_in(core)["refresh_token"]
    core.faults.refuse_grants()
    assert {error(refresh(core, token)) for _ in range(5)} == {"invalid_grant"}
    core.faults.clear()
    assert refresh(core, token).status == 200


def test_an_issuer_that_is_away_answers_nothing() -> None:
    """In the pure issuer that is an exception; nothing is recorded."""
    core = IssuerCore()
    core.faults.is_away = True
    with pytest.raises(Away):
        core.handle("GET", "/jwks", {}, {}, NOW)
    assert core.record.requests == []


def test_two_requests_of_one_grant_at_once_are_a_violation() -> None:
    """A second request while the first is in flight would kill the family elsewhere."""
    core = IssuerCore()
    token = log_in(core)["refresh_token"]
    form = PUBLIC | {"grant_type": "refresh_token", "refresh_token": token}
    request = core.read("POST", "/token", {}, form)
    with core.flight(request, lambda: NOW):
        assert core.record.in_flight == 1
        refresh(core, token)
    assert core.record.in_flight == 0
    assert core.record.violations == ["two token requests at once for grant g1"]


def test_the_discovery_document_can_name_another_issuer() -> None:
    """A lie in any field, and None leaves a field out."""
    core = IssuerCore()
    core.faults.discovery(issuer="https://evil.example", jwks_uri=None)
    document = core.handle("GET", "/.well-known/openid-configuration", {}, {}, NOW).json()
    assert document["issuer"] == "https://evil.example"
    assert "jwks_uri" not in document


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
def test_tokens_verify_against_the_published_keys(algorithm: Any) -> None:
    """The JWKS is all a resource server needs."""
    import jwt

    core = IssuerCore(Settings(algorithm=algorithm))
    token = log_in(core)["id_token"]
    keys = jwt.PyJWKSet.from_dict(core.handle("GET", "/jwks", {}, {}, NOW).json())
    options: Any = {"verify_exp": False}
    claims = jwt.decode(
        token, keys.keys[0].key, [algorithm], options, audience="demo-training", issuer=core.url
    )
    assert claims["sub"] == "ada"


def test_no_secret_shows_in_the_report_or_a_repr() -> None:
    """What a failing test prints can be shown to anybody."""
    core = IssuerCore()
    log_in(core)
    shown = f"{core.record.report()} {core.record!r} {core!r} {core.endpoints.grants.by_id!r}"
    assert core.record.minted
    assert not any(secret in shown for secret in core.record.minted)
