"""A login as a conversation with the daemon: it tells and asks, we show and answer.

Knows the events of a login (wire.LoginEvent); refuses to know any protocol of any issuer. The one
hard thing: how it ends. Ctrl-C, or a question that nobody can answer, cancels the login at the
daemon; losing the daemon, or being killed, does not: the login lives on there until its deadline,
and the next `credd-ctl login` finds it again.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from credd import wire
from credd.ctl.answering import OPTIONS, Secrets, Unanswered
from credd.ctl.harmless import harmless
from credd.ctl.output import say
from credd.ctl.planning import Plan
from credd.ctl.render import Paint, plain, styled
from credd.ctl.session import Session
from credd.ctl.terminal import (
    has_browser,
    has_person,
    is_far,
    is_safe_link,
    open_browser,
    paints,
)
from credd.errors import BadRequest, CreddError, DaemonUnreachable, from_problem

if TYPE_CHECKING:
    from credd.client.calls import Calls
    from credd.ctl.live import Waiting
    from credd.ctl.pasting import Paste


LONGEST_LINK = 4096
"""Characters of a link; an issuer's, with everything that we add, has hundreds."""

REDIRECT_URL = "redirect-url"
"""The one question that a browser may answer first."""


class Cancelled(CreddError):
    """The person cancelled the login; `again` is the command that starts it anew."""

    exit_code = 130  # 128 + SIGINT, as shells say it

    def __init__(self, again: str) -> None:
        super().__init__("the login is cancelled, and nothing was written", remedy=again)


class OddLink(CreddError):
    """A browser would have to be sent where none should go."""


