"""What a store offers, whatever database is below: transactions, and in them a group of queries per noun."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, Self, TypeVar

from penstock.clock import Clock
from penstock.store.api_keys import ApiKeys
from penstock.store.artifacts import Artifacts
from penstock.store.concurrency_limits import ConcurrencyLimits
from penstock.store.connection import Connection
from penstock.store.deployments import Deployments, Schedules
from penstock.store.events import Events
from penstock.store.flow_runs import FlowRuns
from penstock.store.journals import Journals
from penstock.store.kept_answers import KeptAnswers
from penstock.store.kept_files import KeptFiles
from penstock.store.logs import Logs
from penstock.store.meta import Meta
from penstock.store.result_files import ResultFiles
from penstock.store.run_inputs import RunInputs
from penstock.store.runs_elsewhere import RunsElsewhere
from penstock.store.tables import Tables
from penstock.store.task_runs import TaskRuns
from penstock.store.wakes import Callback
from penstock.store.work import Work
from penstock.store.work_pools import WorkPools

T = TypeVar("T")
W = TypeVar("W")
A = TypeVar("A")

SCHEMA_VERSION = 2
"""Raised with every change to ``queries/schema.sql``."""


class Transaction:
    """What can be asked and written at once: all of it is kept, or nothing."""

    __slots__ = (
        "_clock",
        "_connection",
        "_locked",
        "_now",
        "api_keys",
        "artifacts",
        "concurrency_limits",
        "deployments",
        "events",
        "flow_runs",
        "journals",
        "kept_answers",
        "kept_files",
        "logs",
        "meta",
        "result_files",
        "run_inputs",
        "runs_elsewhere",
        "schedules",
        "tables",
        "task_runs",
        "topics",
        "work",
        "work_pools",
    )

    def __init__(self, connection: Connection, clock: Clock) -> None:
        self.tables = Tables(connection)
        self._connection = connection
        self._clock = clock
        self._now: int | None = None
        self._locked: set[str] = set()
        self.topics: set[str] = set()
        """What `wake` was called with."""
        self.meta = Meta(connection)
        self.journals = Journals(connection)
        self.flow_runs = FlowRuns(connection)
        self.task_runs = TaskRuns(connection)
        self.logs = Logs(connection)
        self.artifacts = Artifacts(connection)
        self.events = Events(connection)
        self.result_files = ResultFiles(connection)
        self.run_inputs = RunInputs(connection)
        self.runs_elsewhere = RunsElsewhere(connection)
        self.deployments = Deployments(connection)
        self.schedules = Schedules(connection)
        self.work_pools = WorkPools(connection)
        self.work = Work(connection)
        self.kept_files = KeptFiles(connection)
        self.api_keys = ApiKeys(connection)
        self.kept_answers = KeptAnswers(connection)
        self.concurrency_limits = ConcurrencyLimits(connection)

    @property
    def now(self) -> int:
        """Microseconds since 1970: the same all through the transaction, by the one clock that all servers share."""
        if self._now is None:
            self._now = self._connection.now()
        return self._now

    def new_id(self) -> str:
        """A UUID of version 7: ids made later sort later."""
        return self._clock.new_id()

    def lock(self, key: str) -> None:
        """Let transactions that name the same key come one after the other. Held until this one ends.

        Who locks several keys locks them in sorted order, so that two never wait for each other.
        """
        if key not in self._locked:
            self._connection.lock([key], at_once=True)
            self._locked.add(key)

    def lock_all(self, keys: Iterable[str]) -> None:
        """Lock several keys, in the order in which all who do so lock them; at the latest before the next answer.

        For what only the store has to do with: the way there is saved.
        """
        wanted = sorted({key for key in keys if key not in self._locked})
        if wanted:
            self._connection.lock(wanted, at_once=False)
            self._locked.update(wanted)

    def wake(self, topic: str) -> None:
        """Tell those who subscribed to the store, in every process that listens, once this is committed."""
        self.topics.add(topic)

    def finish(self) -> None:
        """Write what was held back. The store does this before it commits."""
        self.events.write()
        if self.events.were_written:
            self.wake("events")


class Store(Protocol):
    """A database of runs. Safe to use from any thread."""

    @property
    def is_writer(self) -> bool:
        """Whether it was opened to be written."""
        ...

    def is_alone(self) -> bool:
        """Whether no other process has it open to write."""
        ...

    def transaction(self, *, long: bool = False) -> AbstractContextManager[Transaction]:
        """``with store.transaction() as tx:`` commits at the end of the block, or undoes it if it raises.

        What was committed survives the death of the process and a power failure. ``long`` is for what
        may take minutes: no deadline gives it up, and nobody else's commit waits for it.
        Raises `StoreError` when the store was opened to be read only.
        """
        ...

    def run(self, work: Callable[[Transaction], T]) -> T:
        """``work(tx)`` in a transaction; returns what it returns, once that is committed.

        Calls it again, a few times, when the database could not finish the transaction and nothing of
        it is left: a conflict with another one, a connection that was lost before the commit. So
        ``work`` changes nothing but the store.
        """
        ...

    def run_together(
        self,
        about: str,
        wish: W,
        work: Callable[[Transaction, Sequence[W]], Sequence[A | Exception]],
        *,
        weight: int = 1,
    ) -> A:
        """The answer to a wish, which ``work(tx, wishes)`` gives, in a transaction, for all that have come meanwhile.

        Wishes ``about`` the same come to ``work`` together, one transaction after the other, up to some `MAX_WEIGHT`
        in each. An answer that is an exception is raised, and undoes nothing. Otherwise as `run`.
        """
        ...

    def reading(self) -> AbstractContextManager[Transaction]:
        """``with store.reading() as tx:`` sees the store as it is at the first question, whatever is written then."""
        ...

    def ask(self, work: Callable[[Transaction], T]) -> T:
        """``work(tx)`` with the store as it is now; again when the connection was lost on the way."""
        ...

    def subscribe(self, callback: Callback) -> Callable[[], None]:
        """Call ``callback(topics)`` after each commit that woke some; returns the way to stop it.

        It is called in any thread, holds up the one that committed, and may use the store.
        """
        ...

    def listen(self) -> None:
        """Hear from now on what other processes wake, too. Only where a store can have other writers."""
        ...

    def check(self) -> list[str]:
        """What the database itself finds wrong with what it keeps; nothing if all is well."""
        ...

    def size(self) -> int:
        """How many bytes it takes."""
        ...

    def backup_to(self, path: Path) -> None:
        """Copy the store as it is now into a new SQLite file, while others go on using it."""
        ...

    def restore_from(self, path: Path) -> None:
        """Put the contents of a backup in the place of what this store holds, in one step."""
        ...

    def close(self) -> None:
        """Let go of the database. Closing twice does nothing."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...
