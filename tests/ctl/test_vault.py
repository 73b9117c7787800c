"""What a person does about the vault: ask how it is, change its keys, accept it, take it away."""

from __future__ import annotations

import json
import re

import pytest

from credd.ctl.recovery import new_code, parse_code
from credd.errors import BadRequest, Locked
from tests.ctl.conftest import Home
from tests.ctl.standin import Standin, credential

CODE = r"[A-Z2-7]{4}(?:-[A-Z2-7]{4}){8}"


@pytest.fixture
def lab(daemon: Standin) -> Standin:
    """The stand-in with one credential, `lab`, in good health."""
    daemon.credentials["lab"] = credential()
    return daemon


# --- the recovery code ------------------------------------------------------------------------


def test_a_recovery_code_has_160_bits_and_a_checksum() -> None:
    """Nine groups of four; no two are alike."""
    codes = {new_code() for _ in range(200)}
    assert len(codes) == 200
    for code in codes:
        assert re.fullmatch(CODE, code)
        assert len(parse_code(code)) == 32


def test_a_code_is_read_however_it_is_typed() -> None:
    """In small letters, without groups, with a line end, with the digits that look like letters."""
    code = new_code()
    plain = parse_code(code)
    assert plain == code.replace("-", "")[:32]
    alike = code.replace("O", "0").replace("I", "1").replace("B", "8")
    for typed in (code.lower(), code.replace("-", ""), f" {code}\n", code.replace("-", " "), alike):
        assert parse_code(typed) == plain


def test_a_typing_mistake_in_a_code_is_noticed() -> None:
    """Any one letter, two that changed places, one too few or too many."""
    code = "".join(new_code().split("-"))
    wrong = [code[:at] + ("A" if code[at] != "A" else "C") + code[at + 1 :] for at in range(36)]
    wrong += [code[:-1], code + "A", "", "éééé" * 9]
    swapped = code[:4] + code[5] + code[4] + code[6:]
    for typed in [*wrong, *([swapped] if swapped != code else [])]:
        with pytest.raises(BadRequest):
            parse_code(typed)


def test_unlock_takes_the_recovery_code(home: Home, lab: Standin) -> None:
    """From stdin; its letters go to the daemon, a typing mistake doesn't."""
    code = new_code()
    done = home.ctl("unlock", "--recovery-code-stdin", stdin=code.lower() + "\n")
    assert done.returncode == 0, done.stderr
    assert lab.asked("unlock") == [{"recovery_code": parse_code(code)}]
    done = home.ctl("unlock", "--recovery-code-stdin", stdin=code[:-1] + "\n")
    assert (done.returncode, done.stdout) == (2, "")
    done = home.ctl("unlock", "--recovery-code-stdin", "--passphrase-stdin", stdin="x\ny\n")
    assert done.returncode == 2
    assert len(lab.asked("unlock")) == 1


def test_at_a_terminal_the_recovery_code_is_asked_for(home: Home, lab: Standin) -> None:
    """And not shown while it is typed."""
    code = new_code()
    with home.terminal("unlock", "--recovery-code-stdin") as terminal:
        terminal.expect("Recovery code: ")
        terminal.type(code + "\n")
        assert terminal.end() == 0
    assert code not in terminal.shown


# --- verify -----------------------------------------------------------------------------------


def part(name: str, verdict: str, detail: str = "", remedy: str = "") -> dict[str, str]:
    return {"part": "record", "name": name, "verdict": verdict, "reason": "", "detail": detail,
            "remedy": remedy}  # fmt: skip


def test_verify_names_each_part_and_exits_0_where_all_is_whole(home: Home, lab: Standin) -> None:
    """A line a part; what is only worth knowing is no failure."""
    lab.parts = [part("lab", "ok"), part("home", "noted", "it waits outside")]  # type: ignore[list-item]
    done = home.ctl("vault", "verify")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "record  lab   ok\nrecord  home  noted: it waits outside\n"
    told = json.loads(home.ctl("vault", "verify", "--json").stdout)
    assert (told["schema"], told["damaged"], len(told["parts"])) == (1, 0, 2)


def test_verify_exits_1_where_something_is_damaged(home: Home, lab: Standin) -> None:
    """Everything goes to stderr, and the last line mends it."""
    lab.parts = [part("lab", "damaged", "it is cut off", "credd-ctl login lab")]  # type: ignore[list-item]
    for words in (["vault", "verify"], ["vault", "verify", "--json"]):
        done = home.ctl(*words)
        assert (done.returncode, done.stdout) == (1, "")
        assert "it is cut off" in done.stderr
        assert done.stderr.splitlines()[-1] == "credd-ctl login lab"


