"""A job socket, with the real commands: in namespaces of its own, as another uid, over OpenSSH.

The credentials are static keys, so that no issuer is needed; what is shown is who may have which.
"""

# ruff: noqa: ASYNC240 - a look at a file in memory holds up nobody

from __future__ import annotations

import asyncio
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from credd import wire
from credd.api.routes import ROUTES
from tests.canary import Canary
from tests.system.harness import ROOT, Home, eventually
from tests.system.unix_http import ask

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="namespaces are Linux's")

KEYS = {"lab": "key-of-lab-CANARY", "mlflow": "key-of-mlflow-CANARY"}
NESTED = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount", "--mount-proc")
NOBODY = 65534

REFUSED = (7, 52, 55, 56)
"""How curl ends at a connection that is closed before it has said a word, or while it does."""

HTTP_STATUS = "%{http_code}"


def works(*argv: str) -> bool:
    """Whether this machine lets us do that."""
    try:
        return subprocess.run(argv, capture_output=True, check=False, timeout=30).returncode == 0
    except OSError:
        return False


needs_namespaces = pytest.mark.skipif(
    not works(*NESTED, "true"), reason="user namespaces are not allowed here"
)
needs_other_uid = pytest.mark.skipif(
    os.geteuid() != 0 or not works("setpriv", f"--reuid={NOBODY}", "--clear-groups", "curl", "-V"),
    reason="needs root, setpriv and curl, to ask as another uid",
)


@pytest.fixture
async def house(home: Home, canary: Canary) -> Home:
    """A running daemon that holds two keys."""
    for name, key in KEYS.items():
        canary.register_secret("access_token", key)
        home.configure(name, provider="static", hosts=["127.0.0.1"])
    await home.start()
    for name, key in KEYS.items():
        done = await home.run("credd-ctl", "login", name, "--flow", "key", "--key-stdin", stdin=key)
        assert done.exit_code == 0, done.stderr
    return home


@pytest.fixture
def job() -> Iterator[Path]:
    """Where a job socket's folder is to be: apart from the home, which a container doesn't see."""
    above = Path(tempfile.mkdtemp(prefix="credd-job-"))
    above.chmod(0o755)
    yield above / "train"
    shutil.rmtree(above)


async def created(home: Home, folder: Path, *more: str) -> wire.SocketReply:
    """`credd-ctl socket create FOLDER -c lab`."""
    done = await home.ctl("socket", "create", str(folder), "-c", "lab", "--json", *more)
    assert done.exit_code == 0, done.stderr
    reply: wire.SocketReply = json.loads(done.stdout)
    return reply


def token_of(path: str, name: str = "lab") -> tuple[int, str]:
    """Status, and the token or the code of the problem."""
    found = ask(path, "GET", f"/v1/credentials/{name}/token")
    return found.status, str(found.body.get("access_token") or found.body.get("code"))


async def finished(*argv: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """A command run to its end."""
    plain = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environ}
    return await asyncio.to_thread(
        subprocess.run, argv, env=plain, capture_output=True, text=True, check=False, timeout=30
    )


# --- what it serves -------------------------------------------------------------------------


async def test_it_serves_its_credential_and_is_closed_to_others(house: Home, job: Path) -> None:
    """0600 in a folder 0700, which holds nothing else."""
    reply = await created(house, job)
    assert (reply["id"], reply["path"]) == ("train", f"{job}/credd.sock")
    assert stat.S_IMODE(job.stat().st_mode) == 0o700
    assert stat.S_IMODE(os.stat(reply["path"]).st_mode) == 0o600
    assert os.listdir(job) == ["credd.sock"]
    assert token_of(reply["path"]) == (200, KEYS["lab"])
    assert token_of(reply["path"], "mlflow") == (403, "denied")


async def test_the_trail_names_it(house: Home, job: Path) -> None:
    """What was fetched through it, and what was tried beyond it."""
    path = (await created(house, job))["path"]
    token_of(path)
    token_of(path, "mlflow")

    async def is_told() -> bool:
        trail = json.dumps((await house.ask("GET", wire.AUDIT)).body)
        return '"socket": "train"' in trail and "beyond_socket" in trail

    await eventually(is_told, "the audit trail names the job socket")


CONTAINER = """
set -e
mount -t tmpfs none "$HIDDEN"
{ls} "$HIDDEN" | grep . && exit 90
"$@"
"""


