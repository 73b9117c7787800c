"""The verbs that end a login: logout and remove.

`logout` has the daemon revoke at the issuer and forget; `remove` also drops the entry from
config.toml. The one hard thing: the grant goes first and the entry last, because without its entry
a grant could no longer be revoked by name.
"""

from __future__ import annotations

import click

from credd.ctl.options import name_argument, verb, yes_option
from credd.ctl.reloading import reload_config
from credd.ctl.session import Session
from credd.ctl.terminal import confirm
from credd.errors import UnknownCredential

keep_going_option = click.option(
    "--keep-going", is_flag=True, help="Forget it even if the issuer can't be reached."
)


def forget(session: Session, name: str, keep_going: bool) -> None:
    """Have the daemon revoke and forget. Raises UpstreamUnavailable where the issuer is away."""
    session.client().logout(name, keep_going=True if keep_going else None)


@verb("logout", "credd-ctl logout lab", "credd-ctl logout lab --keep-going --yes")
@name_argument()
@keep_going_option
@yes_option
def logout(session: Session, name: str, keep_going: bool, yes: bool) -> None:
    """Revoke a login and forget its secrets.

    Its entry in config.toml stays, for the next login.
    """
    if not yes:
        confirm(f"Log out of {name}? Jobs that use it stop working.")
    forget(session, name, keep_going)
    click.echo(f"Logged out of {name}.\nNext: credd-ctl login {name}")


@verb("remove", "credd-ctl remove lab", "credd-ctl remove lab --keep-going --yes")
@name_argument()
@keep_going_option
@yes_option
def remove(session: Session, name: str, keep_going: bool, yes: bool) -> None:
    """Log out, and drop the credential from config.toml."""
    config = session.config()
    has_entry = config.entry(name) is not None
    if not yes:
        confirm(f"Log out of {name} and remove it? Jobs that use it stop working.")
    try:
        forget(session, name, keep_going)
    except UnknownCredential:
        # An entry that the daemon never loaded (findings elsewhere in the file) still goes.
        if not has_entry:
            raise
    if config.drop(name):
        reload_config(session)
    click.echo(f"Removed {name}.\nNext: credd-ctl status")
