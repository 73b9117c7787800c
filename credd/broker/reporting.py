"""What the broker says: answers, refusals, descriptions, in the shapes of `wire`.

Rules: nothing here changes a fact. A sentence is ours, a remedy comes from the state's row, and no
secret passes except the access token that was asked for, still wrapped.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from credd import wire
from credd.broker.holding import Holding
from credd.core import schedule
from credd.core.failures import Failure, detail_of
from credd.core.instant import Instant, elapsed
from credd.core.model import PRIMARY, AccessToken, TokenKey
from credd.core.serving import Wish
from credd.core.states import State, remedy_of
from credd.core.trouble import Trouble
from credd.errors import (
    BadRequest,
    CreddError,
    Locked,
    LoginRequired,
    Misconfigured,
    UnknownCredential,
    UpstreamUnavailable,
)


@dataclass(frozen=True, slots=True)
class Served:
    """An access token on its way out. `expires_at`: Unix seconds, None where nothing says;
    `refresh_at`: Unix seconds until which a copy may be reused. Both by the wall clock as it stands
    now, which may have been set back since the token was obtained."""

    token: AccessToken
    stale: bool
    expires_at: float | None
    refresh_at: float
    account: str
    hosts: tuple[str, ...]


def served(holding: Holding, token: AccessToken, now: Instant) -> Served:
    """The answer to a fetch."""
    stale = schedule.phase(token, now) is not schedule.Phase.FRESH
    account = holding.grant.account if holding.grant else ""
    hosts = holding.credential.hosts if holding.credential else ()
    ends, again = schedule.expires_at(token, now), schedule.refresh_at(token, now)
    again = min(again, now.wall + holding.age_left(now))  # no copy outlives its login's max_age
    return Served(token, stale, ends, again, account, hosts)


# --- refusals --------------------------------------------------------------------------------

_ERRORS: dict[int, type[CreddError]] = {
    kind.exit_code: kind
    for kind in (LoginRequired, Locked, UpstreamUnavailable, UnknownCredential, Misconfigured)
}


def refusal(holding: Holding, now: Instant, *, unlocked: bool) -> CreddError:
    """The error for a caller who can't be given a token in the present state."""
    state = holding.state(now, unlocked=unlocked)
    trouble = holding.facts(now, unlocked=unlocked).trouble
    if state.exit_code == 0:
        return _not_in_time(holding, state, trouble, now)
    kind = _ERRORS.get(state.exit_code, UpstreamUnavailable)
    after = trouble.due_in(now) if trouble is not None and kind.retryable else None
    return kind(
        explain(holding.name, state, trouble),
        remedy=remedy_of(state, holding.name) or f"credd-ctl status {holding.name}",
        reason=_reason(state, trouble),
        retry_after=after,
    )


def explain(name: str, state: State, trouble: Trouble | None) -> str:
    """One sentence: the state, and what led to it."""
    said = f"{name}: {state.meaning}"
    if trouble is None:
        return said
    if trouble.reply_lost_at is not None:
        said += f"; a reply was lost at {utc(trouble.reply_lost_at)}"
    return f"{said}; {detail_of(trouble.reason)}"


def _reason(state: State, trouble: Trouble | None) -> str:
    if trouble is None:
        return state.name
    return "reply_lost" if trouble.reply_lost_at is not None else trouble.reason


