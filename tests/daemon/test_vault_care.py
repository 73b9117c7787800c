"""The daemon's chores about the vault: what is asked at the socket, done with a real vault."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from credd.broker.grants import Grants
from credd.broker.shelf import Shelf
from credd.core.model import Secret
from credd.daemon.vault_care import VaultCare
from credd.errors import CreddError, Locked
from tests.fakes.house import FakeSurroundings, credential
from tests.fakes.virtual_time import VirtualClock
from tests.vault.homes import Home
from tests.vault.test_care import CODE


class House:
    """The vault of a home, and those who work with it."""

    def __init__(self, home: Home) -> None:
        around = FakeSurroundings(VirtualClock())
        self.home = home
        self.vault = home.vault()
        self.shelf = Shelf(self.vault, around, {})
        self.care = VaultCare(self.vault, self.shelf, Grants(self.shelf, self.vault, around))


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """A daemon's worth of it, opened, with a vault that has a key file and one damaged record."""
    home = Home(tmp_path)
    await home.fill({"lab": b"no record that credd can read"})
    made = House(home)
    await made.care.open_vault()
    yield made
    await made.vault.close()


async def test_where_it_stands_is_told_without_a_secret(house: House) -> None:
    """State, sources and place; a reason and a remedy where it isn't open."""
    told = house.care.vault()
    assert (told["state"], told["sources"], told["detail"]) == ("open", ["file"], "")
    assert told["file"] == str(house.home.path)
    await house.vault.close()
    told = house.care.vault()
    assert (told["state"], told["remedy"]) == ("locked", "credd-ctl unlock")


async def test_verify_looks_again_at_what_was_mended(house: House) -> None:
    """Others could read the vault; then somebody took the right command."""
    await house.vault.close()
    house.home.path.chmod(0o644)
    await house.care.open_vault()
    found = await house.care.verify_vault()
    assert found["damaged"] == 1
    assert found["remedy"].startswith("chmod 600 ")
    house.home.path.chmod(0o600)
    found = await house.care.verify_vault()
    assert (found["damaged"], found["remedy"]) == (0, "")
    assert {"record", "index", "header"} <= {part["part"] for part in found["parts"]}


async def test_keys_are_changed_as_they_were_asked_for(house: House) -> None:
    """The recovery code goes in, and opens; what comes back names sources alone."""
    code = CODE.reveal()
    told = await house.care.rewrap_vault({"sources": ["recovery-code"], "new_recovery_code": code})
    assert told["sources"] == ["file", "recovery-code"]
    assert code not in str(told)
    with pytest.raises(Locked):
        await house.care.rekey_vault({})
    told = await house.care.rekey_vault({"new_recovery_code": code})
    assert told["state"] == "open"
    await house.vault.close()
    house.home.key_file.unlink()
    await house.care.open_vault()
    assert not house.shelf.all() or house.care.vault()["state"] == "locked"
    await house.care.recover(Secret(code))
    assert house.care.vault()["state"] == "open"


async def test_a_reset_forgets_what_the_vault_held(house: House) -> None:
    """Names and place are told; afterwards a new vault is read as a new one."""
    house.shelf.place("api").credential = credential("api")
    told = await house.care.reset_vault(erase=False)
    assert told["login_again"] == ["lab"], "the damaged one; `api` never had a login"
    assert os.listdir(house.home.path.parent).count(Path(told["aside"]).name) == 1
    assert house.care.vault()["state"] == "absent"
    assert not house.shelf.loaded
    with pytest.raises(CreddError):
        await house.care.reset_vault(erase=False)
    await house.vault.create("file")
    assert await house.care.retry_vault()
