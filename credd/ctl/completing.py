"""The verb completion: the script that lets a shell complete credd-ctl.

The scripts are click's own; they run credd-ctl with a variable set, and offer what it prints. Which
names are offered is told in `known_names`.
"""

from __future__ import annotations

import click

from credd.ctl.options import verb
from credd.ctl.session import Session

SHELLS = ("bash", "zsh", "fish")

VARIABLE = "_CREDD_CTL_COMPLETE"
"""As click itself derives it from the command's name."""


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
