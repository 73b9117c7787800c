"""A home for a daemon, with logins in its vault that nobody had to make.

Knows how credd keeps a login, and writes it the way a login would: sealed, by credd's own vault.
The tokens are as long as those of an OpenID provider, and good for a day unless said otherwise.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

from bench import measuring
from bench.installing import Installed
from credd.core.config import Config, parse_config
from credd.core.instant import Instant
from credd.core.model import PRIMARY, AccessToken, Credential, Grant, Secret
from credd.core.record import Record, pack
from credd.providers.catalog import load_catalog
from credd.vault.vault import Vault
from credd.world.clock import Clock

ACCESS_TOKEN = "t" * 1200
REFRESH_TOKEN = "r" * 600
"""As long as Keycloak's, near enough."""

DAY = 86400.0


@dataclass(frozen=True, slots=True)
class Stock:
    """What is in the vault: `count` logins at `issuer`, whose access tokens live for `lifetime`
    seconds and were obtained `age` seconds ago. None of them is due for a refresh."""

    count: int
    issuer: str = "http://127.0.0.1:9"
    lifetime: float = DAY
    age: float = 0.0


class Household:
    """A furnished CREDD_HOME under `folder`, and the installed credd that serves it."""

    def __init__(self, folder: Path, installed: Installed, stock: Stock) -> None:
        self.folder = folder
        self.installed = installed
        self.socket = str(folder / "run" / "credd.sock")
        self.environ = measuring.clean_environ(CREDD_HOME=str(folder))
        folder.mkdir(mode=0o700)
        self._furnish(stock)

    def _furnish(self, stock: Stock) -> None:
        config = self.folder / "config.toml"
        config.touch(mode=0o600)
        config.write_text(_config(stock), "utf-8")
        asyncio.run(self._fill_vault(parse_config(_config(stock), load_catalog().catalog), stock))

    async def _fill_vault(self, config: Config, stock: Stock) -> None:
        state, key = self.folder / "state", self.folder / "vault.key"
        now = Clock().now()
        async with Vault(state / "vault.db", self.folder / "run", key, environ={}) as vault:
            await vault.create("file")
            for name, credential in config.credentials.items():
                await vault.keep(name, pack(_record(credential, stock, now)), 0)

    @property
    def argv(self) -> list[str]:
        """The command that serves this home."""
        return [self.installed.command("credd")]

    @contextmanager
    def served(self) -> Iterator[Popen[bytes]]:
        """The daemon, while the block runs."""
        with measuring.running(self.argv, self.socket, self.environ) as daemon:
            yield daemon


def names(count: int) -> list[str]:
    """The credentials' names."""
    return [f"lab-{number:05}" for number in range(count)]


def _config(stock: Stock) -> str:
    tables = [
        f'[credentials.{name}]\nprovider = "oidc"\nissuer = "{stock.issuer}"\n'
        'client_id = "training"\nhosts = ["mlflow.example.org"]\n'
        for name in names(stock.count)
    ]
    return '[vault]\nkey = "file"\n' + "".join(tables)


def _record(credential: Credential, stock: Stock, now: Instant) -> Record:
    then = Instant(now.wall - stock.age, now.boottime - stock.age, now.boot_id)
    token = AccessToken(
        value=Secret(ACCESS_TOKEN),
        token_type="Bearer",
        generation=1,
        key=PRIMARY,
        scope="openid",
        obtained=then,
        lifetime=stock.lifetime,
        soft_after=stock.lifetime * 0.6,
    )
    grant = Grant(
        number=1,
        refresh_token=Secret(REFRESH_TOKEN),
        subject="248289761001",
        account="jane@example.org",
        scope="openid",
        obtained=then,
        refreshed=then,
        first_lifetime=stock.lifetime,
        private={"token_endpoint": f"{stock.issuer}/token"},
    )
    return Record(
        provider=credential.provider,
        identity=credential.identity(),
        settings=credential.settings,
        generation=1,
        grant=grant,
        tokens=(token,),
    )
