"""Where things lie: one ordered search for the socket, the configuration and the state.

Daemon and clients both ask here, so that they can't look in different places. The searches are
pure: environment, effective uid, platform (`sys.platform`) and the question "is this folder mine?"
are handed in. The checks further down look at the world, and only through `os.lstat`.

It refuses to create, to change, or to follow anything. The one hard thing: whoever can write to the
socket's folder or to the configuration can take our place, so both are checked before use.

It is loaded by every credd-token, hence only modules that Python's own start has loaded.
"""

from __future__ import annotations

import os
import stat
import sys

TYPE_CHECKING = False  # not typing's: importing typing would cost more than this file
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from credd.errors import Misconfigured

SOCKET_NAME = "credd.sock"

SUN_PATH = 108
"""Bytes of `sun_path` on Linux, the closing NUL included (unix(7))."""

SUN_PATH_MACOS = 104
"""The same on macOS (`sys/un.h`)."""

MACOS = "darwin"


def socket_path(
    environ: Mapping[str, str], euid: int, platform: str, is_mine: Callable[[str], bool]
) -> str:
    """The socket's path, absolute: the first place of the search that applies.

    `is_mine(folder)` says whether a folder exists and is ours; it is asked only for runtime folders
    that the system makes, since an XDG_RUNTIME_DIR inherited through sudo belongs to someone else.
    Raises Misconfigured for a relative path or one that does not fit a socket address.
    """
    path = _find_socket(environ, euid, platform, is_mine)
    check_length(path, platform)
    return path


def _find_socket(
    environ: Mapping[str, str], euid: int, platform: str, is_mine: Callable[[str], bool]
) -> str:
    if environ.get("CREDD_SOCK"):
        return _absolute(environ, "CREDD_SOCK")
    if environ.get("CREDD_HOME"):
        return _absolute(environ, "CREDD_HOME") + "/run/" + SOCKET_NAME
    return _system_folder(environ, euid, platform, is_mine) + "/" + SOCKET_NAME


def _system_folder(
    environ: Mapping[str, str], euid: int, platform: str, is_mine: Callable[[str], bool]
) -> str:
    """The socket's folder where no variable of ours names one."""
    if platform == MACOS:
        return _home(environ) + "/Library/Caches/dev.credd"
    for folder in (environ.get("XDG_RUNTIME_DIR", ""), f"/run/user/{euid}"):
        if folder.startswith("/") and is_mine(folder):
            return folder.rstrip("/") + "/credd"
    return f"/tmp/credd-{euid}"  # noqa: S108 - ours by owner and mode, which is checked before use


def check_length(path: str, platform: str) -> None:
    """Raise Misconfigured if the path doesn't fit a socket address, its closing NUL included."""
    limit = (SUN_PATH_MACOS if platform == MACOS else SUN_PATH) - 1
    length = len(os.fsencode(path))
    if length > limit:
        raise _misconfigured(
            f"the socket's path has {length} bytes, and this system allows {limit}: {path}",
            "export CREDD_SOCK=/tmp/credd-$(id -u)/credd.sock",
        )


def config_file(environ: Mapping[str, str], platform: str) -> str:
    """`config.toml`: CREDD_CONFIG, else in CREDD_HOME, else where this platform keeps settings."""
    if environ.get("CREDD_CONFIG"):
        return _absolute(environ, "CREDD_CONFIG")
    return _config_home(environ, platform) + "/config.toml"


def config_folder(environ: Mapping[str, str], platform: str) -> str:
    """The folder of `config.toml`."""
    return os.path.dirname(config_file(environ, platform))


def key_file(environ: Mapping[str, str], platform: str) -> str:
    """`vault.key`: beside config.toml and never beside the vault, so that no backup holds both."""
    return config_folder(environ, platform) + "/vault.key"


def _config_home(environ: Mapping[str, str], platform: str) -> str:
    if environ.get("CREDD_HOME"):
        return _absolute(environ, "CREDD_HOME")
    return _user_folder(environ, platform, "XDG_CONFIG_HOME", "/.config")


def state_folder(environ: Mapping[str, str], platform: str) -> str:
    """The folder of all that credd keeps: vault, audit trail, daemon.json."""
    if environ.get("CREDD_HOME"):
        return _absolute(environ, "CREDD_HOME") + "/state"
    if platform == MACOS:
        # Apart from config.toml, because the key file lies there.
        return _user_folder(environ, platform, "", "") + "/state"
    return _user_folder(environ, platform, "XDG_STATE_HOME", "/.local/state")


def vault_file(environ: Mapping[str, str], platform: str) -> str:
    """The sealed store."""
    return state_folder(environ, platform) + "/vault.db"


def audit_file(environ: Mapping[str, str], platform: str) -> str:
    """The append-only trail."""
    return state_folder(environ, platform) + "/audit.jsonl"


def sockets_file(environ: Mapping[str, str], platform: str) -> str:
    """`sockets.json`: which job sockets there are; no secret is in it."""
    return state_folder(environ, platform) + "/sockets.json"


def daemon_file(environ: Mapping[str, str], platform: str) -> str:
    """`daemon.json`: which daemon serves this home."""
    return state_folder(environ, platform) + "/daemon.json"


