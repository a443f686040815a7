"""What the engine asks of others, in its own words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from penstock.core.records import AnyRecord, Record


class Journal(Protocol):
    """Where the engine records. `journal.writer.JournalWriter` is one."""

    def append(self, record: Record) -> int: ...

    def append_soon(self, record: Record) -> None: ...

    def sync(self) -> None: ...


class Past(Protocol):
    """What is kept of a run's earlier attempts."""

    def attempts(self, run_id: str) -> int:
        """The number of the latest attempt that is known; 0 for a run that never began."""
        ...

    def records(self, run_id: str) -> Iterable[AnyRecord]:
        """All records of the run's attempts, in order; nothing for a run that never began.

        Records of journals that are still on this machine come from there, others from the store.
        """
        ...
