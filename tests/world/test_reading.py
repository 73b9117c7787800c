"""Secrets in files that somebody else keeps fresh."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from credd.core.failures import Failed, Kind
from credd.core.model import Secret
from credd.world.reading import LONGEST, read_file


def refused(path: object) -> tuple[str, Kind]:
    with pytest.raises(Failed) as caught:
        read_file(str(path))
    return caught.value.failure.reason, caught.value.failure.kind


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("tok-CANARY-1\n")
    path.chmod(0o644)
    return path


def test_the_text_is_read_without_its_line_end(file: Path) -> None:
    """Readable for all is the keeper's choice; writable for all is not."""
    assert read_file(str(file)) == Secret("tok-CANARY-1")


def test_a_projected_token_is_read_through_its_links(file: Path, tmp_path: Path) -> None:
    """Kubernetes swaps a link, and the file behind it is whole at every moment."""
    (tmp_path / "..data").symlink_to(tmp_path)
    (tmp_path / "projected").symlink_to("..data/token")
    assert read_file(str(tmp_path / "projected")) == Secret("tok-CANARY-1")


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666, 0o622])
def test_a_file_that_others_may_write_is_refused(file: Path, mode: int) -> None:
    """Whoever writes it says whose token is exchanged."""
    file.chmod(mode)
    assert refused(file) == ("file_unsafe", Kind.MISCONFIGURED)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_of_somebody_else_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root's are fine: it could be anybody anyway."""
    os.chown(file, 65534, -1)
    assert refused(file) == ("file_unsafe", Kind.MISCONFIGURED)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    os.chown(file, 0, -1)
    assert read_file(str(file)) == Secret("tok-CANARY-1")


def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path) -> None:
    """A FIFO that nobody writes to, a folder, a device."""
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", tmp_path, "/dev/zero"):
        assert refused(path) == ("file_unsafe", Kind.MISCONFIGURED)


@pytest.mark.parametrize("content", [b"", b" \n", b"\n\n"])
def test_an_empty_file_is_about_to_be_written(file: Path, content: bytes) -> None:
    """So it is tried again."""
    file.write_bytes(content)
    assert refused(file) == ("file_unreadable", Kind.TRANSIENT)


def test_a_missing_file_is_tried_again(file: Path) -> None:
    """Its keeper may have replaced it just now."""
    file.unlink()
    assert refused(file) == ("file_unreadable", Kind.TRANSIENT)
    assert refused("nul\0") == ("file_unreadable", Kind.TRANSIENT)


@pytest.mark.parametrize("content", [b"\xff\xfe", "ü".encode(), b"x" * (LONGEST + 1)])
def test_what_can_be_no_token_is_refused(file: Path, content: bytes) -> None:
    """Bytes beyond ASCII, or far too many of them."""
    file.write_bytes(content)
    assert refused(file) == ("file_unsafe", Kind.MISCONFIGURED)
