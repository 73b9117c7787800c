"""npm oidc-provider, an OpenID provider we did not write, as a process of the test's own.

Knows: how it is installed (once for each lock file, outside of the source tree), started, asked
and ended. Refuses to know: the fault proxy, whose URL is handed in as the issuer. The hard thing:
a process that can't outlive its test, even one killed by SIGKILL: it ends when its standard input
does.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).parent / "openid_provider"
CACHE = Path(__file__).parents[2] / "build" / "openid_provider"
REQUIRED = "CREDD_REQUIRE_PROVIDER"
"""Where this variable is 1, a provider that can't be started is a failure and not a skip."""

INSTALL_LIMIT = 180.0
"""Seconds for `npm ci` of 40 small packages: 2 s where they are cached, a slow network else."""

START_LIMIT = 20.0
"""Seconds until it listens: 0.5 s at rest, more on a machine that does other things too."""


class ProviderMissing(Exception):
    """The provider can't be had on this machine; the message says why."""


@dataclass(frozen=True)
class ProviderSettings:
    """What the provider is told at its start. Durations are seconds."""

    client_id: str = "credd-tests"
    confidential_client_id: str = "credd-tests-confidential"
    confidential_client_secret: str = "cs-CANARY-oidc-provider"
    signing_client_id: str = "credd-tests-signing"
    signing_client_jwk: dict[str, str] | None = None
    access_token_seconds: int = 6
    refresh_token_seconds: int = 86400
    device_code_seconds: int = 300
    device_interval: int = 1
    rotate: bool = True
    scopes: tuple[str, ...] = ("runs:read", "runs:write")


@dataclass(frozen=True)
class OpenIDProvider:
    """A running provider. `url` is its own address; `issuer` is the one that clients know."""

    issuer: str
    url: str
    settings: ProviderSettings
    events_file: Path
    pid: int

    def events(self, event: str | None = None) -> list[dict[str, Any]]:
        """What it has noted so far, in order; of one kind where `event` is given."""
        lines = self.events_file.read_text().splitlines()
        entries = [json.loads(line) for line in lines]
        return [entry for entry in entries if event in (None, entry["event"])]

    def token_requests(self, grant_type: str | None = None) -> list[dict[str, Any]]:
        """The token requests that it answered; of one grant type where that is given."""
        requests = self.events("token")
        return [one for one in requests if grant_type in (None, one["grant_type"])]

    def refresh_tokens_seen_twice(self) -> list[str]:
        """sha256 of each refresh token that was posted more than once."""
        seen = [one["refresh_token_sha256"] for one in self.token_requests("refresh_token")]
        return sorted({digest for digest in seen if seen.count(digest) > 1})

    def introspect(self, token: str) -> dict[str, Any]:
        """What the provider says of a token (RFC 7662); past the proxy, so no fault touches it."""
        return self.post("/token/introspection", {"token": token}, confidential=True)

    def post(
        self, path: str, form: dict[str, str], *, confidential: bool = False
    ) -> dict[str, Any]:
        """Post a form and read the JSON reply, whatever its status; past the proxy."""
        request = urllib.request.Request(
            self.url + path, urllib.parse.urlencode(form).encode(), self._headers(confidential)
        )
        opener = urllib.request.build_opener(_AnyStatus)
        with opener.open(request, timeout=10) as reply:
            answer: dict[str, Any] = json.loads(reply.read() or b"{}")
            return answer

    def _headers(self, confidential: bool) -> dict[str, str]:
        if not confidential:
            return {}
        pair = f"{self.settings.confidential_client_id}:{self.settings.confidential_client_secret}"
        return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}


class _AnyStatus(urllib.request.HTTPErrorProcessor):
    """An OAuth error is a reply like another, not an exception."""

    def http_response(self, request: Any, response: Any) -> Any:
        return response


def installed() -> Path:
    """The folder with oidc-provider and our script, made where needed. Raises ProviderMissing."""
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            raise ProviderMissing(f"{tool} is not on PATH")
    lock = (SOURCE / "package-lock.json").read_bytes()
    folder = CACHE / hashlib.sha256(lock).hexdigest()[:16]
    if not folder.is_dir():
        _install(folder)
    _place_script(folder)
    return folder


def _install(folder: Path) -> None:
    """`npm ci` beside the place, then one rename: an interrupted one leaves nothing half there."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(dir=folder.parent))
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(SOURCE / name, fresh)
    _npm_ci(fresh)
    try:
        fresh.rename(folder)
    except OSError:  # another run was faster, and its folder holds the same
        shutil.rmtree(fresh)


def _npm_ci(folder: Path) -> None:
    command = ["npm", "ci", "--ignore-scripts", "--silent"]
    try:
        subprocess.run(
            command, cwd=folder, check=True, capture_output=True, timeout=INSTALL_LIMIT, text=True
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        shutil.rmtree(folder)
        raise ProviderMissing(f"npm ci failed: {error}: {error.stderr!r}") from error


def _place_script(folder: Path) -> None:
    """The newest provider.mjs, beside node_modules, where node looks imports up."""
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".mjs", delete=False) as copy:
        copy.write((SOURCE / "provider.mjs").read_bytes())
    Path(copy.name).replace(folder / "provider.mjs")


@contextmanager
def running_provider(
    issuer: str, logs: Path, settings: ProviderSettings | None = None
) -> Iterator[OpenIDProvider]:
    """Start the provider as `issuer`, and end it. Its events and its stderr are kept in `logs`.

    Blocks the caller for half a second: what stands in front of it needs no answers meanwhile.
    Raises ProviderMissing.
    """
    settings = settings or ProviderSettings()
    folder = installed()
    run = Path(tempfile.mkdtemp(prefix="provider-", dir=logs))
    events = run / "events.jsonl"
    events.touch()
    with (run / "output").open("wb") as output:
        process = subprocess.Popen(
            ["node", "provider.mjs"],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env={"PATH": os.environ["PATH"], "HOME": str(run)},
        )
    try:
        told = {**asdict(settings), "issuer": issuer, "events": str(events)}
        _tell(process, json.dumps(told))
        url = f"http://127.0.0.1:{_port(process, events)}"
        yield OpenIDProvider(issuer, url, settings, events, process.pid)
    finally:
        process.kill()
        process.communicate()


def _tell(process: subprocess.Popen[bytes], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line.encode() + b"\n")
    process.stdin.flush()


def _port(process: subprocess.Popen[bytes], events: Path) -> int:
    """The port from its first note."""
    deadline = time.monotonic() + START_LIMIT
    while time.monotonic() < deadline:
        first = events.read_text().partition("\n")
        if first[1]:
            return int(json.loads(first[0])["port"])
        if process.poll() is not None:
            raise RuntimeError(f"oidc-provider ended at its start; see {events.parent}/output")
        time.sleep(0.02)
    raise TimeoutError(f"oidc-provider did not listen within {START_LIMIT} s")
