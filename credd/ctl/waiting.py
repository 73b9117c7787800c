"""The verb wait: until the daemon, and a credential, are ready.

For scripts that start a daemon, or a job, beside each other. The one hard thing: to tell what
waiting can mend (a daemon that starts, an issuer that is away, a login under way) from what it
can't (a name nobody configured), and to end with the last reason, not with "time out".
"""

from __future__ import annotations

import time

import click

from credd import wire
from credd.ctl.options import credential_name, duration, verb
from credd.ctl.session import Session
from credd.errors import BY_CODE, CreddError, DaemonUnreachable, Locked, UpstreamUnavailable

PAUSE = 0.2
"""Seconds between two looks: a script hardly notices, and the daemon's answer costs 0.1 ms."""

PATIENCE = 1.0
"""Seconds for one look: the loop here is what waits."""

MENDABLE = (DaemonUnreachable, Locked, UpstreamUnavailable)


@verb("wait", "credd-ctl wait --timeout 30s", "credd-ctl wait lab --timeout 2h && python train.py")
@click.argument("name", type=credential_name, required=False, metavar="[NAME]")
@click.option(
    "--timeout",
    type=duration,
    metavar="DURATION",
    default="60s",
    show_default=True,
    help="As in 90, 15m or 2h.",
)
def wait(session: Session, name: str | None, timeout: float) -> None:
    """Wait until the daemon, and NAME, are ready.

    At the time-out it exits with the status of what was still missing: 3 no daemon, 4 no login.
    """
    deadline = time.monotonic() + timeout
    while (lack := missing(session, name)) is not None:
        if time.monotonic() + PAUSE > deadline:
            raise lack
        time.sleep(PAUSE)


def missing(session: Session, name: str | None) -> CreddError | None:
    """What is not ready yet; None where all is. Raises what no waiting can mend."""
    client = session.hasty_client(PATIENCE)
    try:
        client.ready()
        return None if name is None else unready(client.credential(name))
    except MENDABLE as error:
        return error


def unready(credential: wire.CredentialReply) -> CreddError | None:
    """The state of a credential as the error it stands for; None where it serves tokens."""
    code = credential["exit_code"]
    if code == 0:
        return None
    kind = next((kind for kind in BY_CODE.values() if kind.exit_code == code), CreddError)
    detail = f"{credential['name']} is {credential['state']}: {credential['meaning']}"
    return kind(detail, remedy=credential["remedy"])
