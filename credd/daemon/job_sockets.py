"""Job sockets while the daemon runs: made, listed, ended, and back after a restart.

Knows: folders, listeners, ends. Refuses to know: what is served there, which is the front door's.
The hard thing is that nothing is left half there: a socket is answered for only once it is written
down and listens, and when it ends, its record goes last, so that a crash in between ends it again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from socket import socket
from types import TracebackType
from typing import Self

from credd import paths, wire
from credd.core.instant import Instant
from credd.daemon.job_records import JobSocket, read_records, write_records
from credd.errors import BadRequest, CreddError, Misconfigured, UnknownCredential
from credd.world.activation import bind

log = logging.getLogger(__name__)

MOST = 32
"""Job sockets at once; each has its share of the connections that there may be."""

SHARE = 4
"""A quarter of all connections is for job sockets: no crowd of them shuts the main socket."""

LOOK_EVERY = 30.0
"""Seconds: a suspended machine must not let a socket live on for long after it wakes up."""

LONGEST = 366 * 86400.0
"""Seconds of a ttl; who wants more wants one without an end."""

NOBODY_AT_ALL = 2**32 - 1
"""chown(2) takes this uid for "leave it as it is"."""

Serve = Callable[[JobSocket, socket], AbstractAsyncContextManager[object]]
"""Serves one job socket at its listener while the context is open."""


def shares(limit: int) -> tuple[int, int]:
    """Connections for the main socket, and for each job socket, out of `limit` in all."""
    jobs = limit // SHARE
    return max(1, limit - jobs), max(1, jobs // MOST)


class JobSockets:
    """All job sockets of this daemon: `async with`. `know` raises where there is no credential of a
    name; `serve` is set before it is entered."""

    serve: Serve

    def __init__(
        self, file: Path, know: Callable[[str], object], now: Callable[[], Instant]
    ) -> None:
        self._file = file
        self._know = know
        self._now = now
        self._open: dict[str, tuple[JobSocket, AsyncExitStack, str]] = {}
        self._changing = asyncio.Lock()
        self._changed = asyncio.Event()

    def __repr__(self) -> str:
        return f"<JobSockets {sorted(self._open)}>"

    async def __aenter__(self) -> Self:
        for job in await asyncio.to_thread(read_records, self._file):
            await self._restore(job)
        self._ending = asyncio.create_task(self._end_in_time())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop serving. Files and records stay: the next daemon takes them up."""
        self._ending.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._ending
        async with self._changing:
            stacks = [stack for _, stack, _ in self._open.values()]
            await asyncio.gather(*(stack.aclose() for stack in stacks))

    # --- what the front door asks -------------------------------------------------------------

    def all(self) -> list[wire.SocketReply]:
        """All there are, oldest first."""
        return [job.to_wire(trouble) for job, _, trouble in self._open.values()]

    async def create(self, request: wire.SocketRequest) -> wire.SocketReply:
        """Make one and listen at it.

        Raises BadRequest, UnknownCredential, Misconfigured (the folder), AnotherDaemon.
        """
        async with self._changing:
            if len(self._open) >= MOST:
                detail = f"there are {MOST} job sockets, the most there may be"
                raise BadRequest(detail, remedy="credd-ctl socket list")
            job = self._checked(request)
            try:
                await self._begin(job)
            except OSError as error:
                raise _unfit(job.folder, error) from None
            log.info("job socket %s serves %s", job.id, ", ".join(job.credentials))
        self._changed.set()
        return job.to_wire("")

    async def remove(self, socket_id: str) -> None:
        """End one. Raises UnknownCredential where there is none of that id."""
        async with self._changing:
            if socket_id not in self._open:
                raise UnknownCredential(
                    "there is no such job socket", remedy="credd-ctl socket list"
                )
            await self._end(socket_id, "on request")

    # --- making -------------------------------------------------------------------------------

    def _checked(self, request: wire.SocketRequest) -> JobSocket:
        folder, names = request["folder"], tuple(dict.fromkeys(request["credentials"]))
        ttl, uid = request.get("ttl"), request.get("uid")
        if not folder.startswith("/") or not folder.isprintable():
            raise BadRequest("a job socket's folder is an absolute path", reason="bad_folder")
        if not names:
            raise BadRequest(
                "a job socket serves at least one credential", reason="bad_credentials"
            )
        if ttl is not None and not 0 < ttl <= LONGEST:
            raise BadRequest("a job socket's ttl is from 1 s to a year", reason="bad_ttl")
        if uid is not None and not 0 <= uid < NOBODY_AT_ALL:
            raise BadRequest("that is no uid", reason="bad_uid")
        for name in names:
            self._know(name)
        folder = os.path.normpath(folder)
        owns = not os.path.lexists(folder)
        return JobSocket(self._new_id(folder), folder, names, uid, ttl, self._now(), owns)

    def _new_id(self, folder: str) -> str:
        """The folder's own name, with a number where that is taken: it is what the trail shows."""
        name = re.sub(r"[^A-Za-z0-9_-]+", "-", os.path.basename(folder)).strip("-")[:64] or "job"
        taken = (f"{name}-{number}" for number in range(2, MOST + 2))
        return name if name not in self._open else next(i for i in taken if i not in self._open)

    async def _begin(self, job: JobSocket) -> None:
        """Listen, serve, write down; on any failure nothing of it is left."""
        stack = AsyncExitStack()
        try:
            await self._listen(job, stack)
            self._open[job.id] = (job, stack, "")
            await self._save()
        except BaseException:
            if self._open.pop(job.id, None) is not None:
                with contextlib.suppress(OSError):
                    os.unlink(job.path)
            await stack.aclose()
            _drop_folder(job)
            raise

    async def _listen(self, job: JobSocket, stack: AsyncExitStack) -> None:
        _prepare_folder(job)
        listener = stack.enter_context(contextlib.closing(bind(job.path, guest=job.uid)))
        await stack.enter_async_context(self.serve(job, listener))

    async def _restore(self, job: JobSocket) -> None:
        """Take up a socket of the daemon before this one, as far as it can be."""
        stack, trouble = AsyncExitStack(), ""
        try:
            await self._listen(job, stack)
        except (CreddError, OSError) as error:
            trouble = error.detail if isinstance(error, CreddError) else str(error.strerror)
            log.error("job socket %s does not listen: %s", job.id, trouble)
        self._open[job.id] = (job, stack, trouble)

    # --- ending -------------------------------------------------------------------------------

    async def _end_in_time(self) -> None:
        while True:
            self._changed.clear()
            async with self._changing:
                await self._end_due()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._next_look()):
                    await self._changed.wait()

    async def _end_due(self) -> None:
        now = self._now()
        for job, _, _ in list(self._open.values()):
            left = job.left(now)
            if left is not None and left <= 0:
                await self._end(job.id, "its time is over")

    def _next_look(self) -> float:
        now = self._now()
        ends = [left for job, _, _ in self._open.values() if (left := job.left(now)) is not None]
        return max(0.05, min([LOOK_EVERY, *ends]))

    async def _end(self, socket_id: str, why: str) -> None:
        job, stack, trouble = self._open[socket_id]
        if not trouble:  # else what lies there is somebody else's
            _clear_away(job)
        await stack.aclose()
        del self._open[socket_id]
        try:
            await self._save()
        except OSError as error:
            log.error("the end of job socket %s is not written down: %s", job.id, error.strerror)
        log.info("job socket %s has ended: %s", job.id, why)

    async def _save(self) -> None:
        records = [job for job, _, _ in self._open.values()]
        await asyncio.to_thread(write_records, self._file, records)


