"""The verb completion: the script that lets a shell complete credd-ctl, and the names it offers.

The scripts are click's own; they run credd-ctl with a variable set, and print what comes back. The
one hard thing: whoever pressed Tab is in the middle of a line. So a daemon that is away, slow or
strange is answered with nothing, at once, and never with a word on the terminal.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import click

from credd.ctl.options import verb
from credd.ctl.session import Session

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

SHELLS = ("bash", "zsh", "fish")

VARIABLE = "_CREDD_CTL_COMPLETE"
"""As click itself derives it from the command's name."""

PATIENCE = 0.5
"""Seconds for the daemon's answer; after so long a person thinks that the terminal hangs."""


@verb(
    "completion",
    "credd-ctl completion bash > ~/.local/share/bash-completion/completions/credd-ctl",
    "credd-ctl completion zsh > ~/.zfunc/_credd-ctl",
    "credd-ctl completion fish > ~/.config/fish/completions/credd-ctl.fish",
)
@click.argument("shell", type=click.Choice(SHELLS))
def completion(_session: Session, shell: str) -> None:
    """Print what lets a shell complete verbs, options and names.

    Put it where the shell looks for such files; zsh wants the folder in its fpath, before compinit.
    """
    from click.shell_completion import get_completion_class

    from credd.ctl.app import cli

    kind = get_completion_class(shell)
    if kind is not None:
        click.echo(kind(cli, {}, "credd-ctl", VARIABLE).source())


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
