"""The verb import: a login that another program obtained moves in.

It reads here, in the person's own process, and hands what it found to the daemon. The one hard
thing is the order: the original is destroyed only after the daemon has said that the secret is
proven and durably sealed, and config.toml knows the credential. Whatever fails before that leaves
the original in its place, and the same command may be typed again.
"""

from __future__ import annotations

import shlex
from typing import Any, TypedDict, Unpack

import click

from credd import wire
from credd.ctl.login import UNDECIDED, chosen_vault_key, keep
from credd.ctl.options import credential_name, json_option, verb
from credd.ctl.originals import File, Original, Typed, Variable
from credd.ctl.output import answer, warn
from credd.ctl.planning import Plan, check_same, understood
from credd.ctl.session import Session
from credd.errors import BadRequest, CreddError
from credd.foreign import Tokens, parse_tokens

VAULT_KEYS = ("keyring", "systemd", "file")
"""A vault with a passphrase is made by a login, which can ask for one."""


class Given(TypedDict):
    """What the command line says about where the secret is, and whose."""

    path: str | None
    by_stdin: bool
    variable: str | None
    provider: str | None
    pairs: tuple[str, ...]


class ImportPlan(Plan):
    """What an import is about to do: a plan, with another verb."""

    def command(self, *more: str) -> str:
        """This import as a command line to paste, with `more` options. It holds no secret."""
        return shlex.join(["credd-ctl", "import", self.name, *self._words, *more])


@verb(
    "import",
    "credd-ctl import lab --from ~/.config/lab/token.json --provider oidc \\",
    "    --set issuer=https://login.example.org --set client_id=training",
    "credd-ctl import api --env LAB_API_KEY --provider static --set hosts=api.example.org",
    "pass show lab/refresh | credd-ctl import lab --stdin",
)
@click.argument("name", type=credential_name, metavar="NAME")
@click.option("--from", "path", type=click.Path(), metavar="PATH", help="Read it from this file.")
@click.option("--stdin", "by_stdin", is_flag=True, help="Read it from stdin.")
@click.option("--env", "variable", metavar="VAR", help="Read it from this variable.")
@click.option("--provider", metavar="P", help="The kind of service, for a new credential.")
@click.option("--set", "pairs", metavar="KEY=VALUE", multiple=True, help="A setting of it.")
@click.option(
    "--keep-original", is_flag=True, help="Leave it where it is; only for a key, which stays."
)
@click.option("--vault-key", type=click.Choice(VAULT_KEYS), help="Where a new vault has its key.")
@json_option
def import_login(
    session: Session,
    /,
    name: str,
    keep_original: bool,
    vault_key: str | None,
    as_json: bool,
    **given: Unpack[Given],
) -> None:
    """Move a refresh token or key of another program into credd.

    Understands a bare token, and JSON with a refresh_token or a key. The daemon proves a refresh
    token by using it once. Then the original is removed: two holders of one that its issuer
    replaces at each use would end each other's login.
    """
    original = read_original(given)
    for warning in original.warnings:
        warn(warning)
    tokens = parsed(original)
    plan = make_plan(session, name, given, tokens)
    request = request_of(plan, tokens, keep_original)
    if vault_key:
        plan.choose_vault_key(vault_key)
    reply = handed_over(session, plan, request)
    keep(session, plan, reply["credential"])
    removed = "" if keep_original else original.remove()
    left = [] if keep_original else original.remains(reply["rotated"])
    for sentence in left:
        warn(sentence)
    data = {"credential": reply["credential"], "rotated": reply["rotated"],
            "removed": removed or None, "left": left}  # fmt: skip
    answer(summary(name, reply, removed), data, as_json)


def read_original(given: Given) -> Original:
    """The secret where it is. Raises UsageError unless one place is named."""
    path, by_stdin, variable = given["path"], given["by_stdin"], given["variable"]
    if (path is not None) + by_stdin + (variable is not None) != 1:
        raise click.UsageError(
            "where is it? Name one: --from PATH, --stdin or --env VAR",
            click.get_current_context(silent=True),
        )
    if path is not None:
        return File.read(path)
    return Typed.read() if variable is None else Variable.read(variable)


def parsed(original: Original) -> Tokens:
    """What it holds. Raises BadRequest without a word of it."""
    try:
        return parse_tokens(original.text)
    except ValueError as error:
        raise BadRequest(
            f"{original.where} can't be imported: {error}", remedy="credd-ctl import --help"
        ) from None


