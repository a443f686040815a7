"""What records mean: the pure half of the fold. It takes rows and a record, and makes the rows that follow.

The records of one journal come in order. Journals of different writers of an attempt may come in
any order and give the same rows: each fact has a time, on a clock that never goes back within a
journal, and the later fact wins (`_enters`). A later attempt wins over an earlier one, whatever the
clocks say. That a process was lost is no fact about a single run: whatever that attempt has begun
and not ended is Crashed, and what is later found to have ended has ended.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from penstock import errors
from penstock.core import records
from penstock.core.result_records import ResultRecord
from penstock.core.states import FINAL, StateType
from penstock.orchestration import blank_rows
from penstock.store.rows import NO_TEXTS, ArtifactRow, EventRow, FlowRow, LogRow, TaskRow, pack, texts
from penstock.store.run_inputs import InputRow

LATEST = 1 << 60
"""Times beyond this (some 36,000 years) are damage: the database's integers end at 63 bits."""

STATE_COMMANDS = frozenset({"cancel", "set_state"})
"""The commands that change a flow run's state."""
BY_HAND = frozenset({"resume", "rerun"})
"""What says that no worker began an attempt: somebody went on with the run, which may be one of a deployment."""
FOUND = "found"
"""A run whose process counted as dead, because nobody had heard of it, is told of again."""

_UNKNOWN_TASK = records.TaskDefined(-1, "", "")
_TYPES = frozenset(StateType)
_FINAL = frozenset(state.value for state in FINAL)


