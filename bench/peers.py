"""The peers: what credd is measured against, each as short as such a server can be.

    python bench/peers.py protocol SOCKET [BODY]   HTTP/1.1 on a bare asyncio.Protocol
    python bench/peers.py aiohttp SOCKET [BODY]    a bare aiohttp.web application
    python bench/peers.py issuer SOCKET PORTFILE   a token endpoint that takes 50 ms, on loopback

BODY is a file with the JSON that every question is answered with. Imports nothing of credd and of
bench, because the size of `protocol` is a measure itself.
"""

from __future__ import annotations

import asyncio
import sys

HOLD = 0.05
"""Seconds that the issuer takes: what one in the same country takes."""


def read_body() -> bytes:
    """What is answered."""
    if len(sys.argv) < 4:
        return b'{"ready": true}'
    with open(sys.argv[3], "rb") as file:
        return file.read()


async def serve_protocol(path: str) -> None:
    """A hand-written server: no routes, no checks, the same answer always."""
    body = read_body()
    answer = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        % len(body)
    ) + body

    class Bare(asyncio.Protocol):
        """Answers each head that is complete."""

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            """Keep the way back."""
            assert isinstance(transport, asyncio.WriteTransport)
            self.transport = transport
            self.rest = b""

        def data_received(self, data: bytes) -> None:
            """Answer, and close where that is asked for."""
            *heads, self.rest = (self.rest + data).split(b"\r\n\r\n")
            for head in heads:
                self.transport.write(answer)
                if b"\r\nConnection: close" in head:
                    self.transport.close()

    server = await asyncio.get_running_loop().create_unix_server(Bare, path, backlog=1024)
    await server.serve_forever()


async def serve_aiohttp(path: str) -> None:
    """A bare application: one route for everything, a prepared answer, no middleware."""
    from aiohttp import web

    body = read_body()

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    app = web.Application()
    app.router.add_get("/{rest:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.UnixSite(runner, path, backlog=1024).start()
    await asyncio.Event().wait()


def write_port(port: int) -> None:
    """Say where the issuer listens."""
    with open(sys.argv[3], "w", encoding="ascii") as file:
        file.write(str(port))


async def serve_issuer(path: str) -> None:
    """A token endpoint whose every answer rotates the refresh token. At `path` it tells how many
    questions it has had, and how long it held the last one, in seconds."""
    import json

    loop = asyncio.get_running_loop()
    calls, held = 0, 0.0

    async def token(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls, held
        await reader.readuntil(b"\r\n\r\n")
        begin = loop.time()
        calls += 1
        await asyncio.sleep(HOLD)
        answer = {
            "access_token": f"access-{calls}-".ljust(1200, "t"),
            "refresh_token": f"refresh-{calls}-".ljust(600, "r"),
            "token_type": "Bearer",
            "expires_in": 3600,
        }
        held = loop.time() - begin
        await tell(writer, answer)

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await tell(writer, {"calls": calls, "held": held})

    async def tell(writer: asyncio.StreamWriter, answer: dict[str, object]) -> None:
        body = json.dumps(answer).encode()
        head = (
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(token, "127.0.0.1", 0)
    write_port(server.sockets[0].getsockname()[1])
    await asyncio.start_unix_server(count, path)
    await server.serve_forever()


KINDS = {"protocol": serve_protocol, "aiohttp": serve_aiohttp, "issuer": serve_issuer}

if __name__ == "__main__":
    asyncio.run(KINDS[sys.argv[1]](sys.argv[2]))
