"""Answers in words: what a person sees of a reply.

Pure: reply and time in, text out; no terminal, no daemon, no clock. Foreign text passes through
`harmless` here. The one hard thing: a line a credential that still reads well with a long account
name, an issuer that says nothing about the login's end, and a trouble to explain.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import click

from credd import wire
from credd.ctl.columns import aligned, fitted
from credd.ctl.durations import clock, spoken
from credd.ctl.harmless import harmless

NOTHING = "-"
NOT_SAID = "the issuer does not say"

GOOD = frozenset({"fresh", "stale", "logging-in"})
WORRYING = frozenset({"ending", "degraded", "suspect", "expired", "ambiguous"})

COLUMNS = ("NAME", "STATE", "ACCOUNT", "LOGIN UNTIL", "TOKEN FOR", "NEXT REFRESH")
YIELDING = (2, 0)
"""Account, then name: the only cells that may be of any length."""
SHORTEST = 12
"""Columns of either that always stay: enough to tell one from another."""

LATE_COLUMNS = ("LAST ERROR", "REMEDY")

Paint = Callable[[str, str], str]
"""A text and a colour name ("green", "yellow", "red", "dim", "bold") to the text to print."""


class Row(NamedTuple):
    """One credential as cells of text; `colour` is the state's."""

    cells: tuple[str, ...]
    trouble: str
    remedy: str
    colour: str


def plain(text: str, _colour: str) -> str:
    """No colour at all: pipes, files, NO_COLOR."""
    return text


def styled(text: str, colour: str) -> str:
    """ANSI colour for a terminal."""
    if colour in ("dim", "bold"):
        return click.style(text, **{colour: True})
    return click.style(text, fg=colour)


def colour_of(state: str) -> str:
    """Green: works. Yellow: works, and someone should look. Red: a person is needed."""
    if state in GOOD:
        return "green"
    return "yellow" if state in WORRYING else "red"


# --- one credential as cells ----------------------------------------------------------------


def row_of(credential: wire.CredentialReply, now: float) -> Row:
    """The cells of one credential."""
    return Row(
        cells=(
            harmless(credential["name"]),
            harmless(credential["state"]),
            harmless(credential["account"], 40) or NOTHING,
            login_until(credential, now),
            token_for(credential, now),
            next_refresh(credential, now),
        ),
        trouble=trouble_of(credential, now),
        remedy=harmless(credential["remedy"]),
        colour=colour_of(credential["state"]),
    )


def login_until(credential: wire.CredentialReply, now: float) -> str:
    """When the login ends, in the table's few words."""
    if credential["state"] == "login-required":
        return "ended"
    ends_at = credential["login_ends_at"]
    if ends_at is None:
        return NOTHING if credential["login_at"] is None else "not said"
    return f"in {spoken(ends_at - now)}" if ends_at > now else "ended"


def token_for(credential: wire.CredentialReply, now: float) -> str:
    """How long the current access token still works."""
    expires_at = credential["token_expires_at"]
    if not credential["generation"]:
        return NOTHING
    if expires_at is None:
        return "no end"
    return spoken(expires_at - now) if expires_at > now else "expired"


def next_refresh(credential: wire.CredentialReply, now: float) -> str:
    """When the daemon will ask the issuer next: a retry where one is due, else the schedule."""
    trouble = credential["trouble"]
    at = trouble["next_try_at"] if trouble else credential["refresh_at"]
    if at is None or (trouble is None and credential["token_expires_at"] is None):
        return NOTHING
    return f"in {spoken(at - now)}" if at > now else "now"


def trouble_of(credential: wire.CredentialReply, now: float) -> str:
    """The last failure in one sentence, or ""."""
    trouble = credential["trouble"]
    if not trouble:
        return ""
    tries = f", {trouble['attempts']} tries" if trouble["attempts"] > 1 else ""
    what = harmless(trouble["detail"] or trouble["reason"] or trouble["kind"])
    return f"{what} (since {spoken(now - trouble['since'])}{tries})"


