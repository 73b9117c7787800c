"""`python -m demo --seconds 60`: a training job that outlives its tokens, its daemon, its issuer.

Exit status: 0 only when everything held; 1 when something did not; 130 after Ctrl-C. Nothing is
left behind in either case.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys

import aiohttp

from demo.processes import Stage, StageFailure
from demo.scenario import Scenario
from demo.scene import Scene, verdict
from demo.view import make_view

SHORTEST = 15.0  # seconds; less has no room for two kills, an outage and a refresh between them


async def play(seconds: float) -> bool:
    """The whole demo; whether everything held."""
    stop_on_sigterm()
    scene = Scene(seconds)
    async with Stage() as stage, aiohttp.ClientSession() as http:
        with make_view() as view:
            await Scenario(stage, http, scene).play(view)
            view.show(scene)
            lines = verdict(scene)
            view.close(lines)
    return all(line.holds for line in lines)


def stop_on_sigterm() -> None:
    """Clear the stage after SIGTERM as after Ctrl-C."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


def parse_seconds(text: str) -> float:
    """The length of the run. Raises ArgumentTypeError for what can't be played."""
    try:
        seconds = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds") from None
    if not SHORTEST <= seconds <= 86_400:
        raise argparse.ArgumentTypeError(f"between {SHORTEST:g} and 86400 seconds, please")
    return seconds


def main() -> None:
    """Play, and exit with the verdict."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--seconds", type=parse_seconds, default=60.0, help="default: 60")
    seconds = parser.parse_args().seconds
    try:
        held = asyncio.run(play(seconds))
    except StageFailure as failure:
        sys.exit(f"the demo could not be played: {failure}")
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("\ninterrupted; everything is cleared away", file=sys.stderr)
        sys.exit(130)
    print("everything held" if held else "NOT everything held")
    sys.exit(not held)


if __name__ == "__main__":
    main()
