"""Tells when one of a few named files has changed on disk.

Knows: folders and what lies in them. Refuses to know: what a change means. The hard thing: a watch
goes deaf. On a file it does after the first atomic replace (1 of 4 changes seen), on a folder when
the folder itself is replaced, on a network file system always. So the *folders* are watched, and a
notice only says "look now": what has changed is found by comparing, and somebody looks every few
seconds without any notice too.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing
from pathlib import Path

from watchfiles import awatch

LOOK_EVERY = 10.0
"""Seconds between two looks without a notice: what a lost notice costs at most."""

STEP = 0.5
"""Seconds that the files must be quiet before a change is told: an editor's save is several steps.
watchfiles looks this often whether something has happened (12 ms of CPU a minute at 0.5 s, 28 at
0.2 s), and takes as long to end."""

Signature = tuple[int, ...] | None


async def changes(
    *files: Path, look_every: float = LOOK_EVERY, step: float = STEP
) -> AsyncGenerator[frozenset[Path], None]:
    """The files that changed, appeared or went, each time some did. Never ends by itself.

    The comparison begins with what the files are at the first call. Folders that don't exist are
    waited for. Wrap it in `contextlib.aclosing`.
    """
    seen = {file: signature(file) for file in files}
    folders = sorted({file.parent for file in files})
    async with aclosing(_nudges(folders, look_every, step)) as nudges:
        async for _ in nudges:
            now = {file: signature(file) for file in files}
            changed = frozenset(file for file in files if now[file] != seen[file])
            seen = now
            if changed:
                yield changed


def signature(path: Path) -> Signature:
    """What differs between two versions of a file; None where there is none to be seen."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    # The change time too: a tool that restores a file sets its modification time back.
    return (
        found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns,
        found.st_mode, found.st_uid,
    )  # fmt: skip


Nudges = AsyncGenerator[None, None]


async def _nudges(folders: Collection[Path], look_every: float, step: float) -> Nudges:
    """A nudge at each notice and every `look_every` seconds; watches anew where folders changed."""
    while True:
        standing = _standing(folders)
        async with aclosing(_watch(list(standing), look_every, step)) as notices:
            async for _ in notices:
                yield
                if _standing(folders) != standing:
                    break
        yield


def _standing(folders: Collection[Path]) -> dict[Path, Signature]:
    """The folders to watch and which ones they are, since another may take the same name.

    Where one does not exist, the nearest above it: there its coming is seen.
    """
    found: dict[Path, Signature] = {}
    for folder in folders:
        nearest = next(place for place in (folder, *folder.parents) if place.is_dir())
        found[nearest] = (signature(nearest) or ())[:2]
    return found


async def _watch(folders: list[Path], look_every: float, step: float) -> Nudges:
    """Notices of watchfiles. Where there are none to be had (the system's limit of watches, a
    folder that went just now) it ends after one pause, and looking goes on without notices."""
    milliseconds = int(step * 1000)
    notices = awatch(
        *folders,
        watch_filter=None,
        recursive=False,
        step=milliseconds,
        debounce=milliseconds * 5,
        rust_timeout=int(look_every * 1000),
        yield_on_timeout=True,
        ignore_permission_denied=True,
    )
    try:
        async with aclosing(notices):
            async for _ in notices:
                yield
    except (OSError, RuntimeError):  # the latter is how watchfiles names trouble in its own half
        await asyncio.sleep(look_every)
