"""The chores that a person may ask of the daemon: reload, plan a login, tell the version.

Rules: nothing here decides about a token. What concerns the vault alone stands in vault_care.py.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import credd
from credd import wire
from credd.broker.consent import Consent, requester_of
from credd.broker.grants import Grants
from credd.broker.imports import Imports
from credd.broker.imports import Plan as ImportPlan
from credd.broker.login_talk import Ask, Plan
from credd.broker.logins import LONGEST, TIME_OUT
from credd.broker.shelf import Shelf
from credd.core.config import BadConfig, Config, check_credential
from credd.core.conversation import Question
from credd.core.deeds import Asker
from credd.core.importing import Handover
from credd.core.model import Credential, Secret
from credd.core.provider_table import Row
from credd.daemon import logs
from credd.daemon.configuration import Configuration, unreadable_of
from credd.daemon.locking import Locking
from credd.errors import BadRequest, CreddError, Denied, Misconfigured, UnknownCredential
from credd.vault.vault import ABSENT, LOCKED, OPEN, Offered, Vault

log = logging.getLogger(__name__)

PASSPHRASE = "vault-passphrase"


class Housekeeping(Locking):
    """What `credd-ctl` asks of the daemon besides tokens."""

    def __init__(
        self, configuration: Configuration, vault: Vault, shelf: Shelf, grants: Grants
    ) -> None:
        super().__init__(vault, shelf, grants)
        self._configuration = configuration
        self._started_at = time.time()
        self.ready = False
        self.reloaded: Callable[[wire.ReloadReply], None] = lambda _: None
        self.imports: Imports | None = None
        self.asks: Consent | None = None

    def is_ready(self) -> bool:
        """Whether everything has been loaded."""
        return self.ready

    def version(self) -> wire.VersionReply:
        """Which daemon this is, and which one a restart would run."""
        status = self._vault.status()
        return {
            "version": credd.__version__,
            "installed": installed_version(),
            "api": wire.API_VERSION,
            "pid": os.getpid(),
            "started_at": self._started_at,
            "vault": "restored" if status.restored else status.state,
            "key_source": status.key_source,
        }

    # --- consent -----------------------------------------------------------------------------

    def needs_consent(self, name: str) -> bool:
        """Whether a person is asked before each token. Raises UnknownCredential."""
        credential = self._shelf.find(name).credential
        return credential is not None and credential.confirm

    async def consent(self, name: str, asker: Asker) -> None:
        """Return where a person agrees. Raises Denied for anything else."""
        if self.asks is None:
            raise Denied(f"nobody can be asked about {name}", reason="not_confirmed")
        await self.asks.ask(name, requester_of(asker))

    # --- configuration -----------------------------------------------------------------------

    async def reload(self) -> wire.ReloadReply:
        """Read config.toml again; with findings, the old one stays in force."""
        applied = self._configuration.load()
        if applied:
            self.apply(self._configuration.current)
        else:
            for finding in self._configuration.findings:
                log.warning("config.toml is not applied: %s", finding)
        findings = [finding.to_wire() for finding in self._configuration.findings]
        reply: wire.ReloadReply = {"applied": applied, "findings": findings}
        self.reloaded(reply)
        return reply

    def apply(self, config: Config) -> None:
        """Take a clean configuration into force."""
        logs.set_level(config.daemon.log_level)
        self._shelf.configure(config.credentials)
        log.info("%d credentials are configured", len(config.credentials))

    # --- the vault ---------------------------------------------------------------------------

    async def prepare_vault(self, choice: str, ask: Ask) -> None:
        """Make sure that there is an open vault for what a login wins; may ask for a passphrase.

        `choice` names the key source of a vault that is yet to be made, "" the configured one.
        """
        status, passphrase = self._vault.status(), None
        source = choice or self._configuration.current.vault.key
        # Nobody else waits while a person looks for words.
        if status.state == ABSENT and source == "passphrase":
            passphrase = await ask(Question(PASSPHRASE, "A new passphrase for the vault"))
        if status.state == LOCKED and status.key_source == "passphrase":
            answer = await ask(Question(PASSPHRASE, "The vault's passphrase"))
            await self._unlock(Offered(answer))
        async with self._opening:
            status = self._vault.status()
            if status.state == ABSENT:
                await self._create(source, passphrase)
            elif status.state != OPEN:
                await self._vault.retry(may_prompt=True)
                await self._take_over()
        problem = self._vault.problem()
        if problem is not None:
            raise problem

    async def _create(self, source: str, passphrase: Secret | None) -> None:
        await self._vault.create(source, passphrase)
        log.info("made a vault; its key comes from: %s", self._vault.status().key_source)
        await self._take_over()

    # --- logins ------------------------------------------------------------------------------

    def plan(self, request: wire.LoginRequest) -> Plan:
        """A login request, checked against configuration and catalogue."""
        wanted = self._credential(request)
        row = self._configuration.catalog[wanted.provider]
        return Plan(
            credential=wanted,
            provider=row.build(wanted.settings),
            flow=_flow(request.get("flow", ""), row),
            timeout=min(float(request.get("timeout") or TIME_OUT), LONGEST),
            switch_account=bool(request.get("switch_account")),
            vault_key=request.get("vault_key", ""),
            browser_near=request.get("browser") == "near",
        )

    async def take_over(self, request: wire.ImportRequest, handed: Handover) -> wire.ImportReply:
        """Let a login of another program move in. Raises CreddError, and then it has not."""
        if self.imports is None:
            raise CreddError("the daemon is still starting")
        wanted = self._credential(request)
        row = self._configuration.catalog[wanted.provider]
        plan = ImportPlan(
            credential=wanted,
            provider=row.build(wanted.settings),
            handed=handed,
            keep_original=bool(request.get("keep_original")),
            vault_key=request.get("vault_key", ""),
        )
        return await self.imports.take(plan)

    def _credential(self, request: wire.LoginRequest | wire.ImportRequest) -> Credential:
        name, settings = request["name"], request.get("settings") or {}
        provider = request.get("provider", "")
        configured = self._configuration.current.credentials.get(name)
        if configured is None:
            return self._new_credential(name, provider, settings)
        if provider or settings:
            return _same_or_refuse(configured, self._new_credential(name, provider, settings))
        return configured

    def _new_credential(self, name: str, provider: str, settings: Mapping[str, Any]) -> Credential:
        catalog = self._configuration.catalog
        if not provider:
            provider = name if name in catalog and catalog[name].complete else ""
        if not provider:
            raise UnknownCredential(
                f"there is no credential {name} yet: a new one needs its provider",
                remedy=f"credd-ctl login {name} --provider oidc "
                "--set issuer=https://login.example.org --set client_id=CLIENT",
            )
        try:
            wanted = check_credential(name, provider, settings, catalog)
            if findings := unreadable_of(wanted):
                raise BadConfig(findings)
            return wanted
        except BadConfig as bad:
            raise Misconfigured(
                str(bad), remedy="credd-ctl login --help", reason="bad_settings"
            ) from None


def _same_or_refuse(configured: Credential, asked: Credential) -> Credential:
    if configured.identity() == asked.identity():
        return configured
    raise BadRequest(
        f"{configured.name} is configured already, with other settings",
        remedy=f"credd-ctl login {configured.name}",
        reason="already_configured",
    )


def _flow(flow: str, row: Row) -> str:
    """The flow that was asked for; "" leaves it to the provider. Raises BadRequest."""
    if flow and flow not in row.flows:
        offered = ", ".join(row.flows)
        raise BadRequest(f"{row.name} can't log in by {flow}; it offers: {offered}")
    return flow


def installed_version() -> str:
    """The version that a restart would run: what the package on disk says now."""
    try:
        text = Path(credd.__file__).read_text(encoding="utf-8")
    except OSError:
        return ""
    found = re.search(r'^__version__ = "([^"]+)"', text, re.MULTILINE)
    return found.group(1) if found else ""
