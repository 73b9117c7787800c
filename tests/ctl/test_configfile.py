"""config.toml is edited whole or not at all, and keeps what a person wrote."""

from __future__ import annotations

import os
import threading
import tomllib
from pathlib import Path

import pytest

from credd.ctl.configfile import ConfigFile
from credd.errors import Misconfigured

WRITTEN = """\
# my machine
[vault]
key = "file"   # decided on a Monday

[credentials.mlflow]   # the tracking server
provider = "infinstor"
tracking_uri = "infinstor://mlflow.example.com/"

[hooks]
on_login_required = ["notify-me", "--urgent"]
"""

ENTRY = {"provider": "oidc", "issuer": "https://login.example.org", "scopes": ["openid"]}


@pytest.fixture
def config(tmp_path: Path) -> ConfigFile:
    return ConfigFile(str(tmp_path / "config.toml"))


def text_of(config: ConfigFile) -> str:
    return Path(config.path).read_text("utf-8")


def test_the_first_entry_makes_the_file_and_its_folder(tmp_path: Path) -> None:
    """Folder 0700, file 0600, and nothing else in it."""
    config = ConfigFile(str(tmp_path / "credd" / "config.toml"))
    assert config.credentials() == {}
    config.add("lab", ENTRY)
    assert text_of(config).startswith('[credentials.lab]\nprovider = "oidc"\n')
    assert os.stat(config.path).st_mode & 0o777 == 0o600
    assert os.stat(config.folder).st_mode & 0o777 == 0o700
    assert os.listdir(config.folder) == ["config.toml"]


def test_an_edit_keeps_comments_and_order(config: ConfigFile) -> None:
    """What a person wrote stands as they wrote it, before and after an entry came and went."""
    Path(config.path).write_text(WRITTEN)
    config.add("lab", ENTRY)
    assert config.entry("lab") == ENTRY
    for line in WRITTEN.splitlines():
        assert line in text_of(config)
    assert config.drop("lab")
    assert text_of(config).strip() == WRITTEN.strip()


@pytest.mark.parametrize(
    "before",
    [
        "credentials = {mlflow = {provider = 'static'}}\n",
        "credentials.mlflow.provider = 'static'\n",
        "[credentials]\nmlflow = {provider = 'static'}\n",
        "[credentials]\n[credentials.mlflow]\nprovider = 'static'\n[daemon]\n",
        "[credentials.mlflow]\nprovider = 'static'\n[daemon]\n[credentials.zoo]\nprovider='x'\n",
        "[credentials.mlflow]\r\nprovider = 'static'\r\n",
    ],
)
def test_an_entry_can_be_added_however_the_others_are_written(
    config: ConfigFile, before: str
) -> None:
    """TOML has many spellings of a table; the result is always TOML with both entries."""
    Path(config.path).write_bytes(before.encode())
    config.add("lab", ENTRY)
    read = tomllib.loads(text_of(config))["credentials"]
    assert read["lab"] == ENTRY
    assert read["mlflow"] == {"provider": "static"}
    config.drop("lab")
    assert tomllib.loads(text_of(config)) == tomllib.loads(before)


def test_the_last_entry_can_be_dropped(config: ConfigFile) -> None:
    """What remains is a file that loads; dropping again does nothing."""
    config.add("lab", ENTRY)
    assert config.drop("lab")
    assert tomllib.loads(text_of(config)).get("credentials", {}) == {}
    assert not config.drop("lab")


def test_a_name_with_a_dot_stays_one_name(config: ConfigFile) -> None:
    """`lab.eu` is one credential, not a table in a table."""
    config.add("lab.eu", ENTRY)
    assert tomllib.loads(text_of(config))["credentials"] == {"lab.eu": ENTRY}


def test_the_vault_key_is_written_beside_what_is_there(config: ConfigFile) -> None:
    """`[vault] key` is replaced, its comment kept; without a file it is made."""
    Path(config.path).write_text(WRITTEN)
    config.choose_vault_key("passphrase")
    assert 'key = "passphrase"   # decided on a Monday' in text_of(config)
    fresh = ConfigFile(config.folder + "/other/config.toml")
    fresh.choose_vault_key("file")
    assert tomllib.loads(text_of(fresh)) == {"vault": {"key": "file"}}


def test_a_linked_file_stays_a_link(tmp_path: Path) -> None:
    """A config.toml in a dotfiles repository is edited there."""
    real = tmp_path / "dotfiles" / "credd.toml"
    real.parent.mkdir()
    real.write_text(WRITTEN)
    link = tmp_path / "config.toml"
    link.symlink_to(real)
    ConfigFile(str(link)).add("lab", ENTRY)
    assert link.is_symlink()
    assert "[credentials.lab]" in real.read_text()


def test_a_file_that_is_no_toml_is_left_alone(config: ConfigFile) -> None:
    """The error names the place, and the remedy opens it."""
    Path(config.path).write_text("[credentials\n")
    with pytest.raises(Misconfigured, match="line 1") as caught:
        config.check_writable()
    assert caught.value.remedy.endswith("config.toml")
    with pytest.raises(Misconfigured):
        config.add("lab", ENTRY)
    assert text_of(config) == "[credentials\n"


def test_a_folder_that_takes_no_file_is_noticed_before_the_login(tmp_path: Path) -> None:
    """check_writable tries what add will do, and leaves nothing behind."""
    (tmp_path / "credd").write_text("a file where the folder should be")
    config = ConfigFile(str(tmp_path / "credd" / "config.toml"))
    with pytest.raises(Misconfigured, match="credd"):
        config.check_writable()
    good = ConfigFile(str(tmp_path / "good" / "config.toml"))
    good.check_writable()
    assert os.listdir(good.folder) == []


def test_two_writers_take_turns(config: ConfigFile) -> None:
    """Sixteen logins that end at once all find their entry in the file."""
    names = [f"lab{number}" for number in range(16)]
    threads = [threading.Thread(target=config.add, args=(name, ENTRY)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(config.credentials()) == sorted(names)
