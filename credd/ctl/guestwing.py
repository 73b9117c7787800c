"""A folder that holds the guest wing alone, for a child's PYTHONPATH.

The installed package's own folder would put all of site-packages before the job's libraries, so
the client's files are copied to a folder of their own, with the entry points that lead into them.
Copies and not links: a job runs for days, and an upgrade of credd in between must not change what
it loads next. The folder is named after its content, so two versions never meet in one.

The one hard thing: what a job imports must be ours to the last byte, so the folder lies in credd's
own state folder (0700), is built aside, and takes its name in one step.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from credd import __version__
from credd.errors import Denied

FILES = ("__init__.py", "py.typed", "errors.py", "wire.py", "paths.py", "foreign.py")
FOLDERS = ("client", "shims")
"""The guest wing: what may run in other people's processes. Absent ones are not built yet."""

GUEST_MODULES = ("credd.client", "credd.shims")


def guest_folder(state_folder: str) -> str:
    """The folder to put on PYTHONPATH, built below `state_folder` where it isn't there yet.

    Raises Denied where someone else could have written it, OSError where it can't be built.
    """
    content = dict(guest_files())
    parent = os.path.join(state_folder, "guest")
    folder = os.path.join(parent, f"{__version__}-{digest_of(content)}")
    os.makedirs(parent, mode=0o700, exist_ok=True)
    check_own(parent)
    if not os.path.isdir(folder):
        build(folder, content)
    check_own(folder)
    return folder


def guest_files() -> Iterator[tuple[str, bytes]]:
    """Path inside the folder, and content, of each file of the guest wing."""
    package = Path(__file__).resolve().parent.parent
    singles = [package / name for name in FILES]
    nested = [path for name in FOLDERS for path in sorted((package / name).rglob("*.py"))]
    for path in singles + nested:
        if path.is_file():
            yield str(Path("credd") / path.relative_to(package)), path.read_bytes()
    yield from metadata()


def metadata() -> Iterator[tuple[str, bytes]]:
    """The metadata by which others find the entry points that lead into the guest wing."""
    info = f"credd-{__version__}.dist-info"
    yield (
        f"{info}/METADATA",
        f"Metadata-Version: 2.1\nName: credd\nVersion: {__version__}\n".encode(),
    )
    yield f"{info}/entry_points.txt", entry_points().encode()


def entry_points() -> str:
    """entry_points.txt with the guest wing's own, in the order of the installed package."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        points = distribution("credd").entry_points
    except PackageNotFoundError:  # run from a plain checkout: nothing announces entry points
        return ""
    groups: dict[str, list[str]] = {}
    for point in points:
        if point.value.startswith(GUEST_MODULES) and point.group != "console_scripts":
            groups.setdefault(point.group, []).append(f"{point.name} = {point.value}")
    return "\n".join(f"[{group}]\n" + "\n".join(lines) + "\n" for group, lines in groups.items())


def digest_of(content: dict[str, bytes]) -> str:
    """Sixteen hexadecimal digits that change with any byte of any file."""
    sums = [f"{path} {hashlib.sha256(data).hexdigest()}" for path, data in sorted(content.items())]
    return hashlib.sha256("\n".join(sums).encode()).hexdigest()[:16]


def build(folder: str, content: dict[str, bytes]) -> None:
    """Write all files aside, then give the folder its name; a twin that was faster wins."""
    aside = tempfile.mkdtemp(prefix=".building-", dir=os.path.dirname(folder))
    try:
        for path, data in content.items():
            write(os.path.join(aside, path), data)
        os.rename(aside, folder)
    except FileExistsError:
        pass
    except OSError:
        if not os.path.isdir(folder):
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def write(path: str, data: bytes) -> None:
    """One file, 0600, in folders 0700."""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(data)


def check_own(folder: str) -> None:
    """Raise Denied unless the folder is ours, and ours alone to write."""
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise Denied(
            f"others could have written what a job would import from {folder}",
            remedy=f"rm -r {shlex.quote(folder)}",
        )