# --- rewrap -----------------------------------------------------------------------------------


def test_a_source_is_added(home: Home, lab: Standin) -> None:
    """Nothing is asked, nothing is dropped."""
    done = home.ctl("vault", "rewrap", "--add", "file")
    assert (done.returncode, done.stdout) == (0, "The vault opens by: keyring, file.\n")
    assert lab.asked("rewrap") == [{"sources": ["file"], "only": False}]


def test_a_recovery_code_is_shown_once_and_is_the_one_that_was_sealed_in(
    home: Home, lab: Standin
) -> None:
    """On stdout, in words for a person or as JSON; only where the daemon said yes."""
    done = home.ctl("vault", "rewrap", "--add", "recovery-code")
    (shown,) = re.findall(CODE, done.stdout)
    assert lab.asked("rewrap")[0]["new_recovery_code"] == parse_code(shown)
    assert shown not in done.stderr
    told = json.loads(home.ctl("vault", "rewrap", "--add", "recovery-code", "--json").stdout)
    assert lab.asked("rewrap")[1]["new_recovery_code"] == parse_code(told["recovery_code"])
    assert told["recovery_code"] != shown
    lab.errors["rewrap"] = Locked("no", remedy="credd-ctl unlock")
    done = home.ctl("vault", "rewrap", "--add", "recovery-code")
    assert (done.returncode, done.stdout) == (6, "")
    assert not re.search(CODE, done.stderr)


def test_secrets_come_from_stdin_a_line_each(home: Home, lab: Standin) -> None:
    """The present one proves that one may, the new one is sealed in."""
    lab.sources = ["passphrase"]
    words = ["vault", "rewrap", "--only", "passphrase", "--yes"]
    both = ["--passphrase-stdin", "--new-passphrase-stdin"]
    assert home.ctl(*words, *both, stdin="old\nnew\n").returncode == 0
    code = new_code()
    both = ["--recovery-code-stdin", "--new-passphrase-stdin"]
    assert home.ctl(*words, *both, stdin=f"{code}\nnew\n").returncode == 0
    base = {"sources": ["passphrase"], "only": True, "new_passphrase": "new"}
    assert lab.asked("rewrap") == [
        base | {"passphrase": "old"},
        base | {"recovery_code": parse_code(code)},
    ]


def test_a_person_is_asked_for_what_is_missing(home: Home, lab: Standin) -> None:
    """Before a source is dropped, too; a no changes nothing."""
    lab.sources = ["passphrase"]
    words = ("vault", "rewrap", "--only", "file", "--only", "passphrase")
    with home.terminal(*words) as terminal:
        terminal.expect("Passphrase of the vault: ")
        terminal.type("old\n")
        terminal.expect("New passphrase: ")
        terminal.type("new\n")
        terminal.expect("The same again: ")
        terminal.type("new\n")
        assert terminal.end() == 0
    assert lab.asked("rewrap")[0]["new_passphrase"] == "new"
    with home.terminal("vault", "rewrap", "--only", "file") as terminal:
        terminal.expect("passphrase will open the vault no more")
        terminal.type("n\n")
        assert terminal.end() == 130
    assert len(lab.asked("rewrap")) == 1


def test_without_a_terminal_the_option_is_named(home: Home, lab: Standin) -> None:
    """As a command to paste; nothing is sent."""
    done = home.ctl("vault", "rewrap", "--add", "passphrase")
    assert (done.returncode, done.stdout) == (2, "")
    remedy = "credd-ctl vault rewrap --add passphrase --new-passphrase-stdin < FILE"
    assert done.stderr.splitlines()[-1] == remedy
    lab.sources = ["passphrase"]
    done = home.ctl("vault", "rekey")
    assert done.stderr.splitlines()[-1] == "credd-ctl vault rekey --passphrase-stdin < FILE"
    assert lab.asked("rewrap") + lab.asked("rekey") == []


@pytest.mark.parametrize("words", [[], ["--add", "file", "--only", "keyring"], ["--add", "paper"]])
def test_what_is_to_happen_to_the_others_must_be_said(
    home: Home, lab: Standin, words: list[str]
) -> None:
    """Neither both nor none of --add and --only."""
    assert home.ctl("vault", "rewrap", *words).returncode == 2
    assert lab.asked("rewrap") == []


