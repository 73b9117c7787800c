"""G3, its first half: what credd-token costs as a process, beside a bare Python interpreter.

    python -m bench.credd_token [--rounds N] [--script PATH] [--socket PATH --name NAME]

Both commands alternate in one run, and are compared round by round. Without --script, credd is put
into a fresh environment, byte-compiled, with the script that pip and uv write. Without --socket a
stand-in answers, in a process of its own and as the daemon would.

The hard thing is the memory: what `wait4` says of a child includes what its parent had when it
forked, so the kernel's own high-water mark of the child is read while it runs.
"""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import measuring, processes
from bench.installing import Installed, interpreter_of
from bench.measuring import Verdict

WALL_GOAL = 1.4
"""Of `python -I -S -c pass`; 1.26 is the floor of any console script that imports nothing."""

MEMORY_GOAL = 1.15

TOKEN = "t" * 1200
"""As long as a signed token of an OpenID provider is."""

ANSWER = (
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n"
    f"Content-Length: {len(TOKEN)}\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
    f"Server: stand-in\r\nConnection: close\r\n\r\n{TOKEN}"
).encode()


def main() -> int:
    """Measure, print, and say whether the goals are met."""
    options = parsed_options()
    with tempfile.TemporaryDirectory() as folder, served(options.socket) as path:
        script = options.script or Installed(Path(folder) / "venv").command("credd-token")
        return compare([script, options.name], path, options.rounds)


def parsed_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=60, help="of each command (60)")
    parser.add_argument("--script", help="an installed credd-token, instead of a fresh one")
    parser.add_argument("--socket", help="of a running daemon, instead of a stand-in")
    parser.add_argument("--name", default="lab", help="the credential to ask for (lab)")
    return parser.parse_args()


def compare(command: list[str], path: str, rounds: int) -> int:
    """Print both costs, and judge."""
    environ = measuring.clean_environ(CREDD_SOCK=path)
    processes.check_it_works(command, environ)
    both = [[interpreter_of(command[0]), "-I", "-S", "-c", "pass"], command]
    wall = processes.wall(both, environ, rounds)
    memory = processes.peaks(both, environ, max(rounds // 3, 5))
    for name, seconds, size in zip(
        ("python -I -S -c pass", "credd-token"), wall, memory, strict=True
    ):
        print(
            f"   {name:21} {measuring.listed(seconds, 1e3, ' ms')}, "
            f"{measuring.listed(size, 1e-6, ' MB')}"
        )
    what = "of python -I -S -c pass"
    return measuring.judge(
        Verdict("G3", f"credd-token NAME, time {what}", measuring.ratio(wall[1], wall[0]),
                WALL_GOAL),
        Verdict("G3", f"credd-token NAME, memory {what}", measuring.ratio(memory[1], memory[0]),
                MEMORY_GOAL),
    )  # fmt: skip


# --- the stand-in ---------------------------------------------------------------------------


@contextmanager
def served(path: str | None) -> Iterator[str]:
    """The path of a socket that answers: the given one, or a stand-in's while the block runs."""
    if path:
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:  # 0700
        path = f"{folder}/credd.sock"
        stand_in = subprocess.Popen([sys.executable, __file__, "--serve", path])
        try:
            wait_for(path)
            yield path
        finally:
            stand_in.kill()
            stand_in.wait()


def wait_for(path: str) -> None:
    """Return when somebody listens at the path."""
    for _ in range(1000):
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(path) == 0:
                return
        time.sleep(0.01)  # between two looks at the stand-in's start; nothing is measured yet
    sys.exit("the stand-in did not start")


def serve(path: str) -> None:
    """Answer every request with the same token, as short as a server can."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(16)
        while True:
            connection, _ = listener.accept()
            with connection:
                if connection.recv(65536):
                    connection.sendall(ANSWER)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(sys.argv[2])
    sys.exit(main())
