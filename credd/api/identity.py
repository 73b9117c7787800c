"""What the kernel shows of the process that connected: executable, control group, script.

Knows: /proc, as far as it may be read. Refuses to know: what follows from it. The hard thing is
that a look at a process can take for ever: the memory in which its arguments lie is its own, and it
may let a reader wait. So the loop reads only what the kernel itself knows (a link, a line), and the
arguments are read by one thread that nobody waits for long.

What can't be read is "", which is never a match. A pidfd of the peer says afterwards whether the
number was still the same process (see `namespaces`); before Linux 6.5, its start time must not have
changed meanwhile.
"""

from __future__ import annotations

import os
import re
import socket
import sys
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

from credd.api import namespaces
from credd.api.peers import peer_of
from credd.core.deeds import NOBODY, Asker

SCRIPT = re.compile(r"[\w][\w.+-]{0,63}\.(?:py|pyz|ipynb|sh|bash|zsh|pl|rb|js|mjs|ts|R|jl|lua)")
"""The only argument that is ever kept, as a bare file name: any other may be a secret."""

TAKE_A_VALUE = frozenset({"-W", "-X", "--check-hash-based-pycs", "-r", "--require", "--import"})
"""Options of interpreters whose value is the next argument."""

AT_MOST = 4096
"""Bytes of a file of /proc that are looked at."""

KNOWN_AT_MOST = 1024
"""Scripts that are remembered. Waking a thread costs a fetch a fifth of a millisecond; a job that
fetches a thousand times pays it once."""

WAITING_AT_MOST = 256
"""Callers whose script is still to be read; beyond that it stays unknown."""


def asker_of(connection: socket.socket) -> Asker:
    """Who connected, but for script and job socket. Raises nothing: what is not known is empty."""
    try:
        peer = peer_of(connection)
    except OSError:
        return NOBODY
    executable, cgroup = "", ""
    if sys.platform == "linux" and peer.pid:
        executable, cgroup = _described(connection, peer.pid)
    return Asker(peer.uid, peer.pid, executable, cgroup)


def _described(connection: socket.socket, pid: int) -> tuple[str, str]:
    """Executable and cgroup, if the process that connected lives afterwards still; else nothing."""
    try:
        handle = namespaces.handle_of(connection)
    except OSError:  # it is gone: whatever has its number now is somebody else
        return "", ""
    began = "" if handle else started_at(pid)
    try:
        found = _executable(pid), _cgroup(pid)
        is_over = namespaces.is_over(handle) if handle else started_at(pid) != began
        return ("", "") if is_over else found
    finally:
        if handle is not None:
            os.close(handle)


def started_at(pid: int) -> str:
    """When a process began, in ticks since the boot; "" where there is none.

    The second field of the line is its name, in parentheses, and may hold any character, `)` and
    spaces too: what follows the last `)` is fields 3 and on (proc(5)).
    """
    try:
        fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
        return fields[19].decode("ascii")
    except (OSError, IndexError, UnicodeDecodeError):
        return ""


def _executable(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/exe".encode()).decode("utf-8", "replace")
    except OSError:
        return ""


def _cgroup(pid: int) -> str:
    """The path in the unified hierarchy, else in the first one that is listed (cgroups(7))."""
    try:
        rows = _read(f"/proc/{pid}/cgroup").decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    unified = [row for row in rows if row.startswith("0::")]
    return (unified or rows or [""])[0].split(":", 2)[-1]


def _read(path: str) -> bytes:
    """The beginning of a small file of /proc: with open() it would take twice as long."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, AT_MOST)
    finally:
        os.close(descriptor)


# --- the script ------------------------------------------------------------------------------


def script_of(arguments: list[str]) -> str:
    """What an interpreter with these arguments says it runs: the bare name of the first one that is
    no option, where that looks like a script; "" for all else. Never any other argument."""
    rest = iter(arguments[1:])
    for argument in rest:
        if argument in TAKE_A_VALUE:
            next(rest, None)
        elif argument in ("-c", "-m", "-e", "-"):
            return ""
        elif not argument.startswith("-"):
            name = os.path.basename(argument)
            return name if SCRIPT.fullmatch(name) else ""
    return ""


def read_script(pid: int) -> str:
    """The script of a process. May take for ever, so it is read by `Scripts`' thread."""
    try:
        raw = _read(f"/proc/{pid}/cmdline")
    except OSError:
        return ""
    return script_of([part.decode("utf-8", "replace") for part in raw.split(b"\0")])


Key = tuple[int, str, str]
"""Number, start time and executable of a process."""


class Scripts:
    """Reads scripts in a thread of its own, begun with the first question. One process that makes
    it wait for ever costs all later ones their hint, and nothing else.

    A script is read once for a process and its executable: it is a hint, and may be an old one
    where an interpreter has become the same interpreter with another script.
    """

    def __init__(self, read: Callable[[int], str] = read_script) -> None:
        self._read = read
        self._queue: SimpleQueue[tuple[Key, Callable[[str], None]]] = SimpleQueue()
        self._known: dict[Key, str] = {}
        self._lock = threading.Lock()
        self._is_running = False

    def ask(self, asker: Asker, tell: Callable[[str], None]) -> None:
        """Have `tell` called with the script: at once where it is known, else in the thread; never,
        where too many wait."""
        key = (asker.pid, started_at(asker.pid), asker.executable)
        known = self._known.get(key)
        if known is not None:
            tell(known)
            return
        if self._queue.qsize() >= WAITING_AT_MOST:
            return
        self._queue.put((key, tell))
        with self._lock:
            if not self._is_running:
                self._is_running = True
                threading.Thread(target=self._run, name="credd-scripts", daemon=True).start()

    def _run(self) -> None:
        """Work until nothing has come for a while: a thread is not kept for nobody."""
        while True:
            try:
                key, tell = self._queue.get(timeout=30.0)
            except Empty:
                with self._lock:
                    self._is_running = not self._queue.empty()
                    if not self._is_running:
                        return
                continue
            while len(self._known) >= KNOWN_AT_MOST:
                self._known.pop(next(iter(self._known)))
            self._known[key] = script = self._read(key[0])
            tell(script)
