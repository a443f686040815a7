"""Folders of code that are there whole or not at all, shared by the runs that use the same code."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from penstock import clock, errors
from penstock.journal.folder import lock

UNUSED_SECONDS = 14 * 86400
"""Code that no run has used for so long is removed when other code comes."""


class Checkout:
    """Code that is in place, and stays there until `close`."""

    def __init__(self, folder: Path, *, descriptor: int | None = None) -> None:
        self.folder = folder
        self.commit: str | None = None
        """What a git ref stood for."""
        self._descriptor = descriptor

    def close(self) -> None:
        """The code may be removed, as soon as nobody else uses it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def opened(folder: Path) -> Checkout | None:
    """The code in this folder, kept there while it is used; None when it is not there."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | getattr(os, "O_CLOEXEC", 0))
    except FileNotFoundError:
        return None
    _share(descriptor)
    if not folder.exists():  # it was being removed
        os.close(descriptor)
        return None
    with suppress(OSError):
        os.utime(folder)
    return Checkout(folder, descriptor=descriptor)


def install(folder: Path, fill: Callable[[Path], None]) -> Checkout:
    """Have the folder made: filled under another name, then put in place at once."""
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.{clock.SYSTEM.new_id()[-12:]}")
    temporary.mkdir(mode=0o700)
    try:
        fill(temporary)
        with suppress(OSError):  # another worker was first: theirs is the same
            os.rename(temporary, folder)
    except OSError as error:
        raise errors.FlowFileError(f"The code cannot be put in place ({error.strerror}): `{folder}`") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    _remove_unused(folder)
    found = opened(folder)
    if found is None:
        raise errors.FlowFileError(f"The code cannot be put in place: `{folder}`")
    return found


def checked_folder(root: Path, below: str) -> Path:
    """The folder ``below`` the root. Raises `FlowFileError` when there is none, or it lies elsewhere."""
    if not below:
        return root
    found = (root / below).resolve()
    if not found.is_relative_to(root.resolve()) or not found.is_dir():
        raise errors.FlowFileError(f"The code has no such folder: `{below}`")
    return found


def _remove_unused(newest: Path) -> None:
    """Remove what lies beside it and has not been used for long."""
    now = clock.SYSTEM.now() / 1e6
    for other in newest.parent.iterdir():
        is_code = other.is_dir() and other.name != "repository"
        if not is_code or other == newest or now - other.stat().st_mtime < UNUSED_SECONDS:
            continue
        with suppress(OSError):
            descriptor = os.open(other, os.O_RDONLY | os.O_DIRECTORY | getattr(os, "O_CLOEXEC", 0))
            try:
                if lock(descriptor, wait=False):
                    leaving = other.with_name(f".{other.name}.leaving")
                    os.rename(other, leaving)
                    shutil.rmtree(leaving, ignore_errors=True)
            finally:
                os.close(descriptor)


def _share(descriptor: int) -> None:
    try:
        import fcntl  # noqa: PLC0415  POSIX only
    except ImportError:  # pragma: no cover  there are no workers on Windows
        return
    fcntl.flock(descriptor, fcntl.LOCK_SH)
