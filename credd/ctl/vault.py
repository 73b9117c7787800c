"""The verbs about the vault itself: verify, rewrap, rekey, accept, reset.

The daemon does the work, since it holds the vault; here a person is asked, told, and handed a
recovery code. The one hard thing: that code is shown exactly once, and only when the vault is
sealed with it. It is drawn here, so that no key ever comes out of the daemon.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict, TypeVar, Unpack

import click

from credd.ctl.columns import aligned
from credd.ctl.harmless import harmless
from credd.ctl.options import json_option, verb, write_examples, yes_option
from credd.ctl.output import answer
from credd.ctl.recovery import new_code, parse_code
from credd.ctl.session import Session
from credd.ctl.terminal import ask_new_secret, ask_secret, confirm, has_person, read_lines
from credd.errors import BadRequest, CreddError, Locked, LoginRequired, Misconfigured

C = TypeVar("C", bound=Callable[..., Any])

RECOVERY = "recovery-code"
UNATTENDED = frozenset({"systemd", "keyring", "file"})
"""Sources that open the vault without a person."""

SOURCES = ("systemd", "keyring", "file", "passphrase", RECOVERY)

KEEP_CODE = """\
The recovery code of this vault, shown this once:

    {code}

Keep it on paper, away from this machine. It opens the vault when every other key is lost:
credd-ctl unlock --recovery-code-stdin"""


class VaultMenu(click.Group):
    """`credd-ctl vault`, whose help ends in examples like every other."""

    def format_epilog(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The examples."""
        write_examples(formatter, ("credd-ctl vault verify", "credd-ctl vault accept"))


@click.group("vault", cls=VaultMenu)
def vault() -> None:
    """Look after the sealed store."""


def open_vault(session: Session) -> dict[str, Any]:
    """Where the vault stands. Raises what an open one is needed for, before anybody is asked."""
    found = session.client().vault()
    kinds: dict[str, type[CreddError]] = {"absent": LoginRequired, "locked": Locked}
    if found["state"] != "open":
        kind = kinds.get(found["state"], Misconfigured)
        raise kind(found["detail"], remedy=found["remedy"], reason=found["reason"])
    return found


# --- verify -----------------------------------------------------------------------------------


@verb("verify", "credd-ctl vault verify", "credd-ctl vault verify --json")
@json_option
def verify(session: Session, as_json: bool) -> None:
    """Open every record and every other part of the vault, and name what is damaged.

    The daemon goes on serving meanwhile. Exits 1 where anything is damaged.
    """
    reply = session.slow_client().verify_vault()
    damaged = reply["damaged"]
    answer(
        "\n".join(part_lines(reply["parts"])),
        reply,
        as_json,
        exit_code=1 if damaged else 0,
        remedy=reply["remedy"] if damaged else "",
    )


def part_lines(parts: Sequence[Mapping[str, str]]) -> list[str]:
    """A line a part: what it is, whose, and how it was found."""
    lines = aligned([[harmless(part[cell]) for cell in ("part", "name", "verdict")]
                     for part in parts])  # fmt: skip
    return [_with_detail(line, part) for line, part in zip(lines, parts, strict=True)]


def _with_detail(line: str, part: Mapping[str, str]) -> str:
    return f"{line}: {harmless(part['detail'])}" if part["detail"] else line


# --- rewrap -----------------------------------------------------------------------------------


class Given(TypedDict):
    """The options that say what a person hands over."""

    passphrase_stdin: bool
    recovery_code_stdin: bool
    new_passphrase_stdin: bool


def secret_option(name: str, whose: str) -> Callable[[C], C]:
    """`--NAME-stdin`: read that secret from stdin."""
    return click.option(f"--{name}-stdin", is_flag=True, help=f"Read {whose} from stdin.")


source_type = click.Choice(SOURCES)


