"""What a command line may say: the shape every verb shares, and the words it reads.

A verb is a function with a name, a docstring and at least one example; `verb` adds `--socket` and
`--home` and hands it the Session. Knows click; refuses to know any single verb. The one hard
thing: `--help` always ends in an example, because `verb` takes no verb without one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import click

from credd import wire
from credd.ctl.durations import parse_duration
from credd.ctl.known_names import complete_names
from credd.ctl.session import Session

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    NameType = click.ParamType[str]
else:
    NameType = click.ParamType  # no generic before click 8.4

P = ParamSpec("P")
C = TypeVar("C", bound=Callable[..., Any])


class Verb(click.Command):
    """A command that knows where the daemon lives and ends its help with examples."""

    def __init__(self, *args: Any, examples: tuple[str, ...], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples
        self.params += place_options()

    def format_epilog(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The examples, as lines one can paste."""
        write_examples(formatter, self.examples)


def verb(
    name: str, *examples: str, cls: type[Verb] = Verb, **settings: Any
) -> Callable[[Callable[Concatenate[Session, P], None]], Verb]:
    """Make a function the command `name`; it gets the Session first, then its options."""

    def make(function: Callable[Concatenate[Session, P], None]) -> Verb:
        with_session = click.pass_obj(function)
        return click.command(name, cls=cls, examples=examples, **settings)(with_session)

    return make


def write_examples(formatter: click.HelpFormatter, examples: tuple[str, ...]) -> None:
    """`Examples:` and its lines, never wrapped: a wrapped command can't be pasted."""
    with formatter.section("Examples" if len(examples) > 1 else "Example"):
        for example in examples:
            formatter.write(f"{'':{formatter.current_indent}}{example}\n")


def place_options() -> list[click.Parameter]:
    """`--socket` and `--home`, understood before the verb and after it."""
    return [
        click.Option(
            ["--socket"], metavar="PATH", expose_value=False, callback=_note_place,
            help="The daemon's socket, instead of CREDD_SOCK.",
        ),
        click.Option(
            ["--home"], metavar="DIR", expose_value=False, callback=_note_place,
            help="The folder of config, state and socket, instead of CREDD_HOME.",
        ),
    ]  # fmt: skip


def _note_place(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is not None:
        setattr(ctx.ensure_object(Session), str(param.name), value)


class CredentialName(NameType):
    """A credential's name; a shell completes it from those the daemon has."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name itself; a usage error where none can be called so (wire.NAME_PATTERN)."""
        if not re.fullmatch(wire.NAME_PATTERN, value):
            said = "a credential's name is made of a-z, 0-9, '.', '_' and '-'"
            raise click.BadParameter(said, ctx, param)
        return str(value)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        """The names that begin so."""
        return complete_names(ctx, param, incomplete)


credential_name = CredentialName()


def duration(text: str | float) -> float:
    """Seconds; a usage error that names the forms that are understood for any other text."""
    try:
        return parse_duration(str(text))
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def name_argument(required: bool = True) -> Callable[[C], C]:
    """The argument NAME."""
    return click.argument("name", type=credential_name, required=required, metavar="NAME")


def json_option(function: C) -> C:
    """`--json`, as every command that prints data takes it."""
    text = "Print JSON with a `schema` version."
    return click.option("--json", "as_json", is_flag=True, help=text)(function)


def yes_option(function: C) -> C:
    """`--yes`: do not ask."""
    return click.option("--yes", is_flag=True, help="Do not ask for confirmation.")(function)
