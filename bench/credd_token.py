"""What credd-token costs as a whole process, beside a bare Python of the same interpreter.

    python bench/credd_token.py [--rounds N] [--script PATH] [--socket PATH --name NAME]

Both commands alternate in one run, so that a noisy machine slows both; the medians are compared.
Without --script, credd is put into a fresh virtual environment, byte-compiled and with the script
that pip and uv write: a developer's own environment runs other packages' start-up code in every
process. Without --socket a stand-in answers, in a process of its own and as the daemon would. Exit
status 1 if a goal is missed.

The hard thing is the memory: what `wait4` says of a child includes what its parent had when it
forked, so the kernel's own high-water mark of the child is read while it runs.
"""

from __future__ import annotations

import argparse
import compileall
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

WALL_GOAL = 1.4
"""Of `python -I -S -c pass`; 1.26 is the floor of any console script that imports nothing."""

MEMORY_GOAL = 1.15

ROOT = Path(__file__).resolve().parent.parent

TOKEN = "t" * 1200
"""As long as a signed token of an OpenID provider is."""

SCRIPT = """\
#!{python}
import sys
from credd.client.token_command import main
if __name__ == '__main__':
    sys.argv[0] = sys.argv[0].removesuffix('.exe')
    sys.exit(main())
"""
"""What pip 26 makes of an entry point."""

ANSWER = (
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n"
    f"Content-Length: {len(TOKEN)}\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
    f"Server: stand-in\r\nConnection: close\r\n\r\n{TOKEN}"
).encode()


def main() -> int:
    """Measure, print, and say whether the goals are met."""
    options = parsed_options()
    with tempfile.TemporaryDirectory() as folder, served(options.socket) as path:
        script = options.script or install(Path(folder))
        return compare([script, options.name], path, options.rounds)


def install(folder: Path) -> str:
    """Put credd into a fresh virtual environment, as an installer would; the script's path."""
    venv.create(folder)
    python = folder / "bin" / "python"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    package = folder / "lib" / version / "site-packages" / "credd"
    shutil.copytree(ROOT / "credd", package, ignore=shutil.ignore_patterns("__pycache__"))
    compileall.compile_dir(package, quiet=1)
    script = folder / "bin" / "credd-token"
    script.write_text(SCRIPT.format(python=python), "utf-8")
    script.chmod(0o755)
    return str(script)


def interpreter_of(script: str) -> str:
    """The Python that the script's first line names."""
    first = Path(script).read_text("utf-8").partition("\n")[0]
    return first[2:].strip()


def parsed_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=60, help="of each command (60)")
    parser.add_argument("--script", help="an installed credd-token, instead of a fresh one")
    parser.add_argument("--socket", help="of a running daemon, instead of a stand-in")
    parser.add_argument("--name", default="lab", help="the credential to ask for (lab)")
    return parser.parse_args()


def compare(command: list[str], path: str, rounds: int) -> int:
    """Print both costs as ratios beside their goals; 0 if both are met."""
    environ = clean_environ(path)
    check_it_works(command, environ)
    bare = [interpreter_of(command[0]), "-I", "-S", "-c", "pass"]
    wall = medians(wall_seconds, (bare, command), environ, rounds)
    memory = medians(peak_kilobytes, (bare, command), environ, max(rounds // 3, 5))
    print(f"python {sys.version.split()[0]}, {rounds} rounds, medians, alternating")
    print(row("wall", "ms", [value * 1e3 for value in wall], WALL_GOAL))
    print(row("max RSS", "MB", [value / 1e3 for value in memory], MEMORY_GOAL))
    is_met = wall[1] / wall[0] <= WALL_GOAL and memory[1] / memory[0] <= MEMORY_GOAL
    print("goals met" if is_met else "GOAL MISSED")
    return 0 if is_met else 1


def row(what: str, unit: str, values: list[float], goal: float) -> str:
    """One line of the result."""
    bare, ours = values
    return (
        f"{what:8} python -I -S -c pass {bare:6.2f} {unit}   credd-token {ours:6.2f} {unit}   "
        f"ratio {ours / bare:.2f}   goal {goal}"
    )


def medians(
    measure: Callable[[list[str], dict[str, str]], float],
    commands: tuple[list[str], list[str]],
    environ: dict[str, str],
    rounds: int,
) -> list[float]:
    """The median of each command, measured in turn."""
    rows = [[measure(command, environ) for command in commands] for _ in range(rounds + 1)]
    return [statistics.median(column) for column in zip(*rows[1:], strict=True)]  # the first warms


def clean_environ(path: str) -> dict[str, str]:
    """What a shell would hand on, without switches of Python that a user doesn't have."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return {**kept, "CREDD_SOCK": path}


def check_it_works(command: list[str], environ: dict[str, str]) -> None:
    """A failing command is fast, and not what is to be measured."""
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if done.returncode or not done.stdout.strip():
        sys.exit(f"{' '.join(command)} ends with {done.returncode}: {done.stderr}")


# --- measuring ------------------------------------------------------------------------------


def start(command: list[str], environ: dict[str, str]) -> int:
    """Start a process whose standard output goes nowhere; its pid."""
    to_nowhere = [(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)]
    return os.posix_spawn(command[0], command, environ, file_actions=to_nowhere)


def wall_seconds(command: list[str], environ: dict[str, str]) -> float:
    """From before the process starts until it is gone."""
    begin = time.perf_counter()
    os.waitpid(start(command, environ), 0)
    return time.perf_counter() - begin


def peak_kilobytes(command: list[str], environ: dict[str, str]) -> float:
    """The high-water mark of resident memory, as last seen before the process ended."""
    pid = start(command, environ)
    seen = 0.0
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        seen = resident_peak(pid) or seen
    return seen


def resident_peak(pid: int) -> float:
    """VmHWM in kB; 0 where the process is ending, or this system has no /proc."""
    try:
        status = Path(f"/proc/{pid}/status").read_text("ascii")
    except OSError:
        return 0.0
    return float(status.partition("VmHWM:")[2].partition("kB")[0] or 0)


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
        time.sleep(0.01)
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
