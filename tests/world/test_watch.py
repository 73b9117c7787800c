"""Watching: every change of a named file is told, however it was made, and nothing else is."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from credd.world.watch import changes


class Watched:
    """What a watcher told so far."""

    def __init__(self) -> None:
        self.told: list[frozenset[Path]] = []
        self._news = asyncio.Event()

    def hear(self, changed: frozenset[Path]) -> None:
        self.told.append(changed)
        self._news.set()

    async def next(self) -> frozenset[Path]:
        """The next notice, within ten seconds."""
        await asyncio.wait_for(self._news.wait(), 10)
        self._news.clear()
        return self.told[-1]


@asynccontextmanager
async def watching(*files: Path, look_every: float = 0.3) -> AsyncIterator[Watched]:
    """A watcher that is surely looking: a first file of its own has come and was told."""
    watched = Watched()
    probe = files[0].parent.parent / f"probe-{len(files)}"
    ready = asyncio.Event()

    async def listen() -> None:
        async for changed in changes(probe, *files, look_every=look_every, step=0.02):
            ready.set()
            if changed - {probe}:
                watched.hear(changed - {probe})

    task = asyncio.create_task(listen())
    await asyncio.sleep(0)
    probe.write_text("now")
    await asyncio.wait_for(ready.wait(), 10)
    try:
        yield watched
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A file in a folder of its own."""
    (tmp_path / "etc").mkdir()
    path = tmp_path / "etc" / "config.toml"
    path.write_text("one")
    return path


def replace(path: Path, text: str) -> None:
    """As editors and credd-ctl save: a new file takes the name."""
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.rename(path)


def text_of(path: Path) -> str:
    return path.read_text()


async def test_every_atomic_replace_is_seen(config: Path) -> None:
    """A watch on the file goes deaf after the first; this one hears all four."""
    async with watching(config) as watched:
        for number in range(4):
            replace(config, f"version {number}")
            assert await watched.next() == {config}


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_text("more"),
        lambda path: path.unlink(),
        lambda path: path.chmod(0o600),
        lambda path: os.utime(path, ns=(0, 0)),
    ],
    ids=["written", "removed", "other mode", "older time"],
)
async def test_every_kind_of_change_is_seen(config: Path, change: Callable[[Path], object]) -> None:
    """In place, gone, opened to others, restored from a backup."""
    async with watching(config) as watched:
        change(config)
        assert await watched.next() == {config}


async def test_only_named_files_are_told(config: Path) -> None:
    """A neighbour's change, and reading, are nobody's business."""
    async with watching(config) as watched:
        (config.parent / "notes.txt").write_text("x")
        text_of(config)
        replace(config, "two")
        assert await watched.next() == {config}
    assert watched.told == [frozenset({config})]


async def test_two_folders_are_watched_at_once(config: Path, tmp_path: Path) -> None:
    """Each notice names the file that it is about."""
    other = tmp_path / "foreign" / "token"
    other.parent.mkdir()
    async with watching(config, other) as watched:
        other.write_text("t")
        assert await watched.next() == {other}
        replace(config, "two")
        assert await watched.next() == {config}


async def test_a_folder_that_comes_later_is_waited_for(tmp_path: Path) -> None:
    """Nothing has to exist when the watching begins, nor the folders above."""
    config = tmp_path / "a" / "b" / "config.toml"
    (tmp_path / "a").mkdir()
    async with watching(config, look_every=60) as watched:
        config.parent.mkdir()
        await asyncio.sleep(0)
        config.write_text("one")
        assert await watched.next() == {config}


async def test_a_replaced_folder_is_watched_again(config: Path, tmp_path: Path) -> None:
    """Another folder under the same name: its file is told, and its changes as they are made."""
    async with watching(config, look_every=60) as watched:
        fresh = tmp_path / "etc.new"
        fresh.mkdir()
        (fresh / "config.toml").write_text("two")
        (config.parent / "config.toml").unlink()
        config.parent.rename(tmp_path / "etc.old")
        fresh.rename(config.parent)
        await watched.next()
        told = len(watched.told)
        for number in range(100):  # one that is made while the watch moves over may be missed
            replace(config, f"version {number}")
            await asyncio.sleep(0.1)
            if len(watched.told) > told:
                break
    assert len(watched.told) > told


async def test_a_burst_is_told_together(config: Path) -> None:
    """An editor's save is several steps; the notice comes when they are over."""
    async with watching(config) as watched:
        for number in range(20):
            replace(config, f"version {number}")
        await watched.next()
        assert len(watched.told) <= 2


async def test_a_lost_notice_costs_only_the_next_look(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no notices are to be had, as on a network file system, looking finds the change."""

    def refuse(*_: object, **__: object) -> object:
        raise OSError(28, "inotify watch limit reached")

    monkeypatch.setattr("watchfiles.main.RustNotify", refuse)
    async with watching(config, look_every=0.1) as watched:
        replace(config, "two")
        assert await watched.next() == {config}
