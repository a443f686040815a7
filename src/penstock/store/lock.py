"""The right to write a store: a lock on a file beside the database, freed by the system if its holder dies.

The database's own files are never opened here. SQLite's locks belong to the process, and closing
any descriptor of a database file drops them: a commit that was acknowledged could then be undone.
"""

from __future__ import annotations

import os
from pathlib import Path

from penstock import errors


class WriterLock:
    """Held by the one process that writes the store. ``purpose`` is told to those who find it held."""

    __slots__ = ("_descriptor", "path")

    def __init__(self, path: Path, purpose: str, *, wait: bool) -> None:
        self.path = path
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        except OSError as error:
            raise errors.StoreError(
                f"The store cannot be written, because its folder cannot be ({error.strerror}): `{path.parent}`",
                hint="check the folder's owner and permissions, or set PENSTOCK_HOME to one that can be written",
            ) from error
        if not _lock(self._descriptor, wait=wait):
            os.close(self._descriptor)
            raise busy(path)
        try:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{purpose} {os.getpid()}\n".encode(), 0)
        except OSError:  # a full disk: the lock holds all the same, it only cannot say for what
            pass

    def release(self) -> None:
        """Let others write. Releasing twice does nothing."""
        if self._descriptor >= 0:
            # Unlocked and not only closed: a forked child may have a copy of the descriptor.
            _unlock(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1


def holder(path: Path) -> tuple[str, str]:
    """The purpose and the process id that the last writer told."""
    try:
        purpose, _, pid = path.read_text("utf-8").strip().rpartition(" ")
    except (OSError, UnicodeDecodeError):
        return "", ""
    return purpose, pid


def busy(path: Path) -> errors.StoreBusy:
    """The error for a store that another process is writing."""
    purpose, pid = holder(path)
    who = f"process {pid} ({purpose})" if pid else "another process"
    return errors.StoreBusy(
        f"The store is being written by {who}: `{path.with_suffix('')}`", hint="try again when it has finished"
    )


def _lock(descriptor: int, *, wait: bool) -> bool:
    try:
        import fcntl  # noqa: PLC0415  POSIX only
    except ImportError:  # pragma: no cover  Windows
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _unlock(descriptor: int) -> None:
    try:
        import fcntl  # noqa: PLC0415  POSIX only
    except ImportError:  # pragma: no cover  Windows
        return
    fcntl.flock(descriptor, fcntl.LOCK_UN)
