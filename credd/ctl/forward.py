"""The verb forward: the daemon of another host, over ssh.

What travels is a job socket: made there over the very connection that carries it, and ended with
it. So a compute node gets the tokens of the credentials that were named, and no way to log in, to
reload or to lock anything. The one hard thing is the end: whichever side goes first, the other's
socket must not stay.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from shlex import join, quote
from typing import Any

import click

from credd import paths
from credd.ctl.options import Verb, credential_name, duration, verb
from credd.ctl.output import say
from credd.ctl.session import Session
from credd.errors import (
    BY_CODE,
    AnotherDaemon,
    BadRequest,
    CreddError,
    DaemonUnreachable,
    Misconfigured,
)

OPTIONS = {
    "StreamLocalBindUnlink": "yes",  # a socket left by a job that was killed is replaced
    "StreamLocalBindMask": "0177",
    "ExitOnForwardFailure": "yes",
    "ServerAliveInterval": "15",  # a node that vanished is noticed within a minute
    "ServerAliveCountMax": "3",
    # A connection shared with others would keep the forward after we have gone.
    "ControlMaster": "no",
    "ControlPath": "none",
    "ForwardAgent": "no",
    "ForwardX11": "no",
}

COMMAND = "credd.ctl.forward.command"
"""Where the click context keeps the command."""

LONGEST = 7 * 86400.0
"""Seconds that the far socket lives where nobody says: a bound for the case that both sides are cut
off so that neither can end it."""

AFTER_THE_JOB = 300.0
"""Seconds beyond the end of a Slurm job: its last upload may take a few minutes of grace."""

SSH_FAILED = 255
"""How ssh exits where it failed itself (ssh(1)); anything else is the far command's."""

FAR = """\
trap "" HUP
PATH="$HOME/.local/bin:$PATH"; export PATH
{create} || exit
cat >/dev/null
{remove} >/dev/null 2>&1
"""
"""Runs there. `cat` ends with the connection, whichever way that ends."""


class ForwardVerb(Verb):
    """A verb that leaves what stands behind `--` to the command."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the command aside, and read the rest as usual."""
        at = args.index("--") if "--" in args else len(args)
        ctx.meta[COMMAND] = args[at + 1 :]
        return super().parse_args(ctx, args[:at])


@verb(
    "forward",
    "credd-ctl forward login1 -c lab -- python train.py",
    "credd-ctl forward -c lab &        # in a Slurm job: the host that submitted it",
    cls=ForwardVerb,
)
@click.argument("host", required=False, metavar="[HOST] [-- CMD...]")
@click.option(
    "-c",
    "names",
    type=credential_name,
    multiple=True,
    metavar="NAME",
    help="A credential to reach; may be repeated. Without it, all of them.",
)
@click.option("--ttl", type=duration, metavar="DURATION", help="When it ends at the latest.")
def forward(session: Session, host: str | None, names: tuple[str, ...], ttl: float | None) -> None:
    """Reach the daemon of another host over ssh.

    HOST defaults to $SLURM_SUBMIT_HOST. With a CMD, runs it with CREDD_SOCK set, for as long as it
    takes; without one, serves at this host's usual socket until interrupted.
    """
    there = checked_host(host or os.environ.get("SLURM_SUBMIT_HOST", ""))
    life = seconds(ttl, os.environ, time.time())
    command: list[str] = click.get_current_context().meta[COMMAND]
    if command:
        raise click.exceptions.Exit(run_beside(session, there, names, life, command))
    serve_here(session.socket_path(), there, names, life)


def checked_host(host: str) -> str:
    """The host, as ssh may get it. Raises UsageError, BadRequest."""
    if not host:
        raise click.UsageError("which host? Name one, or set SLURM_SUBMIT_HOST")
    if host.startswith("-") or not host.isprintable() or " " in host:
        raise BadRequest("that is no name of a host", remedy="credd-ctl forward --help")
    return host


def seconds(ttl: float | None, environ: Mapping[str, str], now: float) -> float:
    """How long the far socket may live: as asked, else a little longer than this job."""
    if ttl is not None:
        return ttl
    end = environ.get("SLURM_JOB_END_TIME", "")
    if end.isdigit() and float(end) > now:
        return min(LONGEST, float(end) - now + AFTER_THE_JOB)
    return LONGEST


# --- the near side --------------------------------------------------------------------------


def serve_here(path: str, host: str, names: Sequence[str], life: float) -> None:
    """Serve at this host's usual socket until interrupted, or until ssh ends."""
    prepare(path)
    with connected(host, path, names, life) as ssh:
        served = ", ".join(names) or "everything"
        say(f"{served} of {host} is at {path}, until you interrupt this.\nNext: credd-token NAME")
        try:
            ssh.wait()
        except KeyboardInterrupt:
            return
    raise _no_ssh(host, "has ended")