def words_of(given: Given) -> list[str]:
    """The options that must be repeated with the next try."""
    options = {"--from": given["path"], "--env": given["variable"], "--provider": given["provider"]}
    words = [word for option, value in options.items() if value for word in (option, value)]
    words += ["--stdin"] if given["by_stdin"] else []
    return words + [word for pair in given["pairs"] for word in ("--set", pair)]


def make_plan(session: Session, name: str, given: Given, tokens: Tokens) -> ImportPlan:
    """The plan. Raises BadRequest for a command line that contradicts config.toml, and
    Misconfigured where that could not be written afterwards."""
    provider, settings, words = given["provider"], understood(given["pairs"]), words_of(given)
    config = session.config()
    entry = config.entry(name)
    request: wire.LoginRequest = {"name": name}
    if entry is not None:
        check_same(entry, name, provider, settings)
        request["provider"] = str(entry.get("provider", ""))
        return ImportPlan(name, is_new=False, settings={}, request=request, words=words)
    config.check_writable()
    provider = provider or ("oidc" if tokens.refresh_token else "")
    if not provider:
        raise BadRequest(
            f"{name} is new: say --provider oidc for a refresh token, --provider static for a key",
            remedy=shlex.join(["credd-ctl", "import", name, *words, "--provider", "static"]),
        )
    request["provider"] = provider
    whole = {**hints(tokens), **settings} if provider != "static" else settings
    return ImportPlan(name, is_new=True, settings=whole, request=request, words=words)


def hints(tokens: Tokens) -> dict[str, Any]:
    """The settings that the text itself names; the command line is stronger."""
    found = {"issuer": tokens.issuer, "client_id": tokens.client_id}
    return {key: value for key, value in found.items() if value}


def request_of(plan: Plan, tokens: Tokens, keep_original: bool) -> wire.ImportRequest:
    """What the daemon is asked. Raises BadRequest where the text lacks what this provider needs."""
    provider = plan.request["provider"]
    secret = tokens.bare or (tokens.key if provider == "static" else tokens.refresh_token)
    if not secret:
        what, there = ("key", "refresh token") if provider == "static" else ("refresh token", "key")
        raise BadRequest(
            f"there is a {there} and no {what}, which {provider} needs",
            remedy="credd-ctl import --help",
        )
    request: wire.ImportRequest = {"name": plan.name, "secret": secret}
    if plan.is_new:
        request["provider"], request["settings"] = provider, plan.settings
    if provider != "static":
        labels = {"account": tokens.account, "scope": tokens.scope}
        proof = {"client_secret": tokens.client_secret}
        given = {key: value for key, value in {**labels, **proof}.items() if value}
        request.update(given)  # type: ignore[typeddict-item]
    if keep_original:
        request["keep_original"] = True
    return request


def handed_over(session: Session, plan: Plan, request: wire.ImportRequest) -> wire.ImportReply:
    """The daemon's durable yes; asks where a new vault's key shall be if nobody has said."""
    client = session.client_for_import()
    try:
        return client.import_secret(asked(plan, request))
    except CreddError as error:
        if error.reason != UNDECIDED:
            raise whole(error, plan) from None
        plan.choose_vault_key(key_without_passphrase(plan))
    try:
        return client.import_secret(asked(plan, request))
    except CreddError as error:
        raise whole(error, plan) from None


def key_without_passphrase(plan: Plan) -> str:
    """What the person chooses for a new vault. Raises BadRequest for a passphrase: nobody would be
    asked for it here."""
    choice = chosen_vault_key(plan)
    if choice not in VAULT_KEYS:
        raise BadRequest(
            "an import can't ask for a new passphrase; take a key file for now, and change it with "
            "credd-ctl vault rewrap",
            remedy=plan.command("--vault-key", "file"),
        )
    return choice


def asked(plan: Plan, request: wire.ImportRequest) -> wire.ImportRequest:
    """The request, with the vault's key where somebody chose one."""
    return {**request, "vault_key": plan.vault_key} if plan.vault_key else request


def whole(error: CreddError, plan: Plan) -> CreddError:
    """The error, whose remedy is the whole line to type again: the original is still there."""
    if error.reason == "reply_lost" or error.remedy == f"credd-ctl import {plan.name}":
        error.remedy = plan.command()
    return error


def summary(name: str, reply: wire.ImportReply, removed: str) -> str:
    """What is here now, what is gone, and what comes next."""
    credential = reply["credential"]
    whose = f", account {credential['account']}" if credential["account"] else ""
    lines = [f"{name} has moved in{whose}."]
    if reply["rotated"]:
        lines.append("Its issuer has replaced the refresh token: no copy of the old one works.")
    if removed:
        lines.append(f"Removed {removed}.")
    return "\n".join([*lines, f"Next: credd-ctl exec -c {name} -- CMD"])