# --- all credentials ------------------------------------------------------------------------


def credentials_table(
    credentials: Sequence[wire.CredentialReply], now: float, width: int | None, paint: Paint
) -> str:
    """A line a credential.

    With a terminal's `width`, trouble and remedy go on lines of their own below; without one
    (pipes, files), every credential is one line, however long, so that `grep` finds all of it.
    """
    rows = [row_of(credential, now) for credential in credentials]
    if width is None:
        return _long_lines(rows)
    return _short_lines(rows, width, paint)


def _long_lines(rows: Sequence[Row]) -> str:
    body = [(*row.cells, row.trouble or NOTHING, row.remedy or NOTHING) for row in rows]
    return "\n".join(aligned([COLUMNS + LATE_COLUMNS, *body]))


def _short_lines(rows: Sequence[Row], width: int, paint: Paint) -> str:
    table = fitted([COLUMNS, *(row.cells for row in rows)], width, YIELDING, SHORTEST)
    head, *lines = aligned(table)
    text = [paint(head, "bold")]
    for row, cells, line in zip(rows, table[1:], lines, strict=True):
        text.append(_paint_state(line, cells, row.colour, paint))
        text += _below(row, paint)
    return "\n".join(text)


def _paint_state(line: str, cells: Sequence[str], colour: str, paint: Paint) -> str:
    """Only the state's word is coloured; it is the first one after the name's column."""
    start = line.index(cells[1], len(cells[0]))
    end = start + len(cells[1])
    return line[:start] + paint(line[start:end], colour) + line[end:]


def _below(row: Row, paint: Paint) -> list[str]:
    lines = []
    if row.trouble:
        lines.append(f"    {row.trouble}")
    if row.remedy:
        lines.append(f"    {paint(row.remedy, 'bold')}")
    return lines


# --- one credential -------------------------------------------------------------------------


def credential_page(credential: wire.CredentialReply, now: float, paint: Paint) -> str:
    """Everything but secrets about one credential, a line a fact."""
    facts = [
        ("state", paint(harmless(credential["state"]), colour_of(credential["state"]))),
        ("", harmless(credential["meaning"])),
        ("", "a login is under way" if credential["logging_in"] else ""),
        ("provider", harmless(credential["provider"])),
        ("account", harmless(credential["account"])),
        ("logged in", _since(credential["login_at"], now)),
        ("login until", login_end_in_words(credential, now)),
        ("token", _token_in_words(credential, now)),
        ("next refresh", _next_in_words(credential, now)),
        ("scope", harmless(credential["scope"])),
        ("hosts", harmless(", ".join(credential["hosts"]))),
        ("environment", harmless(" ".join(_assignments(credential)))),
        ("last error", trouble_of(credential, now)),
    ]
    lines = [f"  {name:<14}{value}" for name, value in facts if value and value != NOTHING]
    return "\n".join([paint(harmless(credential["name"]), "bold"), *lines])


def _assignments(credential: wire.CredentialReply) -> list[str]:
    return [f"{name}={value}" for name, value in sorted(credential["environment"].items())]


def _since(at: float | None, now: float) -> str:
    return "" if at is None else f"{clock(at)} ({spoken(now - at)} ago)"


def _until(at: float, now: float) -> str:
    relation = f"in {spoken(at - now)}" if at > now else f"{spoken(now - at)} ago"
    return f"{clock(at)} ({relation})"


def login_end_in_words(credential: wire.CredentialReply, now: float) -> str:
    """How long this login lasts, as a sentence's end."""
    if credential["state"] == "login-required":
        return "ended"
    if credential["login_ends_at"] is not None:
        return _until(credential["login_ends_at"], now)
    return "" if credential["login_at"] is None else NOT_SAID


