"""The plot: a login, a training job, two murders and a disappearance.

Knows what happens when, as shares of the run, and what everybody reported. Refuses to know how
it looks. The one hard thing: the daemon is killed only while no token request is in flight. A
kill inside that window is a different play, with a different end (the tests play that one); here
the issuer says when the stage is clear.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from pathlib import Path
from typing import Any

import aiohttp

from demo.cast import Daemon, IssuerRemote, ask_tracking
from demo.issuer_devices import USER_CODE_LETTERS
from demo.issuer_settings import CANARIES, PUBLIC_CLIENT
from demo.processes import Child, Service, Stage, StageFailure, search
from demo.scene import ACCESS_LIFETIME, OUTAGE, Scene
from demo.view import View

USER_CODE = re.compile(rf"\b[{USER_CODE_LETTERS}]{{4}}-[{USER_CODE_LETTERS}]{{4}}\b")
WORKERS = 8
CREDENTIAL = "demo"
LOOK_EVERY = 0.25  # seconds
LOGIN_PATIENCE = 30.0  # seconds; a device login with polls a second apart takes two
LAST_WORDS = 30.0  # seconds the job may need after its time: credd's own deadline is 60 s,
# but the plot ends early enough for everything to be well again by then
FIRST_KILL, AWAY, SECOND_KILL = 0.20, 0.45, 0.75  # shares of the run

# How long ago the last token request ended, in seconds. A refresh comes after half a lifetime
# (5 s) at the earliest: up to 4 s after the last one the stage is clear for a kill. An outage
# that begins 2.5 to 4 s after it lies right over the moment of the next one.
CLEAR_FOR_KILL = (0.5, 4.0)
BEFORE_A_REFRESH = (2.5, 4.0)

CONFIG = """\
[vault]
key = "file"