def runtime_folder(
    environ: Mapping[str, str], euid: int, platform: str, is_mine: Callable[[str], bool]
) -> str:
    """Where a rotated token waits, sealed, while the vault's disk is full.

    Beside the socket's folder and never in it, since containers mount that one; and apart from the
    vault, since that is the disk that failed.
    """
    if environ.get("CREDD_HOME"):
        return _absolute(environ, "CREDD_HOME") + "/runtime"
    return _system_folder(environ, euid, platform, is_mine) + "-runtime"


def _user_folder(environ: Mapping[str, str], platform: str, variable: str, default: str) -> str:
    """credd's folder below the user's home. A relative XDG folder is ignored, as XDG demands."""
    if platform == MACOS:
        return _home(environ) + "/Library/Application Support/credd"
    named = environ.get(variable, "")
    base = named.rstrip("/") if named.startswith("/") else _home(environ) + default
    return base + "/credd"


def _home(environ: Mapping[str, str]) -> str:
    if not environ.get("HOME", "").startswith("/"):
        # A shell expands ~ from the user database when HOME is not set.
        raise _misconfigured("HOME does not name a folder", "unset HOME; export HOME=~")
    return environ["HOME"].rstrip("/")


def _absolute(environ: Mapping[str, str], variable: str) -> str:
    """A variable's path. Relative ones are refused: daemon and job start in different folders."""
    value = environ[variable]
    if not value.startswith("/"):
        raise _misconfigured(
            f"{variable} is a relative path: {value}", f'export {variable}="$PWD/{_bare(value)}"'
        )
    return value.rstrip("/") or "/"


def _bare(value: str) -> str:
    """The part of a relative path that is safe between double quotes in a shell line."""
    return "".join(sign for sign in value if sign.isalnum() or sign in "._-/")


# --- what looks at the world ----------------------------------------------------------------


def current_socket_path() -> str:
    """`socket_path` for this process: its environment, its effective uid, its platform."""
    return socket_path(os.environ, os.geteuid(), sys.platform, is_own_folder)


def is_own_folder(folder: str) -> bool:
    """Whether this is a folder, no symbolic link, and ours: the question `socket_path` asks."""
    try:
        found = os.lstat(folder)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()


def find_folder_fault(
    folder: str, euid: int, closed_to_others: int = 0o077
) -> tuple[str, str] | None:
    """What makes this folder unfit for our socket, as (detail, remedy); None if it is fit.

    Fit is a real folder, of `euid`, and closed to group and others: no bit of `closed_to_others` is
    set in its mode. (A job socket for another uid lies in a folder which others may enter.) Raises
    OSError as `os.lstat` does (FileNotFoundError where there is none).
    """
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode):
        return (f"the socket's folder is not a real folder: {folder}", f"ls -ld {quoted(folder)}")
    if found.st_uid != euid:
        return (
            f"the socket's folder belongs to uid {found.st_uid}, and should to {euid}: {folder}",
            f"ls -ld {quoted(folder)}",
        )
    if found.st_mode & closed_to_others:
        mode = f"{0o777 & ~closed_to_others:o}"
        return (
            f"the socket's folder is open to others: {folder}",
            f"chmod {mode} {quoted(folder)}",
        )
    return None


def check_socket_folder(folder: str, euid: int, closed_to_others: int = 0o077) -> None:
    """Raise Misconfigured unless the folder is fit for our socket; OSError as `os.lstat` does."""
    fault = find_folder_fault(folder, euid, closed_to_others)
    if fault is not None:
        raise _misconfigured(*fault)


def check_config(path: str, euid: int) -> None:
    """Raise Misconfigured unless config.toml and its folder are ours or root's alone to write.

    A symbolic link is followed, and what it leads to is held to the same rule: settings are often
    kept in a folder under version control. What does not exist can't be wrong. Raises OSError
    where a folder can't be looked at.
    """
    for place in (os.path.dirname(path) or ".", path):
        for real in {place, os.path.realpath(place)}:
            _check_owned(real, euid)
    real = os.path.realpath(path)
    if real != path:
        _check_owned(os.path.dirname(real), euid)


def _check_owned(path: str, euid: int) -> None:
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if found.st_uid not in (euid, 0):
        raise _misconfigured(
            f"{path} belongs to uid {found.st_uid}, neither to us ({euid}) nor to root",
            f"ls -ld {quoted(path)}",
        )
    # The mode of a symbolic link says nothing; whoever may replace it is said by its folder.
    if found.st_mode & 0o022 and not stat.S_ISLNK(found.st_mode):
        mode = "700" if stat.S_ISDIR(found.st_mode) else "600"
        raise _misconfigured(f"others can write to {path}", f"chmod {mode} {quoted(path)}")


def quoted(path: str) -> str:
    """The path as one word of a shell line, for a remedy."""
    from shlex import quote  # noqa: PLC0415 - loads re: only for somebody who reads an error

    return quote(path)


def _misconfigured(detail: str, remedy: str) -> Misconfigured:
    from credd.errors import Misconfigured  # noqa: PLC0415 - no price for who needs no error

    return Misconfigured(detail, remedy=remedy)
