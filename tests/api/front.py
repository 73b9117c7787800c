"""A front door with nobody behind it: fakes that answer in the promised shapes, and a client.

`opened()` serves the fakes on a real socket. A fake raises what a test puts into `raises`, and
notes each call in `calls`.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import aiohttp

from credd import wire, wire_audit, wire_vault
from credd.api.app import build_app, serve
from credd.api.entrance import Entrance
from credd.api.interface import Witness
from credd.core.deeds import Asker, Deed
from credd.core.importing import Handover
from credd.core.instant import Instant
from credd.core.model import AccessToken, Secret, TokenKey
from credd.errors import Denied, Locked

TOKEN = "at-of-the-front-door"

VAULT: wire_vault.VaultReply = {
    "state": "open", "reason": "", "detail": "", "remedy": "", "sources": ["keyring"],
    "restored": False, "file": "/state/vault.db",
}  # fmt: skip

CREDENTIAL: wire.CredentialReply = {
    "name": "lab", "provider": "oidc", "issuer": "https://login.example.org",
    "state": "fresh", "meaning": "good", "account": "ada",
    "scope": "openid", "hosts": ["mlflow.example.org"], "generation": 7, "grant": 1,
    "token_expires_at": 1060.0, "refresh_at": 1030.0, "login_at": 900.0, "login_ends_at": None,
    "logging_in": False, "remedy": "", "exit_code": 0, "environment": {"MLFLOW": "x"},
    "trouble": {"kind": "transient", "reason": "dns", "detail": "no name", "since": 1.0,
                "attempts": 1, "next_try_at": None},
}  # fmt: skip

SOCKET: wire.SocketReply = {
    "id": "train", "path": "/run/job/credd.sock", "credentials": ["lab"], "uid": None,
    "created_at": 1000.0, "ends_at": 2000.0, "listening": True, "trouble": "",
}  # fmt: skip


@dataclass
class Served:
    """What a fake broker hands out."""

    token: AccessToken
    stale: bool = False
    refresh_at: float = 1030.0
    account: str = "ada"
    hosts: tuple[str, ...] = ("mlflow.example.org",)

    @property
    def expires_at(self) -> float | None:
        """A lifetime after it was asked for."""
        lifetime = self.token.lifetime
        return None if lifetime is None else self.token.obtained.wall + lifetime


def access_token(key: TokenKey = TokenKey(), lifetime: float | None = 60.0) -> AccessToken:  # noqa: B008
    return AccessToken(
        value=Secret(TOKEN), token_type="Bearer", generation=7, key=key, scope="openid",
        obtained=Instant(1000.0, 5.0, "boot"), lifetime=lifetime, soft_after=30.0,
    )  # fmt: skip


@dataclass
class Fakes:
    """Broker, logins and house in one."""

    raises: Exception | None = None
    calls: list[tuple[Any, ...]] = field(default_factory=list)
    lifetime_of_token: float | None = 60.0
    hold: asyncio.Event | None = None
    is_open: bool = True
    is_locked: bool = False
    refuses: bool | None = None
    told: list[wire.LoginEvent] = field(default_factory=list)
    break_after: Exception | None = None
    begun: list[str] = field(default_factory=list)
    seen: list[Deed] = field(default_factory=list)
    deeds: list[Deed] = field(default_factory=list)

    def _note(self, *call: Any) -> None:
        self.calls.append(call)
        if self.raises is not None:
            raise self.raises

    async def _waited(self, *call: Any) -> None:
        self._note(*call)
        if self.hold is not None:
            await self.hold.wait()
            self.calls.append(("held", *call))

    async def token(
        self, name: str, key: TokenKey, *, min_valid: float | None, max_wait: float
    ) -> Served:
        await self._waited("token", name, key, min_valid, max_wait)
        return Served(access_token(key, self.lifetime_of_token))

    def describe(self, name: str) -> wire.CredentialReply:
        self._note("describe", name)
        return CREDENTIAL

    def describe_all(self) -> list[wire.CredentialReply]:
        self._note("describe_all")
        return [CREDENTIAL]

    async def reject(self, name: str, generation: int, *, max_wait: float) -> wire.RefreshReply:
        await self._waited("reject", name, generation, max_wait)
        return {"name": name, "outcome": "superseded", "generation": generation + 1}

    async def refresh(self, name: str, *, max_wait: float) -> wire.RefreshReply:
        await self._waited("refresh", name, max_wait)
        return {"name": name, "outcome": "refreshed", "generation": 8}

    def refresh_all(self) -> list[str]:
        self._note("refresh_all")
        return ["lab"]

    def lifetime(self, name: str, seconds: float) -> wire.LifetimeReply:
        self._note("lifetime", name, seconds)
        return {
            "name": name, "verdict": "unknown", "ends_at": None, "needed_until": 1000 + seconds,
            "remedy": "",
        }  # fmt: skip

    async def forget(self, name: str, *, keep_going: bool) -> None:
        await self._waited("forget", name, keep_going)

    async def start(self, request: wire.LoginRequest) -> wire.LoginReply:
        self._note("start", dict(request))
        return {"id": "l-1", "name": request["name"], "resumed": False}

    async def events(self, login: str) -> AsyncIterator[wire.LoginEvent]:
        self._note("events", login)
        for event in self.told:
            yield event
        if self.hold is not None:
            await self.hold.wait()
        if self.break_after is not None:
            raise self.break_after
        yield {"type": "done", "credential": CREDENTIAL}

    def answer(self, login: str, question: str, answer: Secret) -> None:
        self._note("answer", login, question, answer)

    async def cancel(self, login: str) -> None:
        self._note("cancel", login)

    def version(self) -> wire.VersionReply:
        self._note("version")
        return {
            "version": "0.1.0", "installed": "0.1.0", "api": "1", "pid": 1, "started_at": 1.0,
            "vault": "open", "key_source": "file",
        }  # fmt: skip

    def is_ready(self) -> bool:
        return self.is_open

    async def reload(self) -> wire.ReloadReply:
        self._note("reload")
        finding: wire.Finding = {"place": "line 1", "message": "unknown key", "remedy": ""}
        return {"applied": False, "findings": [finding]}

    def needs_consent(self, name: str) -> bool:
        return self.refuses is not None

    async def consent(self, name: str, asker: Asker) -> None:
        self.calls.append(("consent", name, asker.socket, asker.pid))
        if self.refuses:
            raise Denied(reason="not_confirmed")

    def refuse_if_locked(self) -> None:
        if self.is_locked:
            raise Locked(remedy="credd-ctl unlock")

    async def lock(self, passphrase: Secret | None, *, seal: bool) -> None:
        self._note("lock", passphrase, seal)

    async def unlock(self, passphrase: Secret) -> None:
        self._note("unlock", passphrase)

    async def recover(self, code: Secret) -> None:
        self._note("recover", code)

    def vault(self) -> wire_vault.VaultReply:
        self._note("vault")
        return VAULT

    async def accept_vault(self) -> None:
        self._note("accept_vault")

    async def take_over(self, request: wire.ImportRequest, handed: Handover) -> wire.ImportReply:
        self._note("take_over", dict(request), handed)
        return {"credential": CREDENTIAL, "rotated": True}

    async def verify_vault(self) -> wire_vault.VerifyReply:
        await self._waited("verify_vault")
        part: wire_vault.VaultPart = {
            "part": "record", "name": "lab", "verdict": "damaged", "reason": "flipped",
            "detail": "some of its bytes were changed", "remedy": "credd-ctl login lab",
        }  # fmt: skip
        return {"parts": [part], "damaged": 1, "remedy": "credd-ctl login lab"}

    async def rewrap_vault(self, request: wire_vault.RewrapRequest) -> wire_vault.VaultReply:
        await self._waited("rewrap_vault", dict(request))
        return VAULT

    async def rekey_vault(self, request: wire_vault.RekeyRequest) -> wire_vault.VaultReply:
        await self._waited("rekey_vault", dict(request))
        return VAULT

    async def reset_vault(self, *, erase: bool) -> wire_vault.ResetReply:
        await self._waited("reset_vault", erase)
        return {"aside": "/state/vault.db.aside-20261122T025047Z", "login_again": ["lab"]}

    async def create(self, request: wire.SocketRequest) -> wire.SocketReply:
        self._note("create", dict(request))
        return SOCKET

    def all(self) -> list[wire.SocketReply]:
        self._note("all")
        return [SOCKET]

    async def remove(self, socket: str) -> None:
        self._note("remove", socket)

    def began(self, what: str) -> None:
        self.begun.append(what)

    def ended(self, deed: Deed) -> None:
        self.seen.append(deed)

    def kept(self, deed: Deed) -> None:
        self.deeds.append(deed)

    async def audit(
        self, *, credential: str, since: float, cursor: str, limit: int
    ) -> wire_audit.AuditReply:
        self._note("audit", credential, since, cursor, limit)
        entry: wire_audit.AuditEntry = {
            "n": 1,
            "at": 1.0,
            "what": "token",
            "result": "ok",
            "pid": 7,
        }
        return {"entries": [entry], "pending": [], "cursor": "1-90", "more": False, "lost": 0,
                "trouble": ""}  # fmt: skip

    async def check_audit(self) -> wire_audit.AuditCheckReply:
        self._note("check_audit")
        fault: wire_audit.AuditFault = {
            "file": "audit.jsonl",
            "line": 2,
            "n": 2,
            "message": "missing",
        }
        return {"intact": False, "lines": 1, "first": 1, "last": 3, "faults": [fault]}

    async def watch(self) -> AsyncGenerator[wire_audit.Event, None]:
        self._note("watch")
        yield {"type": "state", "at": 1.0, "credential": "lab", "state": "fresh", "before": ""}
        if self.hold is not None:
            await self.hold.wait()

    def metrics(self) -> str:
        self._note("metrics")
        return "credd_up 1\n"

    async def findings(self) -> wire_audit.FindingsReply:
        self._note("findings")
        return {"findings": [{"place": "vault", "message": "restored", "remedy": ""}]}


class Seen:
    """The fakes as a witness: its `events` are not those of a login."""

    def __init__(self, fakes: Fakes) -> None:
        self._fakes = fakes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._fakes, "watch" if name == "events" else name)


def witness_of(fakes: Fakes) -> Witness:
    witness: Any = Seen(fakes)
    return cast(Witness, witness)


@dataclass
class Door:
    """An open front door: where it is, a client of it, and what stands behind."""

    path: str
    client: aiohttp.ClientSession
    entrance: Entrance
    fakes: Fakes

    async def ask(
        self, method: str, target: str, body: object = None, data: bytes | None = None
    ) -> tuple[int, Any]:
        """Status and JSON (or text) of one answer."""
        kwargs: dict[str, Any] = {"data": data} if data is not None else {"json": body}
        async with self.client.request(method, f"http://credd{target}", **kwargs) as answer:
            is_json = "json" in answer.content_type and "ndjson" not in answer.content_type
            return answer.status, await (answer.json() if is_json else answer.text())

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection on which a test says what it likes."""
        return await asyncio.open_unix_connection(self.path)

    async def say(self, raw: bytes) -> bytes:
        """Everything that comes back for these bytes until the daemon closes."""
        reader, writer = await self.connect()
        writer.write(raw)
        try:
            return await asyncio.wait_for(reader.read(), 20)
        except ConnectionError:  # it closed before it had read everything
            return b""
        finally:
            writer.close()


@asynccontextmanager
async def opened(
    folder: Path, fakes: Fakes | None = None, *, limit: int = 5000, backlog: int = 128, **how: Any
) -> AsyncIterator[Door]:
    """Serve fakes at a socket in `folder`."""
    behind = fakes or Fakes()
    path = str(folder / "credd.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        with suppress(FileNotFoundError):
            os.unlink(path)
        listener.bind(path)
        listener.listen(backlog)
        app = build_app(behind, behind, behind, behind, witness_of(behind))
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(path)) as client,
            serve(app, listener, limit=limit, **how) as entrance,
        ):
            yield Door(path, client, entrance, behind)
