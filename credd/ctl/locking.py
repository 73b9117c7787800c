"""The verb lock: nothing that bears a secret leaves, until the same passphrase comes back.

The one hard thing: a passphrase that was mistyped locks its owner out, so a person types it twice.
"""

from __future__ import annotations

import click

from credd.ctl.options import verb
from credd.ctl.session import Session
from credd.ctl.terminal import ask_new_secret, has_person, read_lines
from credd.errors import BadRequest

PASSPHRASE = "passphrase"


@verb("lock", "credd-ctl lock", "credd-ctl lock --seal")
@click.option("--seal", is_flag=True, help="Drop keys and tokens, too; nothing is refreshed then.")
@click.option("--passphrase-stdin", is_flag=True, help="Read the passphrase from stdin.")
def lock(session: Session, seal: bool, passphrase_stdin: bool) -> None:
    """Refuse every secret until `unlock`, as ssh-add -x does.

    Refreshing goes on, so that nothing has expired when you come back. With --seal it does not, and
    the vault's key is needed again. A restart of the daemon forgets the lock.
    """
    client = session.client()
    if seal and not passphrase_stdin and client.version()["key_source"] == PASSPHRASE:
        client.lock(seal=True)  # the vault's own passphrase opens it again
    else:
        client.lock(new_passphrase(passphrase_stdin), seal=seal)
    how = "Sealed: keys and tokens are dropped." if seal else "Locked; refreshing goes on."
    click.echo(f"{how}\nNext: credd-ctl unlock")


def new_passphrase(from_stdin: bool) -> str:
    """From stdin where that was said, else from the person, twice. Raises BadRequest where nobody
    is."""
    if from_stdin:
        return read_lines(1)[0]
    if not has_person():
        raise BadRequest(
            "the passphrase can't be asked for without a terminal",
            remedy="credd-ctl lock --passphrase-stdin < FILE",
        )
    return ask_new_secret("Passphrase to lock with")