def _prepare_folder(job: JobSocket) -> None:
    """Make the folder, or see that nothing else lies in the one that is there: containers mount the
    folder. Raises Misconfigured, OSError."""
    mode = 0o700 if job.uid is None else 0o711
    if job.owns_folder and not os.path.lexists(job.folder):
        os.makedirs(os.path.dirname(job.folder), mode=0o700, exist_ok=True)
        os.mkdir(job.folder, mode=0o700)
    paths.check_socket_folder(job.folder, os.geteuid(), 0o077 if job.uid is None else 0o066)
    others = set(os.listdir(job.folder)) - {paths.SOCKET_NAME, f".{paths.SOCKET_NAME}"}
    if others:
        raise Misconfigured(
            f"a job socket's folder holds nothing else, and this one does: {job.folder}",
            remedy=f"ls -la {paths.quoted(job.folder)}",
        )
    os.chmod(job.folder, mode)


def _clear_away(job: JobSocket) -> None:
    """Remove what we made, as far as it is still there."""
    with contextlib.suppress(OSError):
        os.unlink(job.path)
    _drop_folder(job)


def _drop_folder(job: JobSocket) -> None:
    """The folder goes with its socket where we made it, unless somebody has put something in."""
    if job.owns_folder:
        with contextlib.suppress(OSError):
            os.rmdir(job.folder)


def _unfit(folder: str, error: OSError) -> CreddError:
    return Misconfigured(
        f"no job socket can be made there: {error.strerror}: {folder}",
        remedy=f"ls -ld {paths.quoted(folder)}",
    )