class Conversation:
    """One login, from request to `done`."""

    def __init__(
        self, session: Session, plan: Plan, secrets: Secrets, may_open_browser: bool
    ) -> None:
        self._client: Calls = session.client()
        self._environ = session.environ()
        self._plan = plan
        self._secrets = secrets
        self._may_open_browser = may_open_browser
        self._waiting: Waiting | None = None
        self._paste: Paste | None = None
        self._plan.request["browser"] = "far" if is_far(self._environ) else "near"

    def hold(self) -> wire.CredentialReply:
        """Log in. Raises what it failed with, Cancelled after Ctrl-C, Unanswered, OddLink."""
        login = self._client.start_login(self._plan.request)
        if login["resumed"]:
            say("This login was under way already; here is where it stands.")
        try:
            return self._follow(login["id"])
        except (Unanswered, OddLink):
            self._cancel(login["id"])
            raise
        except (click.Abort, KeyboardInterrupt, EOFError):
            self._cancel(login["id"])
            raise Cancelled(self._plan.command()) from None
        finally:
            self._rest()

    def _follow(self, login: str) -> wire.CredentialReply:
        for event in self._client.login_events(login):
            self._rest()
            kind = event["type"]
            if kind == "done":
                return event["credential"]
            if kind == "failed":
                raise self._failure(event)
            self._handle(login, event)
        raise DaemonUnreachable(
            "the daemon ended the conversation before the login was done",
            remedy=self._plan.command(),
        )

    def _handle(self, login: str, event: wire.LoginEvent) -> None:
        """An event in the middle. Kinds that only a newer daemon knows are passed over."""
        if event["type"] == "device-code":
            self._show_code(event)
        elif event["type"] == "authorization-url":
            self._show_link(event)
        elif event.get("question") == REDIRECT_URL:
            self._offer_paste(login, event)
        elif event["type"] == "question":
            self._give(login, event["question"], self._answer_to(event))
        elif event["type"] == "note":
            say(harmless(event["text"]))

    def _give(self, login: str, question: str, answer: str) -> None:
        """Hand over an answer; one that an earlier credd-ctl has given already is not wanted."""
        try:
            self._client.answer_login(login, question, answer)
        except BadRequest as error:
            if error.reason != "no_such_question":
                raise

    def _failure(self, event: wire.LoginEvent) -> CreddError:
        """What the login failed with; the remedy of a new one repeats what made it new."""
        error = from_problem(event["problem"])
        if error.remedy == f"credd-ctl login {self._plan.name}":
            error.remedy = self._plan.command()
        return error

    def _answer_to(self, event: wire.LoginEvent) -> str:
        question, prompt = event["question"], harmless(event.get("prompt", ""))
        try:
            return self._secrets.answer(question, prompt, event.get("secret", True))
        except Unanswered as error:
            option = OPTIONS.get(question)
            error.remedy = self._plan.command(option) if option else ""
            raise

    def _show_code(self, event: wire.LoginEvent) -> None:
        paint = styled if paints(sys.stderr.isatty()) else plain
        say(device_instructions(self._plan.name, event, paint))
        link = event.get("verification_uri_complete") or event.get("verification_uri", "")
        if self._may_open_browser and has_browser(self._environ) and open_browser(link):
            say("Your browser shows it now. Check that the page shows the same code.\n")
        self._wait_for_person(event)

    def _show_link(self, event: wire.LoginEvent) -> None:
        link = event.get("authorization_uri", "")
        if not is_safe_link(link):
            raise OddLink("the issuer's address is none that a browser may be sent to")
        paint = styled if paints(sys.stderr.isatty()) else plain
        is_away = is_far(self._environ)
        say(browser_instructions(self._plan.name, event, paint, is_away=is_away))
        if self._may_open_browser and has_browser(self._environ) and open_browser(link):
            say("\nYour browser shows it now.")

    def _offer_paste(self, login: str, event: wire.LoginEvent) -> None:
        """Beside the browser's own return; without a terminal that alone is waited for."""
        if not has_person():
            return
        from credd.ctl.pasting import Paste

        def give(address: str) -> None:
            with suppress(CreddError):  # what it means is told by the login's own events
                self._give(login, REDIRECT_URL, address)

        self._paste = Paste(event.get("prompt", ""), give)
        self._paste.start()

    def _wait_for_person(self, event: wire.LoginEvent) -> None:
        """Something that moves, where a terminal can show it."""
        if not paints(sys.stderr.isatty()):
            return
        from credd.ctl.live import Waiting

        self._waiting = Waiting("waiting for you", event.get("expires_at"))
        self._waiting.start()

    def _rest(self) -> None:
        """Stop moving, before anything else is shown or asked."""
        if self._waiting is not None:
            self._waiting.stop()
            self._waiting = None
        if self._paste is not None:
            self._paste.stop()
            self._paste = None

    def _cancel(self, login: str) -> None:
        self._rest()
        with suppress(CreddError):
            self._client.cancel_login(login)


def device_instructions(name: str, event: wire.LoginEvent, paint: Paint) -> str:
    """Both ways to log in with a code: the link that has it, and the page that asks for it."""
    page = harmless(event.get("verification_uri", ""))
    code = paint(harmless(event.get("user_code", ""), 64), "bold")
    link = event.get("verification_uri_complete", "")
    start = f"\nTo log in to {name}, open"
    if not is_safe_link(link):
        return f"{start} {page}\non any device and type the code {code}\n"
    shown = paint(harmless(link), "bold")
    by_hand = f"Or open {page}\nand type the code {code}\n"
    return f"{start} this link on any device:\n\n    {shown}\n\n{by_hand}"


def browser_instructions(name: str, event: wire.LoginEvent, paint: Paint, *, is_away: bool) -> str:
    """The link to open, and what becomes of a browser on another machine."""
    shown = paint(harmless(event["authorization_uri"], LONGEST_LINK), "bold")
    where = "any browser" if is_away else "a browser on this machine"
    back = harmless(event.get("redirect_uri", ""))
    elsewhere = (
        f"\nIt ends at an address that begins with {back}\n"
        "and that your browser can't show, because it is on this machine: copy it.\n"
    )
    after = elsewhere if is_away else ""
    return f"\nTo log in to {name}, open this link in {where}:\n\n    {shown}\n{after}"