class Projection:
    """The rows that a piece of a journal is about, and what becomes of them.

    Hand in the rows of all runs that the piece names, of its root run, and, when the piece may end
    what others began (`ends_others`), of all that is unfinished under the root.
    """

    def __init__(
        self,
        *,
        run_id: str,
        attempt: int,
        clock: int = 0,
        tasks: dict[int, records.TaskDefined] | None = None,
        flow_rows: Iterable[FlowRow] = (),
        task_rows: Iterable[TaskRow] = (),
        artifact_rows: Iterable[ArtifactRow] = (),
        input_rows: Iterable[InputRow] = (),
    ) -> None:
        self.run_id = run_id
        self.attempt = attempt
        self.clock = clock
        self.tasks = {} if tasks is None else tasks
        self.flow_rows = {row.id: row for row in flow_rows}
        self.task_rows = {row.id: row for row in task_rows}
        self.artifact_rows = {row.id: row for row in artifact_rows}
        self.input_rows = {row.key: row for row in input_rows}
        self.changed_flows: dict[str, FlowRow] = {}
        self.changed_tasks: dict[str, TaskRow] = {}
        self.changed_artifacts: dict[str, ArtifactRow] = {}
        self.changed_inputs: dict[str, InputRow] = {}
        self.logs: list[LogRow] = []
        self.events: list[EventRow] = []
        self.result_files: set[str] = set()
        self.opened: records.JournalOpened | None = None

    def apply(self, record: records.AnyRecord) -> None:
        """Change the rows as the record says. Raises `CorruptJournal` for one that cannot be true."""
        self._by_kind[type(record)](self, record)

    def _tick(self, at: int) -> int:
        """The time of the next fact: what its writer's clock said, but later than the fact before."""
        if at > LATEST:
            raise errors.CorruptJournal(f"A record of run `{self.run_id}` has an impossible time: {at}")
        self.clock = at if at > self.clock else self.clock + 1
        return self.clock

    def _journal_opened(self, record: records.JournalOpened) -> None:
        self._tick(record.at)
        self.opened = record

    def _task_defined(self, record: records.TaskDefined) -> None:
        self.tasks[record.index] = record

    # Flow runs.

    def _flow_run_began(self, record: records.FlowRunBegan) -> None:
        clock = self._tick(record.at)
        row = self._flow_row(record.flow_run_id, record.at)
        is_left = row.attempt < self.attempt and row.ended_at is None and row.state_name != "Suspended"
        if row.id == self.run_id and is_left and row.is_by_hand:
            reason = f"Attempt {row.attempt} has not ended, and attempt {self.attempt} began"
            self._lose(record.at, row.attempt, reason, record.at)
        kept = self._packed(record.arguments)
        if (self.attempt, clock) > (row.began_attempt, row.began_clock):
            if row.began_attempt == 0 and not row.is_managed:
                row.created_at = record.at
            row.began_attempt = self.attempt
            row.began_clock = clock
            row.started_at = record.at
            _describe(row, record)
            row.arguments = kept
        if _enters(row, self.attempt, clock, final=False):
            self._enter_flow_state(row, record.at, clock, "RUNNING", "Running", None, 1)
            row.result = None
            if record.source in BY_HAND:
                row.worker = None
        self._event(record.at, "began", row.id, name=record.name, flow=record.flow_name, attempt=self.attempt)

    def _flow_run_moved(self, record: records.FlowRunMoved) -> None:
        clock = self._tick(record.at)
        row = self._flow_row(record.flow_run_id, record.at)
        kind = self._state_type(record.type, final=False)
        if _enters(row, self.attempt, clock, final=False, run_count=record.run_count):
            row.result = None
            self._enter_flow_state(row, record.at, clock, kind, record.name, record.message, record.run_count)
        self._event(record.at, _snake(record.name), row.id, message=record.message, run_count=record.run_count)

    def _flow_run_ended(self, record: records.FlowRunEnded) -> None:
        clock = self._tick(record.at)
        row = self._flow_row(record.flow_run_id, record.at)
        kind = self._state_type(record.type, final=True)
        kept = self._packed(record.result)
        if record.name == "Interrupted" and row.id == self.run_id and not row.is_by_hand:
            # Its process was told to end. Whoever told it so says what becomes of the run.
            self._event(record.at, "interrupted", row.id, message=record.message, attempt=self.attempt)
            return
        name, message = record.name, record.message
        if name == "Interrupted" and self._is_cancelled_by_hand():
            kind, name, message = "CANCELLED", "Cancelled", self.flow_rows[self.run_id].state_message
        if _enters(row, self.attempt, clock, final=True, run_count=record.run_count):
            self._enter_flow_state(row, record.at, clock, kind, name, message, record.run_count)
            row.result = kept
        self._event(record.at, kind.lower(), row.id, state=name, message=message, attempt=self.attempt)

    def _is_cancelled_by_hand(self) -> bool:
        """Whether somebody wants the end of a run that no worker executes: then its process is told to end."""
        root = self.flow_rows.get(self.run_id)
        return root is not None and root.state_type == "CANCELLING" and root.is_by_hand

    def _enter_flow_state(
        self, row: FlowRow, at: int, clock: int, kind: str, name: str, message: str | None, run_count: int
    ) -> None:
        is_cancelling = row.state_type == "CANCELLING" and row.attempt == self.attempt
        row.attempt = self.attempt
        row.clock = clock
        row.run_count = run_count
        if is_cancelling and kind not in _FINAL:
            return  # it stays so until its processes are gone
        row.state_type = kind
        row.state_name = name
        row.state_message = message
        row.ended_at = at if kind in _FINAL else None
        if row.ended_at is None:
            self._crash_if_lost(row)

    def _flow_row(self, flow_run_id: str, at: int) -> FlowRow:
        """The flow run, about to change; if its beginning is not known yet, an empty one."""
        row = self.flow_rows.get(flow_run_id)
        if row is None:
            row = self.flow_rows[flow_run_id] = blank_rows.flow_row(flow_run_id, self.run_id, self.attempt, at)
        self.changed_flows[flow_run_id] = row
        return row

    # Task runs.

    def _task_run_began(self, record: records.TaskRunBegan) -> None:
        clock = self._tick(record.at)
        row = self._task_row(record.task_run_id, record.at)
        if (self.attempt, clock) > (row.began_attempt, row.began_clock):
            row.began_attempt = self.attempt
            row.began_clock = clock
            row.started_at = record.at
            row.kind = record.kind
            self._describe_task(row, record)
            task = self.tasks.get(record.task, _UNKNOWN_TASK)
            row.tags = texts((*task.tags, *record.tags)) if task.tags or record.tags else NO_TEXTS
        if _enters(row, self.attempt, clock, final=False):
            row.result = None
            row.cache = ""
            self._enter_task_state(row, None, clock, "RUNNING", "Running", None, 1)

    def _task_run_moved(self, record: records.TaskRunMoved) -> None:
        clock = self._tick(record.at)
        row = self._task_row(record.task_run_id, record.at)
        kind = self._state_type(record.type, final=False)
        if _enters(row, self.attempt, clock, final=False, run_count=record.run_count):
            row.result = None
            row.cache = ""
            self._enter_task_state(row, None, clock, kind, record.name, record.message, record.run_count)

    def _task_run_ended(self, record: records.TaskRunEnded) -> None:
        clock = self._tick(record.at)
        row = self._task_row(record.task_run_id, record.at)
        kind = record.type
        if kind != "COMPLETED":
            kind = self._state_type(kind, final=True)
        elif record.name != "Cached":
            self._progress(record.at)
        kept = self._packed(record.result)
        if _enters(row, self.attempt, clock, final=True, run_count=record.run_count):
            row.result = kept
            row.cache = record.cache
            self._enter_task_state(row, record.at, clock, kind, record.name, record.message, record.run_count)

    def _task_run_reused(self, record: records.TaskRunReused) -> None:
        """The recorded result counts again. What is known of the execution it came from stays."""
        clock = self._tick(record.at)
        row = self._task_row(record.task_run_id, record.at)
        if row.began_attempt == 0:
            self._describe_task(row, record)
            row.tags = texts(self.tasks.get(record.task, _UNKNOWN_TASK).tags)
        kept = self._packed(record.result)
        if _enters(row, self.attempt, clock, final=True, run_count=row.run_count):
            ended_at = row.ended_at if row.began_attempt and row.ended_at is not None else record.at
            row.result = kept
            self._enter_task_state(row, ended_at, clock, "COMPLETED", "Completed", None, row.run_count)
            row.reused_from = record.from_run_id

    def _describe_task(self, row: TaskRow, record: records.TaskRunBegan | records.TaskRunReused) -> None:
        task = self.tasks.get(record.task, _UNKNOWN_TASK)
        row.flow_run_id = record.flow_run_id
        row.scope_id = record.scope_id
        row.name = record.name
        row.task_name = task.name
        row.task_key = task.key
        row.upstream = texts(record.upstream)
        row.inputs = record.inputs
        row.address = record.address

    def _enter_task_state(
        self, row: TaskRow, ended_at: int | None, clock: int, kind: str, name: str, message: str | None, run_count: int
    ) -> None:
        row.attempt = self.attempt
        row.clock = clock
        row.state_type = kind
        row.state_name = name
        row.state_message = message
        row.run_count = run_count
        row.ended_at = ended_at
        row.reused_from = None
        if ended_at is None:
            self._crash_if_lost(row)

    def _task_row(self, task_run_id: str, at: int) -> TaskRow:
        """The task run, about to change; if its beginning is not known yet, an empty one."""
        row = self.task_rows.get(task_run_id)
        if row is None:
            row = self.task_rows[task_run_id] = blank_rows.task_row(task_run_id, self.run_id, self.attempt, at)
        self.changed_tasks[task_run_id] = row
        return row

    def _progress(self, at: int) -> None:
        """A task was completed anew: the crashes before it no longer count."""
        root = self.flow_rows.get(self.run_id)
        if root is not None and root.progress_attempt >= self.attempt:
            return
        root = self._flow_row(self.run_id, at)
        root.progress_attempt = self.attempt
        root.crashes = 1 if root.crashes and root.lost_attempt == self.attempt else 0

    # What others have to say about a run.

    def _process_lost(self, record: records.ProcessLost) -> None:
        self._tick(record.at)
        self._lose(record.at, record.attempt, record.reason, min(record.last_sign_at or record.at, record.at))

    def _lose(self, at: int, attempt: int, reason: str, ended_at: int) -> None:
        """Whatever the attempt has begun and not ended is Crashed, noticed ``at`` that time."""
        root = self._flow_row(self.run_id, at)
        is_wanted = self._is_cancelled_by_hand()
        kind, name = ("CANCELLED", "Cancelled") if is_wanted else ("CRASHED", "Crashed")
        told = root.state_message or reason if is_wanted else reason
        if root.lost_attempt < attempt:
            root.lost_attempt = attempt
            if root.ended_at is None and attempt >= root.progress_attempt and not is_wanted:
                root.crashes += 1
        for row in self.flow_rows.values():
            if row.ended_at is None and row.attempt <= attempt:
                _crash(row, ended_at, name, told)
                row.state_type = kind
                self.changed_flows[row.id] = row
                self._event(at, kind.lower(), row.id, state=name, message=told, attempt=attempt)
        for task in self.task_rows.values():
            if task.ended_at is None and task.attempt <= attempt:
                _crash(task, ended_at, "Interrupted", reason)
                self.changed_tasks[task.id] = task

    def _crash_if_lost(self, row: FlowRow | TaskRow) -> None:
        """For a record that was found after its process was known to be dead."""
        root = self.flow_rows.get(self.run_id)
        if root is None or root.lost_attempt < self.attempt or root.ended_at is None:
            return
        name = "Crashed" if isinstance(row, FlowRow) else "Interrupted"
        _crash(row, root.ended_at, name, root.state_message or "Its process died")

    def _command_issued(self, record: records.CommandIssued) -> None:
        clock = self._tick(record.at)
        row = self.flow_rows.get(record.run_id)
        if row is not None and record.command in STATE_COMMANDS:
            kind = record.details.get("type", "CANCELLED")
            kind = self._state_type(kind, final=kind != "CANCELLING")
            name = record.details.get("name") or kind.capitalize()
            self.clock = max(clock, row.clock + 1)
            if kind in _FINAL or row.ended_at is None:
                self.changed_flows[row.id] = row
                message = record.details.get("message")
                self._enter_flow_state(row, record.at, self.clock, kind, name, message, row.run_count)
        if row is not None and record.command == FOUND and row.lost_attempt == self.attempt:
            self._find(row)
        self._event(record.at, record.command, record.run_id, **{**record.details, "by": record.by})

    def _find(self, row: FlowRow) -> None:
        """As before it was lost. The row's clock stays, so that an end which came before this still counts."""
        self.changed_flows[row.id] = row
        row.lost_attempt = self.attempt - 1
        row.crashes = max(row.crashes - 1, 0)
        if row.state_type == "CRASHED":
            row.state_type, row.state_name, row.state_message, row.ended_at = "RUNNING", "Running", None, None

    def _flow_run_created(self, record: records.FlowRunCreated) -> None:
        self._tick(record.at)
        row = self._flow_row(record.flow_run_id, record.at)
        row.created_at = record.at
        row.name = record.name
        row.flow_name = record.flow_name
        row.flow_version = record.flow_version
        row.entrypoint = record.entrypoint
        row.parameters = pack(record.parameters)
        row.tags = texts(record.tags)
        row.parent_flow_run_id = record.parent_flow_run_id
        row.parent_task_run_id = record.parent_task_run_id
        row.source = record.source
        row.description = record.description
        row.deployment_id = record.deployment_id
        row.due_at = record.due_at
        row.work_pool = record.work_pool
        row.work_queue = record.work_queue
        row.state_type, row.state_name = "SCHEDULED", "Scheduled"
        self._event(record.at, "scheduled", row.id, name=record.name, flow=record.flow_name, due_at=record.due_at)

    def _flow_run_directed(self, record: records.FlowRunDirected) -> None:
        """These come in the order in which they were decided: the clocks of runs' processes have no say in it."""
        self._tick(record.at)
        row = self._flow_row(record.flow_run_id, record.at)
        kind = self._state_type(record.type, final=record.type in _FINAL)
        if record.lost:
            self._end_attempt(row, record)
        if record.afresh:
            row.crashes = 0
        if self.attempt > row.attempt:
            row.attempt = self.attempt
            row.clock = 0  # whatever the attempt's process says comes later
            row.run_count = 1
        row.state_type = kind
        row.state_name = record.name
        row.state_message = record.message
        row.ended_at = max(record.at, row.started_at or 0) if kind in _FINAL else None
        row.result = None
        if row.ended_at is not None:
            row.fence = max(row.fence, self.attempt)
        if record.due_at is not None:
            row.due_at = record.due_at
        if record.worker is not None:
            row.worker = record.worker
        if record.work_queue is not None:
            row.work_queue = record.work_queue
        what = _snake(record.name)
        self._event(record.at, what, row.id, message=record.message, by=record.by or None, attempt=self.attempt)

    def _end_attempt(self, root: FlowRow, record: records.FlowRunDirected) -> None:
        """The attempt's process is gone: what it has not ended is Interrupted, and it records nothing more."""
        root.fence = max(root.fence, self.attempt)
        if record.crashed and root.lost_attempt < self.attempt:
            root.lost_attempt = self.attempt
            if self.attempt >= root.progress_attempt:
                root.crashes += 1
        reason = record.message or "Its process is gone"
        for row in self.flow_rows.values():
            if row is not root and row.ended_at is None and row.root_run_id == root.id:
                kind, name = ("CANCELLED", "Cancelled") if record.type == "CANCELLED" else ("CRASHED", "Crashed")
                _crash(row, record.at, name, reason)
                row.state_type = kind
                self.changed_flows[row.id] = row
                self._event(record.at, name.lower(), row.id, state=name, message=reason, attempt=self.attempt)
        for task in self.task_rows.values():
            if task.ended_at is None and task.attempt <= self.attempt:
                _crash(task, record.at, "Interrupted", reason)
                self.changed_tasks[task.id] = task

    # Pauses.

    def _input_awaited(self, record: records.InputAwaited) -> None:
        """Asked again by a later attempt, the same question keeps its answer."""
        self._tick(record.at)
        known = self.input_rows.get(record.key)
        if known is not None and known.round >= record.round:
            return
        row = InputRow(
            run_id=self.run_id,
            key=record.key,
            flow_run_id=record.flow_run_id,
            round=record.round,
            asked_at=record.at,
            deadline=record.deadline,
            suspends=int(record.suspends),
            message=record.message,
            schema=pack(record.schema),
            given_at=None,
            given_by=None,
            value=None,
        )
        self.input_rows[row.key] = self.changed_inputs[row.key] = row

    def _input_given(self, record: records.InputGiven) -> None:
        self._tick(record.at)
        row = self.input_rows.get(record.key)
        if row is None or row.round != record.round or row.given_at is not None:
            return
        row.given_at = record.at
        row.given_by = record.by
        row.value = pack(record.value)
        self.changed_inputs[row.key] = row
        self._event(record.at, "input_given", record.flow_run_id, by=record.by or None)

    # What runs say besides.

    def _log_line(self, record: records.LogLine) -> None:
        self._tick(record.at)
        self.logs.append(LogRow(*records.fields(record)))

    def _artifact_saved(self, record: records.ArtifactSaved) -> None:
        clock = self._tick(record.at)
        known = self.artifact_rows.get(record.artifact_id)
        if known is not None and clock < known.clock:
            known.created_at = min(known.created_at, record.at)
            self.changed_artifacts[known.id] = known
            return
        row = ArtifactRow(
            id=record.artifact_id,
            flow_run_id=record.flow_run_id,
            task_run_id=record.task_run_id,
            kind=record.kind,
            key=record.key,
            description=record.description,
            created_at=record.at if known is None else min(known.created_at, record.at),
            updated_at=record.at,
            clock=clock,
            data=pack(record.data),
        )
        self.artifact_rows[row.id] = self.changed_artifacts[row.id] = row

    def _event_emitted(self, record: records.EventEmitted) -> None:
        self._tick(record.at)
        self.events.append(
            EventRow(
                record.at,
                record.event,
                record.flow_run_id or self.run_id,
                record.task_run_id,
                pack(record.resource),
                pack(record.payload),
            )
        )

    def _replay_diverged(self, record: records.ReplayDiverged) -> None:
        self._tick(record.at)
        self._event(
            record.at,
            "replay_diverged",
            record.flow_run_id,
            kind=record.kind,
            task_key=record.task_key,
            scope_id=record.scope_id,
            detail=record.detail,
            attempt=self.attempt,
        )

    def _results_forgotten(self, record: records.ResultsForgotten) -> None:
        self._tick(record.at)
        self._event(record.at, "results_forgotten", record.flow_run_id, task_runs=len(record.task_run_ids))

    def _event(self, at: int, what: str, flow_run_id: str, /, **payload: Any) -> None:
        told = {name: value for name, value in payload.items() if value is not None}
        resource = pack({"penstock.resource.id": f"flow_run.{flow_run_id}"})
        self.events.append(EventRow(at, f"flow_run.{what}", flow_run_id, None, resource, pack(told)))

    def _packed(self, kept: ResultRecord | None) -> bytes | None:
        if kept is None:
            return None
        if kept.location is not None and not kept.storage:  # a folder of the user's own is theirs to keep
            self.result_files.add(kept.location)
        return pack(kept)

    def _state_type(self, text: Any, *, final: bool) -> str:
        if text not in _TYPES or (text in _FINAL) != final:
            raise errors.CorruptJournal(f"A record of run `{self.run_id}` names an impossible state: `{text}`")
        return text

    _by_kind: ClassVar[dict[type, Callable[[Projection, Any], None]]] = {
        records.JournalOpened: _journal_opened,
        records.FlowRunBegan: _flow_run_began,
        records.FlowRunMoved: _flow_run_moved,
        records.FlowRunEnded: _flow_run_ended,
        records.TaskDefined: _task_defined,
        records.TaskRunBegan: _task_run_began,
        records.TaskRunMoved: _task_run_moved,
        records.TaskRunEnded: _task_run_ended,
        records.TaskRunReused: _task_run_reused,
        records.ReplayDiverged: _replay_diverged,
        records.ResultsForgotten: _results_forgotten,
        records.LogLine: _log_line,
        records.ArtifactSaved: _artifact_saved,
        records.EventEmitted: _event_emitted,
        records.ProcessLost: _process_lost,
        records.CommandIssued: _command_issued,
        records.FlowRunCreated: _flow_run_created,
        records.FlowRunDirected: _flow_run_directed,
        records.InputAwaited: _input_awaited,
        records.InputGiven: _input_given,
    }


