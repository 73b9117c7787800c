"""Daemon and clients look in the same places, and trust only what is theirs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from credd import paths
from credd.errors import CreddError, Misconfigured

UID = 1234
LINUX, MACOS = "linux", "darwin"
HOME = {"HOME": "/home/me"}


def socket(environ: dict[str, str], *mine: str, platform: str = LINUX) -> str:
    return paths.socket_path(environ, UID, platform, lambda folder: folder in mine)


# --- the search -----------------------------------------------------------------------------

EVERYTHING = {
    "CREDD_SOCK": "/job/credd.sock",
    "CREDD_HOME": "/srv/credd",
    "XDG_RUNTIME_DIR": "/run/session",
    **HOME,
}
MINE = ("/run/session", "/run/user/1234")


def without(*names: str) -> dict[str, str]:
    return {name: value for name, value in EVERYTHING.items() if name not in names}


@pytest.mark.parametrize(
    ("environ", "mine", "expected"),
    [
        (EVERYTHING, MINE, "/job/credd.sock"),
        (without("CREDD_SOCK"), MINE, "/srv/credd/run/credd.sock"),
        (without("CREDD_SOCK", "CREDD_HOME"), MINE, "/run/session/credd/credd.sock"),
        (without("CREDD_SOCK", "CREDD_HOME"), MINE[1:], "/run/user/1234/credd/credd.sock"),
        (HOME, MINE, "/run/user/1234/credd/credd.sock"),
        (HOME, (), "/tmp/credd-1234/credd.sock"),
        ({}, (), "/tmp/credd-1234/credd.sock"),
        ({"CREDD_SOCK": "", "CREDD_HOME": ""}, (), "/tmp/credd-1234/credd.sock"),
        ({"XDG_RUNTIME_DIR": "run"}, ("run",), "/tmp/credd-1234/credd.sock"),
        ({"CREDD_HOME": "/srv/credd/"}, (), "/srv/credd/run/credd.sock"),
    ],
)
def test_the_socket_is_found_in_one_order(
    environ: dict[str, str], mine: tuple[str, ...], expected: str
) -> None:
    """CREDD_SOCK, CREDD_HOME, the session's runtime folder, the user's, and a folder in /tmp."""
    assert socket(environ, *mine) == expected


def test_a_runtime_folder_of_somebody_else_is_passed_over() -> None:
    """sudo keeps XDG_RUNTIME_DIR of the person who called it."""
    inherited = {"XDG_RUNTIME_DIR": "/run/user/1000"}
    assert socket(inherited, "/run/user/1234") == "/run/user/1234/credd/credd.sock"


def test_the_socket_on_macos_is_in_the_caches() -> None:
    """Where the system has no runtime folder; the variables of ours go first there too."""
    assert socket(HOME, platform=MACOS) == "/home/me/Library/Caches/dev.credd/credd.sock"
    assert socket(EVERYTHING, platform=MACOS) == "/job/credd.sock"


@pytest.mark.parametrize(("platform", "most"), [(LINUX, 107), (MACOS, 103)])
def test_t20_a_path_that_fits_no_socket_address_is_refused(platform: str, most: int) -> None:
    """`sun_path` holds 108 bytes on Linux and 104 on macOS, the closing NUL included."""
    fits = "/" + "x" * (most - 1)
    assert socket({"CREDD_SOCK": fits}, platform=platform) == fits
    with pytest.raises(Misconfigured, match=f"allows {most}") as caught:
        socket({"CREDD_SOCK": fits + "x"}, platform=platform)
    assert caught.value.remedy == "export CREDD_SOCK=/tmp/credd-$(id -u)/credd.sock"


def test_t20_a_socket_address_counts_bytes() -> None:
    """A name of 60 letters may have 120 bytes."""
    with pytest.raises(Misconfigured):
        socket({"CREDD_SOCK": "/" + "ü" * 60})


@pytest.mark.parametrize("variable", ["CREDD_SOCK", "CREDD_HOME"])
def test_a_relative_path_is_refused(variable: str) -> None:
    """Daemon and job start in different folders, so they would look in different places."""
    with pytest.raises(Misconfigured, match="relative") as caught:
        socket({variable: "run/x"})
    assert caught.value.remedy == f'export {variable}="$PWD/run/x"'


def test_a_remedy_runs_no_foreign_command() -> None:
    """What stands in a variable is repeated without anything that a shell would act on."""
    with pytest.raises(Misconfigured) as caught:
        socket({"CREDD_SOCK": 'x"; rm -rf $(HOME) `id`'})
    assert caught.value.remedy == 'export CREDD_SOCK="$PWD/xrm-rfHOMEid"'


@pytest.mark.parametrize(
    ("environ", "platform", "config", "state"),
    [
        (HOME, LINUX, "/home/me/.config/credd", "/home/me/.local/state/credd"),
        (
            {**HOME, "XDG_CONFIG_HOME": "/c/", "XDG_STATE_HOME": "/s"},
            LINUX,
            "/c/credd",
            "/s/credd",
        ),
        (
            {**HOME, "XDG_CONFIG_HOME": "c", "XDG_STATE_HOME": "s"},
            LINUX,
            "/home/me/.config/credd",
            "/home/me/.local/state/credd",
        ),
        ({"CREDD_HOME": "/srv"}, LINUX, "/srv", "/srv/state"),
        ({"CREDD_HOME": "/srv"}, MACOS, "/srv", "/srv/state"),
        (
            HOME,
            MACOS,
            "/home/me/Library/Application Support/credd",
            "/home/me/Library/Application Support/credd/state",
        ),
    ],
)
def test_configuration_and_state_have_their_places(
    environ: dict[str, str], platform: str, config: str, state: str
) -> None:
    """XDG on Linux, Library on macOS, and everything under CREDD_HOME where that is set."""
    assert paths.config_file(environ, platform) == config + "/config.toml"
    assert paths.config_folder(environ, platform) == config
    assert paths.key_file(environ, platform) == config + "/vault.key"
    assert paths.state_folder(environ, platform) == state
    assert paths.vault_file(environ, platform) == state + "/vault.db"
    assert paths.audit_file(environ, platform) == state + "/audit.jsonl"
    assert paths.daemon_file(environ, platform) == state + "/daemon.json"


def test_credd_config_names_the_file() -> None:
    """The key file goes with it; the state stays where it is."""
    environ = {**HOME, "CREDD_CONFIG": "/etc/credd/lab.toml"}
    assert paths.config_file(environ, LINUX) == "/etc/credd/lab.toml"
    assert paths.key_file(environ, LINUX) == "/etc/credd/vault.key"
    assert paths.state_folder(environ, LINUX) == "/home/me/.local/state/credd"


@pytest.mark.parametrize("platform", [LINUX, MACOS])
@pytest.mark.parametrize("environ", [HOME, {"CREDD_HOME": "/srv"}])
def test_the_key_is_never_beside_the_vault(environ: dict[str, str], platform: str) -> None:
    """A copy of the state folder holds no key."""
    key = os.path.dirname(paths.key_file(environ, platform))
    assert key != os.path.dirname(paths.vault_file(environ, platform))


@pytest.mark.parametrize("platform", [LINUX, MACOS])
@pytest.mark.parametrize("environ", [HOME, {"CREDD_HOME": "/srv"}, EVERYTHING])
def test_the_runtime_folder_is_apart_from_the_socket(
    environ: dict[str, str], platform: str
) -> None:
    """Containers mount the socket's folder, so nothing else lies in it."""
    own = paths.runtime_folder(environ, UID, platform, lambda folder: True)
    socket_folder = os.path.dirname(socket(environ, *MINE, platform=platform))
    assert not (own + "/").startswith(socket_folder + "/")
    assert own != paths.state_folder(environ, platform)


