"""Everything a vault holds, sealed anew under another key into another file.

Knows what a vault holds and in which order it is copied; knows no key source and no file's name.
The one hard thing is what not to copy: a damaged record may be the last copy of something, so it
stops the copying, while evidence of former damage is of no use to a key that never sealed it.
"""

from __future__ import annotations

from collections.abc import Collection

from credd.core.keeping import NotKept
from credd.vault.aside import LATE, Aside
from credd.vault.journal import Journal
from credd.vault.seal import Damaged
from credd.vault.tables import Tables


def copy_sealed(old: Tables, new: Tables, names: Collection[str]) -> None:
    """Records, open attempts and late replies, inside the caller's transaction on `new`.

    `names` are those of the sealed list: a record that is not in it counts as damaged. Numbers are
    kept, so whoever saw one may show it again. Raises NotKept: `records_damaged`, or the disk's.
    """
    _copy_records(old, new, names)
    journal = Journal(new)
    for name, attempt in Journal(old).read().items():
        journal.put(name, attempt)  # what can't be read still says that something was posted
    _copy_late(Aside(old), Aside(new))


def _copy_records(old: Tables, new: Tables, names: Collection[str]) -> None:
    with old.reading() as connection:
        for name, number, sealed in connection.execute("SELECT name, number, sealed FROM record"):
            if name not in names:
                raise NotKept("records_damaged")
            fresh = new.seal("record", name, number, _whole(old, name, number, sealed))
            new.connection.execute("INSERT INTO record VALUES (?, ?, ?)", (name, number, fresh))


def _whole(old: Tables, name: str, number: object, sealed: object) -> bytes:
    try:
        return old.open("record", name, number, sealed)
    except Damaged:
        raise NotKept("records_damaged") from None


def _copy_late(old: Aside, new: Aside) -> None:
    for slot in old.rows():
        if slot.kind != LATE:
            continue
        try:
            new.add_late(slot.name, old.opened(slot), slot.reason)
        except Damaged:
            continue  # every reader passes over it, too
