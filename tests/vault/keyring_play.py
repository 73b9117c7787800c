"""A play with a real Secret Service, run inside `dbus-run-session` by test_keychain.py.

`python -m tests.vault.keyring_play FOLDER STEP` prints one JSON line: state, key source, reason,
payload. Steps: `create` a vault and keep a record, `open` it again.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from credd.errors import CreddError
from credd.vault.vault import Vault


async def main(folder: str, step: str) -> None:
    root = Path(folder)
    vault = Vault(root / "state/vault.db", root / "runtime", root / "config/vault.key", environ={})
    try:
        status = await vault.open()
        if step == "create":
            status = await vault.create("auto")
            await vault.keep("lab", b"one", 0)
        print(json.dumps([status.state, status.key_source, status.reason, await held(vault)]))
    except CreddError as error:
        print(json.dumps(["refused", "", error.reason, ""]))
    finally:
        await vault.close()


async def held(vault: Vault) -> str:
    """The payload of `lab`, if the vault is open."""
    if vault.status().state != "open":
        return ""
    return (await vault.load())[0].payload.decode()  # type: ignore[union-attr]


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
