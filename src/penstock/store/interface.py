"""What a store offers, whatever database is below: transactions, and in them a group of queries per noun."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from penstock.store.artifacts import Artifacts
from penstock.store.connection import Connection
from penstock.store.events import Events
from penstock.store.flow_runs import FlowRuns
from penstock.store.journals import Journals
from penstock.store.logs import Logs
from penstock.store.meta import Meta
from penstock.store.result_files import ResultFiles
from penstock.store.task_runs import TaskRuns

SCHEMA_VERSION = 1
"""Raised with every change to ``queries/schema.sql``."""


class Transaction:
    """What can be asked and written at once: all of it is kept, or nothing."""

    __slots__ = ("artifacts", "events", "flow_runs", "journals", "logs", "meta", "result_files", "task_runs")

    def __init__(self, connection: Connection) -> None:
        self.meta = Meta(connection)
        self.journals = Journals(connection)
        self.flow_runs = FlowRuns(connection)
        self.task_runs = TaskRuns(connection)
        self.logs = Logs(connection)
        self.artifacts = Artifacts(connection)
        self.events = Events(connection)
        self.result_files = ResultFiles(connection)


class Store(Protocol):
    """A database of runs."""

    def transaction(self) -> AbstractContextManager[Transaction]:
        """``with store.transaction() as tx:`` commits at the end of the block, or undoes it if it raises.

        What was committed survives the death of the process and a power failure.
        Raises `StoreError` when the store was opened to be read only.
        """
        ...

    def reading(self) -> AbstractContextManager[Transaction]:
        """``with store.reading() as tx:`` sees the store as it is at the first question, whatever is written then."""
        ...

    def close(self) -> None:
        """Let go of the database. Closing twice does nothing."""
        ...