def ends_others(record: records.AnyRecord, run_id: str, attempt: int) -> bool:
    """Whether the record may end what other records began: a process was lost, or a new attempt took over."""
    if isinstance(record, records.FlowRunBegan):
        return attempt > 1 and record.flow_run_id == run_id
    return isinstance(record, records.ProcessLost) or (isinstance(record, records.FlowRunDirected) and record.lost)


def _enters(row: FlowRow | TaskRow, attempt: int, clock: int, *, final: bool, run_count: int = 1) -> bool:
    """Whether a state is later than the one that the row has. At the same time, an end or a later try is later."""
    return (attempt, clock, final, run_count) >= (row.attempt, row.clock, row.ended_at is not None, row.run_count)


def _crash(row: FlowRow | TaskRow, at: int, name: str, reason: str) -> None:
    """Infer the end of a run. The row's clock stays, so that an end which is found later still counts."""
    row.state_type = "CRASHED"
    row.state_name = name
    row.state_message = reason
    row.ended_at = max(at, row.started_at or 0)


def _describe(row: FlowRow, record: records.FlowRunBegan) -> None:
    row.flow_version = record.flow_version
    row.code_version = record.code_version
    if row.is_managed:  # it was described when it was created
        return
    row.name = record.name
    row.flow_name = record.flow_name
    row.entrypoint = record.entrypoint
    row.parameters = pack(record.parameters)
    row.tags = texts(record.tags)
    row.parent_flow_run_id = record.parent_flow_run_id
    row.parent_task_run_id = record.parent_task_run_id
    row.source = record.source
    row.forked_from = record.forked_from
    row.description = record.description


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
