"""The verb status: how every credential is, once or live.

Asks the daemon and hands the replies to `render` (once) or `live` (--watch). The one hard thing: a
watch outlives the daemon it watches; it says that nobody answers, and goes on when somebody does.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from credd import wire
from credd.ctl import render
from credd.ctl.options import credential_name, json_option, verb
from credd.ctl.output import answer, say, to_json, warn
from credd.ctl.restarting import restart_command
from credd.ctl.session import Session
from credd.ctl.terminal import paints
from credd.errors import CreddError, DaemonUnreachable, Locked, UnknownCredential, to_problem

if TYPE_CHECKING:
    from credd.client.calls import Calls

INTERVAL = 1.0
"""Seconds between two looks of --watch: what a person sees change, and 1 ms of work."""

WATCH_PATIENCE = 2.0
"""Seconds a watch waits for an answer before it says that nobody answers."""


@verb(
    "status",
    "credd-ctl status",
    "credd-ctl status lab",
    "credd-ctl status --watch",
    "credd-ctl status --json",
)
@click.argument("name", type=credential_name, required=False, metavar="[NAME]")
@click.option("--watch", is_flag=True, help="Keep showing it, live. With --json: NDJSON.")
@json_option
def status(session: Session, name: str | None, watch: bool, as_json: bool) -> None:
    """Show how each credential is, or all about one.

    All, that is, but secrets.
    With NAME the exit status is the credential's own (4: login required), and what is told then
    goes to stderr.
    """
    if watch:
        keep_watching(session, name, as_json)
    elif name is None:
        show_all(session, as_json)
    else:
        show_one(session, name, as_json)


def show_all(session: Session, as_json: bool) -> None:
    """A line a credential."""
    client = session.client()
    reply = client.credentials()
    answer(table_of(reply["credentials"]), {"credentials": reply["credentials"]}, as_json)
    if not as_json:
        note_upgrade(client)


def show_one(session: Session, name: str, as_json: bool) -> None:
    """Everything but secrets about one credential."""
    credential = session.client().credential(name)
    code = credential["exit_code"]
    stream = sys.stderr if code else sys.stdout
    paint = render.styled if paints(stream.isatty()) else render.plain
    answer(
        render.credential_page(credential, time.time(), paint),
        {"credential": credential},
        as_json,
        exit_code=code,
        remedy=credential["remedy"],
    )


def table_of(credentials: list[wire.CredentialReply]) -> str:
    """The table as stdout wants it: fitted and coloured on a terminal, long lines elsewhere."""
    if not credentials:
        return render.no_credentials()
    is_terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if is_terminal else None
    paint = render.styled if paints(is_terminal) else render.plain
    return render.credentials_table(credentials, time.time(), width, paint)


def note_upgrade(client: Calls) -> None:
    """Say when another version is installed than the one that runs, and how to restart."""
    daemon = client.version()
    command = restart_command(daemon)
    if command:
        warn(render.upgrade_note(daemon))
        say(command)


# --- live -----------------------------------------------------------------------------------


class Snapshot(NamedTuple):
    """One look at the daemon. `credentials` are the last ones known where `error` is set."""

    at: float
    credentials: list[wire.CredentialReply]
    error: CreddError | None

    def facts(self) -> dict[str, Any]:
        """What changes only when something happened: no countdowns."""
        if self.error is not None:
            return {"error": to_problem(self.error)}
        return {"credentials": self.credentials}


def keep_watching(session: Session, name: str | None, as_json: bool) -> None:
    """Until Ctrl-C, which is the ordinary way to leave and no failure."""
    snapshots = looks(session.hasty_client(WATCH_PATIENCE), name)
    with suppress(KeyboardInterrupt):
        if as_json:
            stream_json(snapshots)
        elif paints(sys.stdout.isatty()) or sys.stdout.isatty():
            draw(snapshots)
        else:
            stream_tables(snapshots)


def looks(client: Calls, name: str | None) -> Iterator[Snapshot]:
    """A snapshot each INTERVAL. The first one must succeed: a wrong name or socket is an error."""
    last = look(client, name)
    yield Snapshot(time.time(), last, None)
    while True:
        time.sleep(INTERVAL)
        error: CreddError | None = None
        try:
            last = look(client, name)
        except (DaemonUnreachable, UnknownCredential, Locked) as absence:
            error = absence
        yield Snapshot(time.time(), last, error)


def look(client: Calls, name: str | None) -> list[wire.CredentialReply]:
    """The credentials as they are now: all, or the one of that name."""
    if name is not None:
        return [client.credential(name)]
    return client.credentials()["credentials"]


def changes(snapshots: Iterator[Snapshot]) -> Iterator[Snapshot]:
    """Only the snapshots that differ from the one before."""
    before: dict[str, Any] | None = None
    for snapshot in snapshots:
        if snapshot.facts() != before:
            before = snapshot.facts()
            yield snapshot


def stream_json(snapshots: Iterator[Snapshot]) -> None:
    """NDJSON: a line whenever something changed."""
    for snapshot in changes(snapshots):
        click.echo(to_json({"at": snapshot.at, **snapshot.facts()}))
        sys.stdout.flush()


def stream_tables(snapshots: Iterator[Snapshot]) -> None:
    """For a pipe or a file: the table whenever something changed."""
    for snapshot in changes(snapshots):
        if snapshot.error is not None:
            warn(snapshot.error.detail)
        else:
            click.echo(table_of(snapshot.credentials) + "\n")
        sys.stdout.flush()


def draw(snapshots: Iterator[Snapshot]) -> None:
    """For a terminal: one picture, drawn anew each second."""
    from credd.ctl.live import Picture

    with Picture() as picture:
        for snapshot in snapshots:
            picture.show(snapshot.credentials, snapshot.at, snapshot.error)
