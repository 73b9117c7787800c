"""The tracking server takes metrics for good tokens only, to the millisecond."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import jwt
import pytest

from demo.issuer_core import IssuerCore
from demo.issuer_endpoints import DEVICE_GRANT
from demo.issuer_listener import Listener
from demo.issuer_settings import OTHER_AUDIENCE
from demo.tracking import Judge, Rejected, Tracking

NOW = 1_700_000_000.25
PUBLIC = {"client_id": "demo-training"}


def obtain(core: IssuerCore, **form: str) -> dict[str, Any]:
    """The tokens of a login."""
    codes = core.handle("POST", "/device_authorization", {}, PUBLIC | form, NOW).json()
    core.approve(codes["user_code"])
    poll = PUBLIC | {"grant_type": DEVICE_GRANT, "device_code": codes["device_code"]}
    return dict(core.handle("POST", "/token", {}, poll, NOW).json())


def judge_of(core: IssuerCore) -> Judge:
    """A judge with the issuer's published keys."""
    return Judge(core.handle("GET", "/jwks", {}, {}, NOW).json(), core.url)


def test_a_token_is_good_until_its_last_millisecond() -> None:
    """No leeway on either side."""
    core = IssuerCore()
    bearer = f"Bearer {obtain(core)['access_token']}"
    judge = judge_of(core)
    assert judge.claims(bearer, NOW + 9.999)["sub"] == "ada"
    with pytest.raises(Rejected, match="expired"):
        judge.claims(bearer, NOW + 10)


def test_foreign_and_wrong_tokens_are_rejected_with_a_reason() -> None:
    """Signature, kind, audience and scope each have to be right."""
    core, stranger = IssuerCore(), IssuerCore()
    judge = judge_of(core)
    tokens = obtain(core)
    good = tokens["access_token"]
    bad = {
        "unknown key": obtain(stranger)["access_token"],
        "not an access token": tokens["id_token"],
        "InvalidAudienceError": obtain(core, resource=OTHER_AUDIENCE)["access_token"],
        "scope metrics is missing": obtain(core, scope="openid")["access_token"],
        "InvalidSignatureError": good[:-8] + ("A" * 8),
        "DecodeError": "nonsense",
    }
    for reason, token in bad.items():
        with pytest.raises(Rejected, match=reason):
            judge.claims(f"Bearer {token}", NOW)
    with pytest.raises(Rejected, match="no bearer token"):
        judge.claims(f"Basic {good}", NOW)


def test_an_unsigned_token_is_rejected() -> None:
    """alg none is no signature, whatever the key id says."""
    core = IssuerCore()
    claims = core.endpoints.signer.read(obtain(core)["access_token"])
    assert claims is not None
    headers = {"kid": core.endpoints.signer.key_id, "typ": "at+jwt"}
    forged = jwt.encode(claims, "", algorithm="none", headers=headers)
    with pytest.raises(Rejected):
        judge_of(core).claims(f"Bearer {forged}", NOW)


async def test_metrics_are_counted_by_what_became_of_them() -> None:
    """200, 401 and 400, and a report that adds them up."""
    core = IssuerCore()
    tracking = Tracking(judge_of(core), clock=lambda: NOW)
    bearer = {"Authorization": f"Bearer {obtain(core)['access_token']}"}
    entry = json.dumps({"run": "r", "step": 3, "metrics": {"loss": 0.5}})
    async with Listener(tracking.serve) as listener, aiohttp.ClientSession() as http:
        url = f"{listener.origin}/api/metrics"
        for headers, body, status in ((bearer, entry, 200), ({}, entry, 401), (bearer, "[]", 400)):
            async with http.post(url, data=body, headers=headers) as reply:
                assert reply.status == status
        async with http.get(f"{listener.origin}/api/report") as reply:
            report = await reply.json()
    assert (report["accepted"], report["rejected"], report["steps"]) == (1, 1, {"r": 3})
