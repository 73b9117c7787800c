"""Which file on which machine this vault is, so that a copy knows that it is one.

A copied vault must not spend: two holders of one rotating refresh token end the login of both. The
one hard thing is what to leave out. An inode and the machine's id stay through every restart; a
device's number does not (it follows the order in which disks are found, and btrfs makes one up at
each mount), so it would call an honest vault a copy.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from credd.vault.seal import Damaged
from credd.vault.tables import Tables

MACHINE_ID_FILES = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
"""machine-id(5), and where D-Bus kept it before."""


class Identity(NamedTuple):
    """`machine` is "" where the system has no id (macOS, many containers): it then says nothing."""

    inode: int
    machine: str


def is_same(sealed: Identity | None, found: Identity) -> bool:
    """Whether the vault is where it was made; an identity that was damaged (None) is no proof."""
    if sealed is None or sealed.inode != found.inode:
        return False
    return not sealed.machine or not found.machine or sealed.machine == found.machine


def read_machine_id() -> str:
    """This machine's id, or "" where there is none."""
    for place in MACHINE_ID_FILES:
        try:
            found = place.read_text("ascii").strip()
        except (OSError, ValueError):
            continue
        if found and found != "uninitialized":  # what machine-id(5) holds before the first boot
            return found
    return ""


def write_identity(tables: Tables, identity: Identity) -> None:
    """Seal who this vault is, inside the caller's transaction."""
    tables.write_meta("identity", json.dumps(identity).encode())


def read_identity(tables: Tables) -> Identity | None:
    """Who this vault says it is; None where that was damaged. Raises sqlite3.Error."""
    try:
        inode, machine = json.loads(tables.read_meta("identity"))
    except (Damaged, TypeError, ValueError):
        return None
    return Identity(inode, machine)
