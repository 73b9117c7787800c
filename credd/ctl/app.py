"""The table of commands, and the one door through which every failure leaves.

`VERBS` is the whole menu: adding a verb is a row here and a short function in its file, which is
loaded only when its verb is used. Knows click and the error tree; refuses to know what a verb does.
The one hard thing: whatever goes wrong ends as `credd-ctl: <detail>`, the remedy as the last line,
and the exit status of the contract.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

import click

from credd.ctl.options import place_options, write_examples
from credd.ctl.output import leave, say, tell, warn
from credd.ctl.session import Session
from credd.errors import CreddError

VERBS: dict[str, str] = {
    "audit": "credd.ctl.audit:audit",
    "check": "credd.ctl.tokens:check",
    "completion": "credd.ctl.completing:completion",
    "exec": "credd.ctl.execute:execute",
    "forward": "credd.ctl.forward:forward",
    "import": "credd.ctl.importing:import_login",
    "lock": "credd.ctl.locking:lock",
    "login": "credd.ctl.login:login",
    "logout": "credd.ctl.leaving:logout",
    "refresh": "credd.ctl.tokens:refresh",
    "reload": "credd.ctl.upkeep:reload",
    "remove": "credd.ctl.leaving:remove",
    "socket": "credd.ctl.sockets:socket",
    "status": "credd.ctl.status:status",
    "token": "credd.ctl.tokens:token",
    "unlock": "credd.ctl.upkeep:unlock",
    "vault": "credd.ctl.vault:vault",
    "version": "credd.ctl.upkeep:version",
    "wait": "credd.ctl.waiting:wait",
}

USAGE = 2
INTERRUPTED = 130
"""128 + SIGINT, as shells say it."""
PIPE_CLOSED = 141
"""128 + SIGPIPE, as a program that doesn't notice would end."""

EXAMPLES = (
    "credd-ctl login lab --provider oidc --set issuer=https://login.example.org \\",
    "    --set client_id=training",
    "credd-ctl status",
    "credd-ctl exec -c lab -- python train.py",
)


class Menu(click.Group):
    """The verbs of the table, each loaded when it is used; every failure leaves through `main`."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """The names, sorted."""
        return sorted(VERBS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load the verb; None where the table has none of that name."""
        if cmd_name not in VERBS:
            return None
        module, _, function = VERBS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), function)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The verb, or a usage error that names the nearest one."""
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            raise UnknownVerb(args[0], ctx)
        return super().resolve_command(ctx, args)

    def format_epilog(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The first steps."""
        write_examples(formatter, EXAMPLES)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb. A closed pipe is renamed, since click would make an error of it."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise PipeClosed from None

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run a command line and exit; no failure goes round this."""
        kwargs |= {"standalone_mode": False, "prog_name": "credd-ctl"}
        leave(self._run(*args, **kwargs))

    def _run(self, *args: Any, **kwargs: Any) -> int:
        try:
            code = super().main(*args, **kwargs)
            sys.stdout.flush()
        except BaseException as error:  # noqa: BLE001 - the last door: none goes round it
            return failed(error)
        return code if isinstance(code, int) else 0


class PipeClosed(Exception):
    """Whoever read our output has gone, as in `credd-ctl status | head -1`: no error of ours."""


class UnknownVerb(click.UsageError):
    """No such verb; `nearest` is what was probably meant, or ""."""

    def __init__(self, word: str, ctx: click.Context) -> None:
        from difflib import get_close_matches

        self.nearest = next(iter(get_close_matches(word, VERBS, 1)), "")
        hint = f"; did you mean {self.nearest!r}?" if self.nearest else ""
        super().__init__(f"there is no command {word!r}{hint}", ctx)


def failed(error: BaseException) -> int:
    """Say what went wrong, and how to mend it; answers with the exit status."""
    if isinstance(error, CreddError):
        tell(error)
        return error.exit_code
    if isinstance(error, click.UsageError):
        warn(error.format_message())
        say(usage_remedy(error))
        return USAGE
    if isinstance(error, click.Abort | KeyboardInterrupt | EOFError):
        # click ends the line behind a ^C, but not the one of a question.
        warn("interrupted", newline=error.__cause__ is None and sys.stderr.isatty())
        return INTERRUPTED
    if isinstance(error, PipeClosed | BrokenPipeError):
        return PIPE_CLOSED
    return unexpected(error)


def usage_remedy(error: click.UsageError) -> str:
    """The command that shows the right usage, or the verb that was meant."""
    if isinstance(error, UnknownVerb) and error.nearest:
        return f"credd-ctl {error.nearest} --help"
    path = error.ctx.command_path if error.ctx else "credd-ctl"
    return f"{path} --help"


def unexpected(error: BaseException) -> int:
    """A mistake of ours: its kind and place, never its text, which might hold a secret."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    if isinstance(error, OSError):
        warn(f"{error.strerror or type(error).__name__}{_named(error)}")
        return 1
    import traceback

    frames = traceback.extract_tb(error.__traceback__)
    place = f"{os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else "?"
    warn(f"a mistake inside credd-ctl: {type(error).__name__} at {place}; please report it, with")
    say("credd-ctl version --json")
    return 1


def _named(error: OSError) -> str:
    return f": {error.filename}" if isinstance(error.filename, str) else ""


@click.group(cls=Menu, invoke_without_command=True, params=place_options())
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Control credd, the agent that keeps your logins sealed and always has a good token."""
    ctx.ensure_object(Session)
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