@verb(
    "rewrap",
    "credd-ctl vault rewrap --add recovery-code",
    "credd-ctl vault rewrap --only keyring --only passphrase",
)
@click.option("--add", multiple=True, type=source_type, help="Open the vault by this, too.")
@click.option("--only", multiple=True, type=source_type, help="By this, and by no other.")
@secret_option("passphrase", "the vault's present passphrase")
@secret_option("recovery-code", "its present recovery code (instead of the passphrase)")
@secret_option("new-passphrase", "the passphrase that is to be added")
@yes_option
@json_option
def rewrap(
    session: Session,
    add: tuple[str, ...],
    only: tuple[str, ...],
    yes: bool,
    as_json: bool,
    **given: Unpack[Given],
) -> None:
    """Change where the vault's key comes from.

    A source that is named gets a new key: naming the passphrase changes it, naming the recovery
    code makes a new one. The records stay as they are, and so does the data key: whoever has an old
    copy of the vault and its old key can still open that copy.

    Secrets from stdin come a line each: present passphrase or code, then the new passphrase.
    """
    if bool(add) == bool(only):
        raise click.UsageError("name the sources by --add or by --only")
    sources = list(dict.fromkeys(add or only))
    known = open_vault(session)["sources"]
    if only and not yes:
        confirm_dropping(known, sources)
    words = " ".join(f"--{'only' if only else 'add'} {source}" for source in sources)
    secrets = read_secrets(known, sources, given, f"credd-ctl vault rewrap {words}")
    request = {"sources": sources, "only": bool(only), **secrets}
    code = new_code() if RECOVERY in sources else ""
    reply = session.slow_client().rewrap_vault(request | sealed_in(code))
    text = f"The vault opens by: {', '.join(reply['sources'])}."
    tell_change(text, reply, code, as_json)


def confirm_dropping(known: Sequence[str], sources: Sequence[str]) -> None:
    """Ask before a source is dropped that opens the vault now."""
    dropped = [source for source in known if source not in sources]
    if dropped:
        confirm(f"From now on {' and '.join(dropped)} will open the vault no more. Go on?")


def read_secrets(
    known: Sequence[str], sources: Sequence[str], given: Given, command: str
) -> dict[str, str]:
    """What a person hands over, from stdin as announced, else from the terminal."""
    announced = [name for name in ("passphrase", "recovery_code", "new_passphrase")
                 if given[f"{name}_stdin"]]  # type: ignore[literal-required]  # fmt: skip
    found = dict(zip(announced, read_lines(len(announced)) if announced else (), strict=True))
    needs_person = bool(known) and not UNATTENDED & set(known)
    if needs_person and not found.keys() & {"passphrase", "recovery_code"}:
        found["passphrase"] = asked(ask_secret, "Passphrase of the vault", command)
    if "passphrase" in sources and "new_passphrase" not in found:
        found["new_passphrase"] = asked(ask_new_secret, "New passphrase", command)
    if "recovery_code" in found:
        found["recovery_code"] = parse_code(found["recovery_code"])
    return found


def asked(ask: Callable[[str], str], prompt: str, command: str) -> str:
    """A secret from the terminal. Raises BadRequest, with the option, where nobody is there."""
    if not has_person():
        option = "--passphrase-stdin" if ask is ask_secret else "--new-passphrase-stdin"
        raise BadRequest(
            "a secret can't be asked for without a terminal", remedy=f"{command} {option} < FILE"
        )
    return ask(prompt)


def sealed_in(code: str) -> dict[str, str]:
    """The field that seals a new recovery code in, where there is one."""
    return {"new_recovery_code": parse_code(code)} if code else {}


def tell_change(text: str, reply: Mapping[str, Any], code: str, as_json: bool) -> None:
    """The outcome, and the new recovery code: here, and nowhere ever again."""
    told = f"{text}\n\n{KEEP_CODE.format(code=code)}" if code else text
    answer(told, {**reply, "recovery_code": code} if code else reply, as_json)