@needs_namespaces
async def test_a_container_fetches_its_credential_and_reaches_nothing_else(
    house: Home, job: Path
) -> None:
    """Namespaces of its own, the home out of sight, only the job socket's folder there: credd-token
    and curl get the token, and every other route is denied."""
    path = (await created(house, job))["path"]
    inside = (*NESTED, "sh", "-c", CONTAINER.format(ls="ls -A"), "sh")
    environ = {"HIDDEN": str(house.folder), "CREDD_SOCK": path}
    module = (sys.executable, "-m", "credd.client.token_command", "lab")
    done = await finished(*inside, *module, **environ)
    assert (done.returncode, done.stdout) == (0, KEYS["lab"] + "\n"), done.stderr
    raw = "http://credd/v1/credentials/lab/token?format=raw"
    done = await finished(*inside, "curl", "-sS", "--unix-socket", path, raw, **environ)
    assert (done.returncode, done.stdout) == (0, KEYS["lab"]), done.stderr
    statuses = await asyncio.to_thread(statuses_inside, inside, environ)
    allowed = {("GET", wire.TOKEN): "200", ("POST", wire.REJECTIONS): "200"}
    assert statuses == {
        (route.method, route.path): allowed.get((route.method, route.path), "403")
        for route in ROUTES
    }


def statuses_inside(inside: tuple[str, ...], environ: dict[str, str]) -> dict[tuple[str, str], str]:
    """The status of every route of the table, asked from inside with one run of curl."""
    argv = ["curl", "-sS"]
    for number, route in enumerate(ROUTES):
        target = route.path.replace("{name}", "lab").replace("{id}", "train")
        body = ["-H", "Content-Type: application/json", "-d", '{"generation": 1}']
        argv += ["--next", "-sS"] if number else []
        argv += ["--unix-socket", environ["CREDD_SOCK"], "-X", route.method, "-o", "/dev/null"]
        argv += body if route.path == wire.REJECTIONS else []
        argv += ["-w", HTTP_STATUS + "\n", "http://credd" + target]
    plain = {"PATH": os.environ["PATH"], **environ}
    done = subprocess.run(
        [*inside, *argv], env=plain, capture_output=True, text=True, check=True, timeout=30
    )
    keys = [(route.method, route.path) for route in ROUTES]
    return dict(zip(keys, done.stdout.split(), strict=True))


@needs_namespaces
async def test_t15_a_container_is_refused_at_the_main_socket(house: Home) -> None:
    """The same process that a job socket serves gets no byte through the main one."""
    url = "http://credd/v1/credentials/lab/token"
    done = await finished(*NESTED, "curl", "-sS", "--unix-socket", house.socket, url)
    assert done.returncode in REFUSED, done
    assert done.stdout == ""
    assert token_of(house.socket) == (200, KEYS["lab"])


# --- how long it lives ----------------------------------------------------------------------


async def test_it_outlives_a_restart_of_the_daemon(house: Home, job: Path) -> None:
    """After SIGTERM and after SIGKILL it is back where it was, with what it served."""
    path = (await created(house, job, "--ttl", "1h"))["path"]
    for end in (house.terminate, house.kill):
        await end()
        with pytest.raises(ConnectionRefusedError):
            token_of(path)
        await house.start()
        assert token_of(path) == (200, KEYS["lab"])
        assert token_of(path, "mlflow") == (403, "denied")
    listed = json.loads((await house.ctl("socket", "list", "--json")).stdout)["sockets"]
    assert [(one["id"], one["listening"]) for one in listed] == [("train", True)]
    kept = house.folder / "state" / "sockets.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert "CANARY" not in kept.read_text()


async def test_it_ends_with_its_time(house: Home, job: Path) -> None:
    """Nothing of it is left, and nobody has to do anything."""
    path = (await created(house, job, "--ttl", "1s"))["path"]
    assert token_of(path) == (200, KEYS["lab"])

    async def is_gone() -> bool:
        return not job.exists()

    await eventually(is_gone, "the socket and its folder are gone", 20)
    with pytest.raises(FileNotFoundError):
        token_of(path)
    assert (await house.ask("GET", wire.SOCKETS)).body == {"sockets": []}


async def test_one_whose_time_ran_out_while_no_daemon_ran_is_not_served_again(
    house: Home, job: Path
) -> None:
    """What has ended stays ended."""
    path = (await created(house, job, "--ttl", "1s"))["path"]
    await house.kill()
    await asyncio.sleep(1.1)
    await house.start()

    async def is_gone() -> bool:
        return not job.exists()

    await eventually(is_gone, "the socket is cleared away", 20)
    with pytest.raises(FileNotFoundError):
        token_of(path)