[credentials.{name}]
provider = "oidc"
issuer = "{issuer}"
client_id = "{client}"
scopes = ["openid", "offline_access", "metrics"]
hosts = ["127.0.0.1"]
"""


class Scenario:
    """One run of the demo on an open stage."""

    def __init__(self, stage: Stage, http: aiohttp.ClientSession, scene: Scene) -> None:
        self._stage = stage
        self._http = http
        self._scene = scene
        self._service = Service(stage, "credd", "-m", "credd")
        self._daemon = Daemon(stage.socket)
        self._began_at: float | None = None

    def __repr__(self) -> str:
        return f"<Scenario {self._scene.elapsed:.1f} of {self._scene.seconds:.0f} s>"

    async def play(self, view: View) -> None:
        """Everything, from the empty folder to the job's last word. Raises StageFailure."""
        issuer = await self._start_issuer()
        tracking = await self._start_tracking(issuer)
        await self._start_daemon(issuer)
        await self._log_in(issuer)
        job = await self._start_job(tracking)
        self._began_at = time.monotonic()
        looking = asyncio.create_task(self._look(issuer, tracking, view))
        keeping = asyncio.create_task(self._service.keep())
        plot = asyncio.create_task(self._plot(issuer))
        try:
            async with asyncio.timeout(self._scene.seconds + LAST_WORDS):
                await self._listen(job)
                await plot
        except TimeoutError:
            late = "job" if job.is_running else "plot"
            raise StageFailure(f"the {late} did not come to its end\n{job.tail()}") from None
        finally:
            await _end(plot, keeping, looking)
        await self._glance(issuer, tracking)
        self._scene.searched, self._scene.leaks = search(self._stage.folder, CANARIES)

    async def _start_issuer(self) -> IssuerRemote:
        folder = self._stage.folder
        places, secret = folder / "issuer.json", folder / "control-secret"
        child = await self._stage.start(
            "issuer", "-m", "demo.issuer", "--port-file", str(places), "--control-secret-file",
            str(secret), "--access-lifetime", str(ACCESS_LIFETIME), "--until-eof",
        )  # fmt: skip
        return IssuerRemote(self._http, await self._stage.places(child, places), secret)

    async def _start_tracking(self, issuer: IssuerRemote) -> str:
        places = self._stage.folder / "tracking.json"
        child = await self._stage.start(
            "tracking", "-m", "demo.tracking", "--issuer", issuer.url, "--port-file", str(places),
            "--until-eof",
        )  # fmt: skip
        return str((await self._stage.places(child, places))["url"])

    async def _start_daemon(self, issuer: IssuerRemote) -> None:
        write_config(self._stage.home, issuer.url)
        child = await self._service.start()
        await self._stage.until(self._daemon_answers, child, "credd to answer")

    async def _daemon_answers(self) -> bool:
        return bool(await self._daemon.ask("/v1/live"))

    async def _log_in(self, issuer: IssuerRemote) -> None:
        """`credd-ctl login demo`, and the person who reads the code and approves."""
        child = await self._stage.start(
            "login", "-m", "credd.ctl", "login", CREDENTIAL, "--flow", "device", "--no-browser",
            reads="all",
        )  # fmt: skip
        shown: list[str] = []
        try:
            await asyncio.wait_for(self._answer_login(child, issuer, shown), LOGIN_PATIENCE)
        except TimeoutError:
            shown.append(f"(and nothing more for {LOGIN_PATIENCE:g} s)")
        if child.process.returncode != 0:
            raise StageFailure("the login failed:\n" + "".join(shown) + self._service.tail())
        self._tell("logged in by device code; a person approved it")

    async def _answer_login(self, child: Child, issuer: IssuerRemote, shown: list[str]) -> None:
        assert child.process.stdout is not None
        codes: set[str] = set()
        async for line in child.process.stdout:
            shown.append(line.decode(errors="replace"))
            for code in set(USER_CODE.findall(shown[-1])) - codes:
                codes.add(code)
                await issuer.approve(code)
        await child.process.wait()

    async def _start_job(self, tracking: str) -> Child:
        self._tell(f"{WORKERS} workers start to log metrics, a token for each")
        return await self._stage.start(
            "job", "-m", "demo.job", "--tracking", tracking, "--credential", CREDENTIAL,
            "--seconds", str(self._scene.seconds), "--workers", str(WORKERS), reads="stdout",
        )  # fmt: skip

    async def _listen(self, job: Child) -> None:
        assert job.process.stdout is not None
        async for line in job.process.stdout:
            self._scene.job = json.loads(line)
        self._scene.job_status = await job.process.wait()
        if not self._scene.job:
            raise StageFailure(f"the job said nothing\n{job.tail()}")

    async def _plot(self, issuer: IssuerRemote) -> None:
        await self._at(FIRST_KILL)
        await self._kill(issuer)
        await self._at(AWAY)
        await self._disappear(issuer)
        await self._at(SECOND_KILL)
        await self._kill(issuer)

    async def _at(self, share: float) -> None:
        await asyncio.sleep(max(0.0, share * self._scene.seconds - self._elapsed()))

    async def _kill(self, issuer: IssuerRemote) -> None:
        ago = await self._moment(issuer, *CLEAR_FOR_KILL)
        pid = self._service.kill()
        self._scene.kills += 1
        self._tell(
            f"SIGKILL to credd (pid {pid}). The issuer sees no token request in flight, "
            f"the last one ended {ago:.1f} s ago"
        )

    async def _disappear(self, issuer: IssuerRemote) -> None:
        await self._moment(issuer, *BEFORE_A_REFRESH)
        await issuer.order("away")
        gone_at = time.monotonic()
        self._tell(f"the issuer goes away for {OUTAGE:g} s, over the next refresh")
        try:
            await asyncio.sleep(OUTAGE)
        finally:
            await issuer.order("back")
        self._scene.outage = time.monotonic() - gone_at
        self._tell("the issuer is back")

    async def _moment(self, issuer: IssuerRemote, soonest: float, latest: float) -> float:
        """Wait until the last token request ended so long ago, and the daemon runs; how long."""
        while True:
            report = await issuer.order("report")
            ago = time.time() - float(report["token_request_ended_at"] or 0.0)
            if not report["in_flight"] and soonest <= ago <= latest and self._service.pid:
                return ago
            await asyncio.sleep(0.05)

    def _tell(self, text: str) -> None:
        self._scene.elapsed = self._elapsed()
        self._scene.tell(text)

    def _elapsed(self) -> float:
        """Seconds since the job began; 0 before it."""
        return 0.0 if self._began_at is None else time.monotonic() - self._began_at

    async def _look(self, issuer: IssuerRemote, tracking: str, view: View) -> None:
        while True:
            await self._glance(issuer, tracking)
            view.show(self._scene)
            await asyncio.sleep(LOOK_EVERY)

    async def _glance(self, issuer: IssuerRemote, tracking: str) -> None:
        scene = self._scene
        scene.elapsed = self._elapsed()
        scene.daemon_pid = self._service.pid
        scene.issuer = await issuer.order("report")
        scene.tracking = await ask_tracking(self._http, tracking)
        scene.credential = await self._daemon.ask(f"/v1/credentials/{CREDENTIAL}")


def write_config(home: Path, issuer: str) -> None:
    """The configuration, as a person would write it; the folder is ours alone."""
    home.mkdir(mode=0o700)
    config = home / "config.toml"
    config.touch(mode=0o600)
    config.write_text(CONFIG.format(name=CREDENTIAL, issuer=issuer, client=PUBLIC_CLIENT.client_id))


async def _end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel what still runs, and let what failed say so."""
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception):
            raise result
