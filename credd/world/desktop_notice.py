"""A notice on a person's desktop, as the command line that shows it.

Knows notify-send (freedesktop.org) and osascript (macOS). It refuses to run anything: `hooks` does.
The one hard thing: text is text. It is an argument of its own, never part of a script, and what
desktops read as markup is escaped.
"""

from __future__ import annotations

import html

SCRIPT = (
    "on run argv",
    "display notification (item 2 of argv) with title (item 1 of argv)",
    "end run",
)
"""AppleScript that takes its words from the command line (osascript(1))."""


def desktop_argv(title: str, body: str, platform: str) -> list[str]:
    """The command that shows this on `platform` (`sys.platform`)."""
    if platform == "darwin":
        lines = [word for line in SCRIPT for word in ("-e", line)]
        return ["osascript", *lines, title, body]
    # A notice is markup in most desktops; a title never is.
    safe = html.escape(body, quote=False)
    return ["notify-send", "--app-name=credd", "--icon=dialog-password", "--", title, safe]
