"""The person at the keyboard: asking, and opening their browser.

Only credd-ctl does either; the daemon never touches a terminal or a desktop. Refuses to know why
it asks. The one hard thing: never to ask where nobody can answer. Every question here is asked on
a terminal or not at all, and whoever calls says which option answers it instead.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping

import click

from credd.ctl.harmless import harmless
from credd.errors import BadRequest

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

# RFC 3986 without what means something to a shell or to AppleScript, even inside quotes.
PLAIN_LINK = re.compile(r"https?://[A-Za-z0-9._~:/?#\[\]@&+,=%-]+")


def has_person() -> bool:
    """Whether someone can be asked: a terminal to read from, and one to show the question on."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def paints(stream_is_terminal: bool) -> bool:
    """Whether to use colour: on a terminal that can, and NO_COLOR (no-color.org) is not set."""
    capable = os.environ.get("TERM") != "dumb"
    return stream_is_terminal and capable and not os.environ.get("NO_COLOR")


def confirm(question: str) -> None:
    """Ask before doing what can't be undone; Abort unless the answer is yes. Silent in scripts."""
    if has_person():
        click.confirm(question, abort=True, err=True)


def ask_secret(prompt: str) -> str:
    """Read a secret without showing it."""
    from getpass import getpass

    return getpass(f"{harmless(prompt)}: ", stream=sys.stderr)


def ask_new_secret(prompt: str) -> str:
    """Read a secret that nobody can recover if it was mistyped: twice, until both agree."""
    while True:
        first = ask_secret(prompt)
        if not first:
            click.echo("It can't be empty.", err=True)
        elif ask_secret("The same again") == first:
            return first
        else:
            click.echo("The two differ; once more.", err=True)


def ask_text(prompt: str) -> str:
    """Read a line."""
    answer: str = click.prompt(harmless(prompt), err=True)
    return answer


def read_lines(count: int, *, is_last_whole: bool = False) -> list[str]:
    """`count` secrets from stdin, a line each; one alone is all of stdin without its line end, and
    so is the last one where it may have many lines."""
    text = sys.stdin.read()
    lines = [text.rstrip("\r\n")] if count == 1 else text.splitlines()
    if is_last_whole and count > 1:
        lines = [*lines[: count - 1], "\n".join(lines[count - 1 :])]
    if len(lines) < count or not all(lines[:count]):
        raise BadRequest(f"stdin holds fewer secrets than were announced ({count}, a line each)")
    return lines[:count]


def is_safe_link(url: str) -> bool:
    """Whether a browser may be sent there: https, or http on this machine, and nothing odd."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    if not host or not PLAIN_LINK.fullmatch(url):
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK)


def is_far(environ: Mapping[str, str]) -> bool:
    """Whether the person sits at another machine."""
    return any(environ.get(name) for name in ("SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY"))


def has_browser(environ: Mapping[str, str]) -> bool:
    """Whether a browser opened here would appear before the person who typed the command."""
    if is_far(environ) or not has_person():
        return False
    has_desktop = environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY")
    return bool(has_desktop) or sys.platform == "darwin" or bool(environ.get("BROWSER"))


def open_browser(url: str) -> bool:
    """Open the link; False where it could not be, or must not be."""
    import webbrowser

    if not is_safe_link(url):
        return False
    try:
        return webbrowser.open(url)
    except (webbrowser.Error, OSError):
        return False
