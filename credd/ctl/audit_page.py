"""The audit trail in words.

Pure: lines and a time in, text out. The one hard thing: a summary must not say more than the lines
do. Fetches of one program are summed up; whatever else was done is told one kind a line, and what a
process says of itself is marked as its own word.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from credd import wire_audit
from credd.ctl.columns import aligned
from credd.ctl.durations import spoken
from credd.ctl.harmless import harmless

FETCH, OK = "token", "ok"

WORDS = {
    "token": ("fetch", "fetches"),
    "reject": ("rejection", "rejections"),
    "refresh": ("wanted refresh", "wanted refreshes"),
    "renewal": ("refresh", "refreshes"),
    "logout": ("logout", "logouts"),
    "start_login": ("login begun", "logins begun"),
    "answer_login": ("answer to a login", "answers to a login"),
    "cancel_login": ("login cancelled", "logins cancelled"),
    "connect": ("caller shown out", "callers shown out"),
    "beyond_socket": ("attempt beyond a job socket", "attempts beyond a job socket"),
    "start": ("start of the daemon", "starts of the daemon"),
    "stop": ("stop of the daemon", "stops of the daemon"),
    "lost": ("line lost", "lines lost"),
    "damage": ("damage found", "damages found"),
}
"""What each kind is called; once and several times; any other kind goes by its
own name."""


@dataclass
class Sum:
    """All lines of one credential, one asker, one kind and one result."""

    count: int = 0
    last: float = 0.0
    generations: set[int] = field(default_factory=set)

    def add(self, entry: wire_audit.AuditEntry) -> None:
        self.count += entry.get("count", 1)
        self.last = max(self.last, entry.get("last", entry["at"]))
        if entry.get("generation"):
            self.generations.add(entry["generation"])


def summary(entries: Sequence[wire_audit.AuditEntry], now: float) -> str:
    """A paragraph a credential, a line a program; the latest last."""
    if not entries:
        return "Nothing in that time.\nFurther back: credd-ctl audit --since 30d"
    sums: dict[str, dict[tuple[str, str, str], Sum]] = {}
    for entry in entries:
        group = sums.setdefault(entry.get("credential", ""), {})
        group.setdefault((who(entry), entry["what"], entry["result"]), Sum()).add(entry)
    return "\n\n".join(_paragraph(name, sums[name], now) for name in sorted(sums))


def _paragraph(name: str, group: dict[tuple[str, str, str], Sum], now: float) -> str:
    told = sorted(group.items(), key=lambda item: item[1].last)
    lines = [f"  {key[0]}: {_sentence(key[1], key[2], one, now)}" for key, one in told]
    return "\n".join([harmless(name) or "credd", *lines])


def _sentence(what: str, result: str, one: Sum, now: float) -> str:
    """`1,312 fetches, generations 7 to 31, last 12 s ago`."""
    parts = [_counted(what, one.count)]
    if result != OK:
        parts[0] += f" refused ({harmless(result)})" if what == FETCH else f": {harmless(result)}"
    if one.generations:
        parts.append(_span(min(one.generations), max(one.generations)))
    return ", ".join([*parts, f"last {spoken(now - one.last)} ago"])


def _counted(what: str, count: int) -> str:
    once, several = WORDS.get(what, (harmless(what).replace("_", " "),) * 2)
    return f"1 {once}" if count == 1 else f"{count:,} {several}"


def _span(first: int, last: int) -> str:
    return f"generation {first}" if first == last else f"generations {first} to {last}"


def who(entry: wire_audit.AuditEntry) -> str:
    """The asker in words: script as it claims, executable, job socket, another uid."""
    if "uid" not in entry:
        return "credd itself"
    executable, script = harmless(entry.get("executable", "")), harmless(entry.get("script", ""))
    name = f"{script} [claimed] by {executable}" if script and executable else script or executable
    if not name:
        name = f"an unreadable process of uid {entry.get('uid', '?')}"
    elif entry.get("uid", os.geteuid()) != os.geteuid():
        name += f" (uid {entry['uid']})"
    where = harmless(entry.get("socket", ""))
    return f"{name}, job socket {where}" if where else name


def line(entry: wire_audit.AuditEntry) -> str:
    """One line of the trail, for --follow."""
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry["at"]))
    generation = f" generation {entry['generation']}" if entry.get("generation") else ""
    count = f" {entry['count']:,} times" if entry.get("count", 1) > 1 else ""
    what = _counted(entry["what"], 1).removeprefix("1 ")
    pid = f", pid {entry['pid']}" if entry.get("pid") else ""
    name = harmless(entry.get("credential", "")) or "-"
    return (
        f"{at}  {name}  {what}{generation}{count}: {harmless(entry['result'])}  {who(entry)}{pid}"
    )


def losses(lost: int, trouble: str) -> str:
    """What the trail does not hold."""
    gone = f"{lost:,} of its lines are lost" if lost else "nothing of it is lost yet"
    return f"the audit trail can't be written ({harmless(trouble)}); {gone}" if trouble else gone


def check(reply: wire_audit.AuditCheckReply) -> str:
    """What following the chain has shown."""
    if reply["intact"]:
        if not reply["lines"]:
            return "The audit trail is empty."
        return f"The audit trail is whole: lines {reply['first']} to {reply['last']}."
    rows = [[_place(fault), harmless(fault["message"])] for fault in reply["faults"]]
    return "\n".join(["The audit trail is not as it was written:", *_indented(aligned(rows))])


def _place(fault: wire_audit.AuditFault) -> str:
    at = f":{fault['line']}" if fault["line"] else ""
    return harmless(fault["file"]) + at


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"  {line}" for line in lines]
