"""An answer for each route about the vault itself, a few lines each.

Knows and refuses to know the same as answers.py. The hard thing to keep true: keys and codes go in
as Secrets, and none comes out again.
"""

from __future__ import annotations

from typing import cast

from credd import wire_vault
from credd.api.answers import Answer
from credd.api.asking import Asked
from credd.api.interface import Front
from credd.core.model import Secret
from credd.errors import BadRequest


async def vault(front: Front, _asked: Asked) -> Answer:
    """Say where the vault stands."""
    return front.house.vault()


async def unlock(front: Front, asked: Asked) -> Answer:
    """Open the vault, by its passphrase or its recovery code."""
    given = [field for field in ("passphrase", "recovery_code") if field in asked.body]
    if len(given) != 1:
        raise BadRequest("give the passphrase or the recovery code", reason="bad_body")
    opened_by = front.house.unlock if given == ["passphrase"] else front.house.recover
    await opened_by(Secret(asked.body[given[0]]))
    return None


async def accept_vault(front: Front, _asked: Asked) -> Answer:
    """Let a copied vault spend its refresh tokens."""
    await front.house.accept_vault()
    return None


async def verify_vault(front: Front, _asked: Asked) -> Answer:
    """Look at every part of the vault, and say which are damaged."""
    return await front.house.verify_vault()


async def rewrap_vault(front: Front, asked: Asked) -> Answer:
    """Change where the vault's key comes from."""
    if not asked.body.get("sources"):
        raise BadRequest("'sources' names none", reason="bad_body")
    return await front.house.rewrap_vault(cast(wire_vault.RewrapRequest, asked.body))


async def rekey_vault(front: Front, asked: Asked) -> Answer:
    """Seal everything anew, under a new key in a new file."""
    return await front.house.rekey_vault(cast(wire_vault.RekeyRequest, asked.body))


async def reset_vault(front: Front, asked: Asked) -> Answer:
    """Take the vault out of its place: set aside, or erased."""
    return await front.house.reset_vault(erase=asked.query["erase"])
