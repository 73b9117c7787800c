"""Where this command finds the daemon, and its configuration.

One Session a run: the environment with `--socket` and `--home` laid over it, a client made on
first use, the configuration file. Refuses to know any verb. The one hard thing: an option is
stronger than the environment, so `--home X` must not be undone by a CREDD_SOCK left over in the
shell.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from credd import paths

if TYPE_CHECKING:
    from credd.client.calls import Calls
    from credd.ctl.configfile import ConfigFile


ANSWER = 30.0
"""Seconds a person waits for an answer: an issuer that is slow to revoke needs half of it."""

IMPORT = 150.0
"""Seconds for an import: an issuer may take 90 for a refresh, after 10 and more for discovery."""

SLOW_ANSWER = 180.0
"""Seconds a person waits for what waits for an issuer's answer under way (90 at most), and then
writes every record anew."""

REFUSED = 3.0
"""Seconds a person waits for a daemon that is being restarted: a supervisor needs about one."""

ABSENT = 0.5
"""Seconds a person waits for a socket that isn't there: a daemon just started with `&` makes it."""


class Session:
    """The places of one run of credd-ctl."""

    def __init__(self) -> None:
        self.socket: str | None = None
        self.home: str | None = None

    def __repr__(self) -> str:
        return f"<Session socket={self.socket} home={self.home}>"

    def environ(self) -> dict[str, str]:
        """The environment as the options correct it; what `exec` hands to its child, too."""
        environ = dict(os.environ)
        if self.home is not None:
            environ["CREDD_HOME"] = os.path.abspath(self.home)
            # Left over from another home, these would be stronger than the option.
            environ.pop("CREDD_SOCK", None)
            environ.pop("CREDD_CONFIG", None)
        if self.socket is not None:
            environ["CREDD_SOCK"] = os.path.abspath(self.socket)
        return environ

    def socket_path(self) -> str:
        """The daemon's socket. Raises Misconfigured where no usable path is to be had."""
        return paths.socket_path(self.environ(), os.geteuid(), sys.platform, paths.is_own_folder)

    def state_folder(self) -> str:
        """The folder of what credd keeps."""
        return paths.state_folder(self.environ(), sys.platform)

    def config(self) -> ConfigFile:
        """config.toml, checked as the daemon checks it: ours or root's alone to write.

        Raises Misconfigured.
        """
        from credd.ctl.configfile import ConfigFile

        path = paths.config_file(self.environ(), sys.platform)
        paths.check_config(path, os.geteuid())
        return ConfigFile(path)

    def client(self) -> Calls:
        """A client for a person, who should learn soon that nobody is there."""
        from credd.client.calls import Calls

        return Calls(self.socket_path(), ANSWER, refused=REFUSED, absent=ABSENT)

    def slow_client(self) -> Calls:
        """The same for what may take its time."""
        from credd.client.calls import Calls

        return Calls(self.socket_path(), SLOW_ANSWER, refused=REFUSED, absent=ABSENT)

    def hasty_client(self, timeout: float) -> Calls:
        """A client that waits at most `timeout` seconds in all, for who asks again anyway."""
        from credd.client.calls import Calls

        return Calls(self.socket_path(), timeout, refused=0.0, absent=0.0)

    def client_for_import(self) -> Calls:
        """A client that waits for a refresh at a slow issuer: its answer decides what is kept."""
        from credd.client.calls import Calls

        return Calls(self.socket_path(), IMPORT, refused=REFUSED, absent=ABSENT)

    def patient_client(self) -> Calls:
        """A client for scripts and jobs, which a daemon's restart must not disturb."""
        from credd.client.calls import Calls

        return Calls(self.socket_path())
