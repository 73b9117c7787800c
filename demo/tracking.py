"""A tracking server for the demo's training job: no metric without a good token.

Knows the issuer's public keys, its own audience, and how many metrics it took. Refuses to know
credd: all it sees is bearer tokens. The one hard thing: no leeway. A token that is a
millisecond past its expiry is rejected, so `rejected: 0` means what it says.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import jwt
from aiohttp import web

from demo.issuer_listener import Listener
from demo.issuer_process import stop_event, write_private
from demo.issuer_settings import AUDIENCE

ALGORITHMS = ("ES256", "RS256")  # what an issuer may sign with here; never `none`, never HMAC
CLAIMS = ("iss", "aud", "exp", "iat", "sub", "jti")
SCOPE = "metrics"


class Rejected(Exception):
    """This token is not good enough, and why."""


class Judge:
    """Decides whether a bearer token is good; pure, with keys and time handed in."""

    def __init__(self, keys: dict[str, Any], issuer: str, audience: str = AUDIENCE) -> None:
        self._keys = {key.key_id: key for key in jwt.PyJWKSet.from_dict(keys).keys}
        self._issuer = issuer
        self._audience = audience

    def __repr__(self) -> str:
        return f"<Judge of {self._issuer} for {self._audience}, {len(self._keys)} keys>"

    def claims(self, authorization: str, now: float) -> dict[str, Any]:
        """The claims of a good token at this Unix time. Raises Rejected."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Rejected("no bearer token")
        claims = self._verify(token)
        # PyJWT would cut the expiry to whole seconds; here every millisecond counts.
        if now >= float(claims["exp"]):
            raise Rejected("expired")
        if SCOPE not in str(claims.get("scope", "")).split():
            raise Rejected(f"scope {SCOPE} is missing")
        return claims

    def _verify(self, token: str) -> dict[str, Any]:
        options: Any = {"require": list(CLAIMS), "verify_exp": False, "verify_iat": False}
        try:
            header = jwt.get_unverified_header(token)
            key = self._keys[header["kid"]]
            if header.get("typ") != "at+jwt":  # RFC 9068: an id token is no access token
                raise Rejected("not an access token")
            return jwt.decode(
                token, key.key, list(ALGORITHMS), options,
                audience=self._audience, issuer=self._issuer,
            )  # fmt: skip
        except KeyError:
            raise Rejected("unknown key") from None
        except jwt.PyJWTError as error:
            raise Rejected(type(error).__name__) from None


class Tracking:
    """``POST /api/metrics`` for jobs, ``GET /api/report`` for the view."""

    def __init__(self, judge: Judge, clock: Callable[[], float] = time.time) -> None:
        self._judge = judge
        self._clock = clock
        self.steps: dict[str, int] = {}
        self.tokens: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"<Tracking accepted={self.tokens.total()} rejected={self.rejected.total()}>"

    async def serve(self, http: web.BaseRequest) -> web.StreamResponse:
        """Answer one request: 200, 400, 401 or 404."""
        match (http.method, http.path):
            case ("POST", "/api/metrics"):
                return self._log(http.headers.get("Authorization", ""), await http.read())
            case ("GET", "/api/report"):
                return web.json_response(self.report())
        return web.json_response({"error": "not found"}, status=404)

    def report(self) -> dict[str, Any]:
        """What was taken and what was not, and from how many access tokens."""
        return {
            "accepted": self.tokens.total(),
            "rejected": self.rejected.total(),
            "reasons": dict(self.rejected),
            "access_tokens": len(self.tokens),
            "steps": dict(self.steps),
        }

    def _log(self, authorization: str, body: bytes) -> web.Response:
        try:
            claims = self._judge.claims(authorization, self._clock())
        except Rejected as reason:
            self.rejected[str(reason)] += 1
            challenge = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
            return web.json_response({"error": str(reason)}, status=401, headers=challenge)
        try:
            self._keep(json.loads(body))
        except (ValueError, KeyError, TypeError):
            return web.json_response({"error": "run, step and metrics, please"}, status=400)
        self.tokens[claims["jti"]] += 1
        return web.json_response({"accepted": self.tokens.total()})

    def _keep(self, entry: dict[str, Any]) -> None:
        run, step, metrics = str(entry["run"]), int(entry["step"]), entry["metrics"]
        if not isinstance(metrics, dict):
            raise TypeError("metrics is an object")
        self.steps[run] = step


async def fetch_keys(issuer: str) -> dict[str, Any]:
    """The issuer's public keys, by its discovery document."""
    async with aiohttp.ClientSession(raise_for_status=True) as session:
        async with session.get(f"{issuer}/.well-known/openid-configuration") as reply:
            document = await reply.json()
        async with session.get(document["jwks_uri"]) as reply:
            return dict(await reply.json())


async def run(options: argparse.Namespace) -> None:
    """Serve until SIGTERM, SIGINT, or the end of standard input if that was asked for.

    The keys are fetched once: an issuer that is away later is no reason to stop the metrics.
    """
    stop = stop_event(options.until_eof)
    tracking = Tracking(Judge(await fetch_keys(options.issuer), options.issuer, options.audience))
    async with Listener(tracking.serve, options.port) as listener:
        write_private(Path(options.port_file), json.dumps({"url": listener.origin}))
        await stop.wait()


def main() -> None:
    """The process."""
    parser = argparse.ArgumentParser(prog="python -m demo.tracking", description=__doc__)
    parser.add_argument("--issuer", required=True, help="URL of the issuer")
    parser.add_argument("--audience", default=AUDIENCE)
    parser.add_argument("--port", type=int, default=0, help="0 lets the kernel choose")
    parser.add_argument("--port-file", required=True, help="written when ready: JSON with the URL")
    parser.add_argument("--until-eof", action="store_true", help="stop when stdin ends")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
