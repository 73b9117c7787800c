"""Whether the running daemon is the installed one, and the command that restarts it.

A daemon never restarts itself, so after an upgrade a person must be told how. The one hard thing:
the command depends on who started the daemon; the kernel's record of its unit says so.
"""

from __future__ import annotations

import os
import re
import sys

from credd import wire

UNIT = re.compile(r"credd[A-Za-z0-9@_.-]{0,60}\.service", re.ASCII)
LAUNCHD_PLIST = "~/Library/LaunchAgents/dev.credd.plist"


def restart_command(daemon: wire.VersionReply | None) -> str:
    """The command that brings the installed version to life; "" where it already runs."""
    if daemon is None or daemon["version"] == daemon["installed"]:
        return ""
    unit = unit_in(f"/proc/{int(daemon['pid'])}/cgroup")
    if unit:
        return f"systemctl --user restart {unit}"
    if sys.platform == "darwin" and os.path.exists(os.path.expanduser(LAUNCHD_PLIST)):
        return f"launchctl kickstart -k gui/{os.getuid()}/dev.credd"
    pid = int(daemon["pid"])
    # A daemon that ends first awaits what it has sent: the next one must not come too early.
    return f"kill {pid}; while kill -0 {pid} 2>/dev/null; do sleep 1; done; credd &"


def unit_in(cgroup: str) -> str:
    """The systemd unit of ours that a cgroup file names (cgroups(7), /proc/PID/cgroup), or ""."""
    try:
        with open(cgroup, encoding="ascii", errors="replace") as file:
            last = file.read().strip().rpartition("/")[2]
    except OSError:
        return ""
    return last if UNIT.fullmatch(last) else ""
