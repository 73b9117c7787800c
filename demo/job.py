"""A training job as people write it: eight workers that log metrics, with a token each time.

Knows ``credd.get_token`` and a tracking server's URL. Refuses to know that tokens expire, that
daemons die and that issuers go away: all of that is credd's. The one hard thing: the first token
is fetched before the workers are forked, as real jobs do by accident, so the client has to be
safe across ``fork``.

Prints a line of JSON about four times a second: steps, rejected, errors, latency.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any
from urllib.parse import urlsplit

import credd

PAUSE = 0.02  # seconds of "training" a step
TELL_EVERY = 0.25  # seconds between two reports; the eye follows four a second
POST_TIMEOUT = 10.0  # seconds; the tracking server is on this machine


@dataclass
class Tally:
    """What happened since the last report."""

    steps: int = 0
    rejected: int = 0
    errors: list[str] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Take another tally in."""
        self.steps += other.steps
        self.rejected += other.rejected
        self.errors += other.errors
        self.latencies += other.latencies

    def summary(self) -> dict[str, Any]:
        """The tally as JSON-able data; latencies in seconds, as quantiles."""
        ordered = sorted(self.latencies)
        return {
            "steps": self.steps,
            "rejected": self.rejected,
            "errors": len(self.errors),
            "last_error": self.errors[-1] if self.errors else "",
            "p50": quantile(ordered, 0.50),
            "p99": quantile(ordered, 0.99),
            "longest": quantile(ordered, 1.0),
        }


def quantile(ordered: list[float], share: float) -> float:
    """The nearest-rank quantile of a sorted list; 0 for an empty one."""
    if not ordered:
        return 0.0
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Worker:
    """One process of the job; logs a falling loss until its time is over."""

    def __init__(self, name: str, credential: str, url: str) -> None:
        self._name = name
        self._credential = credential
        self._server = http.client.HTTPConnection(urlsplit(url).netloc, timeout=POST_TIMEOUT)
        self._step = 0

    def __repr__(self) -> str:
        return f"<Worker {self._name} step={self._step}>"

    def run(self, until: float, reports: Connection) -> None:
        """Step until this moment of the monotonic clock, or until the job is gone."""
        tally, told_at, job = Tally(), time.monotonic(), os.getppid()
        while (now := time.monotonic()) < until and os.getppid() == job:
            self.step(tally)
            if now - told_at >= TELL_EVERY:
                reports.send(tally)
                tally, told_at = Tally(), now
            time.sleep(PAUSE)
        reports.send(tally)
        reports.close()
        self.close()

    def close(self) -> None:
        """Let go of the tracking server."""
        self._server.close()

    def step(self, tally: Tally) -> None:
        """One step of training and one metric. What goes wrong is counted, never retried here."""
        started = time.perf_counter()
        try:
            token = credd.get_token(self._credential)
            tally.latencies.append(time.perf_counter() - started)
            status = self._post(token)
        except (credd.CreddError, OSError, http.client.HTTPException) as error:
            tally.errors.append(f"{type(error).__name__}: {error}")
            self.close()
            return
        tally.steps += status == 200
        tally.rejected += status != 200

    def _post(self, token: str) -> int:
        self._step += 1
        entry = {"run": self._name, "step": self._step, "metrics": {"loss": 1 / self._step}}
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._server.request("POST", "/api/metrics", json.dumps(entry), headers)
        with self._server.getresponse() as reply:
            reply.read()
            return reply.status


def start_workers(count: int, seconds: float, credential: str, url: str) -> list[Connection]:
    """Fork the workers; the ends of the pipes they report through."""
    context = multiprocessing.get_context("fork")
    until, ends = time.monotonic() + seconds, []
    for number in range(count):
        here, there = context.Pipe(duplex=False)
        worker = Worker(f"worker-{number}", credential, url)
        context.Process(target=worker.run, args=(until, there), daemon=True).start()
        there.close()
        ends.append(here)
    return ends


def tallies(ends: Iterable[Connection]) -> Iterator[Tally]:
    """Reports as they come, until every worker has closed its end."""
    open_ends = list(ends)
    while open_ends:
        for end in wait(open_ends):
            assert isinstance(end, Connection)
            try:
                yield end.recv()
            except EOFError:
                open_ends.remove(end)


def main() -> None:
    """The job: exits 0 only if every worker logged something and nothing was refused."""
    parser = argparse.ArgumentParser(prog="python -m demo.job", description=__doc__)
    parser.add_argument("--tracking", required=True, help="URL of the tracking server")
    parser.add_argument("--credential", default="demo")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--workers", type=int, default=8)
    options = parser.parse_args()
    # As an ordinary end: workers are ended with the job.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    credd.get_token(options.credential)  # before the fork, on purpose
    ends = start_workers(options.workers, options.seconds, options.credential, options.tracking)
    total, told_at = Tally(), 0.0
    for tally in tallies(ends):
        total.add(tally)
        if time.monotonic() - told_at >= TELL_EVERY:
            told_at = time.monotonic()
            print(json.dumps(total.summary()), flush=True)
    print(json.dumps(total.summary()), flush=True)
    sys.exit(bool(total.errors or total.rejected or not total.steps))


if __name__ == "__main__":
    main()
