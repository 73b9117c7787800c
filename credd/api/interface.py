"""What the front door needs of the rest of the house.

Only shapes stand here: the daemon fills them with the broker, tests with a fake one. Each method
may raise any CreddError, which travels to the client as it is; anything else is a defect, and the
client hears no more than its number.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from credd import wire, wire_audit, wire_vault
from credd.core.deeds import Asker, Deed
from credd.core.importing import Handover
from credd.core.model import AccessToken, Secret, TokenKey


class Served(Protocol):
    """An access token on its way out. Unix seconds: it ends at `expires_at` (None: never), and a
    copy is good until `refresh_at`."""

    @property
    def token(self) -> AccessToken: ...
    @property
    def stale(self) -> bool: ...
    @property
    def expires_at(self) -> float | None: ...
    @property
    def refresh_at(self) -> float: ...
    @property
    def account(self) -> str: ...
    @property
    def hosts(self) -> Sequence[str]: ...


class Broker(Protocol):
    """The one who decides. Times are seconds; a caller who leaves ends nobody else's wait."""

    async def token(
        self, name: str, key: TokenKey, *, min_valid: float | None, max_wait: float
    ) -> Served:
        """A token that is good now, for `min_valid` seconds where that is given."""
        ...

    def describe(self, name: str) -> wire.CredentialReply:
        """Everything but secrets."""
        ...

    def describe_all(self) -> list[wire.CredentialReply]:
        """The same of all."""
        ...

    async def reject(self, name: str, generation: int, *, max_wait: float) -> wire.RefreshReply:
        """A resource server refused this generation."""
        ...

    async def refresh(self, name: str, *, max_wait: float) -> wire.RefreshReply:
        """Get a new token now."""
        ...

    def refresh_all(self) -> list[str]:
        """Wake every waiting retry; the names of the credentials that were woken."""
        ...

    def lifetime(self, name: str, seconds: float) -> wire.LifetimeReply:
        """Whether the login lasts for so long."""
        ...

    async def forget(self, name: str, *, keep_going: bool) -> None:
        """Revoke and erase; with `keep_going` erase even if the issuer can't be reached."""
        ...


class Logins(Protocol):
    """Logins as conversations that outlive their caller."""

    async def start(self, request: wire.LoginRequest) -> wire.LoginReply:
        """Begin one, or find the unfinished one again."""
        ...

    def events(self, login: str, /) -> AsyncIterator[wire.LoginEvent]:
        """All events, from the first one on, until it has ended."""
        ...

    def answer(self, login: str, question: str, answer: Secret, /) -> None:
        """A person's answer."""
        ...

    async def cancel(self, login: str, /) -> None:
        """End it; nothing is kept of it."""
        ...


class House(Protocol):
    """The daemon as a whole."""

    def version(self) -> wire.VersionReply:
        """What runs, and what a restart would run."""
        ...

    def is_ready(self) -> bool:
        """Whether tokens are served."""
        ...

    async def reload(self) -> wire.ReloadReply:
        """Read the configuration again."""
        ...

    def needs_consent(self, name: str, /) -> bool:
        """Whether a person is asked before each token of this credential."""
        ...

    async def consent(self, name: str, asker: Asker, /) -> None:
        """Return where a person agrees; raise Denied for anything else."""
        ...

    def refuse_if_locked(self) -> None:
        """Raise Locked while a person has locked it."""
        ...

    async def lock(self, passphrase: Secret | None, /, *, seal: bool) -> None:
        """Shut everything that bears a secret."""
        ...

    async def unlock(self, passphrase: Secret, /) -> None:
        """Open the lock, or the vault by its passphrase."""
        ...

    async def recover(self, code: Secret, /) -> None:
        """Open the vault by its recovery code."""
        ...

    def vault(self) -> wire_vault.VaultReply:
        """Where the vault stands."""
        ...

    async def accept_vault(self) -> None:
        """A copied vault may spend its refresh tokens from now on."""
        ...

    async def take_over(self, request: wire.ImportRequest, handed: Handover, /) -> wire.ImportReply:
        """Take over a login that another program obtained; its secrets are in `handed` alone."""
        ...

    async def verify_vault(self) -> wire_vault.VerifyReply:
        """Look at every part of it."""
        ...

    async def rewrap_vault(self, request: wire_vault.RewrapRequest, /) -> wire_vault.VaultReply:
        """Change where its key comes from."""
        ...

    async def rekey_vault(self, request: wire_vault.RekeyRequest, /) -> wire_vault.VaultReply:
        """Seal everything anew."""
        ...

    async def reset_vault(self, *, erase: bool) -> wire_vault.ResetReply:
        """Take it out of its place."""
        ...


class JobSockets(Protocol):
    """The sockets that serve a few credentials to a container, another uid, or a far host."""

    async def create(self, request: wire.SocketRequest) -> wire.SocketReply:
        """Make one and listen at it."""
        ...

    def all(self) -> list[wire.SocketReply]:
        """All there are, oldest first."""
        ...

    async def remove(self, socket: str, /) -> None:
        """End one, by its id."""
        ...


class Witness(Protocol):
    """Sees who does what, and tells what there was to see. Nothing of it stops a request."""

    def began(self, what: str, /) -> None:
        """A request of this kind is being carried out."""
        ...

    def ended(self, deed: Deed, /) -> None:
        """It has ended, one way or the other; who asked is not told here."""
        ...

    def kept(self, deed: Deed, /) -> None:
        """Something that belongs into the audit trail, and who did it."""
        ...

    async def audit(
        self, *, credential: str, since: float, cursor: str, limit: int
    ) -> wire_audit.AuditReply:
        """A page of the trail."""
        ...

    async def check_audit(self) -> wire_audit.AuditCheckReply:
        """Follow the trail's chain."""
        ...

    def events(self) -> AsyncGenerator[wire_audit.Event, None]:
        """What happens from now on, after how things are."""
        ...

    def metrics(self) -> str:
        """All counts, as Prometheus reads them."""
        ...

    async def findings(self) -> wire_audit.FindingsReply:
        """What is wrong with the daemon."""
        ...


@dataclass(frozen=True, slots=True)
class Front:
    """Whom the handlers ask."""

    broker: Broker
    logins: Logins
    house: House
    sockets: JobSockets
    witness: Witness
