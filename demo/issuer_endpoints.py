"""What each endpoint of the issuer answers when nothing is wrong with the network.

Knows the grants, the device codes and the signer. Refuses to know routes, faults and sockets.
The one hard thing: scope and resource may only be narrowed, never widened, and the standards
have a word of their own for each refusal (invalid_scope; RFC 8707's invalid_target).
"""

from __future__ import annotations

import secrets
from typing import Any

from demo.issuer_assertions import Assertions
from demo.issuer_codes import Codes
from demo.issuer_devices import Devices
from demo.issuer_faults import Faults
from demo.issuer_grants import Access, Grant, Grants
from demo.issuer_record import Record
from demo.issuer_request import OAuthError, Request
from demo.issuer_settings import Client, Settings
from demo.issuer_tokens import Signer, number

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
EXCHANGE_GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
TOKEN_TYPE = "urn:ietf:params:oauth:token-type:"
Content = dict[str, Any]


class Endpoints:
    """The issuer's protected endpoints; each takes an authenticated request and the time."""

    def __init__(self, url: str, settings: Settings, record: Record, faults: Faults) -> None:
        self.url = url
        self._settings = settings
        self._record = record
        self._faults = faults
        self.grants = Grants(settings, record)
        self.devices = Devices(settings, record)
        self.codes = Codes(url, settings, record)
        self.assertions = Assertions(settings, record)
        self.signer = Signer(settings.algorithm)

    def device_authorization(self, request: Request, client: Client, now: float) -> Content:
        """A device code and a user code (RFC 8628 section 3.2)."""
        scope = _narrow_scope(request, client.scopes)
        device = self.devices.start(client.client_id, scope, self._resources(request), now)
        page = f"{self.url}/device"
        return {
            "device_code": device.device_code,
            "user_code": device.user_code,
            "verification_uri": page,
            "verification_uri_complete": f"{page}?user_code={device.user_code}",
            "expires_in": number(self._settings.device_lifetime),
            "interval": number(device.interval),
        }

    def device_code(self, request: Request, client: Client, now: float) -> Content:
        """The first tokens of a grant, once a person has approved (RFC 8628 section 3.4)."""
        code = request.require("device_code")
        slow = self._faults.wants_slow_down()
        device = self.devices.exchange(code, client.client_id, now, slow)
        resources = self._resources(request, device.resources) or device.resources
        subject = device.subject
        grant = self.grants.start(client.client_id, subject, device.scope, resources, now)
        return self._token_reply(grant, client, grant.scope, resources, now)

    def authorization_code(self, request: Request, client: Client, now: float) -> Content:
        """The first tokens of a grant, for a code and its verifier (RFC 7636 section 4.5)."""
        code = self.codes.exchange(
            request.require("code"), client.client_id, request.require("redirect_uri"),
            request.require("code_verifier"), now,
        )  # fmt: skip
        if code.grant_id:
            self.grants.end(self.grants.by_id[code.grant_id], "authorization code used twice")
            raise OAuthError("invalid_grant", "code was used")
        visit = code.visit
        resources = self._resources(request, visit.resources) or visit.resources
        grant = self.grants.start(client.client_id, code.subject, visit.scope, resources, now)
        code.grant_id = grant.id
        return self._token_reply(grant, client, grant.scope, resources, now, visit.nonce)

    def token_exchange(self, request: Request, client: Client, now: float) -> Content:
        """An access token for the subject of another of ours (RFC 8693 section 2)."""
        access = self._find_access(request.require("subject_token"))
        if request.require("subject_token_type") != TOKEN_TYPE + "access_token":
            raise OAuthError("invalid_request", "only access tokens are exchanged here")
        if access is None or not access.is_active(now):
            raise OAuthError("invalid_request", "the subject token is not valid")
        scope = _narrow_scope(request, access.scope)
        reply = self._token_reply(None, client, scope, self._resources(request), now)
        return reply | {"issued_token_type": TOKEN_TYPE + "access_token"}

    def refresh_token(self, request: Request, client: Client, now: float) -> Content:
        """New tokens for a refresh token, which is spent by it (RFC 6749 section 6)."""
        token = request.require("refresh_token")
        self._faults.refuse()
        known = self.grants.find(token)
        # Judged before the token is spent: a wrong scope must not cost the grant.
        scope = _narrow_scope(request, known.scope if known else ())
        resources = self._resources(request, known.resources if known else ())
        grant = self.grants.spend(token, client.client_id, now)
        self._record.refreshes[grant.id] += 1
        return self._token_reply(grant, client, scope, resources or grant.resources, now)

    def client_credentials(self, request: Request, client: Client, now: float) -> Content:
        """An access token for the client itself, never a refresh token (RFC 6749 section 4.4)."""
        if client.auth == "none":
            raise OAuthError("unauthorized_client", "public clients have no credentials")
        allowed = tuple(one for one in client.scopes if one not in ("openid", "offline_access"))
        scope = _narrow_scope(request, allowed)
        return self._token_reply(None, client, scope, self._resources(request), now)

    # The table of endpoints wants one shape; forgetting needs no clock.
    def revocation(self, request: Request, client: Client, now: float) -> Content:  # noqa: ARG002
        """Forget a token; a refresh token takes its family along (RFC 7009 section 2.1)."""
        token = request.require("token")
        grant, access = self.grants.find(token), self._find_access(token)
        owner = grant.client_id if grant else access.client_id if access else client.client_id
        if owner != client.client_id:
            raise OAuthError("invalid_client", "the token belongs to another client", 401)
        if grant:
            self.grants.end(grant, "revoked")
        elif access:
            access.revoked = True
        return {}

    def introspection(self, request: Request, client: Client, now: float) -> Content:
        """What a token is worth at this moment (RFC 7662 section 2.2)."""
        if client.auth == "none":
            raise OAuthError("invalid_client", "introspection needs a client secret", 401)
        token = request.require("token")
        grant, access = self.grants.find(token), self._find_access(token)
        if access and access.is_active(now):
            return self._describe(access)
        is_live = grant and not grant.ended and token == grant.refresh_token
        return {"active": bool(is_live and now < grant.expires_at)} if grant else {"active": False}

    def userinfo(self, authorization: str, now: float) -> Content:
        """Who the bearer is. Raises OAuthError invalid_token."""
        scheme, _, token = authorization.partition(" ")
        access = self._find_access(token)
        if scheme.lower() != "bearer" or access is None or not access.is_active(now):
            raise OAuthError("invalid_token", status=401)
        if "openid" not in access.scope:
            raise OAuthError("insufficient_scope", status=403)
        return {"sub": access.subject, "preferred_username": access.subject}

    def discovery(self) -> Content:
        """The provider's metadata (OpenID Connect Discovery 1.0 section 3)."""
        methods = ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"]
        grants = [
            "authorization_code", DEVICE_GRANT, "refresh_token", "client_credentials",
            EXCHANGE_GRANT,
        ]  # fmt: skip
        return {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/jwks",
            "authorization_endpoint": f"{self.url}/authorize",
            "authorization_response_iss_parameter_supported": self.codes.names_itself,
            "code_challenge_methods_supported": ["S256"],
            "device_authorization_endpoint": f"{self.url}/device_authorization",
            "token_endpoint": f"{self.url}/token",
            "revocation_endpoint": f"{self.url}/revoke",
            "introspection_endpoint": f"{self.url}/introspect",
            "userinfo_endpoint": f"{self.url}/userinfo",
            "grant_types_supported": grants,
            "token_endpoint_auth_methods_supported": methods,
            "scopes_supported": sorted({s for c in self._settings.clients for s in c.scopes}),
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [self.signer.algorithm],
        }

    def _resources(self, request: Request, granted: tuple[str, ...] = ()) -> tuple[str, ...]:
        wanted = request.values("resource")
        if set(wanted) <= set(granted or self._settings.audiences):
            return wanted
        raise OAuthError("invalid_target", "no such resource, or not granted")

    def _find_access(self, token: str) -> Access | None:
        claims = self.signer.read(token)
        return self.grants.access.get(claims.get("jti", "")) if claims else None

    def _describe(self, access: Access) -> Content:
        return {
            "active": True, "scope": " ".join(access.scope), "client_id": access.client_id,
            "sub": access.subject, "aud": list(access.audience), "iss": self.url,
            "jti": access.jti, "iat": number(access.issued_at), "exp": number(access.expires_at),
        }  # fmt: skip

    def _token_reply(
        self, grant: Grant | None, client: Client, scope: tuple[str, ...],
        resources: tuple[str, ...], now: float, nonce: str = "",
    ) -> Content:  # fmt: skip
        content = {
            "access_token": self._mint_access(grant, client, scope, resources, now),
            "token_type": "Bearer",
            "expires_in": number(self._settings.access_lifetime),
            "scope": " ".join(scope),
        }
        if grant and grant.refresh_token:
            content["refresh_token"] = grant.refresh_token
        if grant and self._settings.id_token and "openid" in scope:
            content["id_token"] = self._mint_id_token(grant, now, nonce)
        return content

    def _mint_access(
        self, grant: Grant | None, client: Client, scope: tuple[str, ...],
        resources: tuple[str, ...], now: float,
    ) -> str:  # fmt: skip
        subject = grant.subject if grant else client.client_id
        audience = resources or (self._settings.audience,)
        expires_at = now + self._settings.access_lifetime
        jti = secrets.token_hex(8)
        access = Access(
            jti, grant, client.client_id, subject, scope, audience, now, expires_at
        )  # fmt: skip
        self.grants.access[jti] = access
        claims = self._describe(access) | {"aud": audience[0] if len(audience) == 1 else audience}
        return self._sign({key: claims[key] for key in claims if key != "active"}, "at+jwt")

    def _mint_id_token(self, grant: Grant, now: float, nonce: str) -> str:
        expires_at = now + self._settings.id_token_lifetime
        claims = {
            "iss": self.url, "sub": grant.subject, "aud": grant.client_id, "iat": int(now),
            "exp": int(expires_at), "auth_time": int(grant.started_at),
        }  # fmt: skip
        return self._sign(claims | ({"nonce": nonce} if nonce else {}), "JWT")

    def _sign(self, claims: Content, kind: str) -> str:
        token = self.signer.sign(claims, kind)
        self._record.minted.append(token)
        return token


def _narrow_scope(request: Request, allowed: tuple[str, ...]) -> tuple[str, ...]:
    """The scope asked for, or all of it. Raises OAuthError invalid_scope for any more."""
    wanted = tuple(request.get("scope").split())
    if not wanted or set(wanted) <= set(allowed):
        return wanted or allowed
    if not allowed:
        return ()
    raise OAuthError("invalid_scope", "more than was granted")
