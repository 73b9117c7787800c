"""A broker with everything around it, in a world of fakes: the parts list of the unit tests.

The same wiring as `credd.daemon`, without vault, socket or HTTP. `restart()` is a SIGKILL followed
by a start: memory is gone, the keeper's content stays.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from typing import Any

from credd import wire
from credd.broker.broker import Broker
from credd.broker.flights import Flights
from credd.broker.grants import Grants
from credd.broker.login_talk import Ask, Plan
from credd.broker.logins import Logins
from credd.broker.refresher import Refresher
from credd.broker.shelf import Shelf
from credd.broker.slots import Slots
from credd.core.conversation import Form, Provider, Question, Reply
from credd.core.instant import Instant
from credd.core.model import Credential, Secret
from credd.core.provider_table import Row
from tests.fakes.memory_keeper import MemoryKeeper
from tests.fakes.strict_issuer import StrictIssuer
from tests.fakes.virtual_time import VirtualClock


class Talk:
    """A conversation for providers that need no network: it only knows the time."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock

    async def post(
        self, url: str, form: Form, *, headers: Mapping[str, str | Secret] | None = None
    ) -> Reply:
        raise AssertionError("no network here")

    async def get(self, url: str, *, headers: Mapping[str, str | Secret] | None = None) -> Reply:
        raise AssertionError("no network here")

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def show(self, event: Mapping[str, Any]) -> None:
        raise AssertionError("nobody watches a refresh")

    async def ask(self, question: Question) -> Secret:
        raise AssertionError("nobody can be asked during a refresh")

    def now(self) -> Instant:
        return self._clock.now()


class FakeSurroundings:
    """Virtual time, seeded dice, countable names."""

    def __init__(self, clock: VirtualClock, seed: int = 1) -> None:
        self.clock = clock
        self._random = random.Random(seed)
        self._ids = 0

    def now(self) -> Instant:
        return self.clock.now()

    def dice(self) -> float:
        return self._random.random()

    def new_id(self) -> str:
        self._ids += 1
        return f"id-{self._ids}"

    def talk(self, ca_file: str = "") -> Talk:
        return Talk(self.clock)


def credential(name: str = "lab", **changes: Any) -> Credential:
    """A credential of the strict issuer."""
    settings = changes.pop("settings", {"issuer": name})
    return Credential(name=name, provider="strict", settings=settings, **changes)


class House:
    """One daemon's worth of broker. `issuers` maps a settings' issuer to its StrictIssuer."""

    def __init__(self, *names: str, seed: int = 1, **issuer: Any) -> None:
        self.clock = VirtualClock()
        self.around = FakeSurroundings(self.clock, seed)
        self.keeper = MemoryKeeper()
        self.issuers = {name: StrictIssuer(name=name, **issuer) for name in names or ("lab",)}
        self.credentials = {name: credential(name) for name in self.issuers}
        self.built = 0
        self.refreshing: asyncio.Task[None] | None = None
        self.build()

    @property
    def issuer(self) -> StrictIssuer:
        """The only issuer, or the first."""
        return next(iter(self.issuers.values()))

    def build(self) -> None:
        """The parts list."""
        self.shelf = Shelf(self.keeper, self.around, {"strict": self._row()})
        self.flights = Flights(self.keeper, self.around, Slots())
        self.flights.landed = lambda _: self.shelf.stir()
        self.grants = Grants(self.shelf, self.keeper, self.around)
        self.broker = Broker(self.shelf, self.grants, self.flights, self.around)
        self.refresher = Refresher(self.shelf, self.broker, self.flights, self.around)
        self.logins = Logins(self.broker, self.grants, self.around, self._plan, self._open_vault)

    def _row(self) -> Row:
        return Row("strict", "a strict issuer", (), ("device",), self._provider)

    def _provider(self, settings: Mapping[str, Any]) -> Provider:
        return self.issuers[settings["issuer"]]

    def _plan(self, request: wire.LoginRequest) -> Plan:
        wanted = self.credentials[request["name"]]
        return Plan(
            credential=wanted,
            provider=self.issuers[wanted.settings["issuer"]],
            flow=request.get("flow", ""),
            timeout=request.get("timeout", 300.0),
            switch_account=request.get("switch_account", False),
            vault_key="",
            browser_near=request.get("browser") == "near",
        )

    async def _open_vault(self, choice: str, ask: Ask) -> None:
        self.shelf.unlocked = True

    async def start(self, *, restored: bool = False) -> None:
        """Load what is kept and start refreshing."""
        await self.shelf.load(restored=restored)
        self.shelf.configure(self.credentials)
        self.refreshing = asyncio.create_task(self.refresher.run())

    async def stop(self) -> None:
        """As a SIGKILL: nothing is finished."""
        tasks = [*self.flights._tasks, *([self.refreshing] if self.refreshing else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def restart(self, *, restored: bool = False) -> None:
        """SIGKILL, then a new daemon on the same vault."""
        await self.stop()
        self.build()
        await self.start(restored=restored)

    async def login(self, name: str = "lab", **request: Any) -> list[wire.LoginEvent]:
        """A login to its end; its events."""
        reply = await self.logins.start({"name": name, **request})
        return [event async for event in self.logins.events(reply["id"])]

    def state(self, name: str = "lab") -> str:
        """The wire name of the state."""
        return self.broker.describe(name)["state"]

    async def fetch(self, name: str = "lab", **kwargs: Any) -> str:
        """The text of an access token."""
        served = await self.broker.token(name, **kwargs)
        return served.token.value.reveal()


async def started(*names: str, logged_in: bool = True, **issuer: Any) -> House:
    """A house that runs, with everybody logged in."""
    house = House(*names, **issuer)
    await house.start()
    for name in house.issuers if logged_in else ():
        events = await house.login(name)
        assert events[-1]["type"] == "done", events
    return house
