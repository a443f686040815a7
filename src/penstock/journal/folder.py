"""The folder of journals: which runs have some, and who writes them."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Self

MAIN = "main"
"""The writer of the process that executes the flow; other processes of the run have other names."""

_NAME = re.compile(r"^(\d+)\.([A-Za-z0-9_-]+)\.journal$")
_LEASE = re.compile(r"^(\d+)\.lease$")
RUN_ID = re.compile(r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z")


class JournalFile(NamedTuple):
    """A journal of one attempt by one writer."""

    path: Path
    run_id: str
    attempt: int
    writer: str

    @property
    def is_locked(self) -> bool:
        """Whether its writer lives. Always False where the system has no file locks."""
        return is_locked(self.path)


class JournalFolder:
    """``<home>/journals``: a folder for each run, in it a file for each attempt and writer."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def run_ids(self) -> Iterator[str]:
        """The runs that have journals here, in no order."""
        try:
            with os.scandir(self.path) as entries:
                yield from (entry.name for entry in entries if RUN_ID.match(entry.name))
        except FileNotFoundError:
            return

    def run_path(self, run_id: str) -> Path:
        return self.path / run_id

    def journals(self, run_id: str) -> list[JournalFile]:
        """The run's journals, oldest attempt first, within an attempt the main writer first."""
        try:
            names = os.listdir(self.path / run_id)
        except (FileNotFoundError, NotADirectoryError):
            return []
        found = [
            JournalFile(self.path / run_id / name, run_id, int(match[1]), match[2])
            for name in names
            if (match := _NAME.match(name))
        ]
        return sorted(found, key=lambda each: (each.attempt, each.writer != MAIN, each.writer))

    def journal_path(self, run_id: str, attempt: int, writer: str) -> Path:
        return self.path / run_id / f"{attempt}.{writer}.journal"

    def lease_path(self, run_id: str, attempt: int) -> Path:
        """What the supervisor of an attempt keeps beside its journals; see `lease`."""
        return self.path / run_id / f"{attempt}.lease"

    def leases(self, run_id: str) -> dict[int, Path]:
        """The attempts of a run that have, or had, a supervisor on this machine."""
        try:
            names = os.listdir(self.path / run_id)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        return {int(match[1]): self.path / run_id / name for name in names if (match := _LEASE.match(name))}

    def is_supervised(self, run_id: str) -> bool:
        """Whether a worker on this machine has an attempt of the run in its care, and tells the server about it."""
        return any(is_locked(path) for path in self.leases(run_id).values())

    def last_sign_at(self, run_id: str, attempt: int) -> int:
        """When an attempt last wrote into a journal, in microseconds since 1970; 0 if none is left to tell."""
        written = 0
        for journal in self.journals(run_id):
            if journal.attempt == attempt:
                with suppress(OSError):
                    written = max(written, journal.path.stat().st_mtime_ns // 1000)
        return written

    def remove(self, run_id: str) -> None:
        """Delete the run's journals. The caller has made sure that nobody needs them."""
        for journal in self.journals(run_id):
            journal.path.unlink(missing_ok=True)
        for path in self.leases(run_id).values():
            path.unlink(missing_ok=True)
        try:
            os.rmdir(self.path / run_id)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST):
                raise


class FolderLock:
    """Held while an attempt of a run is being opened, or its journals are being removed.

    ``with FolderLock(path):`` waits for its turn; the system frees it if the process dies.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def __enter__(self) -> Self:
        self._descriptor = os.open(self._path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        lock(self._descriptor, wait=True)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


def lock(descriptor: int, *, wait: bool, shared: bool = False) -> bool:
    """Lock an open file for this process; False when another holds it (and ``wait`` is False).

    Several may hold a ``shared`` lock at once, if nobody holds one that is not.
    """
    try:
        import fcntl  # noqa: PLC0415  POSIX only
    except ImportError:  # pragma: no cover  Windows: see docs/concepts/journal.md
        return True
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True


def is_locked(path: Path) -> bool:
    """Whether some process (this one too) holds the lock on the file. Others may ask at the same time."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    except FileNotFoundError:
        return False
    try:
        return not lock(descriptor, wait=False, shared=True)
    finally:
        os.close(descriptor)