@pytest.mark.parametrize("by", ["name", "folder"])
async def test_it_ends_on_request(house: Home, job: Path, by: str) -> None:
    """By its name or its folder; who removes it twice is told that there is none."""
    await created(house, job)
    word = "train" if by == "name" else str(job)
    done = await house.ctl("socket", "remove", word)
    assert done.exit_code == 0, done.stderr
    assert not job.exists()
    again = await house.ctl("socket", "remove", word)
    assert (again.exit_code, again.remedy) == (8, "credd-ctl socket list")


async def test_a_folder_that_was_there_stays_there(house: Home, job: Path) -> None:
    """We remove what we made."""
    job.mkdir(mode=0o700)
    await created(house, job)
    await house.ctl("socket", "remove", "train")
    assert os.listdir(job) == []


# --- what is refused ------------------------------------------------------------------------


async def test_t16_a_folder_that_is_not_fit_is_refused(house: Home, job: Path) -> None:
    """Open to others, a link, not empty: nothing is made, and the remedy is a command."""
    job.mkdir(mode=0o755)
    link = job.with_name("link")
    link.symlink_to(job)
    full = job.with_name("full")
    full.mkdir(mode=0o700)
    (full / "notes.txt").touch()
    for folder in (job, link, full):
        done = await house.ctl("socket", "create", str(folder), "-c", "lab")
        assert done.exit_code == 9, (folder, done.stderr)
        assert done.remedy.split()[0] in {"chmod", "ls"}
    assert (await house.ask("GET", wire.SOCKETS)).body == {"sockets": []}


async def test_a_socket_that_serves_nothing_is_not_made(house: Home, job: Path) -> None:
    """No credential named is a usage error; an unknown one has its own status."""
    assert (await house.ctl("socket", "create", str(job))).exit_code == 2
    assert (await house.ctl("socket", "create", str(job), "-c", "nobody")).exit_code == 8
    assert (await house.ctl("socket", "create", house.socket[:-11], "-c", "lab")).exit_code == 10
    assert not job.exists()


async def test_all_serves_every_credential(house: Home, job: Path) -> None:
    """`--all`, for a forward that names none."""
    done = await house.ctl("socket", "create", str(job), "--all", "--json")
    assert json.loads(done.stdout)["credentials"] == ["lab", "mlflow"]
    assert "export CREDD_SOCK=" in (await house.ctl("socket", "create", f"{job}2", "--all")).stdout


# --- another uid ----------------------------------------------------------------------------


def as_uid(uid: int) -> tuple[str, ...]:
    return ("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups")


@needs_other_uid
async def test_another_uid_asks_where_it_may_and_nowhere_else(house: Home, job: Path) -> None:
    """With --uid, that user gets the token; a third one and the main socket give it nothing."""
    path = (await created(house, job, "--uid", str(NOBODY)))["path"]
    assert stat.S_IMODE(job.stat().st_mode) == 0o711
    url = "http://credd/v1/credentials/lab/token?format=raw"
    curl = ("curl", "-sS", "--unix-socket")
    assert (await finished(*as_uid(NOBODY), *curl, path, url)).stdout == KEYS["lab"]
    os.chmod(path, 0o666)  # as a daemon that is not root must leave it: the kernel still decides
    third = await finished(*as_uid(4711), *curl, path, url)
    assert (third.returncode in REFUSED, third.stdout) == (True, "")
    for place in (house.folder, house.folder / "run"):
        place.chmod(0o755)
    os.chmod(house.socket, 0o666)
    main = await finished(*as_uid(NOBODY), *curl, house.socket, url)
    assert (main.returncode in REFUSED, main.stdout) == (True, "")


@needs_other_uid
async def test_t80_a_client_takes_another_uids_daemon_only_where_it_was_named(
    house: Home, job: Path
) -> None:
    """CREDD_SOCK alone is denied, with nothing sent; CREDD_SOCK_UID says whose daemon it is."""
    if not works(*as_uid(NOBODY), sys.executable, "-c", f"open('{ROOT}/credd/wire.py')"):
        pytest.skip("this Python is closed to other uids")
    path = (await created(house, job, "--uid", str(NOBODY)))["path"]
    module = (*as_uid(NOBODY), sys.executable, "-m", "credd.client.token_command", "lab")
    refused = await finished(*module, CREDD_SOCK=path)
    assert (refused.returncode, refused.stdout) == (5, ""), refused.stderr
    assert "nothing was sent" in refused.stderr
    wrong = await finished(*module, CREDD_SOCK=path, CREDD_SOCK_UID="4711")
    assert (wrong.returncode, wrong.stdout) == (5, "")
    done = await finished(*module, CREDD_SOCK=path, CREDD_SOCK_UID="0")
    assert (done.returncode, done.stdout) == (0, KEYS["lab"] + "\n"), done.stderr
