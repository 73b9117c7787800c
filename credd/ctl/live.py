"""What moves on a terminal: the live status, and the wait for a person's login.

The only file that imports rich, and it is imported only when something is drawn. Refuses to know
the daemon: it is handed credentials and times. The one hard thing: foreign text is never read as
rich's markup, and what is drawn is made harmless by `render` first.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from credd import wire
from credd.ctl import render
from credd.ctl.durations import spoken
from credd.ctl.harmless import harmless
from credd.ctl.terminal import paints
from credd.errors import CreddError


def console_for(stderr: bool = False) -> Console:
    """A terminal as rich sees it, with our rule for colour."""
    console = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    console.no_color = not paints(console.is_terminal)
    return console


class Picture:
    """The live status: `show` draws it anew; what is shown last stays when it is left."""

    def __init__(self) -> None:
        self._console = console_for()
        self._live = Live(console=self._console, auto_refresh=False, vertical_overflow="ellipsis")

    def __enter__(self) -> Picture:
        self._live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._live.stop()

    def show(
        self, credentials: Sequence[wire.CredentialReply], now: float, error: CreddError | None
    ) -> None:
        """Draw these credentials as they are at `now`; with an `error`, as they were last known."""
        self._live.update(picture(credentials, now, error, self._console), refresh=True)


def picture(
    credentials: Sequence[wire.CredentialReply],
    now: float,
    error: CreddError | None,
    console: Console,
) -> Group:
    """Headline and table; the table is the one that `status` prints."""
    paint = render.plain if console.no_color else render.styled
    table = render.credentials_table(credentials, now, console.width, paint)
    body = Text.from_ansi(table, no_wrap=True) if credentials else Text(render.no_credentials())
    return Group(headline(credentials, now, error), Text(), body)


def headline(
    credentials: Sequence[wire.CredentialReply], now: float, error: CreddError | None
) -> Text:
    """The sum of it, the time, and how to leave; or that nobody answers."""
    at = time.strftime("%H:%M:%S", time.localtime(now))
    if error is not None:
        line = Text(f"{harmless(error.detail)}\nThis is what was last known:", style="red")
        return Text(f"{at}  ", style="dim").append(line)
    good = sum(render.colour_of(one["state"]) == "green" for one in credentials)
    colour = "green" if good == len(credentials) else "yellow"
    line = Text(f"{at}  ", style="dim")
    line.append(f"{good} of {len(credentials)} good", style=colour)
    return line.append("  (Ctrl-C leaves)", style="dim")


class Waiting:
    """A line that moves while a person logs in elsewhere, with the time the code still works."""

    def __init__(self, words: str, expires_at: float | None) -> None:
        self._words = words
        self._expires_at = expires_at
        console = console_for(stderr=True)
        can_draw = console.encoding.startswith("utf")
        self._spinner = Spinner("dots" if can_draw else "line", style="cyan")
        self._live = Live(self, console=console, transient=True)

    def start(self) -> None:
        """Begin to move."""
        self._live.start()

    def stop(self) -> None:
        """Go away without a trace."""
        self._live.stop()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        self._spinner.update(text=Text(self._words + self._left(), style="dim"))
        yield self._spinner

    def _left(self) -> str:
        if self._expires_at is None:
            return "  (Ctrl-C cancels)"
        left = max(0.0, self._expires_at - time.time())
        return f"  (the code works for {spoken(left)} more; Ctrl-C cancels)"
