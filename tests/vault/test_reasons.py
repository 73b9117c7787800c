"""Every reason has its row, and every row is fit for a person."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from credd.vault import vault as vault_module
from credd.vault.files import Unfit, check_folder, find_fault
from credd.vault.reasons import REASONS, problem

ROOM = Path(vault_module.__file__).parent
RAISED = re.compile(r'(?:KeyNotAtHand|Unreadable|_problem)\(\s*"([a-z_]+)"')
VAULT, KEY = Path("/home/o'hara/state/vault.db"), Path("/home/o'hara/config/vault.key")


def raised_reasons() -> set[str]:
    """Every reason that stands as a word in the code of this room."""
    return {
        word for module in ROOM.glob("*.py") for word in RAISED.findall(module.read_text("utf-8"))
    }


def composed_reasons() -> set[str]:
    """Those that are put together from two words."""
    sources = {"systemd", "keyring", "file"}
    faults = {"symlink", "not_a_file", "foreign_owner", "open_to_others", "hard_linked"}
    return (
        {
            f"{source}_{rest}"
            for source in sources
            for rest in ("key_short", "key_long", "other_key")
        }
        | {f"file_key_{fault}" for fault in faults}
        | faults
        | {"not_a_folder", "foreign_folder", "open_folder", "read_only", "disk_full", "io"}
    )


def test_every_reason_that_is_raised_has_a_row() -> None:
    """Nobody is told only "internal error"."""
    assert len(raised_reasons()) > 15
    assert (raised_reasons() | composed_reasons()) - REASONS.keys() == set()


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_a_reason_becomes_an_error_with_a_remedy_that_can_be_pasted(reason: str) -> None:
    """The paths in a remedy are quoted for a shell, and no placeholder is left."""
    error = problem(reason, VAULT, KEY)
    assert error.reason == reason
    assert "{" not in error.detail + error.remedy
    if "/home" in error.remedy:
        words = shlex.split(error.remedy.replace("&&", " "))
        assert any(word.startswith("/home/o'hara/") for word in words)


def test_a_reason_without_a_row_is_a_fault_of_ours() -> None:
    """Still an error of the tree, with the word in it."""
    assert problem("moonlight", VAULT, KEY).code == "internal_error"


def test_the_faults_of_a_file_are_told_apart(tmp_path: Path) -> None:
    """One word each, and none for a file that is ours alone."""
    place = tmp_path / "file"
    place.touch(0o600)
    assert find_fault(place.lstat()) == ""
    place.chmod(0o604)
    assert find_fault(place.lstat()) == "open_to_others"
    assert find_fault(tmp_path.lstat()) == "not_a_file"
    with pytest.raises(Unfit, match="not_a_folder"):
        check_folder(place)
