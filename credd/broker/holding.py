"""What the broker holds for one credential while the daemon runs.

Rules: only the event loop's thread touches a holding, and nothing here awaits: a change of facts is
one step that nobody can see half done. Everything that must survive a restart is in `record()`.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from typing import Any

from credd.core.conversation import Provider
from credd.core.failures import Failure, Kind
from credd.core.instant import Instant, elapsed
from credd.core.model import PRIMARY, AccessToken, Credential, Grant, TokenKey
from credd.core.record import Record
from credd.core.states import Facts, State, state_of
from credd.core.trouble import Trouble

REMEMBER_REFUSAL = 60.0
"""Seconds for which a scope or audience that the issuer refused is refused without asking again."""

REFUSALS = 64
"""Refusals remembered for one grant; a caller that makes up scopes must not fill the memory."""


class Holding:
    """The facts about one credential, and the flight under way for it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.credential = None
        self.provider: Provider | None = None
        self.provider_name = ""
        self.settings: Mapping[str, Any] = {}
        self.identity = ""  # under which the grant was obtained
        self.number = 0  # of the sealed record, as last seen in the vault
        self.generation = 0
        self.grant: Grant | None = None
        self.tokens: dict[TokenKey, AccessToken] = {}
        self.trouble: Trouble | None = None
        self.refusals: dict[TokenKey, tuple[Failure, Instant]] = {}
        self.rejections: list[Instant] = []
        self.doubted: TokenKey | None = None  # narrowed key whose refusal is not confirmed yet
        self.unsaved = False
        self.restored = False
        self.ending = False
        self.suspect = False
        self.leaving = False  # a logout is under way: nothing more is spent
        self.login: str = ""  # id of the login under way
        self.hold_until: tuple[Instant, float] | None = None  # a stagger: since, seconds
        self.flight: asyncio.Task[None] | None = None
        self.flying: TokenKey | None = None  # what the flight under way is for
        self.writing = asyncio.Lock()
        self._changed: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<Holding {self.name} gen={self.generation} grant={self.grant!r}>"

    # --- facts and state ---------------------------------------------------------------------

    @property
    def credential(self) -> Credential | None:
        """What is configured; None: no longer in the configuration."""
        return self._credential

    @credential.setter
    def credential(self, configured: Credential | None) -> None:
        # A digest of all settings, and every fetch compares it: a third of a fetch, if made there.
        self._configured_identity = configured.identity() if configured else ""
        self._credential = configured

    @property
    def primary(self) -> AccessToken | None:
        """The access token of the grant's own scopes."""
        return self.tokens.get(PRIMARY)

    def is_estranged(self) -> bool:
        """Whether the grant was obtained under another identity than is configured now."""
        has_both = self.grant is not None and self.credential is not None
        return has_both and self._configured_identity != self.identity

    def is_too_old(self, now: Instant) -> bool:
        """Whether the configured `max_age` since the login is over: nothing of it is used then."""
        return self.age_left(now) <= 0

    def age_left(self, now: Instant) -> float:
        """Seconds until the configured `max_age` of the login is over; infinite without one."""
        configured, grant = self.credential, self.grant
        if grant is None or configured is None or configured.max_age is None:
            return math.inf
        return configured.max_age - elapsed(grant.obtained, now)

    def token_for(self, key: TokenKey) -> AccessToken | None:
        """The token of this key that may be handed out: none of another identity's ever is."""
        return None if self.is_estranged() else self.tokens.get(key)

    def facts(self, now: Instant, *, unlocked: bool) -> Facts:
        """What the state is computed from."""
        return Facts(
            configured=self.credential is not None,
            unlocked=unlocked,
            logging_in=bool(self.login),
            grant=self.grant,
            token=self.primary,
            trouble=self._bar(now) or self.trouble,
            restored=self.restored and self.spends(),
            unsaved=self.unsaved,
            suspect=self.suspect,
            ending=self.ending,
        )

    def state(self, now: Instant, *, unlocked: bool) -> State:
        """The one state that the facts add up to."""
        return state_of(self.facts(now, unlocked=unlocked), now)

    def _bar(self, now: Instant) -> Trouble | None:
        """What the configuration holds against the grant; it looks like an issuer's refusal."""
        reason = "max_age" if self.is_too_old(now) else ""
        reason = "other_identity" if self.is_estranged() else reason
        return Trouble(Kind.REFUSED, reason, now, now, 0.0, final=True) if reason else None

    @property
    def ca_file(self) -> str:
        """Whose certificates its issuer is believed by; "" for those that everybody trusts."""
        return self.credential.ca_file if self.credential else ""

    def may_spend(self) -> bool:
        """Whether a refresh may post what this grant holds."""
        if self.grant is None or self.provider is None or not self.grant.renewable:
            return False
        if self.is_estranged() or self.credential is None or self.leaving:
            return False
        return not (self.restored and self.spends())

    def spends(self) -> bool:
        """Whether a refresh posts something that the issuer may burn; who can't tell says yes."""
        return self.provider is None or self.grant is None or self.provider.spends(self.grant)

    # --- the record ------------------------------------------------------------------------------

    def record(self) -> Record:
        """All of it that must survive a restart. There must be a grant."""
        if self.grant is None:
            raise ValueError("there is no grant to record")
        return Record(
            provider=self.provider_name,
            identity=self.identity,
            settings=self.settings,
            generation=self.generation,
            grant=self.grant,
            tokens=tuple(self.tokens.values()),
            trouble=self.trouble,
            ending=self.ending,
            suspect=self.suspect,
        )

    def remember(self, kept: Record, number: int) -> None:
        """Take over what the vault held."""
        self.number = number
        self.provider_name = kept.provider
        self.settings = kept.settings
        self.identity = kept.identity
        self.generation = kept.generation
        self.grant = kept.grant
        self.tokens = {token.key: token for token in kept.tokens}
        self.trouble = kept.trouble
        self.ending = kept.ending
        self.suspect = kept.suspect

    def forget(self) -> None:
        """Drop the grant and its tokens; the generation goes on, so that none is used twice."""
        self.grant = None
        self.tokens = {}
        self.trouble = None
        self.refusals = {}
        self.rejections = []
        self.doubted = None
        self.number = 0
        self.unsaved = self.ending = self.suspect = self.restored = False

    # --- refusals that concern one caller alone -----------------------------------------------

    def refusal_of(self, key: TokenKey, now: Instant) -> Failure | None:
        """The refusal of this scope or audience, where the issuer gave one lately."""
        known = self.refusals.get(key)
        if known is None or elapsed(known[1], now) >= REMEMBER_REFUSAL:
            self.refusals.pop(key, None)
            return None
        return known[0]

    def refuse(self, key: TokenKey, failure: Failure, now: Instant) -> None:
        """Remember that the issuer refused this scope or audience."""
        while len(self.refusals) >= REFUSALS:
            self.refusals.pop(next(iter(self.refusals)))
        self.refusals[key] = (failure, now)

    # --- waiting -----------------------------------------------------------------------------

    def change(self) -> asyncio.Future[None]:
        """A future that is done at the next change of facts. Await it shielded."""
        if self._changed is None or self._changed.done():
            self._changed = asyncio.get_running_loop().create_future()
        return self._changed

    def announce(self) -> None:
        """Wake everyone who waits for a change."""
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)
