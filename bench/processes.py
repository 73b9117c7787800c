"""Commands as whole processes: how long each takes, and how much memory at its peak.

Knows how to start a process cheaply and how to look at it while it runs. Nothing it measures may
fail: a failing command is fast.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from bench import measuring


def check_it_works(command: Sequence[str], environ: Mapping[str, str]) -> None:
    """A failing command is fast, and not what is to be measured: end the program."""
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if done.returncode or not done.stdout.strip():
        sys.exit(f"{' '.join(command)} ends with {done.returncode}: {done.stderr}")


def wall(
    commands: Sequence[Sequence[str]], environ: Mapping[str, str], rounds: int
) -> list[list[float]]:
    """Seconds of each command, in turn."""
    return measuring.in_turn([partial(wall_seconds, one, environ) for one in commands], rounds)


def peaks(
    commands: Sequence[Sequence[str]], environ: Mapping[str, str], rounds: int
) -> list[list[float]]:
    """Bytes of each command at its peak, in turn."""
    return measuring.in_turn([partial(peak_bytes, one, environ) for one in commands], rounds)


def start(command: Sequence[str], environ: Mapping[str, str]) -> int:
    """Start a process whose standard output goes nowhere; its pid."""
    to_nowhere = [(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)]
    return os.posix_spawn(command[0], list(command), dict(environ), file_actions=to_nowhere)


def wall_seconds(command: Sequence[str], environ: Mapping[str, str]) -> float:
    """From before the process starts until it is gone."""
    begin = time.perf_counter()
    os.waitpid(start(command, environ), 0)
    return time.perf_counter() - begin


def peak_bytes(command: Sequence[str], environ: Mapping[str, str]) -> float:
    """The high-water mark of resident memory, as last seen before the process ended."""
    pid = start(command, environ)
    seen = 0.0
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        seen = _resident_peak(pid) or seen
    return seen


def _resident_peak(pid: int) -> float:
    """VmHWM in bytes; 0 where the process is ending, or this system has no /proc."""
    try:
        status = Path(f"/proc/{pid}/status").read_text("ascii")
    except OSError:
        return 0.0
    return 1024 * float(status.partition("VmHWM:")[2].partition("kB")[0] or 0)
