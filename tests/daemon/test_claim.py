"""Promises about the claim: one daemon for one home."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from credd.daemon.claim import claim, describe_daemon, is_network_folder
from credd.errors import AnotherDaemon, Misconfigured

FACTS = describe_daemon("/run/x.sock", "0.1.0", "boot")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """daemon.json in a state folder that is yet to be made."""
    return tmp_path / "state" / "daemon.json"


def test_the_claim_names_this_daemon_and_is_given_back(file: Path) -> None:
    """While it is held, daemon.json tells who serves; afterwards it is gone."""
    with claim(file, FACTS):
        assert json.loads(file.read_text())["pid"] == FACTS["pid"]
        assert file.stat().st_mode & 0o777 == 0o600
        assert file.parent.stat().st_mode & 0o777 == 0o700
    assert not file.exists()


def test_a_second_daemon_is_told_who_is_first(file: Path) -> None:
    """Host and process are named, and the first one's claim is untouched."""
    with claim(file, FACTS):
        first = f"process {FACTS['pid']} on {FACTS['host']}"
        with pytest.raises(AnotherDaemon, match=first), claim(file, {**FACTS, "pid": 1}):
            pass
        assert json.loads(file.read_text())["pid"] == FACTS["pid"]


def test_a_killed_daemon_leaves_no_lock(file: Path) -> None:
    """After SIGKILL the file is still there and the home can be claimed at once."""
    program = (
        "import os, sys, pathlib\n"
        "from credd.daemon.claim import claim, describe_daemon\n"
        "with claim(pathlib.Path(sys.argv[1]), describe_daemon('s', 'v', 'b')):\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(file)], check=False, timeout=30)
    assert done.returncode == -9
    assert file.exists()
    with claim(file, FACTS):
        assert json.loads(file.read_text())["pid"] == FACTS["pid"]


def test_another_hosts_claim_counts_on_a_network_file_system_only(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On NFS the first host is named; on a local disk a renamed machine goes on."""
    file.parent.mkdir(mode=0o700)
    file.write_text(json.dumps({**FACTS, "host": "login1", "pid": 77}))
    monkeypatch.setattr("credd.daemon.claim.is_network_folder", lambda folder: True)
    login1 = "process 77 on login1"
    with pytest.raises(AnotherDaemon, match=login1) as caught, claim(file, FACTS):
        pass
    assert caught.value.remedy.startswith(f"rm {file}")
    monkeypatch.setattr("credd.daemon.claim.is_network_folder", lambda folder: False)
    with claim(file, FACTS):
        assert file.exists()


def test_a_folder_that_others_may_enter_is_refused(file: Path) -> None:
    """The remedy can be pasted."""
    file.parent.mkdir(mode=0o755)
    file.parent.chmod(0o755)
    with pytest.raises(Misconfigured) as caught, claim(file, FACTS):
        pass
    assert caught.value.remedy == f"chmod 700 {file.parent}"


@pytest.mark.parametrize(
    ("kind", "network"), [("nfs4", True), ("ext4", False), ("lustre", True), ("tmpfs", False)]
)
def test_the_nearest_mount_decides(tmp_path: Path, kind: str, network: bool) -> None:
    """A home on NFS below a local root is on the network."""
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/vda / ext4 rw 0 0\nserver:/home {tmp_path} {kind} rw 0 0\n")
    assert is_network_folder(tmp_path / "home", mounts) is network


def test_a_system_without_a_mount_table_is_not_refused(tmp_path: Path) -> None:
    """macOS has no /proc."""
    assert not is_network_folder(tmp_path, tmp_path / "none")
