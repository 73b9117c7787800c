"""One daemon for one home: claimed before a refresh token is spent, given back at the end.

Rules: the kernel's lock decides on one machine. On a network file system that lock may be lost, so
there the file that names the daemon decides too: a home that another host has claimed is not
served, and the person is told which host. On a local disk another host name means nothing: machines
and containers are renamed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from credd.errors import AnotherDaemon, Misconfigured

NETWORK_FILE_SYSTEMS = frozenset({
    "9p", "afs", "beegfs", "ceph", "cifs", "fuse.sshfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4",
    "panfs", "smb3", "smbfs", "wekafs",
})  # fmt: skip
"""Types of mount(8) whose locks do not hold between hosts in every configuration."""

MOUNTS = Path("/proc/self/mounts")


@contextlib.contextmanager
def claim(file: Path, facts: dict[str, Any]) -> Iterator[None]:
    """Hold the home of this daemon: `file` is daemon.json, `facts` what stands in it.

    Raises AnotherDaemon, naming host and process, where somebody else holds it.
    """
    lock = _lock(file)
    try:
        _refuse_other_host(file)
        _write(file, facts)
        yield
        file.unlink(missing_ok=True)
    finally:
        os.close(lock)


def describe_daemon(socket_path: str, version: str, boot_id: str) -> dict[str, Any]:
    """What daemon.json says of this process."""
    return {
        "host": socket.gethostname(),
        "boot_id": boot_id,
        "pid": os.getpid(),
        "socket": socket_path,
        "version": version,
        "started_at": time.time(),
    }


def _lock(file: Path) -> int:
    _make_folder(file.parent)
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    lock = os.open(file.with_suffix(".lock"), flags, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise _another(_read(file)) from None
    return lock


def _make_folder(folder: Path) -> None:
    """The state folder, ours and 0700. Raises Misconfigured where it is neither."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if found.st_uid != os.geteuid():
        raise Misconfigured(f"{folder} is not ours", remedy=f"ls -ld {folder}")
    if found.st_mode & 0o077:
        raise Misconfigured(f"others may enter {folder}", remedy=f"chmod 700 {folder}")


def _refuse_other_host(file: Path) -> None:
    before = _read(file)
    elsewhere = before.get("host") not in (None, socket.gethostname())
    if elsewhere and is_network_folder(file.parent):
        raise _another(before, remedy=f"rm {file}  # once it runs no more on {before['host']}")


def _another(facts: dict[str, Any], remedy: str = "credd-ctl status") -> AnotherDaemon:
    who = f"process {facts.get('pid', '?')} on {facts.get('host', 'this host')}"
    return AnotherDaemon(f"another credd serves this home: {who}", remedy=remedy)


def is_network_folder(folder: Path, mounts: Path = MOUNTS) -> bool:
    """Whether `folder` lies on a network file system, as far as this system tells."""
    try:
        rows = [line.split() for line in mounts.read_text().splitlines()]
    except OSError:  # no /proc here (macOS): locks on its network mounts are the kernel's affair
        return False
    real = folder.resolve()
    above = [row for row in rows if len(row) > 2 and real.is_relative_to(_unescaped(row[1]))]
    nearest = max(above, key=lambda row: len(row[1]), default=None)
    return nearest is not None and nearest[2] in NETWORK_FILE_SYSTEMS


def _unescaped(mount_point: str) -> str:
    return mount_point.replace("\\040", " ").replace("\\011", "\t")


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(file: Path, facts: dict[str, Any]) -> None:
    new = file.with_suffix(".new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w") as out:
        json.dump(facts, out)
    new.rename(file)
