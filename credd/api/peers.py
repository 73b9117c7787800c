"""Who is calling: what the kernel says, and nothing that a caller says.

Knows: the credentials that the kernel noted when the other side called connect(2). Refuses to know:
anything in a request. The hard thing is what this identity is: the process that connected, even
when it is dead and a child that inherited the socket is the one who talks. The uid can be relied
on, the pid is for the log.
"""

from __future__ import annotations

import socket
import struct
import sys
from dataclasses import dataclass

# <sys/un.h> and <sys/ucred.h> of macOS.
SOL_LOCAL, LOCAL_PEERCRED, LOCAL_PEERPID = 0, 1, 2
XUCRED = struct.Struct("=IIh2x16I")


@dataclass(frozen=True, slots=True)
class Peer:
    """The process that connected. `pid` is 0 where this process has no number for it."""

    uid: int
    pid: int


def peer_of(connection: socket.socket) -> Peer:
    """The peer of a Unix stream socket. Raises OSError where the kernel does not say."""
    if sys.platform == "darwin":
        raw = connection.getsockopt(SOL_LOCAL, LOCAL_PEERCRED, XUCRED.size)
        return Peer(XUCRED.unpack(raw)[1], connection.getsockopt(SOL_LOCAL, LOCAL_PEERPID))
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    pid, uid, _gid = struct.unpack("3i", raw)
    return Peer(uid, pid)
