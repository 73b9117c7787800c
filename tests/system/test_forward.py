"""`credd-ctl forward`, through a real OpenSSH server on loopback with keys made for one test."""

# ruff: noqa: ASYNC240 - a look at a file in memory holds up nobody

from __future__ import annotations

import asyncio
import os
import pwd
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from credd import wire
from tests.canary import Canary
from tests.system.harness import ROOT, Home, eventually, throw_away_home
from tests.system.unix_http import ask

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:" + os.environ["PATH"])
KEY = "key-of-lab-CANARY"

pytestmark = [
    pytest.mark.skipif(SSHD is None, reason="there is no OpenSSH server here (openssh-server)"),
    pytest.mark.skipif(not shutil.which("ssh"), reason="there is no ssh here (openssh-client)"),
]

SSHD_CONFIG = """\
ListenAddress 127.0.0.1:{port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/key.pub
PidFile none
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
SetEnv CREDD_HOME={far} PATH={folder}/bin:{path} PYTHONPATH={root} PYTHONDONTWRITEBYTECODE=1
"""

SSH_CONFIG = """\
Host submit
HostName 127.0.0.1
Port {port}
User {user}
IdentityFile {folder}/key
IdentitiesOnly yes
UserKnownHostsFile {folder}/known_hosts
StrictHostKeyChecking yes
"""


@dataclass(frozen=True)
class Cluster:
    """Two homes: `far` has the daemon, `near` is a compute node that reaches it by ssh alone."""

    far: Home
    near: Home
    path: str

    async def forward(self, *args: str, **more: str) -> tuple[int, str, str]:
        """`credd-ctl forward ARGS` on the node: exit status and what it said."""
        done = await self.near.run("credd-ctl", "forward", *args, PATH=self.path, **more)
        return done.exit_code, done.stdout, done.stderr


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def write_script(path: Path, line: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


def prepare(folder: Path, far: Path, port: int) -> None:
    """Keys, both configurations, and `ssh` and `credd-ctl` as they are called there."""
    for name in ("host_key", "key"):
        argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(argv, check=True, capture_output=True)
    host_key = (folder / "host_key.pub").read_text()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key}")
    user = pwd.getpwuid(os.geteuid()).pw_name
    places = {"folder": folder, "port": port, "user": user, "far": far, "root": ROOT}
    (folder / "sshd_config").write_text(SSHD_CONFIG.format(path=os.environ["PATH"], **places))
    (folder / "ssh_config").write_text(SSH_CONFIG.format(**places))
    ssh = shutil.which("ssh")
    write_script(folder / "near" / "ssh", f'exec {ssh} -F {folder}/ssh_config "$@"')
    python = shlex.quote(sys.executable)
    write_script(folder / "bin" / "credd-ctl", f'exec {python} -m credd.ctl "$@"')


@pytest.fixture
async def cluster(home: Home, canary: Canary, tmp_path: Path) -> AsyncIterator[Cluster]:
    """A submit host with a daemon and sshd, and a node without."""
    canary.register_secret("access_token", KEY)
    home.configure("lab", provider="static", hosts=["127.0.0.1"])
    home.configure("mlflow", provider="static", hosts=["127.0.0.1"])
    await home.start()
    flow = ("--flow", "key", "--key-stdin")
    assert (await home.run("credd-ctl", "login", "lab", *flow, stdin=KEY)).exit_code == 0
    port = free_port()
    await asyncio.to_thread(prepare, tmp_path, home.folder, port)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd as root insists on it
    log = (tmp_path / "sshd.log").open("wb")
    argv = [str(SSHD), "-D", "-e", "-f", str(tmp_path / "sshd_config")]
    sshd = subprocess.Popen(argv, stderr=log, stdin=subprocess.DEVNULL)  # noqa: ASYNC220
    try:
        await eventually(lambda: answers(port), "sshd listens")
        async with throw_away_home(canary) as near:
            yield Cluster(home, near, f"{tmp_path}/near:{os.environ['PATH']}")
    finally:
        sshd.terminate()
        sshd.wait()
        log.close()


async def answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


async def no_sockets(home: Home) -> bool:
    return (await home.ask("GET", wire.SOCKETS)).body == {"sockets": []}


TOKEN_COMMAND = (sys.executable, "-m", "credd.client.token_command")


async def test_a_command_gets_the_token_of_the_far_daemon(cluster: Cluster) -> None:
    """With CREDD_SOCK and CREDD_CREDENTIAL set; afterwards nothing is left on either side."""
    code, out, err = await cluster.forward("submit", "-c", "lab", "--", *TOKEN_COMMAND)
    assert (code, out) == (0, KEY + "\n"), err
    await eventually(lambda: no_sockets(cluster.far), "the far socket has ended")


