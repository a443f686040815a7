"""Files that are there whole or not at all, whatever the disk says."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from penstock import errors
from penstock.files import local


@pytest.fixture
def no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("no_umask")
def test_all_folders_that_are_made_are_for_their_owner_only(tmp_path: Path):
    local.write_whole(tmp_path / "results" / "ab" / "file", b"data")

    made = [tmp_path / "results", tmp_path / "results" / "ab"]
    assert [path.stat().st_mode & 0o777 for path in made] == [0o700, 0o700]


def failing_with(number: int) -> Any:
    def fail(*_: Any) -> NoReturn:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize(
    ("number", "error", "hint"),
    [
        (errno.ENOSPC, errors.StorageFull, "free some space"),
        (errno.EACCES, errors.StorageFull, "let the folder be written"),
        (errno.EIO, errors.JournalLost, "mend the disk"),
    ],
)
def test_a_file_that_cannot_be_written_is_not_left_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, error: type[errors.JournalError], hint: str
):
    monkeypatch.setattr(os, "fsync", failing_with(number))

    with pytest.raises(error) as raised:
        local.write_whole(tmp_path / "file", b"data")

    assert hint in (raised.value.hint or "")
    assert list(tmp_path.iterdir()) == []