@pytest.mark.parametrize("home", [{}, {"HOME": ""}, {"HOME": "me"}])
def test_without_a_home_the_remedy_sets_one(home: dict[str, str]) -> None:
    """A service may start without HOME."""
    with pytest.raises(Misconfigured) as caught:
        paths.config_file(home, LINUX)
    assert caught.value.remedy == "unset HOME; export HOME=~"


# --- the socket's folder --------------------------------------------------------------------


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder that is ours alone."""
    made = tmp_path / "own"
    made.mkdir(mode=0o700)
    return made


def test_a_private_folder_is_fit_for_the_socket(own: Path) -> None:
    """0700 and ours."""
    assert paths.find_folder_fault(str(own), os.geteuid()) is None
    paths.check_socket_folder(str(own), os.geteuid())
    assert paths.is_own_folder(str(own))


@pytest.mark.parametrize("bit", [0o040, 0o020, 0o010, 0o004, 0o002, 0o001])
def test_a_folder_open_to_others_is_unfit(own: Path, bit: int) -> None:
    """Any right of group or others, and the remedy closes it."""
    own.chmod(0o700 | bit)
    with pytest.raises(Misconfigured, match="open to others") as caught:
        paths.check_socket_folder(str(own), os.geteuid())
    assert caught.value.remedy == f"chmod 700 {own}"


def test_a_remedy_quotes_what_a_shell_would_read_otherwise(own: Path) -> None:
    """A folder may have a space in its name."""
    spaced = own / "a b; c"
    spaced.mkdir(mode=0o755)
    spaced.chmod(0o755)
    with pytest.raises(Misconfigured) as caught:
        paths.check_socket_folder(str(spaced), os.geteuid())
    assert caught.value.remedy == f"chmod 700 '{spaced}'"


def test_a_folder_of_another_uid_is_unfit(own: Path) -> None:
    """Not even root's: who owns it can put another listener there."""
    with pytest.raises(Misconfigured, match="belongs to uid"):
        paths.check_socket_folder(str(own), os.geteuid() + 1)


