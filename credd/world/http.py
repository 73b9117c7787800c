"""Performs a conversation's requests, and is the one door for foreign errors.

Knows: aiohttp, TLS, and how much of a request has left. Refuses to know: OAuth; what an answer
means; whether to try again. The hard thing is one question that decides whether a refresh token may
be burnt: *can a byte of this request have left?* Until a connection stands (TLS included) the
answer is no, and the failure is `NeverSent`. From then on it is yes, and it is `ReplyLost`.

Each request has a connection of its own (a kept one may be dying as we write to it, and that would
make a lost reply out of nothing), follows no redirect, keeps no cookie, uses the configured proxy
and believes no variable about it, and is sent once.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from types import SimpleNamespace, TracebackType
from typing import Any, Self

import aiohttp

from credd import __version__
from credd.core.conversation import Form, NeverSent, Reply, ReplyLost
from credd.core.instant import Instant
from credd.core.network import Network
from credd.world.clock import Clock
from credd.world.leaving import Headers, checked_headers, checked_url, encoded_form
from credd.world.names import LookUp, Resolver, look_up
from credd.world.trust import Trust

log = logging.getLogger(__name__)

CONNECT_WITHIN = 10.0
"""Seconds for look-up, connection and TLS: three lost SYNs (1 + 2 + 4 s) and still an answer."""

ANSWER_WITHIN = 90.0
"""Seconds from the connection to the last byte of the reply. Long on purpose: a reply that is given
up may have held the only copy of a rotated refresh token."""

MAX_REPLY = 1024 * 1024
"""Bytes. Discovery documents and key sets stay below 100 kB; this bounds a hostile issuer."""

HEADERS = {
    "User-Agent": f"credd/{__version__}",
    "Accept": "application/json",
    # A compressed bomb is small on the wire; nothing we read is worth compressing.
    "Accept-Encoding": "identity",
}

FORM_TYPE = "application/x-www-form-urlencoded"


class HttpWorld:
    """Performs requests while it is open: `async with HttpWorld(clock) as world`.

    `network` tells, at each request, the proxy and the certificates that are configured now.
    `connect_within` and `answer_within` are seconds. `ask` looks up names.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        network: Callable[[], Network] = Network,
        connect_within: float = CONNECT_WITHIN,
        answer_within: float = ANSWER_WITHIN,
        ask: LookUp = look_up,
    ) -> None:
        self._clock = clock
        self._network = network
        self._trust = Trust()
        self._connect_within = connect_within
        self._answer_within = answer_within
        self._ask = ask
        self._session: aiohttp.ClientSession | None = None

    def __repr__(self) -> str:
        return f"<HttpWorld {'open' if self._session else 'closed'}>"

    async def __aenter__(self) -> Self:
        self._resolver = Resolver(self._ask)
        connector = aiohttp.TCPConnector(
            ssl=self._trust.usual,
            resolver=self._resolver,
            # Ours asks each time: an address that moved with the network is not tried again.
            use_dns_cache=False,
            force_close=True,
            limit=0,  # the broker bounds what is in flight, and knows whose turn it is
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers=HEADERS,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),  # `_Departure` bounds
            trace_configs=[_tracing()],
            middlewares=[_send_once],
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()
            await self._resolver.close()  # aiohttp closes only a resolver that it made itself

    async def post(
        self, url: str, form: Form, *, headers: Headers | None = None, ca_file: str = ""
    ) -> Reply:
        """POST `form`, encoded as the OAuth standards want it (RFC 6749, appendix B). `ca_file` is
        trusted instead of what is configured for everybody.

        Raises NeverSent (`dns`, `connect`, `tls`, `time_out`, `proxy`, `proxy_login`, or before any
        of them `ca_file`, `refused_url`, `refused_header`, `refused_form`, `closed`) or ReplyLost
        (`reset`, `time_out`, `too_large`, `encoded`, `malformed`).
        """
        sent = {**(headers or {}), "Content-Type": FORM_TYPE}
        return await self._perform("POST", url, sent, encoded_form(form), ca_file)

    async def get(self, url: str, *, headers: Headers | None = None, ca_file: str = "") -> Reply:
        """GET a document. Raises as `post`."""
        return await self._perform("GET", url, headers or {}, None, ca_file)

    async def _perform(
        self, method: str, url: str, headers: Headers, body: bytes | None, ca_file: str
    ) -> Reply:
        target = checked_url(url)
        plain = checked_headers(headers)
        if self._session is None:
            raise NeverSent("closed")
        departure = _Departure(self._connect_within, self._answer_within)
        begun, network = self._clock.now(), self._network()
        # Plain http is for this machine alone, and a proxy's loopback is not ours.
        proxy = network.proxy_for(target.host or "") if target.scheme == "https" else ""
        try:
            async with departure.deadline:
                answer = self._session.request(
                    method,
                    target,
                    headers=plain,
                    data=body,
                    allow_redirects=False,
                    ssl=await self._trust.context(ca_file or network.ca_file),
                    proxy=proxy or None,
                    trace_request_ctx=departure,
                )
                return await _whole(answer, begun)
        except Exception as error:  # noqa: BLE001 - this is the door: all become one of two
            # `from None`: a foreign error may carry the request's headers with it.
            raise translate(error, departure.connected, f"{method} {target.origin()}") from None


