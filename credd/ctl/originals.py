"""The plain-text original of a secret: read once, and destroyed once it lies sealed elsewhere.

Knows files, stdin and variables; refuses to know what is in them. The hard thing is the end: what
was read is what is removed. A file that was changed meanwhile stays, and so does everything that
nobody here can reach (a variable of the shell, another name of the file): it is said, not guessed.
"""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress

from credd import foreign
from credd.errors import BadRequest, Misconfigured

LONGEST = 2 * foreign.LONGEST
"""Bytes; more is no file of one login."""


class Original:
    """Where a secret was found: its text, what is to be warned of, and how it ends."""

    def __init__(self, text: str, where: str) -> None:
        self.text = text
        self.where = where
        self.warnings: list[str] = []

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.where}>"

    def remove(self) -> str:
        """Destroy it; the path that is gone, or "" where nothing could be removed."""
        return ""

    def remains(self, rotated: bool) -> list[str]:
        """What still holds it after `remove`, in sentences. `rotated`: it is worth nothing now."""
        return [] if rotated else [f"{self.where} still holds it"]


class Typed(Original):
    """It came by stdin, out of something that nobody here knows."""

    @classmethod
    def read(cls) -> Typed:
        """From a pipe, or unseen from a person. Raises BadRequest."""
        if sys.stdin.isatty():
            from credd.ctl.terminal import ask_secret

            return cls(ask_secret("Token or key"), "stdin")
        text = sys.stdin.read(LONGEST + 1)
        if len(text) > LONGEST:
            raise BadRequest("stdin holds far more than a login", remedy="credd-ctl import --help")
        return cls(text, "stdin")

    def remains(self, rotated: bool) -> list[str]:
        """A file behind the pipe, the shell's history."""
        if sys.stdin.isatty() or rotated:
            return []
        return ["what was piped in is still wherever it came from, perhaps in the shell's history"]


class Variable(Original):
    """It stands in a variable of the environment."""

    @classmethod
    def read(cls, name: str) -> Variable:
        """Raises BadRequest where there is none, or nothing in it."""
        text = os.environ.get(name, "")
        if not text:
            raise BadRequest(f"the variable {name} is not set", remedy="credd-ctl import --help")
        return cls(text, name)

    def remains(self, rotated: bool) -> list[str]:
        """The shell has it, and whatever sets it there."""
        worth = "a worthless copy" if rotated else "a copy"
        how = f"unset {self.where}, and remove the line that sets it"
        return [f"the variable {self.where} still holds {worth}: {how}"]


class File(Original):
    """It lies in a file."""

    def __init__(self, text: str, path: str, seen: os.stat_result) -> None:
        super().__init__(text, path)
        self._seen = seen
        self._left: list[str] = []
        if seen.st_mode & 0o077:
            mode = stat.S_IMODE(seen.st_mode)
            self.warnings.append(f"others could read {path} (mode {mode:04o}), so they may know it")

    @classmethod
    def read(cls, path: str) -> File:
        """A small file of this user's. A link is followed, and its target is what is removed.

        Raises Misconfigured where it can't be read, or is anything else.
        """
        path = os.path.realpath(os.path.expanduser(path))
        try:
            # A FIFO that nobody writes to would wait for ever.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise _unreadable(path, error.strerror or "it can't be opened") from None
        try:
            seen = os.fstat(descriptor)
            _check(path, seen)
            content = os.read(descriptor, LONGEST + 1)
        finally:
            os.close(descriptor)
        if len(content) > LONGEST:
            raise _unreadable(path, "it is far too long for a login")
        try:
            return cls(content.decode(), path, seen)
        except UnicodeDecodeError:
            raise _unreadable(path, "it is no text") from None

    def remove(self) -> str:
        """Unlink it, if it is still what was read."""
        try:
            if _identity(os.lstat(self.where)) != _identity(self._seen):
                self._left.append(f"{self.where} was changed meanwhile and was not removed")
                return ""
            os.unlink(self.where)
        except OSError as error:
            self._left.append(f"{self.where} could not be removed ({error.strerror})")
            return ""
        _sync_folder(os.path.dirname(self.where))
        if self._seen.st_nlink > 1:
            self._left.append(f"{self.where} had another name (a hard link), which is still there")
        return self.where

    def remains(self, rotated: bool) -> list[str]:
        """What `remove` met, and backups, which it can't reach."""
        if rotated or self._left:
            return list(self._left)
        return ["backups and snapshots of that file still hold it; it works until it is revoked"]


def _check(path: str, seen: os.stat_result) -> None:
    if not stat.S_ISREG(seen.st_mode):
        raise _unreadable(path, "it is no file")
    if seen.st_uid != os.geteuid():
        raise _unreadable(path, "it belongs to somebody else")


def _identity(seen: os.stat_result) -> tuple[int, int, int, int]:
    return seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns


def _unreadable(path: str, why: str) -> Misconfigured:
    return Misconfigured(f"{path} can't be imported: {why}", remedy="credd-ctl import --help")


def _sync_folder(path: str) -> None:
    with suppress(OSError):  # a folder that can't be synced is synced by time
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