def test_a_link_or_a_file_is_no_folder(own: Path) -> None:
    """A link is refused even where it leads to a folder that would do."""
    (own / "link").symlink_to(own)
    (own / "file").touch(0o700)
    for name in ("link", "file"):
        with pytest.raises(Misconfigured, match="not a real folder"):
            paths.check_socket_folder(str(own / name), os.geteuid())
        assert not paths.is_own_folder(str(own / name))


def test_a_missing_folder_is_the_callers_to_make(own: Path) -> None:
    """The daemon makes it, a client waits for it."""
    with pytest.raises(FileNotFoundError):
        paths.check_socket_folder(str(own / "none"), os.geteuid())
    assert not paths.is_own_folder(str(own / "none"))


def test_this_process_finds_its_socket(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The search with this process's environment, uid and platform."""
    monkeypatch.setenv("CREDD_SOCK", "/job/credd.sock")
    assert paths.current_socket_path() == "/job/credd.sock"


# --- the configuration ----------------------------------------------------------------------


@pytest.fixture
def config(own: Path) -> Path:
    """A configuration that is in order."""
    made = own / "config.toml"
    made.touch(0o600)
    return made


def complaint(config: Path, euid: int | None = None) -> CreddError:
    with pytest.raises(Misconfigured) as caught:
        paths.check_config(str(config), os.geteuid() if euid is None else euid)
    assert caught.value.exit_code == 9
    return caught.value


def test_a_configuration_of_ours_is_in_order(config: Path) -> None:
    """Readable by others is no fault: it holds no secret."""
    config.chmod(0o644)
    config.parent.chmod(0o755)
    paths.check_config(str(config), os.geteuid())


def test_no_configuration_is_in_order_too(own: Path) -> None:
    """The first start has none, nor a folder for it."""
    paths.check_config(str(own / "config.toml"), os.geteuid())
    paths.check_config(str(own / "none" / "config.toml"), os.geteuid())


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_configuration_others_can_write_is_refused(config: Path, mode: int) -> None:
    """Whoever writes it chooses the issuer."""
    config.chmod(mode)
    assert complaint(config).remedy == f"chmod 600 {config}"


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777, 0o1777])
def test_a_folder_others_can_write_is_refused(config: Path, mode: int) -> None:
    """Whoever writes to the folder can put another file there."""
    config.parent.chmod(mode)
    assert complaint(config).remedy == f"chmod 700 {config.parent}"


def test_a_configuration_of_another_user_is_refused(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ours or root's; the remedy shows whose it is."""
    really = os.lstat

    def somebodys(path: str) -> os.stat_result:
        found = really(path)
        return os.stat_result((*found[:4], 4321, *found[5:]))

    monkeypatch.setattr(os, "lstat", somebodys)
    found = complaint(config)
    assert "belongs to uid 4321" in found.detail
    assert found.remedy == f"ls -ld {config.parent}"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has files of root's")
def test_a_configuration_of_roots_is_in_order(config: Path) -> None:
    """An administrator may write it for us."""
    paths.check_config(str(config), 4321)


def test_a_linked_configuration_is_held_to_the_same_rule(own: Path, tmp_path: Path) -> None:
    """Settings kept under version control: file and folder behind the link count as well."""
    kept = tmp_path / "kept"
    kept.mkdir(mode=0o755)
    (kept / "credd.toml").touch(0o644)
    config = own / "config.toml"
    config.symlink_to(kept / "credd.toml")
    paths.check_config(str(config), os.geteuid())
    kept.chmod(0o777)
    assert complaint(config).remedy == f"chmod 700 {kept}"
    kept.chmod(0o755)
    (kept / "credd.toml").chmod(0o666)
    assert complaint(config).remedy == f"chmod 600 {kept / 'credd.toml'}"


def test_a_linked_folder_is_held_to_the_same_rule(own: Path, config: Path) -> None:
    """~/.config/credd may be a link, too."""
    link = own.parent / "link"
    link.symlink_to(own)
    paths.check_config(str(link / "config.toml"), os.geteuid())
    own.chmod(0o770)
    assert complaint(link / "config.toml").remedy == f"chmod 700 {own}"
