"""A process that writes to a vault until somebody kills it, and says what was durable when.

Run as `python -m tests.vault.writing_process FOLDER MODE`. Each line was true before it is printed:
`journalled`, or `kept N` (record N, whose payload is `payload(N)`, is on the disk). It then waits,
or goes on writing, for ever; with `rekey` each record is in another file than the one before.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from credd.core.keeping import Attempt
from tests.vault.homes import Home


async def main(folder: str, mode: str) -> None:
    vault = Home(Path(folder)).vault()
    if (await vault.open()).state == "absent":
        await vault.create("file")
    found = {kept.name: kept.number for kept in await vault.load()}
    number = found.get("lab", 0)
    while True:
        await vault.journal("lab", Attempt(f"to-{number + 1}", 1, b"\x07" * 32, float(number)))
        if mode == "journal":
            break
        number = await vault.keep("lab", payload(number + 1), number)
        if mode == "rekey":
            await vault.rekey()
        print("kept", number, flush=True)
    print("journalled", flush=True)
    await asyncio.Event().wait()


def payload(number: int) -> bytes:
    return b"payload %d " % number * 200


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
