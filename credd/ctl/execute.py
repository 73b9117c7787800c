"""The verb exec: become a command that finds its credentials by itself.

It sets what the credential's service reads (from the daemon's catalogue), the socket and the
credential's name, puts the guest wing on PYTHONPATH, and becomes the command (execvpe): no process
stays behind. The one hard thing: the child's own exit status must be told from ours, so failures
of credd-ctl exit as env(1)'s do: 125 ours, 126 can't be run, 127 not found.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import sys
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import click

from credd import wire
from credd.ctl.durations import clock, spoken
from credd.ctl.guestwing import guest_folder
from credd.ctl.known_names import complete_names
from credd.ctl.options import Verb, verb
from credd.ctl.output import warn
from credd.ctl.session import Session
from credd.errors import BadRequest, CreddError, Locked, LoginRequired, Misconfigured

if TYPE_CHECKING:
    from credd.client.calls import Calls

OWN_FAILURE, NOT_EXECUTABLE, NOT_FOUND = 125, 126, 127
"""env(1), nice(1), timeout(1) and docker say the same."""

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


class Wish(NamedTuple):
    """One `-c`: a credential, and the variable its token goes into ("" for none)."""

    name: str
    variable: str


class ExecVerb(Verb):
    """A verb whose failures, usage errors too, leave the usual statuses to the child."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Read the command line."""
        try:
            return super().make_context(*args, **kwargs)
        except click.UsageError as error:
            raise OwnFailure(error.format_message(), "credd-ctl exec --help") from None

    def invoke(self, ctx: click.Context) -> Any:
        """Run; only failures come back."""
        try:
            return super().invoke(ctx)
        except OwnFailure:
            raise
        except CreddError as error:
            raise OwnFailure(error.detail, error.remedy) from None
        except OSError as error:
            raise OwnFailure(f"{error.strerror}: {error.filename}") from None


class OwnFailure(CreddError):
    """A failure of exec itself, with the status that no child would use."""

    def __init__(self, detail: str, remedy: str = "", exit_code: int = OWN_FAILURE) -> None:
        super().__init__(detail, remedy=remedy)
        self.exit_code = exit_code


@verb(
    "exec",
    "credd-ctl exec -c mlflow -- python train.py",
    "credd-ctl exec -c lab:LAB_TOKEN -- ./short-script.sh",
    cls=ExecVerb,
    context_settings={"allow_interspersed_args": False},
)
@click.option(
    "-c",
    "wishes",
    metavar="NAME[:VAR]",
    multiple=True,
    required=True,
    shell_complete=complete_names,
    help="A credential for the command. With :VAR its token goes into that variable, unrenewed.",
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- CMD...")
def execute(session: Session, wishes: tuple[str, ...], command: tuple[str, ...]) -> None:
    """Become a command that has these credentials.

    Exits 125 where credd-ctl itself fails, 126 where the command can't be run, 127 where it isn't
    found; otherwise with the command's own status.
    """
    environ = prepared(session, [parse_wish(text) for text in wishes])
    become(command, environ)


def parse_wish(text: str) -> Wish:
    """`NAME` or `NAME:VAR`. Raises BadRequest."""
    name, colon, variable = text.partition(":")
    if not re.fullmatch(wire.NAME_PATTERN, name) or (colon and not VARIABLE.fullmatch(variable)):
        raise BadRequest(f"-c wants NAME or NAME:VAR, not {text!r}", remedy="credd-ctl exec --help")
    return Wish(name, variable)


def prepared(session: Session, wishes: list[Wish]) -> dict[str, str]:
    """The child's environment. Raises CreddError where a credential can't serve it."""
    environ = session.environ()
    client = session.patient_client()
    credentials = [waited_for(client, wish.name) for wish in wishes]
    environ.update(merged(credentials))
    environ["CREDD_SOCK"] = session.socket_path()
    environ["CREDD_CREDENTIAL"] = wishes[0].name
    environ["PYTHONPATH"] = joined(guest_folder(session.state_folder()), environ.get("PYTHONPATH"))
    for wish in wishes:
        if wish.variable:
            environ[wish.variable] = announced(client.token(wish.name), wish)
    return environ


def waited_for(client: Calls, name: str) -> wire.CredentialReply:
    """The credential, once it can be used; waits for a person where CREDD_WAIT_FOR_LOGIN says."""
    try:
        return usable(client.credential(name))
    except CreddError as error:
        from credd.client.login_wait import persevere

        return persevere(lambda: usable(client.credential(name)), error)


def usable(credential: wire.CredentialReply) -> wire.CredentialReply:
    """The credential; LoginRequired or Locked, before the job starts, where it could serve
    nothing."""
    name, remedy = credential["name"], credential["remedy"]
    if credential["exit_code"] == LoginRequired.exit_code:
        raise LoginRequired(
            f"{name} needs a login before a job can use it",
            remedy=remedy or f"credd-ctl login {name}",
        )
    if credential["exit_code"] == Locked.exit_code:
        raise Locked(f"{name} is of no use before the vault is unlocked", remedy=remedy)
    return credential


def merged(credentials: Iterable[wire.CredentialReply]) -> dict[str, str]:
    """What all of them set. Raises Misconfigured where two want the same variable otherwise."""
    values: dict[str, str] = {}
    for credential in credentials:
        for variable, value in credential["environment"].items():
            if values.setdefault(variable, value) != value:
                raise Misconfigured(
                    f"{credential['name']} and another credential set {variable} differently",
                    remedy=f"credd-ctl exec -c {credential['name']} -- CMD",
                )
    return values


def joined(folder: str, rest: str | None) -> str:
    """PYTHONPATH with `folder` first. An empty rest must not stay: it means "here"."""
    return f"{folder}{os.pathsep}{rest}" if rest else folder


def announced(token: wire.TokenReply, wish: Wish) -> str:
    """The token for a variable, with a warning when it ends: a variable renews nothing."""
    value = token["access_token"]
    if not value.isprintable():
        raise CreddError(f"the token of {wish.name} holds control characters")
    expires_at = token["expires_at"]
    ends = "its end is not known"
    if expires_at is not None:
        ends = f"it expires at {clock(expires_at)}, in {spoken(expires_at - time.time())}"
    warn(f"{wish.variable} holds a token of {wish.name} that nobody renews: {ends}")
    return value


def become(command: tuple[str, ...], environ: dict[str, str]) -> NoReturn:
    """Replace this process by the command. Raises CreddError with 126 or 127 where that fails."""
    sys.stdout.flush()
    sys.stderr.flush()
    # Python ignores SIGPIPE, and what is ignored stays ignored after exec: `cmd | head` would hang.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    word = shlex.quote(command[0])
    try:
        os.execvpe(command[0], list(command), environ)  # noqa: S606 - becoming CMD is the verb
    except FileNotFoundError:
        raise OwnFailure(f"{command[0]}: not found", f"command -v {word}", NOT_FOUND) from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it can't be a command"
        raise OwnFailure(f"{command[0]}: {why}", f"ls -l {word}", NOT_EXECUTABLE) from None
