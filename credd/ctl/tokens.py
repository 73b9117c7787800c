"""The verbs about tokens: token, refresh, check.

One short function each: ask the daemon, hand the reply to `render`. The one hard thing: a token is
printed whole or not at all, since a script puts it into a header unread.
"""

from __future__ import annotations

import time

import click

from credd import wire
from credd.ctl import render
from credd.ctl.options import credential_name, duration, json_option, name_argument, verb
from credd.ctl.output import answer, to_json
from credd.ctl.session import Session
from credd.errors import CreddError, LoginRequired

FORMATS = ("raw", "json", "header")


@verb(
    "token",
    "credd-ctl token lab",
    "credd-ctl token lab --format header | curl -H @- https://mlflow.example.org/api",
    "credd-ctl token lab --min-valid 10m --json",
)
@name_argument()
@click.option(
    "--min-valid", type=duration, metavar="DURATION", help="The token must work at least this long."
)
@click.option("--audience", metavar="A", help="Ask for a token for this audience.")
@click.option("--scope", "scopes", metavar="S", multiple=True, help="Narrow the token to this.")
@click.option("--format", "shape", type=click.Choice(FORMATS), default="raw", show_default=True)
@json_option
def token(
    session: Session,
    name: str,
    min_valid: float | None,
    audience: str | None,
    scopes: tuple[str, ...],
    shape: str,
    as_json: bool,
) -> None:
    """Print an access token that works now.

    With CREDD_WAIT_FOR_LOGIN=2h it waits so long for a person to log in.
    """
    client, scope = session.patient_client(), " ".join(scopes) or None

    def fetched() -> wire.TokenReply:
        return client.token(name, min_valid=min_valid, audience=audience, scope=scope)

    try:
        reply = fetched()
    except CreddError as error:
        from credd.client.login_wait import persevere

        reply = persevere(fetched, error)
    click.echo(shaped(reply, "json" if as_json else shape))


def shaped(reply: wire.TokenReply, shape: str) -> str:
    """The token as it was asked for. Raises CreddError for one that no header can carry."""
    if shape == "json":
        return to_json(reply)
    if not (reply["access_token"] + reply["token_type"]).isprintable():
        raise CreddError("the token holds control characters and was not printed")
    if shape == "header":
        return f"Authorization: {reply['token_type']} {reply['access_token']}"
    return reply["access_token"]


@verb("refresh", "credd-ctl refresh lab", "credd-ctl refresh --all")
@click.argument("name", type=credential_name, required=False, metavar="[NAME]")
@click.option("--all", "everything", is_flag=True, help="All of them, and wake every retry.")
@json_option
def refresh(session: Session, name: str | None, everything: bool, as_json: bool) -> None:
    """Get a new token now, ahead of the schedule.

    How often is capped, because issuers count.
    """
    if (name is None) != everything:
        raise click.UsageError("name one credential, or say --all")
    if name is None:
        woken = session.client().refresh_all()
        answer(render.woken(woken), woken, as_json)
        return
    reply = session.client().refresh(name)
    answer(render.refresh_outcome(reply), reply, as_json)


@verb(
    "check",
    "credd-ctl check lab --for 72h && sbatch train.sh",
    "credd-ctl check lab --for 3d --strict",
)
@name_argument()
@click.option(
    "--for",
    "needed",
    type=duration,
    metavar="DURATION",
    required=True,
    help="As in 90, 15m, 72h or 3d.",
)
@click.option("--strict", is_flag=True, help="Fail where nobody knows how long the login lasts.")
@json_option
def check(session: Session, name: str, needed: float, strict: bool, as_json: bool) -> None:
    """Ask whether a login lasts as long as a job will.

    Exits 0 where it lasts, 4 where it ends earlier. Where the issuer does not say, 0, or 4 with
    --strict.
    """
    reply = session.client().lifetime(name, needed)
    lasts = reply["verdict"] == "lasts" or (reply["verdict"] == "unknown" and not strict)
    answer(
        render.lifetime_verdict(reply, time.time()),
        reply,
        as_json,
        exit_code=0 if lasts else LoginRequired.exit_code,
        remedy="" if lasts else reply["remedy"] or f"credd-ctl login {name}",
    )
