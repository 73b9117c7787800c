"""The verbs about the daemon itself: unlock, vault accept, reload, version.

The one hard thing: `version` answers even where no daemon does, because it is what people type
when something is wrong.
"""

from __future__ import annotations

import click

from credd import __version__
from credd.ctl import render
from credd.ctl.options import json_option, verb, write_examples
from credd.ctl.output import answer
from credd.ctl.reloading import reload_config
from credd.ctl.restarting import restart_command
from credd.ctl.session import Session
from credd.ctl.terminal import ask_secret, has_person, read_lines
from credd.errors import BadRequest, DaemonUnreachable

VERSION_PATIENCE = 2.0
"""Seconds to wait for a daemon that is only asked its version."""


@verb("unlock", "credd-ctl unlock", "credd-ctl unlock --passphrase-stdin < passphrase.txt")
@click.option("--passphrase-stdin", is_flag=True, help="Read the passphrase from stdin.")
def unlock(session: Session, passphrase_stdin: bool) -> None:
    """Open the vault with its passphrase."""
    session.client().unlock(read_passphrase(passphrase_stdin))
    click.echo("The vault is open.\nNext: credd-ctl status")


def read_passphrase(from_stdin: bool) -> str:
    """From stdin where that was said, else from the person. Raises BadRequest where nobody is."""
    if from_stdin:
        return read_lines(1)[0]
    if not has_person():
        raise BadRequest(
            "the passphrase can't be asked for without a terminal",
            remedy="credd-ctl unlock --passphrase-stdin < FILE",
        )
    return ask_secret("Passphrase of the vault")


class VaultMenu(click.Group):
    """`credd-ctl vault`, whose help ends in an example like every other."""

    def format_epilog(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The example."""
        write_examples(formatter, ("credd-ctl vault accept",))


@click.group("vault", cls=VaultMenu)
def vault() -> None:
    """Look after the sealed store."""


@verb("accept", "credd-ctl vault accept")
def accept(session: Session) -> None:
    """Let this copy of a vault spend its logins.

    A vault that was copied or restored from a backup refreshes nothing until you say that the
    original no longer runs: two of them kill each other's logins.
    """
    session.client().accept_vault()
    click.echo("This vault is now the one that refreshes its logins.\nNext: credd-ctl status")


vault.add_command(accept)


@verb("reload", "credd-ctl reload", "credd-ctl reload --json")
@json_option
def reload(session: Session, as_json: bool) -> None:
    """Have the daemon read config.toml again.

    Shows what it finds wrong with it; then the old configuration stays in force.
    """
    reply = reload_config(session)
    answer("The configuration is in force.", reply, as_json)


@verb("version", "credd-ctl version", "credd-ctl version --json")
@json_option
def version(session: Session, as_json: bool) -> None:
    """Show which version this is, and which the daemon runs."""
    try:
        daemon = session.hasty_client(VERSION_PATIENCE).version()
    except DaemonUnreachable:
        daemon = None
    command = restart_command(daemon)
    data = {"client": __version__, "daemon": daemon, "restart": command or None}
    answer(render.versions(__version__, daemon, command), data, as_json)
