"""G3, its second half: what `credd-ctl --help` and `status` cost, beside a bare interpreter.

    python -m bench.credd_ctl [--rounds N]

`status` asks a real daemon that holds three logins. `python -c "import click"` runs in the same
turns: it is the least that a command made with click can cost, and says what of the rest is ours.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from bench import measuring, processes
from bench.household import Household, Stock
from bench.installing import Installed
from bench.measuring import Verdict

OF_BARE = 4.0


def main() -> int:
    """Measure, print, and say whether the goal is met."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=25, help="of each command (25)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        installed = Installed(Path(folder) / "venv")
        house = Household(Path(folder) / "home", installed, Stock(3))
        with house.served():
            return compare(house, options.rounds)


def compare(house: Household, rounds: int) -> int:
    """Print all, and judge."""
    python, control = str(house.installed.python), house.installed.command("credd-ctl")
    commands = {
        "python -I -S -c pass": [python, "-I", "-S", "-c", "pass"],
        "import click": [python, "-c", "import click"],
        "credd-ctl --help": [control, "--help"],
        "credd-ctl status": [control, "status"],
    }
    for shown in ("credd-ctl --help", "credd-ctl status"):
        processes.check_it_works(commands[shown], house.environ)
    seen = processes.wall(list(commands.values()), house.environ, rounds)
    for name, seconds in zip(commands, seen, strict=True):
        print(f"   {name:21} {measuring.listed(seconds, 1e3, ' ms')}")
    bare, click, *ours = seen
    why = (
        f"click alone makes it {measuring.ratio(click, bare):.1f}; rich, tomlkit and other verbs' "
        "files are loaded only when they are used, but --help loads every verb for its one line"
    )
    return measuring.judge(*(
        Verdict("G3", f"{name}, time of python -I -S -c pass", measuring.ratio(seconds, bare),
                OF_BARE, why=why)
        for name, seconds in zip(("credd-ctl --help", "credd-ctl status"), ours, strict=True)
    ))  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