async def test_only_the_named_credentials_travel(cluster: Cluster) -> None:
    """Another one is denied, though the far daemon has it."""
    code, out, err = await cluster.forward("submit", "-c", "lab", "--", *TOKEN_COMMAND, "mlflow")
    assert (code, out) == (5, ""), err


async def test_the_host_that_submitted_the_job_is_the_default(cluster: Cluster) -> None:
    """As Slurm tells a job where it came from."""
    code, out, err = await cluster.forward("--", *TOKEN_COMMAND, "lab", SLURM_SUBMIT_HOST="submit")
    assert (code, out) == (0, KEY + "\n"), err


async def test_the_commands_own_status_is_passed_on(cluster: Cluster) -> None:
    """As of env(1): 127 where there is no such command."""
    assert (await cluster.forward("submit", "-c", "lab", "--", "sh", "-c", "exit 42"))[0] == 42
    assert (await cluster.forward("submit", "-c", "lab", "--", "no-such-command"))[0] == 127


async def test_without_a_command_it_serves_at_the_usual_socket(cluster: Cluster) -> None:
    """Until it is interrupted; then both sockets go."""
    running = await cluster.near.spawn("credd-ctl", "forward", "submit", PATH=cluster.path)

    async def is_served() -> bool:
        with suppress(OSError):
            reply = await asyncio.to_thread(
                ask, cluster.near.socket, "GET", "/v1/credentials/lab/token"
            )
            return reply.body.get("access_token") == KEY
        return False

    await eventually(is_served, f"the far daemon's token is here: {running.said()}")
    denied = await asyncio.to_thread(ask, cluster.near.socket, "GET", wire.CREDENTIALS)
    assert (denied.status, denied.body["code"]) == (403, "denied")
    second = await cluster.forward("submit")
    assert second[0] == 10, second
    running.process.send_signal(signal.SIGINT)
    assert (await running.finished()).exit_code == 0, running.said()
    assert not os.path.lexists(cluster.near.socket)
    await eventually(lambda: no_sockets(cluster.far), "the far socket has ended")


async def test_a_node_that_dies_leaves_nothing_behind(cluster: Cluster) -> None:
    """SIGKILL: the far side notices that the connection has ended."""
    running = await cluster.near.spawn("credd-ctl", "forward", "submit", PATH=cluster.path)

    async def is_there() -> bool:
        return not await no_sockets(cluster.far)

    await eventually(is_there, "the far socket is there")
    running.process.kill()
    await running.finished()
    await eventually(lambda: no_sockets(cluster.far), "the far socket has ended")


async def test_a_job_socket_is_forwarded_to_a_host_that_cant_call_back(cluster: Cluster) -> None:
    """ssh -R, as docs/jobs.md has it: sshd listens, and the token comes through."""
    there = cluster.near.folder / "there"
    there.mkdir(mode=0o700)
    made = await cluster.far.ctl("socket", "create", f"{cluster.far.folder}/job", "-c", "lab")
    assert made.exit_code == 0, made.stderr
    forward = f"{there}/credd.sock:{cluster.far.folder}/job/credd.sock"
    argv = ["ssh", "-N", "-o", "ExitOnForwardFailure=yes", "-R", forward, "submit"]
    ssh = await asyncio.create_subprocess_exec(*argv, env={"PATH": cluster.path})

    async def is_there() -> bool:
        return (there / "credd.sock").exists()

    try:
        await eventually(is_there, "sshd listens")
        sock = {"CREDD_SOCK": f"{there}/credd.sock"}
        done = await cluster.near.run("credd-token", "lab", **sock)
        assert (done.exit_code, done.stdout) == (0, KEY + "\n"), done.stderr
    finally:
        ssh.terminate()
        await ssh.wait()


@pytest.mark.parametrize(
    ("args", "status"),
    [
        (("nowhere.invalid", "--", "true"), 3),
        (("submit", "-c", "nobody", "--", "true"), 8),
        ((), 2),
        (("--", "true"), 2),
        (("-oProxyCommand=touch x", "--", "true"), 2),
        (("submit", "extra"), 2),
    ],
)
async def test_what_cant_be_forwarded_says_why(
    cluster: Cluster, args: tuple[str, ...], status: int
) -> None:
    """Nothing on stdout, a command to paste last, and the exit status of the contract."""
    code, out, err = await cluster.forward(*args)
    assert (code, out) == (status, ""), err
    assert "credd-ctl" in err.splitlines()[-1]


async def test_in_a_slurm_job_the_remedy_is_the_forward(cluster: Cluster) -> None:
    """A daemon started on the node would hold no login."""
    done = await cluster.near.run("credd-token", "--timeout", "1", "lab", SLURM_JOB_ID="4711")
    assert (done.exit_code, done.remedy) == (3, "credd-ctl forward &")
