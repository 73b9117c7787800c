"""A reverse proxy on loopback that does to token requests what networks do, on command.

Knows: when a token request is in flight, from its first line in to its answer's last byte out; how
each ended; and of each refresh token only its sha256. Refuses to know: credd, and the provider
behind it, whose issuer is this proxy's URL (Host is passed on, so the addresses it names are ours).
The one hard thing: "in flight" must never be false while a refresh token is on its way, since a
test kills the daemon when it is.

It lives in the test's own event loop: a test that blocks the loop stops the proxy.
"""

from __future__ import annotations

import asyncio
import json
import time
import urllib.parse
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, Self

from aiohttp import ClientError, ClientSession, DummyCookieJar, TCPConnector, web
from multidict import CIMultiDict
from yarl import URL

from tests.fakes.token_request import WAIT_LIMIT, Answer, Hold, TokenRequest, sha256

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "te", "upgrade"}
"""Headers of one connection and not of the message (RFC 9110, 7.6.1), and the length, which the
libraries count again."""

SECRET_FIELDS = (
    "refresh_token", "device_code", "client_secret", "access_token", "code_verifier",
    "client_assertion",
)  # fmt: skip

OnSecret = Callable[[str, str], None]
"""Told (kind, value) of each secret that passes, so that it can be looked for in logs later."""


