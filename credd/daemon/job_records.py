"""Which job sockets there are, written down so that they outlive the daemon.

Rules: no secret is in it. The file is replaced whole, 0600, durable before `create` answers. One
that can't be read is put aside and said aloud: a job that loses its socket must not go unexplained,
and a socket that nobody remembers must not go on.
"""

from __future__ import annotations

import json
import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from credd import paths, wire
from credd.core.instant import Instant, elapsed

log = logging.getLogger(__name__)

VERSION = 1


@dataclass(frozen=True, slots=True)
class JobSocket:
    """One job socket. `uid` may connect besides our own; `ttl` in seconds since `made`, None for
    no end; `owns_folder`: we made the folder, so it goes with the socket."""

    id: str
    folder: str
    credentials: tuple[str, ...]
    uid: int | None
    ttl: float | None
    made: Instant
    owns_folder: bool

    @property
    def path(self) -> str:
        """Where it listens."""
        return f"{self.folder}/{paths.SOCKET_NAME}"

    def left(self, now: Instant) -> float | None:
        """Seconds until it ends, by the clock that says less; None where it has no end."""
        return None if self.ttl is None else self.ttl - elapsed(self.made, now)

    def to_json(self) -> dict[str, Any]:
        """For the file."""
        return {
            "id": self.id,
            "folder": self.folder,
            "credentials": list(self.credentials),
            "uid": self.uid,
            "ttl": self.ttl,
            "made": self.made.to_json(),
            "owns_folder": self.owns_folder,
        }

    def to_wire(self, trouble: str) -> wire.SocketReply:
        """For whoever lists them."""
        return {
            "id": self.id,
            "path": self.path,
            "credentials": list(self.credentials),
            "uid": self.uid,
            "created_at": self.made.wall,
            "ends_at": None if self.ttl is None else self.made.wall + self.ttl,
            "listening": not trouble,
            "trouble": trouble,
        }


def read_records(file: Path) -> list[JobSocket]:
    """What was written down; nothing where nothing can be read."""
    try:
        found = json.loads(file.read_text())
        if found["version"] != VERSION:
            raise ValueError
        return [_from_json(one) for one in found["sockets"]]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        log.error("%s can't be read; the job sockets in it are gone", file.name)
        file.replace(file.with_suffix(".damaged"))
        return []


def _from_json(plain: dict[str, Any]) -> JobSocket:
    names, uid, ttl = plain["credentials"], plain["uid"], plain["ttl"]
    sound = (
        isinstance(plain["id"], str)
        and isinstance(plain["folder"], str)
        and plain["folder"].startswith("/")
        and all(re.fullmatch(wire.NAME_PATTERN, name) for name in names)
        and (uid is None or isinstance(uid, int))
        and (ttl is None or isinstance(ttl, int | float))
    )
    if not sound:
        raise ValueError
    made = Instant.from_json(plain["made"])
    owns = plain["owns_folder"] is True
    return JobSocket(plain["id"], plain["folder"], tuple(names), uid, ttl, made, owns)


def write_records(file: Path, records: list[JobSocket]) -> None:
    """Replace the file. Raises OSError, and then the old one stands."""
    new = file.with_suffix(".new")
    new.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with open(os.open(new, flags, 0o600), "w") as out:
        json.dump({"version": VERSION, "sockets": [one.to_json() for one in records]}, out)
        out.flush()
        os.fsync(out.fileno())
    new.rename(file)
    folder = os.open(file.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
