"""config.toml as it lies on disk, and the last version of it that was clean.

Rules: a file that others can write is not read at all: whoever writes it names the issuer to which
secrets go. Findings keep the old configuration in force; a missing file is an empty configuration.
"""

from __future__ import annotations

import os
from pathlib import Path

from credd import paths
from credd.core.config import BadConfig, Config, Finding, parse_config
from credd.core.model import Credential
from credd.core.provider_table import Catalog
from credd.world.trust import ca_problem


class Configuration:
    """Reads, checks, and remembers what is in force."""

    def __init__(self, path: Path, catalog: Catalog) -> None:
        self.path = path
        self.catalog = catalog
        self.current = Config.empty()
        self.findings: list[Finding] = []

    def read(self) -> Config:
        """What the file says now. Raises BadConfig, and Misconfigured where others may write it."""
        try:
            paths.check_config(str(self.path), os.geteuid())
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return Config.empty()
        except UnicodeDecodeError:
            finding = Finding(self.path.name, "is no UTF-8 text", "save it as UTF-8")
            raise BadConfig([finding]) from None
        config = parse_config(text, self.catalog)
        if findings := unreadable(config):
            raise BadConfig(findings)
        return config

    def load(self) -> bool:
        """Take the file's present content into force. False where findings kept the old one."""
        try:
            self.current = self.read()
        except BadConfig as bad:
            self.findings = bad.findings
            return False
        self.findings = []
        return True


def unreadable(config: Config) -> list[Finding]:
    """A finding for each file of certificates that can't be used: every request would fail."""
    found = _judged("network.ca_file", config.network.ca_file)
    return [*found, *(one for each in config.credentials.values() for one in unreadable_of(each))]


def unreadable_of(credential: Credential) -> list[Finding]:
    """The same for one credential."""
    return _judged(f"credentials.{credential.name}.ca_file", credential.ca_file)


def _judged(place: str, ca_file: str) -> list[Finding]:
    problem = ca_problem(ca_file) if ca_file else ""
    remedy = "name a readable file of certificates in PEM"
    return [Finding(place, problem, remedy)] if problem else []
