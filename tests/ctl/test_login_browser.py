"""A login by a browser: the link, who opens it, and the address that can be pasted."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from credd.ctl.pasting import LONGEST, Line
from tests.ctl.conftest import LIMIT, Home, Terminal
from tests.ctl.events import AUTHORIZE, BACK, HANG, NEW, WAIT, authorization, done, question
from tests.ctl.standin import Standin

PASTE = question("redirect-url", prompt="Or paste the address", secret=False)
ANSWER = f"{BACK}?code=c1&state=s1"
SSH = {"SSH_CONNECTION": "192.0.2.1 5000 192.0.2.2 22"}


def browser(home: Home) -> dict[str, str]:
    """A browser that writes down how it was called."""
    program = home.folder / "browser"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$#" "$@" >> {home.folder}/visited\n')
    program.chmod(0o700)
    return {"BROWSER": str(program)}


def visited(home: Home) -> list[str]:
    place = home.folder / "visited"
    return place.read_text().splitlines() if place.exists() else []


def is_calm(terminal: Terminal) -> bool:
    """Whether the terminal shows what is typed, line by line, as it did before."""
    import termios

    flags = termios.tcgetattr(terminal._master)[3]
    return bool(flags & termios.ICANON) and bool(flags & termios.ECHO)


# --- the link -------------------------------------------------------------------------------


def test_the_whole_link_is_shown(home: Home, daemon: Standin) -> None:
    """However long it is; without a terminal nobody is asked to paste."""
    daemon.login_events = [[authorization(), PASTE, done()]]
    result = home.ctl(*NEW)
    assert result.returncode == 0, result.stderr
    assert AUTHORIZE in result.stderr.split()
    assert "on this machine" in result.stderr
    assert "paste" not in result.stderr
    assert not daemon.asked("answer")


def test_a_browser_is_started_with_the_link_as_one_word(home: Home, daemon: Standin) -> None:
    """t45: a list of arguments, no shell."""
    daemon.login_events = [[authorization(), PASTE, done()]]
    with home.terminal(*NEW, **browser(home)) as terminal:
        assert terminal.end() == 0
    assert visited(home) == ["1", AUTHORIZE]


@pytest.mark.parametrize(("more", "environ"), [((), SSH), (("--no-browser",), {})])
def test_no_browser_is_started_where_nobody_would_see_it(
    home: Home, daemon: Standin, more: tuple[str, ...], environ: dict[str, str]
) -> None:
    """Over ssh, or where none is wanted."""
    daemon.login_events = [[authorization(), PASTE, done()]]
    with home.terminal(*NEW, *more, **browser(home), **environ) as terminal:
        assert terminal.end() == 0
    assert visited(home) == []


@pytest.mark.parametrize(
    "link",
    [
        "file:///etc/passwd", "javascript:alert(1)", "http://login.example.org/",
        "-oProxyCommand=x", "https://a.example/$(id)", "https://a.example/`id`", "https://a b",
        'https://a.example/"', "https://a.example/'", "https://a.example/\\", "",
        "https://a.example/\x1b[2J", "https://a.example/;id", "https://a.example/é",
    ],
)  # fmt: skip
def test_t45_an_odd_link_is_neither_shown_nor_opened(
    home: Home, daemon: Standin, link: str
) -> None:
    """Though the daemon has looked already; the login is cancelled, as it can't go on."""
    daemon.login_events = [[authorization(authorization_uri=link), HANG]]
    with home.terminal(*NEW, **browser(home)) as terminal:
        assert terminal.end() == 1
    assert visited(home) == []
    assert not link or link not in terminal.shown
    assert daemon.cancelled.is_set()


@pytest.mark.parametrize(("environ", "word"), [({}, "near"), (SSH, "far")])
def test_the_daemon_hears_where_the_browser_is(
    home: Home, daemon: Standin, environ: dict[str, str], word: str
) -> None:
    """Its default way to log in depends on it."""
    daemon.login_events = [[done()]]
    assert home.ctl(*NEW, **environ).returncode == 0
    assert daemon.asked("login")[0]["browser"] == word


# --- the address that is pasted -------------------------------------------------------------


