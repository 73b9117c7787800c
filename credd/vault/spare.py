"""What helps when the vault's disk does not: a reserve on it, and a folder beside it.

Knows files; knows no key and no record. The one hard thing: the moment after an issuer has rotated
a refresh token is the wrong one to find the disk full, so the room for that one write is taken
beforehand, in real bytes that no file system can have promised to somebody else.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

from credd.vault import files
from credd.wire import NAME_PATTERN

RESERVE_SIZE = 1024 * 1024
"""Bytes: some hundred times the largest record, and the log's own pages. (A journal entry padded to
the size of the record reserved nothing: it committed, and then the result failed.)"""

MOST_UNSAVED = 8 * 1024 * 1024
"""Bytes read of an unsaved record; a grant with every token of it has some 20 kB."""

_NAME = re.compile(NAME_PATTERN)


def is_name(name: object) -> bool:
    """Whether this is a credential's name, and so safe as a file's."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


class Reserve:
    """A file of random bytes (zeros might be compressed away) that is given up for one write."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def ensure(self) -> None:
        """Make it whole where it is not. Raises OSError: then nothing must be spent."""
        with contextlib.suppress(FileNotFoundError):
            if self._path.lstat().st_size == RESERVE_SIZE:
                return
        self._path.unlink(missing_ok=True)
        files.write_new(self._path, os.urandom(RESERVE_SIZE))

    def release(self) -> bool:
        """Give its room back to the disk; False where there was none to give."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True


class Unsaved:
    """The folder for sealed records that the vault could not take: one file a name."""

    def __init__(self, runtime_folder: Path) -> None:
        self.folder = runtime_folder / "unsaved"

    def write(self, name: str, sealed: bytes) -> None:
        """Durable (as far as a runtime folder is) when it returns. Raises OSError, files.Unfit."""
        files.make_private_folder(self.folder)
        files.write_over(self.folder / name, sealed)

    def read(self) -> dict[str, bytes]:
        """Every record that lies here. What is not ours, or can't be read, is left alone."""
        found = {}
        for name in self._names():
            with contextlib.suppress(OSError, files.Unfit):
                found[name] = files.read_private(self.folder / name, MOST_UNSAVED)
        return found

    def remove(self, name: str) -> None:
        """Erase what lies here for `name`. Raises OSError where it is there and stays."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            (self.folder / name).unlink()

    def _names(self) -> list[str]:
        try:
            return sorted(filter(is_name, os.listdir(self.folder)))
        except OSError:
            return []
