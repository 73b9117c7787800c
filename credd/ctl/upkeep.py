"""The verbs about the daemon itself: unlock, reload, version.

The one hard thing: `version` answers even where no daemon does, because it is what people type
when something is wrong.
"""

from __future__ import annotations

import click

from credd import __version__
from credd.ctl import render
from credd.ctl.options import json_option, verb
from credd.ctl.output import answer
from credd.ctl.recovery import parse_code
from credd.ctl.reloading import reload_config
from credd.ctl.restarting import restart_command
from credd.ctl.session import Session
from credd.ctl.terminal import ask_secret, has_person, read_lines
from credd.errors import BadRequest, DaemonUnreachable

VERSION_PATIENCE = 2.0
"""Seconds to wait for a daemon that is only asked its version."""


@verb("unlock", "credd-ctl unlock", "credd-ctl unlock --passphrase-stdin < passphrase.txt")
@click.option("--passphrase-stdin", is_flag=True, help="Read the passphrase from stdin.")
@click.option("--recovery-code-stdin", is_flag=True, help="Read a recovery code from stdin.")
def unlock(session: Session, passphrase_stdin: bool, recovery_code_stdin: bool) -> None:
    """Open the lock, or the vault, with its passphrase."""
    if passphrase_stdin and recovery_code_stdin:
        raise click.UsageError("the passphrase or the recovery code, not both")
    if recovery_code_stdin:
        session.client().recover(parse_code(read_code()))
    else:
        session.client().unlock(read_passphrase(passphrase_stdin))
    click.echo("It is open.\nNext: credd-ctl status")


def read_code() -> str:
    """From stdin; where that is a terminal, it is asked for there, and not shown."""
    return ask_secret("Recovery code") if has_person() else read_lines(1)[0]


def read_passphrase(from_stdin: bool) -> str:
    """From stdin where that was said, else from the person. Raises BadRequest where nobody is."""
    if from_stdin:
        return read_lines(1)[0]
    if not has_person():
        raise BadRequest(
            "the passphrase can't be asked for without a terminal",
            remedy="credd-ctl unlock --passphrase-stdin < FILE",
        )
    return ask_secret("Passphrase")


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