def test_over_ssh_the_address_is_pasted(home: Home, daemon: Standin) -> None:
    """The person hears what will happen to their browser, and what to do then."""
    daemon.login_events = [[authorization(), PASTE, WAIT, done()]]
    with home.terminal(*NEW, **SSH) as terminal:
        terminal.expect(f"begins with {BACK}")
        terminal.expect("Or paste the address: ")
        terminal.type(f"\n  {ANSWER} \n")
        assert terminal.end() == 0
        assert is_calm(terminal)
    assert daemon.asked("answer") == [{"question": "redirect-url", "answer": ANSWER}]


def test_a_browser_that_comes_back_by_itself_ends_the_prompt(home: Home, daemon: Standin) -> None:
    """Nobody presses a key, and the terminal is as it was."""
    daemon.login_events = [[authorization(), PASTE, WAIT, done()]]
    with home.terminal(*NEW) as terminal:
        terminal.expect("Or paste the address: ")
        daemon.answers.put({})  # the stand-in goes on as if the listener had been visited
        assert terminal.end() == 0
        assert is_calm(terminal)
    assert "Logged in to lab" in terminal.shown
    assert not daemon.asked("answer")


def test_an_address_longer_than_a_terminals_line_arrives_whole(home: Home, daemon: Standin) -> None:
    """The kernel's own line ends at 4095 bytes."""
    long = f"{ANSWER}&session={'s' * 9000}"
    daemon.login_events = [[authorization(), PASTE, WAIT, done()]]
    with home.terminal(*NEW) as terminal:
        terminal.expect("Or paste the address: ")
        feeding = threading.Thread(target=terminal.type, args=(long + "\r",))
        feeding.start()
        assert terminal.end() == 0
        feeding.join()
    assert daemon.asked("answer")[0]["answer"] == long


def test_a_wrong_address_is_asked_for_again(home: Home, daemon: Standin) -> None:
    """With the daemon's note."""
    note: dict[str, Any] = {"type": "note", "text": "That is not the address"}
    daemon.login_events = [[authorization(), PASTE, WAIT, note, PASTE, WAIT, done()]]
    with home.terminal(*NEW) as terminal:
        terminal.expect("Or paste the address: ")
        terminal.type("nonsense\n")
        terminal.expect("That is not the address")
        terminal.expect("Or paste the address: ")
        terminal.type(f"{ANSWER}\n")
        assert terminal.end() == 0
    assert [one["answer"] for one in daemon.asked("answer")] == ["nonsense", ANSWER]


def test_ctrl_c_at_the_prompt_cancels_and_gives_the_terminal_back(
    home: Home, daemon: Standin
) -> None:
    """At the daemon, too."""
    daemon.login_events = [[authorization(), PASTE, HANG]]
    with home.terminal(*NEW) as terminal:
        terminal.expect("Or paste the address: ")
        deadline = time.monotonic() + LIMIT
        while is_calm(terminal) and time.monotonic() < deadline:
            time.sleep(0.01)
        terminal.type("\x03")
        assert terminal.end() == 130, terminal.shown
        assert is_calm(terminal)
    assert daemon.cancelled.is_set()
    assert "Traceback" not in terminal.shown


@pytest.mark.parametrize(
    ("typed", "text", "echoed"),
    [
        (b"abc", "abc", b"abc"),
        (b"ab\x7fc", "ac", b"ab\b \bc"),
        (b"\x7f\x08", "", b""),
        (b"abc\x15d", "d", b"abc" + b"\b \b" * 3 + b"d"),
        (b"a\x1b[200~b c\x00\xff\td", "a[200~bcd", b"a[200~bcd"),
    ],
)
def test_a_line_is_put_together_letter_by_letter(typed: bytes, text: str, echoed: bytes) -> None:
    """Erased, begun anew, without control characters."""
    line = Line()
    assert b"".join(line.take(number) for number in typed) == echoed
    assert line.text() == text
    assert not line.is_over
    assert line.take(ord("\r")) == b""
    assert line.is_over
    assert text == "" or text not in repr(line)


def test_a_line_has_an_end() -> None:
    """Whatever is poured into a terminal."""
    line = Line()
    for _ in range(LONGEST + 10):
        line.take(ord("x"))
    assert len(line.text()) == LONGEST
