"""`python -m credd` and the command `credd`: the daemon, or the one line that says what it needs.

Rules: this file runs on every Python that a guest may have, and imports the daemon only when its
libraries are there.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

INSTALL = "pipx install 'credd[daemon]'"

NO_CERTIFICATES = {"SSL_CERT_FILE": "/dev/null", "SSL_CERT_DIR": "/dev/null"}
"""OpenSSL's own variables (SSL_CTX_set_default_verify_paths(3))."""

NEEDS = ("aiohttp", "cryptography", "jwt", "keyring", "msgspec", "watchfiles")


def main() -> int:
    """Run the daemon; its exit status."""
    missing = _missing()
    if missing:
        print(f"credd: the daemon needs {missing}", file=sys.stderr)
        print(INSTALL, file=sys.stderr)
        return 9
    return _load()()


def _load() -> Callable[[], int]:
    """Import the daemon, a quarter faster than as it comes.

    aiohttp parses all certificates of the system when it is imported, for requests that name no
    context; ours always name one, and so it is handed an empty store, which trusts nobody. And
    nothing that an import makes is garbage, so nobody looks for any.
    """
    import gc
    import os

    before = {name: os.environ.get(name) for name in NO_CERTIFICATES}
    os.environ.update(NO_CERTIFICATES)
    gc.disable()
    try:
        from credd.daemon.command import main as run
    finally:
        gc.enable()
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
    return run


def _missing() -> str:
    if sys.version_info < (3, 11):
        return "Python 3.11 or newer"
    from importlib.util import find_spec

    absent = [name for name in NEEDS if find_spec(name) is None]
    return "its libraries: " + ", ".join(absent) if absent else ""


if __name__ == "__main__":
    sys.exit(main())
