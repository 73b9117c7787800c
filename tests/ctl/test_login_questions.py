"""What a login asks: secrets, and where a new vault shall have its key."""

from __future__ import annotations

import tomllib

import pytest

from credd.errors import BadRequest, Misconfigured
from tests.ctl.conftest import Home
from tests.ctl.events import HANG, NEW, WAIT, done, failed, question
from tests.ctl.standin import Standin

# --- questions ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("client-secret", "--client-secret-stdin"),
        ("key", "--key-stdin"),
        ("vault-passphrase", "--passphrase-stdin"),
        ("subject-token", "--subject-token-stdin"),
        ("client-key", "--client-key-stdin"),
    ],
)
def test_a_question_is_answered_from_stdin(
    home: Home, daemon: Standin, name: str, option: str
) -> None:
    """Whole, but for its line end; and no trace of it in what is shown."""
    daemon.login_events = [[question(name), WAIT, done()]]
    result = home.ctl(*NEW, option, stdin="s3cret =x\n")
    assert result.returncode == 0
    assert daemon.asked("answer") == [{"question": name, "answer": "s3cret =x"}]
    assert "s3cret" not in result.stdout + result.stderr


def test_two_secrets_come_a_line_each(home: Home, daemon: Standin) -> None:
    """In the order that the help names, whatever order they are asked in."""
    daemon.login_events = [
        [question("vault-passphrase"), WAIT, question("client-secret"), WAIT, done()]
    ]
    options = ("--passphrase-stdin", "--client-secret-stdin")
    assert home.ctl(*NEW, *options, stdin="the secret\nthe passphrase\n").returncode == 0
    assert [one["answer"] for one in daemon.asked("answer")] == ["the passphrase", "the secret"]


KEY = "-----BEGIN PRIVATE KEY-----\nMIGH\nAgEA\n-----END PRIVATE KEY-----"


def test_a_private_key_keeps_its_lines_and_comes_last(home: Home, daemon: Standin) -> None:
    """Alone, or after the secrets that have a line each."""
    for before, options in (("", ()), ("the passphrase\n", ("--passphrase-stdin",))):
        daemon.login_events = [[question("client-key"), WAIT, done()]]
        words = (*NEW, "--client-key-stdin", *options)
        assert home.ctl(*words, stdin=f"{before}{KEY}\n").returncode == 0
        assert daemon.asked("answer").pop() == {"question": "client-key", "answer": KEY}
        home.config.unlink()


def test_a_private_key_is_not_typed(home: Home, daemon: Standin) -> None:
    """A terminal takes one line: the file is named instead."""
    daemon.login_events = [[question("client-key"), HANG]]
    with home.terminal(*NEW) as terminal:
        assert terminal.end() == 2
    assert "--client-key-stdin" in terminal.shown.splitlines()[-1]
    assert daemon.cancelled.is_set()


def test_too_few_secrets_are_noticed_before_the_login(home: Home, daemon: Standin) -> None:
    """An empty file is no passphrase."""
    assert home.ctl(*NEW, "--passphrase-stdin", stdin="").returncode == 2
    options = ("--passphrase-stdin", "--key-stdin")
    assert home.ctl(*NEW, *options, stdin="only one\n").returncode == 2
    assert not daemon.requests


@pytest.mark.parametrize("name", ["client-secret", "key", "vault-passphrase"])
def test_without_terminal_a_question_names_its_option(
    home: Home, daemon: Standin, name: str
) -> None:
    """The login is cancelled, and the last line is the whole command with the option."""
    daemon.login_events = [[question(name), HANG]]
    result = home.ctl(*NEW)
    assert (result.returncode, result.stdout) == (2, "")
    last = result.stderr.splitlines()[-1]
    assert last.startswith("credd-ctl login lab --")
    assert "-stdin" in last
    assert "--provider oidc" in last
    assert daemon.cancelled.is_set()


