"""The names that a shell offers where a credential is wanted.

The one hard thing: whoever pressed Tab is in the middle of a line. So a daemon that is away, slow
or strange is answered with nothing, at once, and never with a word on the terminal.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from credd.ctl.session import Session

if TYPE_CHECKING:
    import click
    from click.shell_completion import CompletionItem

PATIENCE = 0.5
"""Seconds for the daemon's answer; after so long a person thinks that the terminal hangs."""


def complete_names(
    ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem[str]]:
    """The daemon's credentials whose names begin so, with their states; none where it is away."""
    from click.shell_completion import CompletionItem

    session = ctx.find_object(Session) or Session()
    with suppress(Exception):  # whatever it is, a Tab is no place to tell of it
        found = session.hasty_client(PATIENCE).credentials()["credentials"]
        return [
            CompletionItem(one["name"], help=one["state"])
            for one in found
            if one["name"].startswith(incomplete)
        ]
    return []
