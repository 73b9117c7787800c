"""The verb login: one step from nothing to a grant.

It makes a plan from the command line and config.toml, has the daemon hold the login as a
conversation (`conversing`), and, only after the daemon's durable yes, writes what is new to
config.toml. The one hard thing: a login that is cancelled or fails leaves no trace, and one that
succeeds is complete.
"""

from __future__ import annotations

import time
from typing import Unpack

import click

from credd import wire
from credd.ctl import render
from credd.ctl.answering import Secrets
from credd.ctl.conversing import Conversation
from credd.ctl.options import credential_name, duration, json_option, verb
from credd.ctl.output import answer, warn
from credd.ctl.planning import VAULT_KEYS, Given, Plan, announced, make_plan
from credd.ctl.reloading import reload_config
from credd.ctl.session import Session
from credd.ctl.terminal import has_person
from credd.errors import CreddError, Misconfigured, UnknownCredential

FLOWS = ("authorization-code", "device", "client-credentials", "token-exchange", "key")

UNDECIDED = "vault_key_undecided"
"""The problem's reason where a new vault has neither keyring nor systemd credential to rely on."""

CHOICES = """\
A new vault needs a key, and this machine has no keyring to keep it. You choose:

  file        A key file. The daemon restarts by itself. Copies of the vault,
              such as backups, are protected; it is no help against someone
              who can read your files.
  passphrase  Nothing on disk opens the vault. After each restart of the daemon
              someone must type the passphrase: credd-ctl unlock
"""


@verb(
    "login",
    "credd-ctl login lab",
    "credd-ctl login lab --provider oidc --set issuer=https://login.example.org \\",
    "    --set client_id=training --set scopes=openid,offline_access",
    "credd-ctl login bot --flow client-credentials --client-secret-stdin < secret.txt",
)
@click.argument("name", type=credential_name, required=False, metavar="[NAME]")
@click.option("--provider", metavar="P", help="The kind of service, for a new credential.")
@click.option("--set", "settings", metavar="KEY=VALUE", multiple=True, help="A setting of it.")
@click.option("--flow", type=click.Choice(FLOWS), help="How to log in.")
@click.option("--no-browser", is_flag=True, help="Only show the link.")
@click.option("--client-secret-stdin", is_flag=True, help="Read the client secret from stdin.")
@click.option("--client-key-stdin", is_flag=True, help="Read the client's private key from stdin.")
@click.option("--subject-token-stdin", is_flag=True, help="Read the token to exchange from stdin.")
@click.option("--key-stdin", is_flag=True, help="Read the key from stdin.")
@click.option("--passphrase-stdin", is_flag=True, help="Read the vault's passphrase from stdin.")
@click.option(
    "--timeout",
    type=duration,
    metavar="DURATION",
    default="300s",
    show_default=True,
    help="For the login.",
)
@click.option("--switch-account", is_flag=True, help="Allow another account than before.")
@click.option("--vault-key", type=click.Choice(VAULT_KEYS), help="Where a new vault has its key.")
@json_option
def login(
    session: Session,
    /,
    name: str | None,
    no_browser: bool,
    as_json: bool,
    **given: Unpack[Given],
) -> None:
    """Log in, and add the credential where it is new.

    Several secrets from stdin come a line each: client secret, key, passphrase, token to exchange,
    and last a private key. Nothing is written if the login is cancelled.
    """
    plan = make_plan(session.config(), name, given)
    secrets = Secrets.read(announced(given))
    credential = logged_in(session, plan, secrets, may_open_browser=not no_browser)
    keep(session, plan, credential)
    answer(render.login_summary(credential, time.time()), {"credential": credential}, as_json)


def logged_in(
    session: Session, plan: Plan, secrets: Secrets, may_open_browser: bool
) -> wire.CredentialReply:
    """The credential after the login; asks where the vault's key shall be if nobody has said."""
    talk = Conversation(session, plan, secrets, may_open_browser)
    try:
        return talk.hold()
    except UnknownCredential:
        if plan.is_new:
            raise
        reload_config(session)  # an entry that a person has just written by hand
    except CreddError as error:
        if error.reason != UNDECIDED:
            raise
        plan.choose_vault_key(chosen_vault_key(plan))
    return talk.hold()


def chosen_vault_key(plan: Plan) -> str:
    """What the person chooses. Raises Misconfigured with the option where nobody can be asked."""
    if not has_person():
        raise Misconfigured(
            "the new vault needs a key, and this machine has neither keyring nor systemd "
            "credential; say --vault-key file (restarts by itself; protects copied backups, not "
            "against this account) or --vault-key passphrase (someone must unlock after restarts)",
            remedy=plan.command("--vault-key", "file"),
        )
    click.echo(CHOICES, err=True)
    kinds = click.Choice(("file", "passphrase"))
    choice: str = click.prompt("Which one", type=kinds, default="file", err=True)
    return choice


def keep(session: Session, plan: Plan, credential: wire.CredentialReply) -> None:
    """Write what is new to config.toml, reload, and make sure that the daemon took it."""
    config = session.config()
    if plan.is_new:
        config.add(plan.name, {"provider": credential["provider"], **plan.settings})
    is_key_new = keep_vault_key(session, plan)
    if plan.is_new or is_key_new:
        reload_config(session)
    if plan.is_new:
        check_adopted(session, plan.name, config.path)


def keep_vault_key(session: Session, plan: Plan) -> bool:
    """Write `[vault] key` if the person chose one, and the vault really has it."""
    if not plan.vault_key:
        return False
    source = session.client().version()["key_source"]
    if source != plan.vault_key:
        warn(f"the vault exists already and keeps its key source, {source}")
        return False
    session.config().choose_vault_key(plan.vault_key)
    return True


def check_adopted(session: Session, name: str, path: str) -> None:
    """Raise Misconfigured where the daemon reads another config.toml than the one written to."""
    if session.client().credential(name)["state"] == "orphaned":
        raise Misconfigured(
            f"the login is kept, but the daemon does not read {path}",
            remedy=f"credd --config {path} --check",
        )
