"""A file is made whole or not at all, for us alone, and never over another."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from credd.vault import files, identity
from credd.vault.identity import Identity, is_same, read_machine_id


def test_a_file_is_written_once(tmp_path: Path) -> None:
    """The second writer is refused, and the first one's content stays."""
    place = tmp_path / "key"
    files.write_once(place, b"first")
    with pytest.raises(FileExistsError):
        files.write_once(place, b"second")
    assert place.read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["key"]


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP])
def test_without_hard_links_a_file_is_still_written_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Some file systems have none; the name is looked at first there."""

    def no_links(*args: object, **kwargs: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", no_links)
    test_a_file_is_written_once(tmp_path)


def test_a_dangling_link_is_not_written_through(tmp_path: Path) -> None:
    """A symbolic link counts as there, wherever it leads."""
    place = tmp_path / "key"
    place.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        files.write_once(place, b"secret")
    assert not (tmp_path / "elsewhere").exists()


def test_a_failed_write_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a torn file nor a half-made one stays behind."""
    place = tmp_path / "record"
    files.write_over(place, b"old")

    def full(descriptor: int, content: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="full"):
        files.write_over(place, b"new")
    assert place.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["record"]


def test_a_short_write_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A nearly full disk may take a few bytes at a time."""
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, bytes(data[:3])))
    files.write_over(tmp_path / "record", b"0123456789")
    assert (tmp_path / "record").read_bytes() == b"0123456789"


def test_t30_files_and_the_folders_above_them_are_ours_alone(tmp_path: Path) -> None:
    """With umask 000 as with umask 077: 0600 in 0700, all the way up."""
    before = os.umask(0)
    try:
        files.make_private_folder(tmp_path / "a" / "b")
        files.write_once(tmp_path / "a" / "b" / "key", b"secret")
    finally:
        os.umask(before)
    modes = [place.stat().st_mode & 0o777 for place in sorted((tmp_path / "a").rglob("*"))]
    assert [(tmp_path / "a").stat().st_mode & 0o777, *modes] == [0o700, 0o700, 0o600]


@pytest.mark.parametrize(
    ("contents", "found"),
    [
        ((None, None), ""),
        (("", "abc123\n"), "abc123"),
        (("uninitialized\n", None), ""),
        (("0123\n", "other\n"), "0123"),
        (("\xe9".encode("latin-1"), "abc"), "abc"),
    ],
)
def test_the_machines_id_is_read_where_the_system_keeps_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    contents: tuple[str | bytes | None, ...],
    found: str,
) -> None:
    """machine-id(5), then D-Bus's older place; before the first boot there is none."""
    places = tuple(tmp_path / f"machine-id-{n}" for n in range(2))
    for place, content in zip(places, contents, strict=True):
        if content is not None:
            place.write_bytes(content if isinstance(content, bytes) else content.encode())
    monkeypatch.setattr(identity, "MACHINE_ID_FILES", places)
    assert read_machine_id() == found


def test_t84_a_vault_is_the_same_only_where_inode_and_machine_agree() -> None:
    """A machine without an id says nothing; an identity that is gone is no proof."""
    home = Identity(7, "one")
    assert is_same(home, home)
    assert is_same(home, Identity(7, ""))
    assert is_same(Identity(7, ""), home)
    assert not is_same(home, Identity(8, "one"))
    assert not is_same(home, Identity(7, "two"))
    assert not is_same(None, home)
