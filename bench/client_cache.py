"""G5: what a remembered token costs inside a job, beside an empty Python call.

    python -m bench.client_cache [--calls N]

The token is in memory, as it is in a training job between two refreshes: `credd.get_token("lab")`
and a TokenSource's `token()` are called in turn with a function that does nothing. Then eight
threads at once; then sixteen forked children, made while other threads are in the middle of it.
Where strace is installed, the system calls of 100,000 fetches are counted.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import credd
from bench import measuring
from bench.household import Household, Stock, names
from bench.installing import Installed
from bench.measuring import Verdict

OF_EMPTY_CALL = 5.0
OF_ONE_THREAD = 1.3
THREADS = 8
CHILDREN = 16
CHILD_WITHIN = 10.0
"""Seconds for a forked child; one that hangs never ends at all."""

COUNTED = 100_000

NAME = names(1)[0]


def empty() -> None:
    """Nothing: the least that a call can cost."""


def main() -> int:
    """Measure, print, and say whether the goals are met."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--calls", type=int, default=200_000, help="in a row (200,000)")
    parser.add_argument("--only-fetch", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only_fetch:
        return _only_fetch(options.only_fetch)
    with tempfile.TemporaryDirectory() as folder:
        house = Household(Path(folder) / "home", Installed(Path(folder) / "venv"), Stock(1))
        with house.served():
            os.environ["CREDD_SOCK"] = house.socket
            return measure(options.calls)


def measure(calls: int) -> int:
    """Print what each way costs, and judge."""
    source = credd.TokenSource(NAME)
    ways: list[tuple[str, Callable[[], object]]] = [
        ("an empty call", empty),
        ("TokenSource.token()", source.token),
        ("credd.get_token(name)", partial(credd.get_token, NAME)),
    ]
    for _, call in ways:
        call()
    seen = measuring.in_turn([partial(per_call, call, calls) for _, call in ways], 15)
    for (name, _), values in zip(ways, seen, strict=True):
        print(f"   {name:22} {measuring.listed(values, 1e9, ' ns')}")
    alone, crowded = measuring.in_turn(
        [
            lambda: per_call(source.token, calls),
            lambda: per_call_of_many(source.token, calls),
        ],
        7,
    )
    return measuring.judge(
        Verdict("G5", "TokenSource.token(), of an empty call", measuring.ratio(seen[1], seen[0]),
                OF_EMPTY_CALL),
        Verdict("G5", "credd.get_token(name), of an empty call",
                measuring.ratio(seen[2], seen[0]), OF_EMPTY_CALL,
                why="it is a call of TokenSource.token behind two more, which find the source by "
                "name and carry four keywords; code in a hot loop holds a TokenSource"),
        Verdict("G5", f"{THREADS} threads, a call of one thread's",
                measuring.ratio(crowded, alone), OF_ONE_THREAD),
        Verdict("G5", f"{CHILDREN} forked children, share that got a token",
                forked() / CHILDREN, 1.0, at_least=True),
        *_system_calls(),
    )  # fmt: skip


def per_call(call: Callable[[], object], calls: int) -> float:
    """Seconds of one call, the loop around it included on both sides."""
    start = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - start) / calls


def per_call_of_many(call: Callable[[], object], calls: int) -> float:
    """The same, shared by threads: seconds of all of them over the calls of all of them."""
    share = calls // THREADS
    threads = [threading.Thread(target=per_call, args=(call, share)) for _ in range(THREADS)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return (time.perf_counter() - start) / (share * THREADS)


# --- forks ----------------------------------------------------------------------------------


def forked() -> int:
    """How many children got a token, forked while threads ask the daemon all the time."""
    is_over = threading.Event()
    source = credd.TokenSource(NAME)
    askers = [threading.Thread(target=_keep_asking, args=(source, is_over)) for _ in range(4)]
    for asker in askers:
        asker.start()
    children = [_fork(source) for _ in range(CHILDREN)]
    fine = sum(map(_ended_well, children))
    is_over.set()
    for asker in askers:
        asker.join()
    return fine


def _keep_asking(source: credd.TokenSource, is_over: threading.Event) -> None:
    while not is_over.is_set():
        source._drop(-2)  # noqa: SLF001 - so that the next call takes the locks and asks
        source.token()


def _fork(source: credd.TokenSource) -> int:
    child = os.fork()
    if child == 0:
        signal.alarm(int(CHILD_WITHIN))
        status = 1
        try:
            status = 0 if source.token() else 1
        finally:
            os._exit(status)
    return child


def _ended_well(child: int) -> bool:
    return os.waitpid(child, 0)[1] == 0


# --- system calls ---------------------------------------------------------------------------


def _system_calls() -> list[Verdict]:
    if not shutil.which("strace"):
        print("   strace is not installed: system calls are not counted")
        return []
    few, many = _count_system_calls(1), _count_system_calls(COUNTED)
    print(f"   system calls of a process: {few} with one fetch, {many} with {COUNTED:,}")
    own = max(0, many - few)  # the start of Python varies by a few
    return [Verdict("G5", "system calls of a fetch from memory", own / COUNTED, 0.001)]


def _count_system_calls(fetches: int) -> int:
    with tempfile.NamedTemporaryFile() as counted:
        argv = ["strace", "-f", "-c", "-o", counted.name, sys.executable, "-m",
                "bench.client_cache", "--only-fetch", str(fetches)]  # fmt: skip
        subprocess.run(argv, check=True, cwd=measuring.ROOT, stdout=subprocess.DEVNULL)
        total = Path(counted.name).read_text("utf-8").splitlines()[-1].split()
    return int(total[3] if len(total) > 4 else total[2])


def _only_fetch(times: int) -> int:
    source = credd.TokenSource(NAME)
    for _ in range(times):
        source.token()
    return 0


if __name__ == "__main__":
    sys.exit(main())
