"""The verbs about job sockets: create, list, remove.

A job socket is all the authority that travels: into a container, to another uid, to another host.
The one hard thing: to end with the lines that make the other side use it, ready to paste.
"""

from __future__ import annotations

import os
import time

import click

from credd import paths, wire
from credd.ctl.columns import aligned
from credd.ctl.durations import spoken
from credd.ctl.harmless import harmless
from credd.ctl.options import credential_name, duration, json_option, verb, write_examples
from credd.ctl.output import answer
from credd.ctl.session import Session
from credd.errors import UnknownCredential

COLUMNS = ("NAME", "SERVES", "FOR UID", "ENDS IN", "PATH")

EXAMPLES = (
    "credd-ctl socket create /run/user/1000/job-17 -c lab --ttl 12h",
    "credd-ctl socket list",
    "credd-ctl socket remove job-17",
)


class SocketMenu(click.Group):
    """`credd-ctl socket`, whose help ends in examples like every other."""

    def format_epilog(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The examples."""
        write_examples(formatter, EXAMPLES)


@click.group("socket", cls=SocketMenu)
def socket() -> None:
    """Give a container, another uid or another host some credentials."""


def uid_of(text: str) -> int:
    """A number, or the number of a user's name; a usage error for neither."""
    if text.isascii() and text.isdigit():
        return int(text)
    from pwd import getpwnam

    try:
        return getpwnam(text).pw_uid
    except (KeyError, ValueError):
        raise click.BadParameter("no such user here; give a uid") from None


@verb(
    "create",
    "credd-ctl socket create /run/user/1000/job-17 -c lab --ttl 12h",
    "credd-ctl socket create /srv/lab -c lab -c mlflow --uid www-data",
)
@click.argument("folder", type=click.Path(), metavar="DIR")
@click.option(
    "-c",
    "names",
    type=credential_name,
    multiple=True,
    metavar="NAME",
    help="A credential it serves; may be repeated.",
)
@click.option("--all", "everything", is_flag=True, help="Serve all that are configured now.")
@click.option("--ttl", type=duration, metavar="DURATION", help="When it ends by itself, as 12h.")
@click.option("--uid", type=uid_of, metavar="U", help="Another user who may connect.")
@json_option
def create(
    session: Session,
    folder: str,
    names: tuple[str, ...],
    everything: bool,
    ttl: float | None,
    uid: int | None,
    as_json: bool,
) -> None:
    """Make a socket that serves tokens of these credentials, and nothing else.

    It lies in DIR, which is made if need be and holds nothing else, so that the folder can be
    mounted. It outlives a restart of the daemon.
    """
    if bool(names) == everything:
        raise click.UsageError("name credentials with -c, or say --all")
    served = [*names] if names else configured(session)
    request: wire.SocketRequest = {
        "folder": os.path.abspath(folder), "credentials": served, "ttl": ttl, "uid": uid,
    }  # fmt: skip
    reply = session.client().create_socket(request)
    answer(how_to_use(reply, time.time()), reply, as_json)


def configured(session: Session) -> list[str]:
    """The names of all credentials. Raises UnknownCredential where there is none."""
    names = [one["name"] for one in session.client().credentials()["credentials"]]
    if not names:
        raise UnknownCredential("no credential is configured yet", remedy="credd-ctl login --help")
    return names


def how_to_use(reply: wire.SocketReply, now: float) -> str:
    """What was made, and the lines for the other side."""
    ends, place = reply["ends_at"], paths.quoted(reply["path"])
    until = f" for {spoken(ends - now)}" if ends is not None else ""
    lines = [f"{reply['id']} serves {', '.join(reply['credentials'])}{until}."]
    lines.append(f"Next: export CREDD_SOCK={place}")
    if reply["uid"] is not None:
        lines.append(f"      export CREDD_SOCK_UID={os.geteuid()}  # whose daemon it is")
    return harmless_lines(lines)


def harmless_lines(lines: list[str]) -> str:
    """Lines of which none can move a terminal's cursor."""
    return "\n".join(harmless(line) for line in lines)


@verb("list", "credd-ctl socket list", "credd-ctl socket list --json")
@json_option
def list_(session: Session, as_json: bool) -> None:
    """Show the job sockets there are."""
    reply = session.client().sockets()
    answer(table(reply["sockets"], time.time()), reply, as_json)


def table(sockets: list[wire.SocketReply], now: float) -> str:
    """A line a socket, and below it what is wrong with one that does not listen."""
    if not sockets:
        return "There are no job sockets.\nNext: credd-ctl socket create --help"
    lines = aligned([COLUMNS, *(_cells(one, now) for one in sockets)])
    lines += [f"{one['id']} does not listen: {one['trouble']}" for one in sockets if one["trouble"]]
    return harmless_lines(lines)


def _cells(one: wire.SocketReply, now: float) -> tuple[str, ...]:
    uid = "-" if one["uid"] is None else str(one["uid"])
    ends = "never" if one["ends_at"] is None else spoken(one["ends_at"] - now)
    return (one["id"], ",".join(one["credentials"]), uid, ends, one["path"])


@verb("remove", "credd-ctl socket remove job-17", "credd-ctl socket remove /run/user/1000/job-17")
@click.argument("name", metavar="NAME|DIR")
def remove(session: Session, name: str) -> None:
    """End a job socket; whoever uses it is cut off."""
    client = session.client()
    client.remove_socket(id_at(client.sockets()["sockets"], name) if "/" in name else name)
    click.echo("The job socket has ended.\nNext: credd-ctl socket list")


def id_at(sockets: list[wire.SocketReply], folder: str) -> str:
    """The name of the job socket in a folder. Raises UnknownCredential where there is none."""
    for one in sockets:
        if os.path.dirname(one["path"]) == os.path.abspath(folder):
            return one["id"]
    raise UnknownCredential("there is no such job socket", remedy="credd-ctl socket list")


for command in (create, list_, remove):
    socket.add_command(command)