class FaultProxy:
    """`async with FaultProxy() as proxy`, then set `proxy.upstream` to the provider's own URL.

    Faults are for the next token request that nothing else claims: `hold_request`, `hold_reply`,
    `drop_reply`, `answer_with`. `delay` (seconds) is for all of them, before they are forwarded.
    """

    def __init__(self, token_path: str = "/token", on_secret: OnSecret | None = None) -> None:
        self.upstream = ""
        self.delay = 0.0
        self.token_requests: list[TokenRequest] = []
        self.requests = 0
        self._token_path = token_path
        self._on_secret = on_secret or (lambda kind, value: None)
        self._request_holds: list[Hold] = []
        self._reply_holds: list[Hold] = []
        self._answers: list[Answer] = []
        self._moved = asyncio.Condition()
        self._port = 0

    async def __aenter__(self) -> Self:
        # A connection for each request: one that the provider closes while idle would make a
        # failure that no test asked for. Bodies pass as they are, cookies are the browser's.
        self._client = ClientSession(
            connector=TCPConnector(force_close=True, limit=0),
            cookie_jar=DummyCookieJar(),
            auto_decompress=False,
        )
        self._runner = web.ServerRunner(
            web.Server(self._handle, access_log=None), shutdown_timeout=0.1
        )
        await self._runner.setup()
        await self._listen()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        for hold in self._request_holds + self._reply_holds:
            hold.drop()
        self._abort_connections()
        await self._runner.cleanup()
        await self._client.close()

    @property
    def url(self) -> str:
        """Where it listens: the issuer, for everyone but the tests."""
        return f"http://127.0.0.1:{self._port}"

    # What goes on

    @property
    def in_flight(self) -> int:
        """Token requests whose end neither side has seen yet."""
        return sum(one.ended_at is None for one in self.token_requests)

    def refreshes(self) -> list[TokenRequest]:
        """The token requests that posted a refresh token, in order of arrival."""
        return [one for one in self.token_requests if one.grant_type == "refresh_token"]

    async def idle(self) -> None:
        """Wait until no token request is in flight."""
        await self._until(lambda: self.in_flight == 0)

    async def in_window(self) -> None:
        """Wait until a token request is in flight."""
        await self._until(lambda: self.in_flight > 0)

    async def refreshed(self, count: int) -> None:
        """Wait until so many requests that posted a refresh token have ended."""
        await self._until(
            lambda: sum(one.ended_at is not None for one in self.refreshes()) >= count
        )

    # Faults

    def hold_request(self) -> Hold:
        """Hold the next token request before it is forwarded: the provider never saw it."""
        self._request_holds.append(Hold())
        return self._request_holds[-1]

    def hold_reply(self) -> Hold:
        """Hold the next reply: the provider has spent the refresh token, the client waits."""
        self._reply_holds.append(Hold())
        return self._reply_holds[-1]

    def drop_reply(self) -> Hold:
        """Lose the next reply: the provider has answered, the client sees a reset connection."""
        hold = self.hold_reply()
        hold.drop()
        return hold

    def answer_with(
        self, status: int, body: bytes | str, headers: dict[str, str] | None = None
    ) -> None:
        """Answer the next token request in the provider's place; it is not forwarded."""
        raw = body.encode() if isinstance(body, str) else body
        self._answers.append(Answer(status, raw, headers or {"Content-Type": "application/json"}))

    @asynccontextmanager
    async def outage(self) -> AsyncIterator[None]:
        """The issuer is away: connections are refused. Begins when no token request is in flight,
        since a reply lost on the way is another fault with another end."""
        await self.idle()
        await self._site.stop()
        self._abort_connections()
        try:
            yield
        finally:
            await self._listen()

    # The proxy

    async def _listen(self) -> None:
        self._site = web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True)
        await self._site.start()
        self._port = self._runner.addresses[0][1]

    def _abort_connections(self) -> None:
        server = self._runner.server
        assert isinstance(server, web.Server)
        for connection in server.connections:
            if connection.transport is not None:
                connection.transport.abort()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests += 1
        if request.method == "POST" and request.path == self._token_path:
            return await self._handle_token(request)
        body = await request.read()
        status, headers, answer = await self._forward(request, body)
        self._note_secrets(_json_object(answer))
        return web.Response(status=status, headers=headers, body=answer)

    async def _handle_token(self, request: web.BaseRequest) -> web.StreamResponse:
        record = TokenRequest(number=len(self.token_requests) + 1, arrived_at=time.time())
        self.token_requests.append(record)
        await self._tell_moved()
        try:
            body = await request.read()
            self._note_form(record, dict(urllib.parse.parse_qsl(body.decode())))
            response = await self._answer_token(request, body, record)
            if response is None:
                _cut(request)
                return web.Response()
            # Written here and not by aiohttp after our return, so that `ended_at` is not too early.
            await response.prepare(request)
            await response.write_eof()
            return response
        except ConnectionError:
            record.outcome = "reply-lost"  # the client has gone before its answer came
            return web.Response()
        finally:
            record.ended_at = time.time()
            await self._tell_moved()

    async def _answer_token(
        self, request: web.BaseRequest, body: bytes, record: TokenRequest
    ) -> web.Response | None:
        """The response for the client, or None where the connection is to be cut."""
        await asyncio.sleep(self.delay)
        if self._request_holds and not await self._request_holds.pop(0).passes(record):
            record.outcome = "never-forwarded"
            return None
        if self._answers:
            answer = self._answers.pop(0)
            record.outcome, record.status = "replaced", answer.status
            return web.Response(status=answer.status, headers=answer.headers, body=answer.body)
        status, headers, reply = await self._forward_token(request, body, record)
        if self._reply_holds and not await self._reply_holds.pop(0).passes(record):
            record.outcome = "reply-lost"
            return None
        return web.Response(status=status, headers=headers, body=reply)

    async def _forward_token(
        self, request: web.BaseRequest, body: bytes, record: TokenRequest
    ) -> tuple[int, CIMultiDict[str], bytes]:
        record.forwarded_at = time.time()
        status, headers, reply = await self._forward(request, body)
        record.answered_at, record.status = time.time(), status
        record.outcome = "unreachable" if status == HTTPStatus.BAD_GATEWAY else "answered"
        fields = _json_object(reply)
        self._note_secrets(fields)
        record.error = fields.get("error")
        record.access_token_sha256 = sha256(fields.get("access_token"))
        return status, headers, reply

    async def _forward(
        self, request: web.BaseRequest, body: bytes
    ) -> tuple[int, CIMultiDict[str], bytes]:
        """Status, headers and body of the provider's answer; 502 where there is none."""
        url = URL(self.upstream + request.raw_path, encoded=True)
        headers = {k: v for k, v in request.headers.items() if k.lower() not in HOP_BY_HOP}
        try:
            async with self._client.request(
                request.method,
                url,
                headers=headers,
                data=body,
                allow_redirects=False,
            ) as reply:
                # Several of one name are kept apart: a browser gets a cookie in each.
                kept = CIMultiDict(
                    (k, v) for k, v in reply.headers.items() if k.lower() not in HOP_BY_HOP
                )
                return reply.status, kept, await reply.read()
        except ClientError:
            return HTTPStatus.BAD_GATEWAY, CIMultiDict(), b""

    # Notes

    def _note_form(self, record: TokenRequest, form: dict[str, str]) -> None:
        self._note_secrets(form)
        record.grant_type = form.get("grant_type", "")
        record.scope = form.get("scope")
        record.refresh_token_sha256 = sha256(form.get("refresh_token"))

    def _note_secrets(self, fields: dict[str, Any]) -> None:
        for kind in SECRET_FIELDS:
            if isinstance(fields.get(kind), str):
                self._on_secret(kind, fields[kind])

    async def _tell_moved(self) -> None:
        async with self._moved:
            self._moved.notify_all()

    async def _until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_LIMIT), self._moved:
            await self._moved.wait_for(condition)


def _json_object(body: bytes) -> dict[str, Any]:
    """The fields of a JSON object; none where it is something else."""
    try:
        value = json.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _cut(request: web.BaseRequest) -> None:
    """Reset the connection: the client gets no answer at all."""
    if request.transport is not None:
        request.transport.abort()
