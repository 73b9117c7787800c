"""config.toml as it lies on disk, and the last version of it that was clean.

Rules: a file that others can write is not read at all: whoever writes it names the issuer to which
secrets go. Findings keep the old configuration in force; a missing file is an empty configuration.
"""

from __future__ import annotations

import os
from pathlib import Path

from credd import paths
from credd.core.config import BadConfig, Config, Finding, parse_config
from credd.core.provider_table import Catalog


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
        return parse_config(text, self.catalog)

    def load(self) -> bool:
        """Take the file's present content into force. False where findings kept the old one."""
        try:
            self.current = self.read()
        except BadConfig as bad:
            self.findings = bad.findings
            return False
        self.findings = []
        return True
