"""A play with a real Secret Service, run inside `dbus-run-session` by test_keychain.py.

`python -m tests.vault.keyring_play FOLDER STEP` prints one JSON line: state, key source, reason,
payload. Steps: `create` a vault and keep a record, `open` it again, `rewrap` it by a new key of the
keyring, `leave` the keyring for a key file; the last two add how many keys the keyring still holds.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from credd.errors import CreddError
from credd.vault.vault import Vault, VaultStatus
from credd.vault.wraps import NOTHING


async def main(folder: str, step: str) -> None:
    root = Path(folder)
    vault = Vault(root / "state/vault.db", root / "runtime", root / "config/vault.key", environ={})
    try:
        status = await vault.open()
        if step == "create":
            status = await vault.create("auto")
            await vault.keep("lab", b"one", 0)
        kept: list[int] = []
        if step in ("rewrap", "leave"):
            status, kept = await change(vault, "keyring" if step == "rewrap" else "file")
        said = [status.state, status.key_source, status.reason, await held(vault), *kept]
        print(json.dumps(said))
    except CreddError as error:
        print(json.dumps(["refused", "", error.reason, ""]))
    finally:
        await vault.close()


async def change(vault: Vault, source: str) -> tuple[VaultStatus, list[int]]:
    """Open it by this source alone; how many of its keys, old and new, the keyring still holds."""
    accounts = accounts_of(vault)
    status = await vault.rewrap([source], NOTHING, NOTHING, only=True)
    accounts |= accounts_of(vault)
    found = [vault._keychain.find(account, may_prompt=False) for account in accounts]
    return status, [len([text for text in found if text])]


def accounts_of(vault: Vault) -> set[str]:
    wraps = vault._database.header.wraps  # type: ignore[union-attr]
    return {str(one.parameters["account"]) for one in wraps if one.source == "keyring"}


async def held(vault: Vault) -> str:
    """The payload of `lab`, if the vault is open."""
    if vault.status().state != "open":
        return ""
    return (await vault.load())[0].payload.decode()  # type: ignore[union-attr]


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