# --- rekey ------------------------------------------------------------------------------------


@verb("rekey", "credd-ctl vault rekey", "credd-ctl vault rekey --passphrase-stdin < passphrase.txt")
@secret_option("passphrase", "the vault's passphrase")
@yes_option
@json_option
def rekey(session: Session, passphrase_stdin: bool, yes: bool, as_json: bool) -> None:
    """Seal everything anew, under a new data key, in a new file.

    The old file is overwritten and removed. Tokens are served meanwhile, and what a refresh brings
    is kept in the new file. A recovery code is replaced by a new one. Copies that were made before
    are not touched: they open with what they were sealed with.
    """
    known = open_vault(session)["sources"]
    if not yes:
        confirm("Seal the vault anew, under a new key?")
    request = {}
    if "passphrase" in known:
        request["passphrase"] = present_passphrase(passphrase_stdin)
    code = new_code() if RECOVERY in known else ""
    reply = session.slow_client().rekey_vault(request | sealed_in(code))
    tell_change("The vault is sealed under a new key, in a new file.", reply, code, as_json)


def present_passphrase(from_stdin: bool) -> str:
    """From stdin where that was said, else from the person. Raises BadRequest where nobody is."""
    if from_stdin:
        return read_lines(1)[0]
    return asked(ask_secret, "Passphrase of the vault", "credd-ctl vault rekey")


# --- accept -----------------------------------------------------------------------------------


@verb("accept", "credd-ctl vault accept", "credd-ctl vault accept --yes")
@yes_option
@json_option
def accept(session: Session, yes: bool, as_json: bool) -> None:
    """Let this copy of a vault spend its logins.

    A vault that was copied or restored from a backup refreshes nothing until you say that the
    original no longer runs: two of them kill each other's logins.
    """
    if not open_vault(session)["restored"]:
        answer("This vault is no copy: it refreshes its logins.", {"accepted": False}, as_json)
        return
    if not yes:
        confirm("Is it certain that the original of this vault no longer runs?")
    session.client().accept_vault()
    text = "This vault is now the one that refreshes its logins.\nNext: credd-ctl status"
    answer(text, {"accepted": True}, as_json)


# --- reset ------------------------------------------------------------------------------------


@verb("reset", "credd-ctl vault reset", "credd-ctl vault reset --erase --yes")
@click.option("--erase", is_flag=True, help="Overwrite and remove it, instead of moving it aside.")
@yes_option
@json_option
def reset(session: Session, erase: bool, yes: bool, as_json: bool) -> None:
    """Take the vault out of its place, and list what must be logged in again.

    Works on a vault that is locked, damaged, or made by a newer credd. It is moved aside, beside
    where it was; nothing is erased unless you say so. No login is ended at its issuer: to do that,
    log out first.
    """
    if not yes:
        confirm_reset(session.client().vault()["file"], erase)
    reply = session.slow_client().reset_vault(erase=erase)
    answer(reset_summary(reply), reply, as_json)


def confirm_reset(file: str, erase: bool) -> None:
    """Ask; where nobody can be asked, it must have been said."""
    if not has_person():
        raise BadRequest(
            "this takes every login away, and nobody can be asked whether that is meant",
            remedy=f"credd-ctl vault reset {'--erase ' if erase else ''}--yes",
        )
    done = "Erase" if erase else "Move aside"
    confirm(f"{done} {harmless(file)}? Every login in it must be made again.")


def reset_summary(reply: Mapping[str, Any]) -> str:
    """Where it is, and what to do next."""
    aside = harmless(reply["aside"])
    first = f"The vault was moved to {aside}" if aside else "The vault was erased."
    names = [harmless(name) for name in reply["login_again"]]
    again = [f"  credd-ctl login {name}" for name in names]
    return "\n".join([first, "Log in again:" if again else "Next: credd-ctl login", *again])


for command in (verify, rewrap, rekey, accept, reset):
    vault.add_command(command)