@pytest.mark.parametrize(("state", "status"), [("locked", 6), ("absent", 4), ("unreadable", 9)])
@pytest.mark.parametrize("verb", [["rewrap", "--add", "file"], ["rekey"], ["accept"]])
def test_a_vault_that_is_not_open_is_not_asked_about(
    home: Home, lab: Standin, verb: list[str], state: str, status: int
) -> None:
    """Why not, and the way to open it; no secret is asked for in vain."""
    stands = lab._vault("", {}) | {"state": state, "detail": "shut", "remedy": "credd-ctl unlock"}
    lab._vault = lambda *_: stands  # type: ignore[method-assign]
    done = home.ctl("vault", *verb)
    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr == "credd-ctl: shut\ncredd-ctl unlock\n"


# --- rekey ------------------------------------------------------------------------------------


def test_rekey_asks_for_the_passphrase_and_renews_the_recovery_code(
    home: Home, lab: Standin
) -> None:
    """What the vault has decides what is asked; the new code is shown."""
    assert home.ctl("vault", "rekey").stdout == (
        "The vault is sealed under a new key, in a new file.\n"
    )
    lab.sources = ["passphrase", "recovery-code"]
    done = home.ctl("vault", "rekey", "--passphrase-stdin", stdin="pw\n")
    (shown,) = re.findall(CODE, done.stdout)
    assert lab.asked("rekey") == [
        {},
        {"passphrase": "pw", "new_recovery_code": parse_code(shown)},
    ]


def test_rekey_asks_a_person_first(home: Home, lab: Standin) -> None:
    """Unless --yes was said."""
    with home.terminal("vault", "rekey") as terminal:
        terminal.expect("Seal the vault anew")
        terminal.type("n\n")
        assert terminal.end() == 130
    assert lab.asked("rekey") == []
    with home.terminal("vault", "rekey", "--yes") as terminal:
        assert terminal.end() == 0


# --- accept -----------------------------------------------------------------------------------


def test_accept_says_yes_to_a_copied_vault_alone(home: Home, lab: Standin) -> None:
    """One that is no copy needs nothing."""
    assert "no copy" in home.ctl("vault", "accept").stdout
    assert lab.asked("accept") == []
    lab.restored = True
    done = home.ctl("vault", "accept", "--json")
    assert json.loads(done.stdout)["accepted"] is True
    assert len(lab.asked("accept")) == 1


def test_accept_asks_whether_the_original_runs_no_more(home: Home, lab: Standin) -> None:
    """That is the one thing that credd can't know."""
    lab.restored = True
    with home.terminal("vault", "accept") as terminal:
        terminal.expect("no longer runs?")
        terminal.type("y\n")
        assert terminal.end() == 0
    assert len(lab.asked("accept")) == 1


# --- reset ------------------------------------------------------------------------------------


def test_reset_needs_a_yes(home: Home, lab: Standin) -> None:
    """From a person, or from the command line; silence is none."""
    done = home.ctl("vault", "reset", "--erase")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1] == "credd-ctl vault reset --erase --yes"
    with home.terminal("vault", "reset") as terminal:
        terminal.expect("Move aside /state/vault.db?")
        terminal.type("\n")
        assert terminal.end() == 130
    assert lab.asked("reset") == []


def test_reset_lists_what_must_be_logged_in_again(home: Home, lab: Standin) -> None:
    """Where the vault is now, and a command for each login."""
    lab.credentials["home"] = credential("home")
    done = home.ctl("vault", "reset", "--yes")
    assert done.stdout.splitlines() == [
        "The vault was moved to /state/vault.db.aside-20261122T025047Z",
        "Log in again:",
        "  credd-ctl login home",
        "  credd-ctl login lab",
    ]
    assert lab.asked("reset") == [{}]
    told = json.loads(home.ctl("vault", "reset", "--erase", "--yes", "--json").stdout)
    assert (told["aside"], told["login_again"]) == ("", ["home", "lab"])
    assert lab.asked("reset")[1] == {"erase": "true"}


def test_t34_hostile_words_of_a_daemon_reach_no_terminal(home: Home, lab: Standin) -> None:
    """Escape sequences in a part's words or a path are dropped."""
    evil = "\x1b]0;owned\x07\u202e\x9b2J"
    lab.parts = [part(evil, "ok"), part("lab", evil, evil, evil)]  # type: ignore[list-item]
    lab._reset = lambda *_: {"aside": evil, "login_again": [evil]}  # type: ignore[method-assign]
    for words in (["vault", "verify"], ["vault", "reset", "--yes"]):
        done = home.ctl(*words)
        assert (done.stdout + done.stderr).replace("\n", "").isprintable()