def unknown(name: str, known: Iterable[str]) -> UnknownCredential:
    """No such credential; the nearest name that exists, where there is one."""
    near = difflib.get_close_matches(name, list(known), n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return UnknownCredential(f"there is no credential {name}{hint}", remedy="credd-ctl status")


def callers_own(failure: Failure) -> BadRequest:
    """The caller's own scope or audience was refused; nobody else is touched."""
    return BadRequest(detail_of(failure.reason), reason=failure.reason)


def check_wish(holding: Holding, key: TokenKey, wish: Wish) -> None:
    """Raise Misconfigured where `min_valid` is more than this issuer's tokens can promise."""
    token = holding.tokens.get(key) or holding.primary
    if wish.min_valid is None or token is None or token.lifetime is None:
        return
    most = schedule.longest_min_valid(token.lifetime)
    if wish.min_valid > most:
        raise Misconfigured(
            f"tokens of {holding.name} live {token.lifetime:.0f} s: "
            f"min_valid={wish.min_valid:.0f} can't be promised, at most {most:.0f}",
            remedy=f"credd-ctl token {holding.name} --min-valid {int(most)}",
            reason="min_valid_too_long",
        )


def rejected_too_often(holding: Holding, pause: float) -> UpstreamUnavailable:
    """The reporter's own error: fresh tokens keep being rejected, so the fault lies elsewhere."""
    return UpstreamUnavailable(
        f"tokens of {holding.name} are rejected as fast as they are renewed; "
        "the resource server may want another audience or scope",
        remedy=f"credd-ctl status {holding.name}",
        reason="rejected_too_often",
        retry_after=pause,
    )


def tried_just_now(holding: Holding, pause: float) -> UpstreamUnavailable:
    """A person asks again within seconds of the last try."""
    return UpstreamUnavailable(
        f"a refresh of {holding.name} was tried a moment ago",
        remedy=f"credd-ctl status {holding.name}",
        reason="tried_just_now",
        retry_after=pause,
    )


def refresh_failed(holding: Holding, now: Instant, unlocked: bool) -> CreddError:
    """A forced refresh brought no new token: the state's error, or a plain "not now"."""
    if holding.flight is None:
        return refusal(holding, now, unlocked=unlocked)
    return _not_in_time(holding, holding.state(now, unlocked=unlocked), None, now)


def _not_in_time(
    holding: Holding, state: State, trouble: Trouble | None, now: Instant
) -> UpstreamUnavailable:
    """The token at hand is good, though not as good as was asked for."""
    said = f"the issuer of {holding.name} has not given a newer token in time"
    if not state.refreshes:
        said = f"there is no newer token: {explain(holding.name, state, None)}"
    elif trouble is not None:
        said += f"; {detail_of(trouble.reason)}"
    return UpstreamUnavailable(
        said,
        remedy=remedy_of(state, holding.name) or f"credd-ctl status {holding.name}",
        reason=trouble.reason if trouble else "time_out" if state.refreshes else state.name,
        retry_after=max(1.0, trouble.due_in(now)) if trouble else 1.0,
    )


# --- descriptions ----------------------------------------------------------------------------


def refresh_reply(holding: Holding, key: TokenKey, outcome: str) -> wire.RefreshReply:
    """What a rejection or a wanted refresh of `key` led to."""
    token = holding.tokens.get(key)
    current = token.generation if token else holding.generation
    return {"name": holding.name, "outcome": outcome, "generation": current}


def _issuer(holding: Holding) -> str:
    """As it is configured; else the origin that is asked; "" where nobody is."""
    settings = holding.credential.settings if holding.credential else holding.settings
    named = settings.get("issuer", "")
    if isinstance(named, str) and named:
        return named
    if holding.provider is None or holding.grant is None:
        return ""
    return holding.provider.origin(holding.grant)


def describe(holding: Holding, now: Instant, *, unlocked: bool) -> wire.CredentialReply:
    """Everything about one credential but its secrets."""
    facts = holding.facts(now, unlocked=unlocked)
    state, grant, token = holding.state(now, unlocked=unlocked), holding.grant, holding.primary
    credential = holding.credential
    return {
        "name": holding.name,
        "provider": credential.provider if credential else holding.provider_name,
        "issuer": _issuer(holding),
        "state": state.name,
        "meaning": state.meaning,
        "account": grant.account if grant else "",
        "scope": token.scope if token else "",
        "hosts": list(credential.hosts) if credential else [],
        "generation": token.generation if token else 0,
        "grant": grant.number if grant else 0,
        "token_expires_at": schedule.expires_at(token, now) if token else None,
        "refresh_at": _refresh_at(holding, now) if state.refreshes else None,
        "login_at": grant.obtained.wall if grant else None,
        "login_ends_at": login_ends_at(holding, now),
        "logging_in": bool(holding.login),
        "trouble": _trouble(facts.trouble, now),
        "remedy": remedy_of(state, holding.name),
        "exit_code": state.exit_code,
        "environment": dict(credential.environment) if credential else {},
    }


def _refresh_at(holding: Holding, now: Instant) -> float | None:
    """Unix seconds of the next refresh or try; None where there will be none by itself."""
    if not holding.may_spend() or holding.is_too_old(now):
        return None
    if holding.trouble is not None:
        return now.wall + holding.trouble.due_in(now)
    token = holding.primary
    if token is None or token.soft_after is None:
        return now.wall
    return schedule.wall_after(token, token.soft_after, now)


def _trouble(trouble: Trouble | None, now: Instant) -> wire.Trouble | None:
    if trouble is None:
        return None
    lost = trouble.reply_lost_at
    said = detail_of(trouble.reason)
    return {
        "kind": trouble.kind.value,
        "reason": "reply_lost" if lost is not None else trouble.reason,
        "detail": said if lost is None else f"a reply was lost at {utc(lost)}; {said}",
        "since": trouble.first.wall,
        "attempts": trouble.tries,
        "next_try_at": now.wall + trouble.due_in(now) if trouble.delay else None,
    }


def login_ends_at(holding: Holding, now: Instant) -> float | None:
    """Unix seconds at which the login itself ends, where anybody says; None where nobody does.

    A refresh token's own life counts only where refreshing no longer moves it: with every rotation
    it starts anew. A configured `max_age` ends it at the latest.
    """
    said, most = _said_end(holding, now), now.wall + holding.age_left(now)
    if math.isinf(most):
        return said
    return most if said is None else min(said, most)


def _said_end(holding: Holding, now: Instant) -> float | None:
    grant, credential = holding.grant, holding.credential
    if grant is None:
        return None
    if not grant.renewable or holding.ending:
        return schedule.expires_at(holding.primary, now) if holding.primary else None
    said = grant.login_lifetime or (credential.login_lifetime if credential else None)
    return grant.obtained.wall + said if said else None


def lifetime(
    holding: Holding, now: Instant, seconds: float, *, unlocked: bool
) -> wire.LifetimeReply:
    """Whether this login lasts for `seconds` from now: `lasts`, `ends`, or `unknown`."""
    state = holding.state(now, unlocked=unlocked)
    ends, needed = login_ends_at(holding, now), now.wall + seconds
    verdict = "unknown"
    if state.exit_code == LoginRequired.exit_code:
        verdict, ends = "ends", now.wall
    elif ends is not None and ends < needed:
        verdict = "ends"
    elif state.exit_code in _NOT_BY_WAITING:
        pass  # the login may last, and yet no job would get a token
    elif ends is not None or _token_alone_lasts(holding, now, seconds):
        verdict = "lasts"
    return {
        "name": holding.name,
        "verdict": verdict,
        "ends_at": ends,
        "needed_until": needed,
        "remedy": _remedy_for(holding, state, verdict),
    }


_NOT_BY_WAITING = frozenset(
    {Locked.exit_code, UnknownCredential.exit_code, Misconfigured.exit_code}
)


def _remedy_for(holding: Holding, state: State, verdict: str) -> str:
    if verdict == "lasts":
        return ""
    if state.exit_code in _NOT_BY_WAITING:
        return remedy_of(state, holding.name)
    return f"credd-ctl login {holding.name}"


def _token_alone_lasts(holding: Holding, now: Instant, seconds: float) -> bool:
    """Whether what is held now outlives the wish even if it is never renewed."""
    token, grant = holding.tokens.get(PRIMARY), holding.grant
    if grant is None or token is None:
        return False
    if token.lifetime is not None and schedule.remaining(token, now) >= seconds:
        return True
    life = grant.refresh_lifetime
    return life is not None and life - elapsed(grant.refreshed, now) >= seconds


def utc(wall: float) -> str:
    """Unix seconds as a person reads them: `2026-11-22T03:04:05Z`."""
    return datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