def _token_in_words(credential: wire.CredentialReply, now: float) -> str:
    left = token_for(credential, now)
    if left == NOTHING:
        return ""
    when = {"expired": "expired", "no end": "no end known"}.get(left, f"good for {left}")
    return f"{when} (generation {credential['generation']})"


def _next_in_words(credential: wire.CredentialReply, now: float) -> str:
    words = next_refresh(credential, now)
    return "none planned" if words == NOTHING and credential["generation"] else words


# --- the other answers ----------------------------------------------------------------------


def no_credentials() -> str:
    """What to do when there is nothing to show."""
    return (
        "No credentials yet. The first one:\n"
        "credd-ctl login lab --provider oidc --set issuer=https://login.example.org"
        " --set client_id=training"
    )


def login_summary(credential: wire.CredentialReply, now: float) -> str:
    """How a login ends: who you are and at which issuer, how long it lasts, what to do next.

    Whoever made this login by a trick would be named here instead of you.
    """
    name, account = harmless(credential["name"]), harmless(credential["account"])
    issuer = harmless(credential.get("issuer", ""))
    as_whom, where = f" as {account}" if account else "", f" at {issuer}" if issuer else ""
    who = f"Logged in to {name}{as_whom}{where}."
    ends = login_end_in_words(credential, now) or NOT_SAID
    lasts = f"How long this login lasts: {ends}."
    if credential["login_ends_at"] is not None:
        lasts = f"This login lasts until {ends}."
    return f"{who}\n{lasts}\nNext: credd-ctl token {name}"


def lifetime_verdict(reply: wire.LifetimeReply, now: float) -> str:
    """The answer of `check` in one line."""
    name = harmless(reply["name"])
    needed = f"needed until {clock(reply['needed_until'])}"
    if reply["verdict"] == "unknown":
        return f"{name}: unknown; {NOT_SAID} when this login ends ({needed})"
    ends_at = reply["ends_at"]
    ends = "has no end" if ends_at is None else f"ends {_until(ends_at, now)}"
    verb = "lasts" if reply["verdict"] == "lasts" else "does not last"
    return f"{name}: {verb}; the login {ends}, {needed}"


OUTCOMES = {
    "refreshed": "refreshed; the token is now generation {generation}",
    "superseded": "a newer token was there already: generation {generation}",
    "too-soon": "not refreshed: generation {generation} was obtained only just now",
    "not-renewable": "not refreshed: a static key has nothing to renew it with",
}


def refresh_outcome(reply: wire.RefreshReply) -> str:
    """The answer of `refresh NAME` in one line."""
    words = OUTCOMES.get(reply["outcome"], harmless(reply["outcome"]))
    return f"{harmless(reply['name'])}: {words.format(generation=reply['generation'])}"


def woken(reply: wire.RefreshAllReply) -> str:
    """The answer of `refresh --all`."""
    names = ", ".join(harmless(name) for name in reply["woken"])
    return f"refreshing: {names}" if names else "nothing to refresh"


def finding_line(finding: wire.Finding) -> str:
    """One finding: where, and what."""
    return f"{harmless(finding['place'])}: {harmless(finding['message'])}"


def versions(client: str, daemon: wire.VersionReply | None, restart: str) -> str:
    """The answer of `version`."""
    if daemon is None:
        return f"credd-ctl {client}\ndaemon    not running"
    lines = [
        f"credd-ctl {client}",
        f"daemon    {harmless(daemon['version'])} (pid {daemon['pid']}, API {daemon['api']})",
        f"vault     {harmless(daemon['vault'])} (key: {harmless(daemon['key_source'])})",
    ]
    if restart:
        lines += [upgrade_note(daemon), restart]
    return "\n".join(lines)


def upgrade_note(daemon: wire.VersionReply) -> str:
    """That the daemon is older (or newer) than what is installed."""
    running, installed = harmless(daemon["version"]), harmless(daemon["installed"])
    return f"the daemon runs {running}, and {installed} is installed; restart it with"
