"""config.toml as it lies on disk: what keeps it from being taken into force."""

from __future__ import annotations

from pathlib import Path

import pytest

from credd.core.config import BadConfig
from credd.daemon.configuration import Configuration, unreadable_of
from credd.providers.catalog import load_catalog
from tests.world.strange_servers import self_signed

LAB = '[credentials.lab]\nprovider = "oidc"\nissuer = "https://a.example"\nclient_id = "x"\n'


@pytest.fixture
def configuration(tmp_path: Path) -> Configuration:
    tmp_path.chmod(0o700)
    return Configuration(tmp_path / "config.toml", load_catalog([]).catalog)


def write(configuration: Configuration, text: str) -> None:
    configuration.path.write_text(text)
    configuration.path.chmod(0o600)


def test_certificates_that_can_not_be_read_keep_the_old_configuration(
    configuration: Configuration, tmp_path: Path
) -> None:
    """Named by their place, each of them; nothing of the new text is in force."""
    write(configuration, LAB)
    assert configuration.load()
    before = configuration.current
    gone, hollow = tmp_path / "gone.pem", tmp_path / "hollow.pem"
    hollow.write_text("nothing")
    write(configuration, f'[network]\nca_file = "{gone}"\n{LAB}ca_file = "{hollow}"\n')
    assert not configuration.load()
    assert [str(finding) for finding in configuration.findings] == [
        "credentials.lab.ca_file: holds no certificates in PEM",
        "network.ca_file: can't be read (No such file or directory)",
    ]
    assert all(finding.remedy for finding in configuration.findings)
    assert configuration.current is before


def test_certificates_that_can_be_read_are_taken_into_force(
    configuration: Configuration, tmp_path: Path
) -> None:
    """With the very next reload."""
    _, chain = self_signed(tmp_path)
    write(configuration, f'[network]\nca_file = "{chain}"\n{LAB}ca_file = "{chain}"\n')
    assert configuration.load(), configuration.findings
    assert configuration.current.network.ca_file == str(chain)
    assert unreadable_of(configuration.current.credentials["lab"]) == []


def test_a_folder_is_no_file_of_certificates(configuration: Configuration, tmp_path: Path) -> None:
    """`credd --check` says so, and not the first refresh at night."""
    write(configuration, f'[network]\nca_file = "{tmp_path}"\n')
    with pytest.raises(BadConfig, match=r"network\.ca_file: can't be read"):
        configuration.read()