# --- how much has left ----------------------------------------------------------------------


class _Departure:
    """Whether a connection stands, and until when the next thing must have happened."""

    def __init__(self, connect_within: float, answer_within: float) -> None:
        self.connected = False
        self._answer_within = answer_within
        self.deadline = asyncio.timeout(connect_within)

    def connect(self) -> None:
        """From here on a byte may have left."""
        self.connected = True
        if not self.deadline.expired():
            now = asyncio.get_running_loop().time()
            self.deadline.reschedule(now + self._answer_within)


def _tracing() -> aiohttp.TraceConfig:
    """Tells a request's `_Departure` as soon as its connection stands, before a byte is written."""

    async def connected(
        _session: aiohttp.ClientSession, context: SimpleNamespace, _params: object
    ) -> None:
        context.trace_request_ctx.connect()

    tracing = aiohttp.TraceConfig()
    tracing.on_connection_create_end.append(connected)
    tracing.on_connection_reuseconn.append(connected)
    return tracing


async def _send_once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Keep aiohttp from repeating a GET by itself, which it does after these two errors."""
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _Broken from error


class _Broken(Exception):
    """The connection broke. No child of aiohttp's errors, so that nobody there acts on it."""


# --- the door for foreign errors ------------------------------------------------------------


def translate(error: Exception, connected: bool, what: str) -> NeverSent | ReplyLost:
    """What a failure means to a conversation. `what` (method and origin) is for the log alone."""
    if isinstance(error, NeverSent | ReplyLost):
        return error
    kind = type(error.__cause__ if isinstance(error, _Broken) else error).__name__
    log.debug("%s: %s, %s", what, kind, "after connecting" if connected else "not connected")
    return ReplyLost(_reason_lost(error)) if connected else NeverSent(_reason_unsent(error))


def _reason_unsent(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return "proxy_login" if getattr(error, "status", 0) == 407 else "proxy"
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return "proxy"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "dns"
    tls_errors = aiohttp.ClientSSLError | aiohttp.ClientConnectorCertificateError | ssl.SSLError
    if isinstance(error, tls_errors):
        return "tls"
    if isinstance(error, TimeoutError):
        return "time_out"
    if isinstance(error, aiohttp.InvalidURL | ValueError):
        return "refused_url"
    return "connect"


def _reason_lost(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "time_out"
    if isinstance(error, aiohttp.ClientResponseError | ValueError):
        return "malformed"
    return "reset"


# --- what comes in --------------------------------------------------------------------------


async def _whole(
    request: AbstractAsyncContextManager[aiohttp.ClientResponse], begun: Instant
) -> Reply:
    """The reply with its last byte. Raises ReplyLost, and whatever aiohttp raises."""
    async with request as answer:
        body = await _read(answer)
        return Reply(answer.status, _joined(answer.headers), body, begun)


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    """The whole body, at most MAX_REPLY bytes. Raises ReplyLost."""
    if answer.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        raise ReplyLost("encoded")
    if (answer.content_length or 0) > MAX_REPLY:
        raise ReplyLost("too_large")
    body = bytearray()
    async for piece in answer.content.iter_any():
        body += piece
        if len(body) > MAX_REPLY:
            raise ReplyLost("too_large")
    return bytes(body)


def _joined(headers: Any) -> dict[str, str]:
    """Lower-case names; repeated headers become a list, as RFC 9110, 5.3 allows."""
    joined: dict[str, str] = {}
    for name, value in headers.items():
        key = name.lower()
        joined[key] = f"{joined[key]}, {value}" if key in joined else value
    return joined
