"""`python -m bench`: every program in turn, then one table of all goals.

    python -m bench [--markdown FILE]

The exit status is 1 where a goal is missed, or a program broke. With --markdown, the table between
the marks in FILE (docs/performance.md) is replaced by the one of this run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.measuring import CORES, ROOT, VERDICTS, Verdict

PROGRAMS = (
    "token_endpoint",
    "credd_token",
    "credd_ctl",
    "client_cache",
    "memory",
    "start",
    "durable_commit",
    "single_flight",
)
"""In the order of their goals."""

PROGRAM_WITHIN = 180.0
"""Seconds; each takes less than 60 on a machine with nothing else to do."""

BEGIN, END = "<!-- measured: begin -->\n", "<!-- measured: end -->\n"


def main() -> int:
    """Run all, print the table, and say whether every goal is met."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--markdown", type=Path, help="the page whose table to replace")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "verdicts"
        broken = [name for name in PROGRAMS if not _run(name, file)]
        verdicts = _read(file)
    print("\n" + _table(verdicts))
    for name in broken:
        print(f"bench.{name} broke")
    if options.markdown and not broken:
        _replace(options.markdown, _table(verdicts))
    return 1 if broken or not all(one.met for one in verdicts) else 0


def _run(name: str, file: Path) -> bool:
    """Run one program; False where it did not come to a verdict."""
    print(f"== bench.{name}", flush=True)
    before, start = len(_read(file)), time.monotonic()
    environ = {**os.environ, VERDICTS: str(file)}
    argv = [sys.executable, "-m", f"bench.{name}"]
    try:
        subprocess.run(argv, env=environ, cwd=ROOT, check=False, timeout=PROGRAM_WITHIN)
    except subprocess.TimeoutExpired:
        print(f"   not finished after {PROGRAM_WITHIN:.0f} s")
        return False
    print(f"   {time.monotonic() - start:.0f} s", flush=True)
    return len(_read(file)) > before


def _read(file: Path) -> list[Verdict]:
    lines = file.read_text("utf-8").splitlines() if file.exists() else []
    return [Verdict(*json.loads(line)) for line in lines]


def _table(verdicts: list[Verdict]) -> str:
    """All goals as Markdown, which reads well in a terminal too."""
    width = max((len(one.what) for one in verdicts), default=0)
    rows = [f"| {'goal':4} | {'what':{width}} | ratio | bound   | |", "|---|---|---:|---|---|"]
    for one in verdicts:
        bound = f"{'>=' if one.at_least else '<='} {one.bound:g}"
        verdict = "met" if one.met else "missed"
        rows.append(
            f"| {one.goal:4} | {one.what:{width}} | {one.ratio:5.2f} | {bound:7} | {verdict} |"
        )
    return "\n".join([*rows, "", _where()]) + "\n"


def _where() -> str:
    day, python = time.strftime("%Y-%m-%d", time.gmtime()), platform.python_version()
    load = os.getloadavg()[0]
    return (
        f"Measured on {day}: {platform.system()} {platform.release()}, {platform.machine()}, "
        f"{len(CORES)} cores, Python {python}, load average {load:.1f} at the end."
    )


def _replace(page: Path, table: str) -> None:
    text = page.read_text("utf-8")
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        sys.exit(f"{page} has no marks {BEGIN.strip()} and {END.strip()}")
    page.write_text(f"{head}{BEGIN}\n{table}\n{END}{tail}", "utf-8")
    print(f"\n{page}: its table is of this run")


if __name__ == "__main__":
    sys.exit(main())
