"""The credential `lab`: a daemon, npm oidc-provider, and the fault proxy between them.

Knows: how the three are joined. Refuses to know: what a test does with them.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.fakes.fault_proxy import FaultProxy
from tests.system.approval import approve
from tests.system.harness import Home, eventually
from tests.system.provider import OpenIDProvider

NAME = "lab"
LOGIN = f"credd-ctl login {NAME}"


@dataclass(frozen=True)
class Lab:
    """One credential, and everyone who has a part in it."""

    home: Home
    provider: OpenIDProvider
    proxy: FaultProxy

    async def begin(self) -> None:
        """Configure the credential, start the daemon, log in."""
        settings = self.provider.settings
        self.home.configure(
            NAME,
            provider="oidc",
            issuer=self.provider.issuer,
            client_id=settings.client_id,
            scopes=["openid", "offline_access", *settings.scopes],
            hosts=["127.0.0.1"],
        )
        await self.home.start()
        await self.login()

    async def login(self) -> None:
        """A person logs in by device flow."""
        done = await self.home.login(NAME, lambda code: approve(self.provider.url, code))
        assert done.exit_code == 0, done.stderr

    async def state_is(self, *states: str, limit: float = 30.0) -> str:
        """Wait until the credential is in one of these states, and answer which."""

        async def look() -> str:
            state = await self.home.state(NAME)
            return state if state in states else ""

        return await eventually(look, f"state {' or '.join(states)}", limit)

    def is_active(self, token: str) -> bool:
        """What the provider says of a served token, at this moment."""
        return bool(self.provider.introspect(token)["active"])
