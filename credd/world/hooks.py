"""Runs a person's commands, so that whatever they do harms nothing here.

Rules: a command is a list of words and never a shell line; what it is told comes by its
environment, which is made of a few harmless variables and ours. It runs in a process group of its
own, reads nothing, and what it prints goes nowhere. After 10 s, or as soon as its first process
ends, the whole group is ended.

The hard thing is the group: its number is free for strangers once nobody in it is left. So the
first process is left unreaped until the group has been ended.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

log = logging.getLogger(__name__)

WITHIN = 10.0
"""Seconds a command may take: enough for a mail over a slow line."""

AT_ONCE = 4
"""Commands at the same time; a hundred credentials that end together must not start a hundred."""

WAITING = 64
"""Commands that may wait for their turn. More would tell of what is long over."""

LOOK_EVERY = 0.02
"""Seconds between two looks at whether a command has ended."""

INHERITED = (
    "DBUS_SESSION_BUS_ADDRESS", "DISPLAY", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "LOGNAME", "PATH",
    "SHELL", "TMPDIR", "TZ", "USER", "WAYLAND_DISPLAY", "XAUTHORITY", "XDG_CURRENT_DESKTOP",
    "XDG_RUNTIME_DIR",
)  # fmt: skip
"""What a command needs to find programs, the desktop and its own files. All else stays here: the
daemon may have been started with a secret in its environment."""


def hook_environment(environ: Mapping[str, str], told: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of a command."""
    kept = {name: environ[name] for name in INHERITED if name in environ}
    return {**kept, **told}


def run_hook(
    argv: Sequence[str],
    environ: Mapping[str, str],
    stopping: threading.Event,
    within: float = WITHIN,
) -> str:
    """Run a command to its end, or to ours; what became of it, in words. Never raises.

    Blocks for at most `within` seconds, less once `stopping` is set.
    """
    try:
        process = _start(argv, environ)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return f"could not be started ({type(error).__name__})"
    has_ended = _wait(process.pid, stopping, within)
    _end_group(process.pid)
    status = process.wait()
    if not has_ended:
        return "was stopped with the daemon" if stopping.is_set() else f"took over {within:g} s"
    return "" if status == 0 else f"failed (exit status {status})"


def _start(argv: Sequence[str], environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
    nowhere = subprocess.DEVNULL
    return subprocess.Popen(
        list(argv), stdin=nowhere, stdout=nowhere, stderr=nowhere, env=dict(environ), cwd="/",
        start_new_session=True,
    )  # fmt: skip


def _wait(pid: int, stopping: threading.Event, within: float) -> bool:
    """Whether the process ended by itself in time. It is not reaped."""
    deadline = time.monotonic() + within
    while not _has_ended(pid):
        if time.monotonic() >= deadline or stopping.wait(LOOK_EVERY):
            return _has_ended(pid)
    return True


def _has_ended(pid: int) -> bool:
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True  # somebody reaped it already


def _end_group(pid: int) -> None:
    # macOS refuses where only the unreaped first one is left in the group.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


class HookRunner:
    """Runs commands beside the event loop, a few at a time. Close it to end them all."""

    def __init__(self, environ: Mapping[str, str], within: float = WITHIN) -> None:
        self._environ = dict(environ)
        self._within = within
        self._stopping = threading.Event()
        # Threads of its own: a hook must not sit where name look-ups or the vault want to work.
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="hook")
        self._begun: set[Future[None]] = set()

    def start(self, argv: Sequence[str], told: Mapping[str, str]) -> bool:
        """Run a command soon. False where too many wait already. Returns at once."""
        if self._stopping.is_set() or len(self._begun) >= AT_ONCE + WAITING:
            log.warning("a hook is left out: too many are waiting")
            return False
        run = self._threads.submit(self._run, tuple(argv), dict(told))
        self._begun.add(run)
        run.add_done_callback(self._begun.discard)
        return True

    def close(self) -> None:
        """End those that run, drop those that wait, and wait for that."""
        self._stopping.set()
        self._threads.shutdown(cancel_futures=True)

    def _run(self, argv: tuple[str, ...], told: dict[str, str]) -> None:
        environ = hook_environment(self._environ, told)
        fate = run_hook(argv, environ, self._stopping, self._within)
        if fate:
            log.warning("the hook %s %s", os.path.basename(argv[0]), fate)
