"""Whether the running daemon is the installed one, and the command that restarts it.

A daemon never restarts itself, so after an upgrade a person must be told how. The one hard thing:
the command depends on who started the daemon; the kernel's record of its unit says so.
"""

from __future__ import annotations

import os
import sys

from credd import wire


def restart_command(daemon: wire.VersionReply | None) -> str:
    """The command that brings the installed version to life; "" where it already runs."""
    if daemon is None or daemon["version"] == daemon["installed"]:
        return ""
    unit = unit_of(daemon["pid"])
    if unit:
        return f"systemctl --user restart {unit}"
    if sys.platform == "darwin" and os.path.exists(LAUNCHD_PLIST):
        return f"launchctl kickstart -k gui/{os.getuid()}/dev.credd"
    return f"kill {daemon['pid']}; sleep 1; credd &"


LAUNCHD_PLIST = os.path.expanduser("~/Library/LaunchAgents/dev.credd.plist")


def unit_of(pid: int) -> str:
    """The systemd user unit a process belongs to, or "" (cgroups(7), /proc/PID/cgroup)."""
    try:
        with open(f"/proc/{int(pid)}/cgroup", encoding="ascii", errors="replace") as file:
            last = file.read().strip().rpartition("/")[2]
    except OSError:
        return ""
    is_ours = last.endswith(".service") and last.startswith("credd")
    return last if is_ours and last.replace(".", "").replace("-", "").isalnum() else ""
