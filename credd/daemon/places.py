"""Where this daemon's files lie: the ordered search of `credd.paths`, asked once.

Rules: command-line options are only another spelling of the environment's variables, so that daemon
and clients can't come to different answers.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from credd import paths


@dataclass(frozen=True, slots=True)
class Places:
    """Absolute paths of everything the daemon reads, writes or binds."""

    config: Path
    key_file: Path
    state: Path
    vault: Path
    daemon_file: Path
    audit: Path
    sockets_file: Path
    runtime: Path
    socket: str


def find_places(environ: Mapping[str, str]) -> Places:
    """The places that this environment names. Raises Misconfigured for one that can't be used."""
    euid, platform = os.geteuid(), sys.platform
    own = paths.is_own_folder
    return Places(
        config=Path(paths.config_file(environ, platform)),
        key_file=Path(paths.key_file(environ, platform)),
        state=Path(paths.state_folder(environ, platform)),
        vault=Path(paths.vault_file(environ, platform)),
        daemon_file=Path(paths.daemon_file(environ, platform)),
        sockets_file=Path(paths.sockets_file(environ, platform)),
        audit=Path(paths.audit_file(environ, platform)),
        runtime=Path(paths.runtime_folder(environ, euid, platform, own)),
        socket=paths.socket_path(environ, euid, platform, own),
    )
