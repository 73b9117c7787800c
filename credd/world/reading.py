"""Reads a secret that another program keeps fresh in a file.

Knows: files, their owners and modes. Refuses to know: what the text is. The hard thing: the path is
a person's, the file anybody's. So it is opened once, without waiting (a FIFO would never end), and
what was opened is what is judged: whose it is, who else may write it, how much of it there is.
"""

from __future__ import annotations

import os
import stat

from credd.core.failures import Failed, Failure, Kind
from credd.core.model import Secret

LONGEST = 64 * 1024
"""Bytes; as long as any token that a form could carry."""

ROOT = 0


def read_file(path: str) -> Secret:
    """The file's text without white space around it. Symbolic links are followed: projected tokens
    of Kubernetes are two deep.

    Raises Failed: `file_unreadable` (transient: whoever keeps it may be about to write it), or
    `file_unsafe` where it is not ours or root's, others may write it, it is no file, or far too
    long.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except (OSError, ValueError):
        raise Failed(Failure(Kind.TRANSIENT, "file_unreadable")) from None
    try:
        if not _is_safe(os.fstat(descriptor)):
            raise Failed(Failure(Kind.MISCONFIGURED, "file_unsafe"))
        return Secret(_text(_content(descriptor)))
    finally:
        os.close(descriptor)


def _is_safe(found: os.stat_result) -> bool:
    mine = found.st_uid in (os.geteuid(), ROOT)
    writable = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return stat.S_ISREG(found.st_mode) and mine and not writable and found.st_size <= LONGEST


def _content(descriptor: int) -> bytes:
    content = b""
    try:
        while piece := os.read(descriptor, LONGEST + 1 - len(content)):
            content += piece
        return content
    except OSError:
        raise Failed(Failure(Kind.TRANSIENT, "file_unreadable")) from None


def _text(content: bytes) -> str:
    try:
        text = content.decode("ascii").strip()
    except UnicodeDecodeError:
        raise Failed(Failure(Kind.MISCONFIGURED, "file_unsafe")) from None
    if not text:
        raise Failed(Failure(Kind.TRANSIENT, "file_unreadable"))
    return text
