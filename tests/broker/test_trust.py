"""Whose certificates a credential's requests are made under."""

from __future__ import annotations

import asyncio
import dataclasses

from tests.fakes.house import House, Talk
from tests.fakes.virtual_time import virtual


@virtual
async def test_every_request_of_a_credential_trusts_its_own_certificates() -> None:
    """Login, refresh and logout; and a change of the file asks for no new login."""
    house, used = House(), []
    usual = house.around.talk

    def talk(ca_file: str = "") -> Talk:
        used.append(ca_file)
        return usual()

    house.around.talk = talk  # type: ignore[method-assign]
    await house.start()
    plain = house.credentials["lab"]
    for path in ("/etc/lab.pem", "/etc/newer.pem"):
        house.credentials["lab"] = dataclasses.replace(plain, ca_file=path)
        house.shelf.configure(house.credentials)
        if not house.broker.describe("lab")["grant"]:
            await house.login()
        await asyncio.sleep(120)
        await house.broker.refresh("lab")
    await house.broker.forget("lab")
    await house.stop()
    assert set(used) == {"/etc/lab.pem", "/etc/newer.pem"}
    assert used[-1] == "/etc/newer.pem"
