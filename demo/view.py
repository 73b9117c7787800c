"""How the demo looks: a live picture on a terminal, plain lines anywhere else.

Knows scenes. Refuses to change one. The one hard thing: the same run has to make sense in a log
file, so nothing is shown in the live picture alone that a reader of plain lines would miss.
"""

from __future__ import annotations

import os
import sys
from types import TracebackType
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from demo.scene import Line, Scene, duration

FRAMES = 8  # a second; more than the eye needs for numbers that change four times a second
PLAIN_EVERY = 5.0  # seconds between two plain status lines: about one a refresh
RECENT = 8  # events that fit under the table on a small terminal


class View(Protocol):
    """Shows a scene as it changes, and the sum at the end."""

    def __enter__(self) -> View: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None: ...

    def show(self, scene: Scene) -> None:
        """The scene has changed."""

    def close(self, lines: list[Line]) -> None:
        """The play is over; this is the sum."""


def make_view() -> View:
    """The live view for a person at a terminal, plain lines otherwise."""
    is_plain = not sys.stdout.isatty() or "NO_COLOR" in os.environ or "CI" in os.environ
    return PlainView() if is_plain else LiveView()


def status(scene: Scene) -> list[tuple[str, str]]:
    """The rows of the table, as both views show them."""
    job = scene.job
    latency = f"p50 {duration(job.get('p50', 0.0))}, p99 {duration(job.get('p99', 0.0))}"
    daemon = f"runs, pid {scene.daemon_pid}" if scene.daemon_pid else "dead"
    return [
        ("steps", f"{scene.accepted}"),
        ("rejected", f"{scene.rejected}"),
        ("generation", f"{scene.credential.get('generation', '-')}"),
        ("state", f"{scene.credential.get('state', '-')}"),
        ("refreshes", f"{scene.refreshes}"),
        ("daemon", f"{daemon}, killed {scene.kills}x"),
        ("issuer", "AWAY" if scene.issuer.get("is_away") else "answers"),
        ("get_token", latency),
    ]


class PlainView:
    """Lines, each complete in itself."""

    def __init__(self) -> None:
        self._told = 0
        self._status_at = 0.0

    def __enter__(self) -> PlainView:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, scene: Scene) -> None:
        """New events at once, the numbers now and then."""
        for event in scene.events[self._told :]:
            print(f"{event.at:5.1f} s  {event.text}", flush=True)
        self._told = len(scene.events)
        if scene.elapsed - self._status_at >= PLAIN_EVERY:
            self._status_at = scene.elapsed
            numbers = " | ".join(f"{label} {value}" for label, value in status(scene))
            print(f"{scene.elapsed:5.1f} s  {numbers}", flush=True)

    def close(self, lines: list[Line]) -> None:
        """The sum."""
        print()
        for line in lines:
            print(f"{'' if line.holds else 'FAILED '}{line.label}: {line.value}", flush=True)


class LiveView:
    """One picture that changes in place."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._live = Live(console=self._console, refresh_per_second=FRAMES)

    def __enter__(self) -> LiveView:
        self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def show(self, scene: Scene) -> None:
        """Draw the scene."""
        self._live.update(picture(scene))

    def close(self, lines: list[Line]) -> None:
        """The sum, under the last picture."""
        self._live.stop()
        self._console.print()
        for line in lines:
            mark = Text("ok     ", "green") if line.holds else Text("FAILED ", "bold red")
            self._console.print(mark + Text(f"{line.label}: {line.value}"))


def picture(scene: Scene) -> RenderableType:
    """The scene as rich draws it."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", justify="right")
    table.add_column()
    for label, value in status(scene):
        table.add_row(label, Text(value, _style(label, value)))
    bar = ProgressBar(total=scene.seconds, completed=min(scene.elapsed, scene.seconds), width=60)
    recent = [Text(f"{event.at:5.1f} s  {event.text}") for event in scene.events[-RECENT:]]
    return Group(bar, table, Text(), *recent)


def _style(label: str, value: str) -> str:
    if value == "AWAY" or value.startswith("dead") or (label == "rejected" and value != "0"):
        return "bold red"
    return "bold" if label in ("steps", "generation", "refreshes") else ""
