"""What may still be asked while a person has locked credd; everything else is refused.

Knows: the names of operations. Refuses to know: passphrases. The hard thing is the route that is
added one day: it is refused while locked unless it is named here, and the reason stands beside it.
"""

from __future__ import annotations

from credd.api.answers import Answer
from credd.api.asking import Asked
from credd.api.interface import Front
from credd.core.model import Secret

WHILE_LOCKED = frozenset({
    # Whether it runs, which one it is, what it can do.
    "live", "ready", "version", "openapi",
    # How things are, without a secret; the state says `locked`.
    "credentials", "credential", "lifetime", "vault", "findings", "metrics", "events",
    "audit", "check_audit",
    # Refreshing goes on, with the configuration as it is on the disk.
    "refresh_all", "reload",
    # Taking authority away, and looking at what was given.
    "list_sockets", "remove_socket",
    # The way out, and one step further in.
    "unlock", "lock",
})  # fmt: skip


async def lock(front: Front, asked: Asked) -> Answer:
    """Shut everything that bears a secret; refreshing goes on, unless it is sealed."""
    given = asked.body.get("passphrase")
    passphrase = None if given is None else Secret(given)
    await front.house.lock(passphrase, seal=asked.body.get("seal", False))
    return None
