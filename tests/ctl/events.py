"""Events of a login, as the stand-in daemon sends them, and the login that asks for them."""

from __future__ import annotations

import time
from typing import Any

from credd.errors import CreddError, to_problem
from tests.ctl.standin import credential

NEW = ("login", "lab", "--provider", "oidc", "--set", "issuer=https://login.example.org",
       "--set", "client_id=training", "--set", "scopes=openid,offline_access")  # fmt: skip
"""A login of a credential that is not in config.toml."""

PAGE = "https://login.example.org/device"
LINK = f"{PAGE}?user_code=WDJB-MJHT"
BACK = "http://127.0.0.1:41234/callback"
AUTHORIZE = (
    "https://login.example.org/authorize?response_type=code&client_id=training&redirect_uri="
    "http%3A%2F%2F127.0.0.1%3A41234%2Fcallback&state=s1&" + "x" * 600
)
WAIT: dict[str, Any] = {"type": "wait-answer"}
HANG: dict[str, Any] = {"type": "hang"}


def code(**changes: Any) -> dict[str, Any]:
    event = {
        "type": "device-code",
        "verification_uri": PAGE,
        "verification_uri_complete": LINK,
        "user_code": "WDJB-MJHT",
        "expires_at": time.time() + 600,
    }
    return {**event, **changes}


def authorization(**changes: Any) -> dict[str, Any]:
    event = {"type": "authorization-url", "authorization_uri": AUTHORIZE, "redirect_uri": BACK}
    return {**event, **changes}


def question(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "type": "question",
        "question": name,
        "prompt": f"The {name}",
        "secret": True,
        **changes,
    }


def done(name: str = "lab", **changes: Any) -> dict[str, Any]:
    return {"type": "done", "credential": credential(name, **changes)}


def failed(error: CreddError) -> dict[str, Any]:
    return {"type": "failed", "problem": to_problem(error)}
