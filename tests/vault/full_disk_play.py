"""A play on a disk of its own that is nearly full; prints one JSON line for each fill level.

Run inside a mount namespace as `python full_disk_play.py DISK RUNTIME`, DISK being an empty tmpfs.
At each level it asks for a journal entry, then keeps a large record, as a refresh would.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from credd.core.keeping import Attempt, KeptOutside, NotKept
from credd.vault.vault import Vault
from tests.vault.homes import Home, NoKeychain

STEP = 4096
LARGE = os.urandom(24_000)  # a grant with a dozen tokens of their own


async def main(disk: str, runtime: str) -> None:
    home = Home(Path(disk))
    vault = Vault(
        home.path, Path(runtime), Path(runtime, "vault.key"), environ={}, keychain=NoKeychain()
    )
    await vault.open()
    await vault.create("file")
    number = await vault.keep("lab", LARGE, 0)
    for free in range(0, 64 * STEP, STEP):
        filler = fill(home.root / "filler", free)
        posted = await said(vault.journal("lab", Attempt(f"{free}", 1, b"", 0.0)))
        kept = await said(vault.keep("lab", LARGE, number)) if posted == "ok" else "not asked"
        filler.unlink()
        number += kept == "ok"
        after = await said(vault.keep("lab", LARGE, number))
        number += after == "ok"
        print(json.dumps({"free": free, "journal": posted, "keep": kept, "after": after}))
    print(json.dumps({"reserve": home.beside("reserve").stat().st_size}))
    await vault.close()


def fill(filler: Path, leave_free: int) -> Path:
    """Take all the disk but `leave_free` bytes."""
    disk = os.statvfs(filler.parent)
    filler.write_bytes(b"x" * max(0, disk.f_bavail * disk.f_frsize - leave_free))
    return filler


async def said(call: object) -> str:
    try:
        await call  # type: ignore[misc]
    except KeptOutside as failure:
        return f"outside: {failure.reason}"
    except NotKept as failure:
        return f"not kept: {failure.reason}"
    return "ok"


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
