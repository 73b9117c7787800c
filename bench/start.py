"""G7: from the start of the process to its first answer, beside a bare asyncio daemon.

    python -m bench.start [--rounds N]

Both are started in turn, and asked again and again until they answer: credd with 100 logins in its
vault, whose first answer is a token. Byte code is there for both.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench import measuring
from bench.household import Household, Stock, names
from bench.installing import Installed
from bench.measuring import ROOT, Verdict

OF_BARE = 4.5

WHY = (
    "all libraries are loaded before it says ready, so that an upgrade can't put new code into an "
    "old process: three quarters of the time, and a third of that is aiohttp's; parsing the "
    "system's certificates is a twentieth"
)


def main() -> int:
    """Measure, print, and say whether the goal is met."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15, help="starts of each (15)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        installed = Installed(Path(folder) / "venv")
        house = Household(Path(folder) / "home", installed, Stock(100))
        return compare(house, installed, Path(folder) / "bare", options.rounds)


def compare(house: Household, installed: Installed, path: Path, rounds: int) -> int:
    """Print both, and judge."""
    bare = [str(installed.python), str(ROOT / "bench" / "peers.py"), "protocol", str(path)]
    environ = measuring.clean_environ()
    target = f"/v1/credentials/{names(1)[0]}/token"
    theirs, ours = measuring.in_turn(
        [
            lambda: seconds_to_answer(bare, str(path), environ, "/"),
            lambda: seconds_to_answer(house.argv, house.socket, house.environ, target),
        ],
        rounds,
    )
    print(f"   bare asyncio {measuring.listed(theirs, 1e3, ' ms')}")
    print(f"   credd        {measuring.listed(ours, 1e3, ' ms')}")
    what = "start to first answer, of a bare asyncio daemon's"
    return measuring.judge(Verdict("G7", what, measuring.ratio(ours, theirs), OF_BARE, why=WHY))


def seconds_to_answer(
    argv: Sequence[str], path: str, environ: Mapping[str, str], target: str
) -> float:
    """From before the process starts until it has answered `target`; then it is ended."""
    Path(path).unlink(missing_ok=True)
    quiet = subprocess.DEVNULL
    start = time.perf_counter()
    server = subprocess.Popen(argv, env=dict(environ), stdout=quiet, stderr=quiet)
    try:
        while not measuring.answers(path, target):
            if server.poll() is not None:
                sys.exit(f"{argv!r} ended with {server.returncode}")
            time.sleep(measuring.LOOK_EVERY)
        return time.perf_counter() - start
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    sys.exit(main())
