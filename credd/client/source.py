"""A token remembered in this process, and handed only to hosts it belongs to.

It knows one token: until when it is fresh, and until when it may be used if the daemon is away. It
refuses to refresh, and to outlive its rules by a clock that was set back.

The hard thing: many threads and many forks. A fresh token is read without a lock, as one object. Of
many threads that find none, one asks and the others take its answer. A child of a fork finds new
locks, since a parent's other thread may have held the old ones for ever.
"""

from __future__ import annotations

import copy
import os
import threading
import time
import weakref
from collections.abc import Callable

from credd import wire
from credd.client.calls import Calls, Scope, joined
from credd.client.patience import Patience, jittered
from credd.errors import CreddError, Misconfigured

SHORT_PATIENCE = Patience(2.0, refused=0.1, absent=0.1)
"""While the last token is good, a daemon that is away costs a caller no more. It answers within one
second while its own token is good, hence two in all."""

FIRST_QUIET = 1.0
"""Seconds for which a daemon that was away is not asked again."""

LONGEST_QUIET = 30.0
"""Seconds; within so many, a daemon that is back serves its fresher token."""

RESERVE = 5.0
"""Seconds before its end that a token is no longer used, or a tenth of its life if that is less:
the same as in the daemon, for the way to the resource server."""

FOR_EVER = float("inf")

WAIT_FOR_LOGIN = "CREDD_WAIT_FOR_LOGIN"
"""Says that a job sleeps until a person has logged in; see `login_wait`, loaded only then."""


class Held:
    """A token in hand; never changed, so that it can be read without a lock. Unix times.

    It is `fresh` while received_at <= now < refresh_at, and may be used until `usable_until`.
    """

    __slots__ = ("access_token", "generation", "received_at", "refresh_at", "reply", "usable_until")

    def __init__(self, reply: wire.TokenReply, received_at: float) -> None:
        self.reply = reply
        self.access_token = reply["access_token"]
        self.generation = reply["generation"]
        self.received_at = received_at
        self.usable_until = usable_until(reply)
        self.refresh_at = min(reply["refresh_at"], self.usable_until)

    def __repr__(self) -> str:
        return f"<Held gen={self.generation}, fresh until {self.refresh_at:.0f}>"

    def lasts(self, now: float, min_valid: float | None) -> bool:
        """Whether it may be used now, and for `min_valid` more seconds where that is asked."""
        expires_at = self.reply["expires_at"]
        if not self.received_at <= now < self.usable_until:
            return False
        return min_valid is None or expires_at is None or now + min_valid <= expires_at


def usable_until(reply: wire.TokenReply) -> float:
    """When a token is no longer worth sending: shortly before its end, since sending takes time."""
    expires_at = reply["expires_at"]
    if expires_at is None:
        return FOR_EVER
    return expires_at - min(RESERVE, (expires_at - reply["obtained_at"]) / 10)


NOTHING = Held(
    {
        "access_token": "",
        "token_type": "",
        "expires_at": 0.0,
        "obtained_at": 0.0,
        "refresh_at": 0.0,
        "generation": -1,
        "stale": True,
        "account": "",
        "scope": "",
        "hosts": [],
    },
    FOR_EVER,  # received in the future: neither fresh nor usable, without a test of its own
)


class Flight:
    """One question to the daemon, and all the threads that wait for its answer."""

    __slots__ = ("done", "error", "held")

    def __init__(self) -> None:
        self.done = threading.Event()
        self.held: Held | None = None
        self.error: CreddError | None = None


