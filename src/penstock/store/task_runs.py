"""Task runs, and how many of a flow run are in which state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import astuple

from penstock.core.runs import StateCount
from penstock.core.states import StateType
from penstock.store.connection import Connection, chunks
from penstock.store.rows import TaskRow
from penstock.store.sql import statements


class PlacedTaskRow(NamedTuple):
    """A task run and its place in lists."""

    sequence: int
    row: TaskRow


class TaskRuns:
    """Rows of ``task_run`` and ``task_run_count``."""

    __slots__ = ("_connection", "_sql")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sql = statements("task_runs", connection.dialect)

    def rows(self, ids: Iterable[str]) -> list[TaskRow]:
        """The task runs of these ids, in no order."""
        statement = self._sql["rows"]
        return [TaskRow(*row[1:]) for some in chunks(ids) for row in self._connection.rows(statement, ids=some)]

    def row(self, task_run_id: str) -> TaskRow | None:
        """The task run of this id."""
        found = self.rows([task_run_id])
        return found[0] if found else None

    def unfinished(self, flow_run_ids: Iterable[str]) -> list[TaskRow]:
        """Task runs of these flow runs that have not ended."""
        statement = self._sql["unfinished"]
        return [
            TaskRow(*row[1:])
            for some in chunks(flow_run_ids)
            for row in self._connection.rows(statement, flow_run_ids=some)
        ]

    def save(self, rows: Iterable[TaskRow]) -> None:
        """Keep task runs, in place of what was known of them."""
        self._connection.run_many(self._sql["save"], [astuple(row) for row in rows])

    def page(
        self,
        flow_run_id: str,
        *,
        after: int = 0,
        limit: int,
        states: Sequence[tuple[StateType, str | None]] = (),
    ) -> list[PlacedTaskRow]:
        """Task runs of a flow run in the order in which they began. ``states`` are types, with a name or without."""
        types = {kind.value for kind, _ in states}
        names = {name for _, name in states if name is not None}
        whole = {kind.value for kind, name in states if name is None}
        found = self._connection.rows(
            self._sql["page"],
            flow_run_id=flow_run_id,
            after=after,
            limit=limit,
            not_completed=True if types and StateType.COMPLETED not in types else None,
            states=tuple(sorted(types)) or None,
            whole=tuple(sorted(whole)) or ("",),
            state_names=tuple(sorted(names)) or None,
        )
        return [PlacedTaskRow(row[0], TaskRow(*row[1:])) for row in found]

    def ids_that_begin_with(self, text: str, *, limit: int = 5) -> list[str]:
        """Ids of task runs that begin like this."""
        stop = text + "\U0010ffff"
        return [row[0] for row in self._connection.rows(self._sql["ids_from"], start=text, stop=stop, limit=limit)]

    def state_counts(self, flow_run_ids: Iterable[str]) -> list[StateCount]:
        """How many task runs of these flow runs are in which state."""
        statement = self._sql["state_counts"]
        return [
            StateCount(run_id, StateType(state_type), state_name, task_runs)
            for some in chunks(flow_run_ids)
            for run_id, state_type, state_name, task_runs in self._connection.rows(statement, flow_run_ids=some)
        ]

    def count_states(self, changes: Mapping[tuple[str, str, str], int]) -> None:
        """So many more (or fewer) task runs of a flow run in a state: keys are run, type and name."""
        more = [(*key, change) for key, change in changes.items() if change > 0]
        self._connection.run_many(self._sql["count_state"], more)
        fewer = [(change, *key) for key, change in changes.items() if change < 0]
        self._connection.run_many(self._sql["uncount_state"], fewer)

    def forget(self, flow_run_ids: Iterable[str]) -> None:
        """Delete the task runs of these flow runs."""
        for some in chunks(flow_run_ids):
            self._connection.run(self._sql["forget"], flow_run_ids=some)
            self._connection.run(self._sql["forget_counts"], flow_run_ids=some)

    def forget_all(self) -> None:
        """Delete all task runs, before all is folded again."""
        self._connection.run(self._sql["forget_all"])
        self._connection.run(self._sql["forget_all_counts"])
