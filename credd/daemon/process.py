"""How much of the machine this process uses: what every exporter tells of itself.

Knows: getrusage(2) and /proc. Refuses to know: what it is used for.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Callable


def describe_process(started_at: float) -> dict[str, float]:
    """Gauges by name; what this system does not tell is left out."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    found = {
        "cpu_seconds_total": used.ru_utime + used.ru_stime,
        "start_time_seconds": started_at,
        "max_fds": float(soft) if soft != resource.RLIM_INFINITY else float("inf"),
        "resident_memory_bytes": _try(_resident_bytes),
        "open_fds": _try(_open_files),
    }
    return {name: value for name, value in found.items() if value is not None}


def _try(read: Callable[[], float]) -> float | None:
    try:
        return read()
    except (OSError, ValueError, IndexError):
        return None


def _resident_bytes() -> float:
    """The second number of statm is in pages (proc(5))."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return float(int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE"))


def _open_files() -> float:
    return float(len(os.listdir("/proc/self/fd")) - 1)  # one of them is this look