class TokenSource:
    """Good access tokens of one credential: `.token()`, `.headers(url)`, `.reject()`, `.get()`.

    `name` None means CREDD_CREDENTIAL. `audience` and `scope` narrow the token. Use it from any
    thread and after any fork; its repr, and a pickle of it, hold no secret.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        audience: str | None = None,
        scope: Scope = None,
        client: Calls | None = None,
    ) -> None:
        self.name = named(name)
        self._audience = audience
        self._scope = joined(scope)
        self._calls = Calls() if client is None else client
        self._held = NOTHING
        self._rejected = NOTHING.generation
        self._quiet_until = 0.0
        self._quiet = FIRST_QUIET
        self.after_fork()
        _sources.add(self)

    def __repr__(self) -> str:
        held = self._held
        state = "nothing in hand" if held is NOTHING else f"gen={held.generation}"
        return f"<TokenSource {self.name}, {state}>"

    def __reduce__(self) -> tuple[Callable[..., TokenSource], tuple[object, ...]]:
        return _rebuilt, (self.name, self._audience, self._scope, self._calls)

    def after_fork(self) -> None:
        """Begin anew with locks; the token in hand is as good as before."""
        self._lock = threading.Lock()
        self._flight: Flight | None = None

    def token(self, min_valid: float | None = None) -> str:
        """An access token, remembered until it is due for a refresh.

        `min_valid`: valid for so many more seconds, or an error. Raises CreddError's children:
        DaemonUnreachable and UpstreamUnavailable only once the token in hand is no longer good;
        LoginRequired and Locked only once CREDD_WAIT_FOR_LOGIN is over.
        """
        held = self._held
        if min_valid is None and held.received_at <= time.time() < held.refresh_at:
            return held.access_token
        return self._current(min_valid).access_token

    def token_now(self, min_valid: float | None = None) -> str:
        """As `token`, without waiting for a person whatever CREDD_WAIT_FOR_LOGIN says."""
        return self._asked(min_valid).access_token

    def get(self, min_valid: float | None = None) -> wire.TokenReply:
        """As `token`, with all that is known about it."""
        return copy.deepcopy(self._current(min_valid).reply)

    def headers(self, url: str, min_valid: float | None = None) -> dict[str, str]:
        """The headers that authorize a request to `url`.

        Raises Denied, with the line to add to config.toml, unless `url` is one of the credential's
        hosts over https, or over http on this machine.
        """
        from credd.client.hosts import check_url

        reply = self._current(min_valid).reply
        check_url(self.name, url, reply["hosts"])
        kind = reply["token_type"]
        # Token types are case-insensitive (RFC 6749, 7.1); many servers compare the usual spelling.
        scheme = "Bearer" if kind.lower() == "bearer" else kind
        return {"Authorization": f"{scheme} {reply['access_token']}"}

    def reject(self, generation: int | None = None) -> str:
        """Say that the resource server refused a token with 401; the next `token` asks anew.

        `generation` is the one that was sent, by default the one in hand. Fifty threads may all
        say it: what was replaced already is told to nobody. Returns the outcome, one of
        `wire.RefreshReply`'s, or "nothing" where none was in hand.
        """
        held = self._held
        refused = held.generation if generation is None else generation
        if refused == NOTHING.generation:
            return "nothing"
        if refused < held.generation:
            return "superseded"
        self._drop(refused)
        return self._calls.reject(self.name, refused)["outcome"]

    def remembered(self, min_valid: float | None = None) -> str | None:
        """The token if it is fresh, without waiting for anything; else None."""
        held = self._held
        now = time.time()
        is_fresh = held.received_at <= now < held.refresh_at and held.lasts(now, min_valid)
        return held.access_token if is_fresh else None

    # --- the slow path ---

    def _current(self, min_valid: float | None) -> Held:
        try:
            return self._asked(min_valid)
        except CreddError as error:
            if not os.environ.get(WAIT_FOR_LOGIN):
                raise
            from credd.client.login_wait import persevere

            # Outside of the flight: each thread waits by itself, and each try is shared.
            return persevere(lambda: self._asked(min_valid), error)

    def _asked(self, min_valid: float | None) -> Held:
        while True:
            held = self._held
            now = time.time()
            if now < held.refresh_at and held.lasts(now, min_valid):
                return held
            flight, leads = self._board()
            if leads:
                return self._lead(flight, min_valid)
            answer = self._follow(flight)
            if answer is not None and self._will_do(answer, min_valid):
                return answer

    def _will_do(self, answer: Held, min_valid: float | None) -> bool:
        """Whether an answer to another thread's question answers ours: it may be an older one."""
        return answer.generation != self._rejected and answer.lasts(time.time(), min_valid)

    def _board(self) -> tuple[Flight, bool]:
        """The flight to wait for, and whether this thread is the one that asks."""
        with self._lock:
            if self._flight is not None:
                return self._flight, False
            self._flight = Flight()
            return self._flight, True

    def _lead(self, flight: Flight, min_valid: float | None) -> Held:
        try:
            flight.held = self._fetch(min_valid)
            return flight.held
        except CreddError as error:
            flight.error = error
            raise
        finally:
            with self._lock:
                self._flight = None
            flight.done.set()

    def _follow(self, flight: Flight) -> Held | None:
        """The answer of another thread's question; None if that thread was interrupted."""
        flight.done.wait()
        if flight.error is not None:
            raise copy.copy(flight.error)  # a traceback of its own for each thread
        return flight.held

    def _fetch(self, min_valid: float | None) -> Held:
        """Ask; while the daemon is away, the token in hand will do as long as it is good."""
        held = self._held
        if not held.lasts(time.time(), min_valid):
            return self._ask(min_valid, None)
        if time.monotonic() < self._quiet_until:
            return held
        try:
            return self._ask(min_valid, SHORT_PATIENCE)
        except CreddError as error:
            if not error.retryable:
                raise
        self._keep_quiet()
        return held

    def _ask(self, min_valid: float | None, within: Patience | None) -> Held:
        reply = self._calls.token(
            self.name,
            min_valid=min_valid,
            audience=self._audience,
            scope=self._scope,
            within=within,
        )
        held = received(reply)
        self._quiet_until, self._quiet = 0.0, FIRST_QUIET
        if held.generation != self._rejected:
            self._held, self._rejected = held, NOTHING.generation
        return held

    def _keep_quiet(self) -> None:
        self._quiet_until = time.monotonic() + jittered(self._quiet)
        self._quiet = min(2 * self._quiet, LONGEST_QUIET)

    def _drop(self, generation: int) -> None:
        """Forget a refused token, and don't remember it again from a question already asked."""
        self._rejected = generation
        self._held = NOTHING


def received(reply: wire.TokenReply) -> Held:
    """The token in hand, from now on. Raises CreddError for a reply that lacks a part."""
    try:
        return Held(reply, time.time())
    except (KeyError, TypeError):
        raise CreddError("the daemon's answer is not a token", remedy="credd-ctl version") from None


def named(name: str | None) -> str:
    """The credential's name: as given, else CREDD_CREDENTIAL. Raises Misconfigured."""
    found = name or os.environ.get("CREDD_CREDENTIAL", "")
    if not found:
        raise Misconfigured(
            "neither the program nor CREDD_CREDENTIAL names a credential",
            remedy="export CREDD_CREDENTIAL=NAME",
        )
    return found


def _rebuilt(name: str, audience: str | None, scope: str | None, client: Calls) -> TokenSource:
    return TokenSource(name, audience=audience, scope=scope, client=client)


_sources: weakref.WeakSet[TokenSource] = weakref.WeakSet()


def _after_fork() -> None:
    for source in list(_sources):
        source.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
