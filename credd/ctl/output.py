"""How a command ends: what goes to stdout, what to stderr, and with which status.

The rule of all commands: nothing on stdout unless the status is 0, errors on stderr as
`credd-ctl: <detail>`, and the remedy as the last line. So what a failing command has to tell goes
to stderr whole, before its remedy. Knows no verb and no daemon.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Any, NoReturn, TextIO

import click

from credd.ctl.harmless import harmless
from credd.errors import CreddError

SCHEMA = 1
"""Of all JSON that credd-ctl prints. Within one version fields are added and keep their meaning."""


def to_json(data: Mapping[str, Any]) -> str:
    """One line of ASCII JSON, so that no foreign text can reach a terminal unescaped."""
    return json.dumps({"schema": SCHEMA, **data}, allow_nan=False)


def answer(
    text: str,
    data: Mapping[str, Any],
    as_json: bool,
    *,
    exit_code: int = 0,
    remedy: str = "",
) -> None:
    """Print the answer, as text or as JSON, then its remedy, and leave with `exit_code`.

    A remedy may come with status 0, too: a key that a job reported as rejected still serves.
    """
    click.echo(to_json(data) if as_json else text, err=exit_code != 0)
    say(harmless(remedy))
    if exit_code:
        raise click.exceptions.Exit(exit_code)


def say(text: str) -> None:
    """A line for the person at the keyboard: stderr, so that stdout stays data."""
    if text:
        click.echo(text, err=True)


def warn(text: str, *, newline: bool = False) -> None:
    """A line that something is not as it should be; on a new line where the cursor is not."""
    start = "\n" if newline else ""
    say(f"{start}credd-ctl: {harmless(text)}")


def tell(error: CreddError) -> None:
    """The error and, as the last line, its remedy. What failed belongs to the daemon's words."""
    warn(error.detail)
    say(harmless(error.remedy))


def leave(code: int) -> NoReturn:
    """End the process. What could not be written was reported already, and is not tried again."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            discard(stream)
    sys.exit(code)


def discard(stream: TextIO) -> None:
    """Let what is left in the buffer go nowhere; Python would complain about it at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
