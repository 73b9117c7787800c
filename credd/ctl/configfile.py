"""The one writer of config.toml: small edits that keep a person's comments and order.

Knows TOML and files; refuses to know what a setting means (the daemon checks that). The one hard
thing: an edit is whole or absent. The text is written beside the file, synced, and renamed over it,
under a lock on the folder, and is always made from what the file says now, not from what it said
when a login began.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from credd.errors import Misconfigured

if TYPE_CHECKING:
    from tomlkit import TOMLDocument


class ConfigFile:
    """config.toml at `path`. A missing file reads as an empty one, and is made when written."""

    def __init__(self, path: str) -> None:
        # A config.toml that links into a dotfiles repository stays a link: its target is replaced.
        self.path = os.path.realpath(path)
        self.folder = os.path.dirname(self.path)

    def __repr__(self) -> str:
        return f"<ConfigFile {self.path}>"

    def entry(self, name: str) -> dict[str, Any] | None:
        """The settings of credential `name` as plain values; None where it has no entry."""
        entry = self.credentials().get(name)
        return entry if isinstance(entry, dict) else None

    def credentials(self) -> dict[str, Any]:
        """All entries of `[credentials]` as plain values, in the file's order."""
        table = self.read().unwrap().get("credentials", {})
        return table if isinstance(table, dict) else {}

    def read(self) -> TOMLDocument:
        """The file, comments and all. Raises Misconfigured where it can't be read or is no TOML."""
        import tomlkit
        from tomlkit.exceptions import TOMLKitError

        try:
            return tomlkit.parse(self._text())
        except TOMLKitError as error:
            raise self._broken(str(error)) from None

    def add(self, name: str, settings: Mapping[str, Any]) -> None:
        """Write the entry `[credentials.NAME]` with these settings, in their order."""

        def edit(document: TOMLDocument) -> None:
            table = _section(document, "credentials", is_super=True)
            table[name] = _entry(settings, inline=type(table).__name__ == "InlineTable")

        def meant(plain: dict[str, Any]) -> None:
            plain.setdefault("credentials", {})[name] = dict(settings)

        self._change(edit, meant)

    def drop(self, name: str) -> bool:
        """Remove the entry of `name`; False where there was none."""
        if self.entry(name) is None:
            return False

        def edit(document: Any) -> None:
            del document["credentials"][name]

        self._change(edit, edit)
        return True

    def choose_vault_key(self, source: str) -> None:
        """Write `[vault] key = "SOURCE"`."""

        def edit(document: TOMLDocument) -> None:
            _section(document, "vault")["key"] = source

        def meant(plain: dict[str, Any]) -> None:
            plain.setdefault("vault", {})["key"] = source

        self._change(edit, meant)

    def check_writable(self) -> None:
        """Raise Misconfigured where no edit can work: before a person logs in, not after."""
        self.read()
        with self._locked():
            os.unlink(self._temporary(b""))

    def _change(
        self, edit: Callable[[TOMLDocument], None], meant: Callable[[dict[str, Any]], None]
    ) -> None:
        """Make the edit, if the text then reads as `meant` makes the plain values read."""
        with self._locked():
            document = self.read()
            expected = document.unwrap()
            edit(document)
            meant(expected)
            text = document.as_string()
            if not _reads_as(text, expected):
                raise self._broken(
                    "its tables are interleaved in a way that can't be edited safely"
                )
            self._replace(text.encode())

    def _replace(self, text: bytes) -> None:
        temporary = self._temporary(text)
        try:
            os.rename(temporary, self.path)
        except OSError as error:
            os.unlink(temporary)
            raise self._broken(error.strerror) from None
        _sync_folder(self.folder)

    def _temporary(self, text: bytes) -> str:
        """A synced file (mkstemp: 0600) in the same folder, because rename can't cross devices."""
        try:
            descriptor, path = tempfile.mkstemp(prefix=".config.toml.", dir=self.folder)
        except OSError as error:
            raise self._broken(error.strerror) from None
        try:
            with open(descriptor, "wb") as file:
                file.write(text)
                file.flush()
                os.fsync(descriptor)
        except OSError as error:
            os.unlink(path)
            raise self._broken(error.strerror) from None
        return path

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Two credd-ctl take turns. The folder itself is locked: the file is replaced each time."""
        try:
            os.makedirs(self.folder, mode=0o700, exist_ok=True)
            descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise self._broken(error.strerror) from None
        try:
            # A file system without locks (some network ones) still gets whole edits.
            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _text(self) -> str:
        try:
            with open(self.path, encoding="utf-8", newline="") as file:
                return file.read()
        except FileNotFoundError:
            return ""
        except UnicodeDecodeError:
            raise self._broken("it is not UTF-8") from None
        except OSError as error:
            raise self._broken(error.strerror) from None

    def _broken(self, why: str | None) -> Misconfigured:
        return Misconfigured(f"{self.path}: {why}", remedy=self.edit_command())

    def edit_command(self) -> str:
        """A shell line that opens the file for a person."""
        from shlex import quote

        return f"${{EDITOR:-vi}} {quote(self.path)}"


def _section(document: TOMLDocument, name: str, is_super: bool = False) -> Any:
    """The table `[name]`, made at the end of the document where it is missing."""
    import tomlkit

    if name not in document:
        # A super table prints no header of its own: `[credentials.lab]` says it all.
        document[name] = tomlkit.table(is_super_table=is_super)
    return document[name]


def _entry(settings: Mapping[str, Any], inline: bool) -> Any:
    import tomlkit

    entry = tomlkit.inline_table() if inline else tomlkit.table()
    for key, value in settings.items():
        entry.add(key, value)
    return entry


def _reads_as(text: str, expected: dict[str, Any]) -> bool:
    """Whether another parser reads these values: an edit that went wrong is never written."""
    import tomllib

    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    return _without_empty(found) == _without_empty(expected)


def _without_empty(values: dict[str, Any]) -> dict[str, Any]:
    """A table that lost its last entry may be gone or empty: both say the same."""
    return {name: value for name, value in values.items() if value != {}}


def _sync_folder(folder: str) -> None:
    """Make the rename itself durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # some file systems refuse to sync a folder
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
