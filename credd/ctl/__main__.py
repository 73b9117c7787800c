"""The way in: credd-ctl's libraries first, then the command.

It runs on every Python that the guest wing supports, because people type `credd-ctl` there too:
without the libraries, or on a Python too old for them, it says which line installs them and
exits 9. The one hard thing: nothing above that check may fail to load there.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec

INSTALL = "pipx install 'credd[daemon]'"
OLDEST_PYTHON = (3, 11)
LIBRARIES = ("click", "rich", "tomlkit")
MISCONFIGURED = 9


def main() -> None:
    """Run credd-ctl and exit with its status."""
    lack = missing()
    if lack:
        sys.stderr.write(f"credd-ctl: {lack}\n{INSTALL}\n")
        sys.exit(MISCONFIGURED)
    from credd.ctl.app import cli

    for stream in (sys.stdout, sys.stderr):
        # An account name in another script must not end the command on an old terminal.
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    cli.main()


def missing() -> str:
    """What credd-ctl lacks here, in words; "" where it has all it needs."""
    if sys.version_info[:2] < OLDEST_PYTHON:
        found = "{}.{}".format(*sys.version_info[:2])
        return f"it needs Python 3.11 or newer, and this is {found}"
    absent = [name for name in LIBRARIES if find_spec(name) is None]
    if not absent:
        return ""
    return f"its libraries are not installed here: {', '.join(absent)}"


if __name__ == "__main__":
    main()
