"""The verb audit: who was given which generation, when; and whether the trail is whole.

Asks the daemon page by page and hands the lines to `audit_page`. The one hard thing: to follow a
trail that is written while it is read, without telling a line twice or leaving one out.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from credd import wire_audit
from credd.ctl import audit_page
from credd.ctl.options import credential_name, duration, json_option, verb
from credd.ctl.output import answer, to_json, warn
from credd.ctl.session import Session

if TYPE_CHECKING:
    from credd.client.calls import Calls

LOOK_EVERY = 1.0
"""Seconds between two looks of --follow: a person reads no faster."""

CHANGED = 1
"""The exit status where the trail is not as it was written."""


@verb(
    "audit",
    "credd-ctl audit",
    "credd-ctl audit --credential lab --since 7d",
    "credd-ctl audit --follow",
    "credd-ctl audit --verify",
)
@click.option("--follow", is_flag=True, help="Show each line, and go on as they come.")
@click.option("--credential", type=credential_name, metavar="NAME", help="Of this one alone.")
@click.option(
    "--since",
    type=duration,
    metavar="DURATION",
    default="1d",
    show_default=True,
    help="Not older than this, as in 90, 15m, 72h or 3d.",
)
@click.option("--verify", is_flag=True, help="Follow the chain of hashes, and name what breaks it.")
@json_option
def audit(
    session: Session,
    follow: bool,
    credential: str | None,
    since: float,
    verify: bool,
    as_json: bool,
) -> None:
    """Show who was given which token, and when.

    A program is what the kernel says of the process that connected. A script's name, marked
    [claimed], is what that process says of itself.
    With --verify it exits 1 where a line was removed, edited, swapped or cut off.
    """
    if verify and follow:
        raise click.UsageError("--verify looks once; leave --follow out")
    client, begin = session.client(), time.time() - since
    if verify:
        show_check(client.check_audit(), as_json)
    elif follow:
        keep_following(client, credential, begin, as_json)
    else:
        show_all(client, credential, begin, as_json)


def show_check(reply: wire_audit.AuditCheckReply, as_json: bool) -> None:
    """Whether the chain is whole."""
    answer(
        audit_page.check(reply),
        dict(reply),
        as_json,
        exit_code=0 if reply["intact"] else CHANGED,
        remedy="" if reply["intact"] else "credd-ctl audit --verify --json",
    )


def pages(client: Calls, credential: str | None, begin: float) -> Iterator[wire_audit.AuditReply]:
    """All pages there are now; the last one has what is not written yet."""
    cursor, more = "", True
    while more:
        page = client.audit(credential, since=begin, cursor=cursor or None)
        cursor, more = page["cursor"], page["more"]
        yield page


def show_all(client: Calls, credential: str | None, begin: float, as_json: bool) -> None:
    """The sum of it, or as JSON each line."""
    entries, page = list[wire_audit.AuditEntry](), None
    for page in pages(client, credential, begin):
        entries += [*page["entries"], *page["pending"]]
    text = audit_page.summary(entries, time.time())
    answer(text, {"entries": entries}, as_json)
    if page is not None and (page["trouble"] or page["lost"]):
        warn(audit_page.losses(page["lost"], page["trouble"]))


def keep_following(client: Calls, credential: str | None, begin: float, as_json: bool) -> None:
    """Line by line until Ctrl-C, which is the ordinary way to leave."""
    cursor = ""
    with suppress(KeyboardInterrupt):
        while True:
            page = client.audit(credential, since=begin, cursor=cursor or None)
            cursor = page["cursor"]
            for entry in page["entries"]:
                show_line(entry, as_json)
            if not page["more"]:
                time.sleep(LOOK_EVERY)


def show_line(entry: wire_audit.AuditEntry, as_json: bool) -> None:
    """One line, at once even into a pipe."""
    plain: dict[str, Any] = dict(entry)
    click.echo(to_json({"entry": plain}) if as_json else audit_page.line(entry))
    sys.stdout.flush()
