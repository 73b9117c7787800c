"""credd-token NAME: print one access token.

It is made for shell loops and credential helpers, so it loads as good as nothing: no argparse,
and neither json nor the error classes until something is wrong. It refuses to know anything but one
route.

The hard thing: standard output holds the token and a newline, or nothing at all. The last line on
standard error is the remedy, as a command to paste; the exit status is `errors.py`'s.
"""

from __future__ import annotations

import os
import sys

from credd import __version__, paths
from credd.client import patience, raw

TYPE_CHECKING = False  # not typing's: importing typing would cost more than this file
if TYPE_CHECKING:
    from typing import NoReturn

HELP = """\
usage: credd-token [options] NAME

Print an access token of the credential NAME; without NAME, of $CREDD_CREDENTIAL.

  --min-valid S   valid for S more seconds at least, or fail
  --audience A    a token for this audience
  --scope S       a token narrowed to this scope; may be repeated
  --timeout S     wait S seconds at most (60; for a login: $CREDD_WAIT_FOR_LOGIN)
  --version       print the version
  --help          print this

example:
  curl -H "Authorization: Bearer $(credd-token lab)" https://mlflow.example.org/

exit status: 0 ok, 1 internal error, 2 usage, 3 daemon unreachable, 4 login required, 5 denied,
6 locked, 7 upstream unavailable, 8 no such credential, 9 misconfigured
"""

TARGET = "/v1/credentials/{name}/token"
"""`wire.TOKEN`, as a test asserts: that file loads typing."""

NUMBERS = ("--min-valid", "--timeout")
OPTIONS = ("--audience", "--min-valid", "--scope", "--timeout")

NAME_SIGNS = "abcdefghijklmnopqrstuvwxyz0123456789._-"
"""`wire.NAME_PATTERN`, without loading re: the first of them is no punctuation."""


def main() -> NoReturn:
    """Run, and end at once: a normal exit tears down an interpreter that nobody will use again."""
    try:
        status = run(sys.argv[1:])
    except KeyboardInterrupt:
        status = 130  # as a shell reports SIGINT
    os._exit(status)


def run(arguments: list[str]) -> int:
    """Do what the arguments say, and return the exit status."""
    if "--help" in arguments or "-h" in arguments:
        return _print(HELP.encode())
    if "--version" in arguments:
        return _print(f"credd-token {__version__}\n".encode())
    try:
        name, options = parse(arguments)
    except ValueError as error:
        _complain(str(error), "credd-token --help")
        return 2
    return _fetch_and_print(name, options)


def parse(arguments: list[str]) -> tuple[str, dict[str, list[str]]]:
    """The credential's name, and each option's values. Raises ValueError with a sentence."""
    names: list[str] = []
    options: dict[str, list[str]] = {}
    rest = iter(arguments)
    for argument in rest:
        if argument == "--":
            names.extend(rest)
        elif argument.startswith("-") and argument != "-":
            option, equals, value = argument.partition("=")
            _keep(options, option, value if equals else next(rest, None))
        else:
            names.append(argument)
    if len(names) > 1:
        raise ValueError(f"one credential at a time, not {len(names)}")
    return _checked_name(names[0] if names else os.environ.get("CREDD_CREDENTIAL", "")), options


def _keep(options: dict[str, list[str]], option: str, value: str | None) -> None:
    if option not in OPTIONS:
        raise ValueError(f"unknown option {option}")
    if value is None:
        raise ValueError(f"{option} needs a value")
    if option in NUMBERS:
        _checked_number(option, value)
    if option != "--scope" and option in options:
        raise ValueError(f"{option} is given twice")
    options.setdefault(option, []).append(value)


def _checked_number(option: str, value: str) -> None:
    try:
        is_sound = 0 <= float(value) < float("inf")  # NaN is neither
    except ValueError:
        is_sound = False
    if not is_sound or (option == "--timeout" and not float(value)):
        raise ValueError(f"{option} takes seconds, not {value!r}")


def _checked_name(name: str) -> str:
    if not name:
        raise ValueError("which credential? Name one, or set CREDD_CREDENTIAL")
    if len(name) > 64 or name[0] in "._-" or name.strip(NAME_SIGNS):
        raise ValueError(f"{name!r} can't be a credential's name")
    return name


# --- asking ---------------------------------------------------------------------------------


def _fetch_and_print(name: str, options: dict[str, list[str]]) -> int:
    try:
        token = fetch_patiently(name, options)
    except Exception as error:
        from credd.errors import CreddError

        if not isinstance(error, CreddError):
            raise
        _complain(error.detail, error.remedy)
        return error.exit_code
    return _print(token + b"\n")


def fetch_patiently(name: str, options: dict[str, list[str]]) -> bytes:
    """One access token; where CREDD_WAIT_FOR_LOGIN says so, once a person has logged in. A
    --timeout bounds that, too. Raises CreddError."""
    try:
        return fetch(name, options)
    except Exception as error:
        if not os.environ.get("CREDD_WAIT_FOR_LOGIN"):
            raise
        from credd.client.login_wait import persevere
        from credd.errors import CreddError

        if not isinstance(error, CreddError):
            raise
        within = float(options["--timeout"][0]) if "--timeout" in options else None
        return persevere(lambda: fetch(name, options), error, within)


def fetch(name: str, options: dict[str, list[str]]) -> bytes:
    """One access token. Raises CreddError."""
    path = paths.current_socket_path()
    timeout = float(options["--timeout"][0]) if "--timeout" in options else patience.DEADLINE
    reply = patience.settle(
        path, lambda left: compose(name, options, left), patience.Patience(timeout)
    )
    return checked_token(reply)


def compose(name: str, options: dict[str, list[str]], left: float) -> bytes:
    """The request, with `left` seconds to go."""
    query = ["format=raw"]
    if "--min-valid" in options:
        query.append(f"min_valid={float(options['--min-valid'][0]):.3f}")
    if "--audience" in options:
        query.append("audience=" + raw.quoted(options["--audience"][0]))
    if "--scope" in options:
        query.append("scope=" + raw.quoted(" ".join(options["--scope"])))
    shorter = patience.shorter_wait(left)
    if shorter is not None:
        query.append(f"max_wait={shorter:.3f}")
    return raw.bare_request("GET", TARGET.replace("{name}", name) + "?" + "&".join(query))


def checked_token(reply: raw.Reply) -> bytes:
    """The token in a raw reply: one line of visible characters, or else CreddError."""
    token = reply.body.strip(b"\r\n")
    is_text = reply.headers.get("content-type", "").startswith("text/plain")
    if not is_text or not token or token.split() != [token] or not token.isascii():
        from credd.errors import CreddError

        raise CreddError("the daemon's answer is not a token", remedy="credd-ctl version")
    return token


# --- telling --------------------------------------------------------------------------------


def _print(content: bytes) -> int:
    """Write to standard output, and return the exit status. A reader who left gets no lecture."""
    try:
        _write(1, content)
    except BrokenPipeError:
        return 1
    except OSError as error:
        _complain(f"standard output can't be written: {error.strerror}", "")
        return 1
    return 0


def _complain(detail: str, remedy: str) -> None:
    """What happened, and on the last line the command that mends it."""
    lines = f"credd-token: {detail}\n" + (f"{remedy}\n" if remedy else "")
    try:
        _write(2, lines.encode("utf-8", "replace"))
    except OSError:
        pass  # nobody listens; the exit status still says it


def _write(descriptor: int, content: bytes) -> None:
    """All of it, unbuffered: there is nothing left to flush when the process ends at once."""
    while content:
        content = content[os.write(descriptor, content) :]


if __name__ == "__main__":
    main()