def run_beside(
    session: Session, host: str, names: Sequence[str], life: float, command: list[str]
) -> int:
    """Run a command with the forward beside it; its exit status."""
    folder = tempfile.mkdtemp(prefix="credd-forward-", dir=_runtime_folder())
    path = f"{folder}/{paths.SOCKET_NAME}"
    environ = {**session.environ(), "CREDD_SOCK": path}
    if len(names) == 1:
        environ["CREDD_CREDENTIAL"] = names[0]
    try:
        with connected(host, path, names, life):
            return _run(command, environ)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _runtime_folder() -> str | None:
    folder = os.environ.get("XDG_RUNTIME_DIR", "")
    return folder if folder.startswith("/") and paths.is_own_folder(folder) else None


def _run(command: list[str], environ: Mapping[str, str]) -> int:
    """Run it; a SIGTERM, as a batch system sends one, is the command's too."""
    try:
        child = subprocess.Popen(command, env=dict(environ))
    except OSError as error:
        say(f"credd-ctl: {error.strerror}: {command[0]}")
        return 127 if error.errno == errno.ENOENT else 126
    before = signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    try:
        while True:
            with suppress(KeyboardInterrupt):  # the terminal has told the command, too
                code = child.wait()
                return code if code >= 0 else 128 - code
    finally:
        signal.signal(signal.SIGTERM, before)


def prepare(path: str) -> None:
    """Make the socket's folder, and see that nobody listens there: ssh would take its place.

    Raises Misconfigured, AnotherDaemon.
    """
    paths.check_length(path, sys.platform)
    folder = os.path.dirname(path)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    paths.check_socket_folder(folder, os.geteuid())
    with socket.socket(socket.AF_UNIX) as probe:
        if probe.connect_ex(path) == 0:
            raise AnotherDaemon(
                f"a daemon listens at {path} already", remedy="credd-ctl forward HOST -- CMD"
            )


# --- the connection -------------------------------------------------------------------------


@contextmanager
def connected(
    host: str, path: str, names: Sequence[str], life: float
) -> Iterator[subprocess.Popen[bytes]]:
    """ssh with the forward in place, ended with the context.

    Raises DaemonUnreachable, or what the far credd-ctl said.
    """
    far = f"/tmp/credd-forward-{secrets.token_hex(8)}"  # noqa: S108 - made there, 0700, by its owner
    argv = arguments(host, path, far, names, life)
    try:
        ssh = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    except FileNotFoundError:
        raise Misconfigured("there is no ssh here", remedy="apt install openssh-client") from None
    try:
        if not _first_line(ssh):
            raise _failed(host, ssh.wait())
        yield ssh
    finally:
        _end(ssh)
        with suppress(OSError):
            os.unlink(path)


def arguments(host: str, path: str, far: str, names: Sequence[str], life: float) -> list[str]:
    """The command line of ssh."""
    which = [word for name in names for word in ("-c", name)] or ["--all"]
    create = ["credd-ctl", "socket", "create", far, *which, "--ttl", f"{life:.0f}s", "--json"]
    remove = ["credd-ctl", "socket", "remove", far]
    script = FAR.format(create=join(create), remove=join(remove))
    options = [word for name, value in OPTIONS.items() for word in ("-o", f"{name}={value}")]
    forward_it = ["-L", f"{path}:{far}/{paths.SOCKET_NAME}"]
    return ["ssh", "-T", *options, *forward_it, "--", host, f"exec sh -c {quote(script)}"]


def _first_line(ssh: subprocess.Popen[bytes]) -> bytes:
    """What `socket create --json` says once the far socket listens; b"" where it does not."""
    return ssh.stdout.readline() if ssh.stdout is not None else b""


def _end(ssh: subprocess.Popen[bytes]) -> None:
    """Close our end: the far side hears it, removes its socket and leaves."""
    for pipe in (ssh.stdin, ssh.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
    try:
        ssh.wait(10)
    except subprocess.TimeoutExpired:
        ssh.terminate()
        ssh.wait()


def _failed(host: str, code: int) -> CreddError:
    """What the end of ssh means. The far command has said the rest on standard error."""
    if code in (SSH_FAILED, 0):
        return _no_ssh(host, "failed")
    kinds: dict[int, Any] = {kind.exit_code: kind for kind in BY_CODE.values()}
    kind = kinds.get(code, DaemonUnreachable)
    error: CreddError = kind(
        f"credd-ctl on {host} made no job socket", remedy=f"ssh {quote(host)} credd-ctl status"
    )
    return error


def _no_ssh(host: str, what: str) -> DaemonUnreachable:
    return DaemonUnreachable(f"ssh to {host} {what}", remedy=f"ssh {quote(host)} credd-ctl status")
