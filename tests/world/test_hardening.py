"""Hardening: what a process looks like to others of its user, afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.world.other_uid import BECOME, needs_other_uid

ROOT = Path(__file__).parents[2]

HARDENED = """
import os, resource, sys
from credd.world.hardening import harden
left = harden()
os.close(os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY, 0o666))
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
print(left, resource.getrlimit(resource.RLIMIT_CORE), soft == min(hard, 65536), flush=True)
sys.stdin.read()
"""

PEEK = """
import ctypes, sys
pid, refused = sys.argv[1], []
for name in ("environ", "mem", "maps"):
    try:
        open(f"/proc/{pid}/{name}", "rb").read(1)
    except PermissionError:
        refused.append(name)
PTRACE_ATTACH = 16
if ctypes.CDLL(None).ptrace(PTRACE_ATTACH, int(pid), 0, 0) == -1:
    refused.append("ptrace")
print(*refused)
"""


@needs_other_uid
def test_t54_another_process_of_the_user_can_not_look_inside(tmp_path: Path) -> None:
    """No ptrace, no memory, no environment; and what is written is the user's alone."""
    tmp_path.chmod(0o777)
    for folder in tmp_path.parents[:-2]:
        folder.chmod(folder.stat().st_mode | 0o011)
    command = [*BECOME, sys.executable, "-c", HARDENED, str(tmp_path / "file")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        said = process.stdout.readline()
        peek = [*BECOME, sys.executable, "-c", PEEK, str(process.pid)]
        refused = subprocess.run(peek, capture_output=True, text=True, check=True).stdout
        process.stdin.close()
    assert said == "[] (0, 0) True\n"
    assert refused.split() == ["environ", "mem", "maps", "ptrace"]
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600


def test_a_step_that_has_no_effect_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a system offers no such switch, a sentence says what is left open."""
    from credd.world import hardening

    monkeypatch.setattr(hardening.sys, "platform", "darwin")
    monkeypatch.setattr(hardening.resource, "setrlimit", lambda *_: None)
    before = os.umask(0o077)
    try:
        assert hardening.harden() == ["other processes of this user can read this one's memory"]
    finally:
        os.umask(before)


def test_the_file_limit_never_falls(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is raised to what is allowed, and a refusal leaves it as it was."""
    from credd.world import hardening

    limits = [(256, 512)]
    monkeypatch.setattr(hardening.resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(hardening.resource, "setrlimit", lambda _, pair: limits.append(pair))
    assert hardening.raise_file_limit() == 512
    assert limits[-1] == (512, 512)
    limits.append((100_000, 100_000))
    assert hardening.raise_file_limit() == 100_000

    def refuse(*_: object) -> None:
        raise ValueError("not allowed to raise maximum limit")

    limits.append((256, hardening.resource.RLIM_INFINITY))
    monkeypatch.setattr(hardening.resource, "setrlimit", refuse)
    assert hardening.raise_file_limit() == 256
