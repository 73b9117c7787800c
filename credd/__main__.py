"""`python -m credd` and the command `credd`: the daemon, or the one line that says what it needs.

Rules: this file runs on every Python that a guest may have, and imports the daemon only when its
libraries are there.
"""

from __future__ import annotations

import sys

INSTALL = "pipx install 'credd[daemon]'"

NEEDS = ("aiohttp", "cryptography", "jwt", "keyring", "msgspec", "watchfiles")


def main() -> int:
    """Run the daemon; its exit status."""
    missing = _missing()
    if missing:
        print(f"credd: the daemon needs {missing}", file=sys.stderr)
        print(INSTALL, file=sys.stderr)
        return 9
    from credd.daemon.command import main as run

    return run()


def _missing() -> str:
    if sys.version_info < (3, 11):
        return "Python 3.11 or newer"
    from importlib.util import find_spec

    absent = [name for name in NEEDS if find_spec(name) is None]
    return "its libraries: " + ", ".join(absent) if absent else ""


if __name__ == "__main__":
    sys.exit(main())
