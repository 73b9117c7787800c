"""The secrets a login is asked for, and who answers: stdin where that was said, else a person.

Never the command line. The one hard thing: an answer from stdin is given once; a daemon that asks
again (it was wrong) is not fed the same again and again.
"""

from __future__ import annotations

import sys
from collections.abc import Collection

from credd.ctl.terminal import ask_new_secret, ask_secret, ask_text, has_person, read_lines
from credd.errors import BadRequest

CLIENT_SECRET, KEY, PASSPHRASE = "client-secret", "key", "vault-passphrase"
SUBJECT_TOKEN, CLIENT_KEY = "subject-token", "client-key"

OPTIONS = {
    CLIENT_SECRET: "--client-secret-stdin",
    KEY: "--key-stdin",
    PASSPHRASE: "--passphrase-stdin",
    SUBJECT_TOKEN: "--subject-token-stdin",
    CLIENT_KEY: "--client-key-stdin",
}
"""Questions of a login, and the option that answers each without a person."""


class Unanswered(BadRequest):
    """A login asks something that nobody here can answer."""


class Secrets:
    """Answers at hand, by question. Its repr names the questions alone."""

    def __init__(self, answers: dict[str, str]) -> None:
        self._answers = answers
        self._used: set[str] = set()

    def __repr__(self) -> str:
        return f"<Secrets {sorted(self._answers)}>"

    @classmethod
    def read(cls, options: Collection[str]) -> Secrets:
        """Read from stdin what these options announce, a line each, in the order of OPTIONS. A
        private key, which has many lines, is the last one.

        At a terminal nothing is read ahead: what is typed there must not be shown, so it is asked
        for when its turn comes. Raises BadRequest where stdin holds too little.
        """
        announced = [question for question, option in OPTIONS.items() if option in options]
        if not announced or sys.stdin.isatty():
            return cls({})
        lines = read_lines(len(announced), is_last_whole=announced[-1] == CLIENT_KEY)
        return cls(dict(zip(announced, lines, strict=True)))

    def answer(self, question: str, prompt: str, is_secret: bool) -> str:
        """The answer. Raises Unanswered where nobody can give it."""
        if question in self._answers:
            self._used.add(question)
            return self._answers.pop(question)
        if question in self._used:
            raise Unanswered("what was read from stdin was not accepted")
        if question == CLIENT_KEY:
            raise Unanswered("a private key has many lines: it is read from a file, by stdin")
        if not has_person():
            raise Unanswered(f"without a terminal nobody can be asked for: {prompt}")
        if question == PASSPHRASE:
            return ask_new_secret(prompt)
        return ask_secret(prompt) if is_secret else ask_text(prompt)