def test_a_wrong_answer_from_stdin_is_not_given_twice(home: Home, daemon: Standin) -> None:
    """A daemon that asks again gets no endless row of the same."""
    daemon.login_events = [[question("key"), WAIT, question("key"), HANG]]
    result = home.ctl(*NEW, "--key-stdin", stdin="wrong\n")
    assert result.returncode == 2
    assert "not accepted" in result.stderr
    assert len(daemon.asked("answer")) == 1


def test_at_a_terminal_a_person_answers_unseen(home: Home, daemon: Standin) -> None:
    """A secret is not shown; a plain question is; a new passphrase is asked for twice."""
    plain = question("tenant", secret=False)
    daemon.login_events = [
        [question("client-secret"), WAIT, plain, WAIT, question("vault-passphrase"), WAIT, done()]
    ]
    with home.terminal(*NEW) as terminal:
        terminal.expect("The client-secret: ")
        terminal.type("hunter2\n")
        terminal.expect("The tenant")
        terminal.type("acme\n")
        terminal.expect("The vault-passphrase: ")
        terminal.type("sesame\n")
        terminal.expect("The same again: ")
        terminal.type("sesami\n")
        terminal.expect("once more")
        terminal.expect("The vault-passphrase: ")
        terminal.type("sesame\n")
        terminal.expect("The same again: ")
        terminal.type("sesame\n")
        assert terminal.end() == 0
    assert [one["answer"] for one in daemon.asked("answer")] == ["hunter2", "acme", "sesame"]
    assert "hunter2" not in terminal.shown
    assert "sesam" not in terminal.shown


def test_a_question_that_was_answered_before_is_passed_over(home: Home, daemon: Standin) -> None:
    """A login found again shows its questions again; the daemon may not want the answer twice."""
    daemon.resumed = True
    daemon.errors["answer"] = BadRequest("not asked", reason="no_such_question")
    daemon.login_events = [[question("key"), done()]]
    assert home.ctl(*NEW, "--key-stdin", stdin="k\n").returncode == 0


# --- the vault's key ------------------------------------------------------------------------

UNDECIDED = Misconfigured("no key source", reason="vault_key_undecided")


def test_without_terminal_an_undecided_key_names_the_option(home: Home, daemon: Standin) -> None:
    """Nobody decides in silence; the words say what each choice means."""
    daemon.login_events = [[failed(UNDECIDED)]]
    result = home.ctl(*NEW)
    assert (result.returncode, result.stdout) == (9, "")
    assert result.stderr.splitlines()[-1].startswith("credd-ctl login lab --vault-key file")
    assert "passphrase" in result.stderr
    assert not home.config.exists()
    daemon.login_events = [[failed(UNDECIDED)]]
    again = home.ctl(*NEW, "--key-stdin", stdin="k\n").stderr.splitlines()[-1]
    assert again.endswith("--key-stdin < FILE")


def test_at_a_terminal_a_person_decides_in_plain_words(home: Home, daemon: Standin) -> None:
    """The login is repeated with the choice, and the choice is written beside the entry."""
    daemon.key_source = "file"
    daemon.login_events = [[failed(UNDECIDED)], [done()]]
    with home.terminal(*NEW) as terminal:
        terminal.expect("A key file. The daemon restarts by itself")
        terminal.expect("Which one")
        terminal.type("file\n")
        assert terminal.end() == 0
    assert [one.get("vault_key") for one in daemon.asked("login")] == [None, "file"]
    written = tomllib.loads(home.config.read_text())
    assert written["vault"] == {"key": "file"}
    assert written["credentials"]["lab"]["provider"] == "oidc"


def test_a_choice_that_comes_too_late_is_not_written(home: Home, daemon: Standin) -> None:
    """A vault that exists keeps its key source; config.toml must not say another one."""
    daemon.login_events = [[done()]]
    result = home.ctl(*NEW, "--vault-key", "file")
    assert result.returncode == 0
    assert "keeps its key source, keyring" in result.stderr
    assert "vault" not in tomllib.loads(home.config.read_text())
