"""An issuer as a provider: it rotates, detects reuse, goes away, lies, and holds credd to account.

It stands where a provider stands, below the broker and above any protocol, so that the broker's
promises are tested without HTTP. What a real issuer would punish it punishes: a refresh token
posted twice kills the whole family, and two requests of one grant at once are a violation.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from credd.core.conversation import (
    Authorization,
    Conversation,
    NeverSent,
    Question,
    Renewal,
    ReplyLost,
)
from credd.core.failures import Failed, Failure, Kind
from credd.core.importing import Handover
from credd.core.model import AccessToken, Grant, Secret, TokenKey


@dataclass
class StrictIssuer:
    """One issuer with one client. Seconds throughout.

    `away`: connections fail. `latency`: before it decides; `reply_latency`: after it has rotated.
    `lose_replies`: how many of the next replies vanish after the rotation. `refuse`: answer
    invalid_grant. `bend`: changes a renewal on its way out. `throttle`: Retry-After of a 429.
    """

    lifetime: float = 300.0
    latency: float = 0.05
    reply_latency: float = 0.0
    rotates: bool = True
    away: bool = False
    lose_replies: int = 0
    refuse: bool = False
    throttle: float | None = None
    failure: Failure | None = None
    bend: Callable[[Renewal], Renewal] = lambda renewal: renewal
    refused_scopes: frozenset[str] = frozenset()
    refresh_lifetime: float | None = None
    name: str = "issuer"
    requests: list[float] = field(default_factory=list)
    posted: list[str] = field(default_factory=list)
    keys: list[TokenKey] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    living: set[str] = field(default_factory=set)
    revoked: list[str] = field(default_factory=list)
    subject: str = "alice"
    in_flight: int = 0
    _count: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _spent: set[str] = field(default_factory=set)
    _dead: bool = False

    # --- the provider's four verbs -------------------------------------------------------------

    async def login(self, talk: Conversation, flow: str) -> Authorization:
        if flow == "ask":
            await talk.ask(Question("code", "the code?"))
        await talk.show({"type": "note", "text": "approve me"})
        await asyncio.sleep(self.latency)
        if self.refuse:
            raise Failed(Failure(Kind.REFUSED, "access_denied"))
        self._dead = False
        renewal = dataclasses.replace(self._renewal(talk), sent=talk.now())
        return Authorization(renewal, subject=self.subject, account=f"{self.subject}@example")

    async def take_over(self, talk: Conversation, handed: Handover) -> Authorization:
        renewal = Renewal(sent=talk.now(), refresh_token=handed.secret)
        return Authorization(renewal, account=handed.account)

    def grant_elsewhere(self) -> Secret:
        """A living refresh token that another program obtained."""
        self._dead = False
        token = f"rt-CANARY-elsewhere-{next(self._count)}"
        self.living.add(token)
        return Secret(token)

    async def refresh(self, talk: Conversation, grant: Grant, key: TokenKey) -> Renewal:
        sent = talk.now()
        self._note(grant, key)
        self.in_flight += 1
        try:
            return await self._answer(talk, grant, key, sent.wall)
        finally:
            self.in_flight -= 1

    async def revoke(self, talk: Conversation, grant: Grant, token: AccessToken | None) -> None:
        if self.away:
            raise NeverSent("connect")
        self.living.clear()
        self.revoked.append(grant.refresh_token.reveal() if grant.refresh_token else "")

    def origin(self, grant: Grant) -> str:
        return f"https://{self.name}.example"

    def spends(self, grant: Grant) -> bool:
        return grant.refresh_token is not None

    # --- what it thinks ------------------------------------------------------------------------

    def _note(self, grant: Grant, key: TokenKey) -> None:
        self.requests.append(asyncio.get_running_loop().time())
        self.keys.append(key)
        if self.in_flight:
            self.violations.append("two requests of one grant at once")

    async def _answer(
        self, talk: Conversation, grant: Grant, key: TokenKey, sent: float
    ) -> Renewal:
        if self.away:
            await asyncio.sleep(0.01)
            raise NeverSent("connect")
        await asyncio.sleep(self.latency)
        self._judge(grant, key)
        renewal = self.bend(dataclasses.replace(self._renewal(talk)))
        await asyncio.sleep(self.reply_latency)
        if self.lose_replies:
            self.lose_replies -= 1
            raise ReplyLost("reset")
        return renewal

    def _judge(self, grant: Grant, key: TokenKey) -> None:
        if self.failure is not None:
            raise Failed(self.failure)
        if self.throttle is not None:
            raise Failed(Failure(Kind.TRANSIENT, "too_many_requests", self.throttle))
        if key.scope in self.refused_scopes and key.scope:
            raise Failed(Failure(Kind.CALLER, "invalid_scope"))
        token = grant.refresh_token.reveal() if grant.refresh_token else ""
        self._spend(token)

    def _spend(self, token: str) -> None:
        self.posted.append(token)
        if token in self._spent:  # reuse: the whole family dies
            self.kill()
        if self.refuse or self._dead or token not in self.living:
            raise Failed(Failure(Kind.REFUSED, "invalid_grant"))
        if self.rotates:
            self.living.discard(token)
            self._spent.add(token)

    def _renewal(self, talk: Conversation) -> Renewal:
        number = next(self._count)
        fresh = None
        if self.rotates or not self.living:
            fresh = f"rt-CANARY-{number}"
            self.living.add(fresh)
        return Renewal(
            sent=talk.now(),
            refresh_token=Secret(fresh) if fresh else None,
            access_token=Secret(f"at-{number}"),
            scope="openid",
            lifetime=self.lifetime,
            refresh_lifetime=self.refresh_lifetime,
        )

    def kill(self) -> None:
        """End the session at the issuer: every refresh token of it is dead."""
        self._dead = True
        self.living.clear()
