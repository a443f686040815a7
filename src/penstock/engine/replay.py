"""What earlier attempts have finished, looked up by the id of the task run that asks.

The id is derived from scope, task, inputs and occurrence (`core.addresses`), so it does not
matter in which order the calls come.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from penstock.core import records
from penstock.core.result_records import ResultRecord
from penstock.core.states import StateType


class Began(NamedTuple):
    """A task run of which the journals know."""

    task_key: str
    scope_id: str
    name: str
    inputs: str
    upstream: tuple[str, ...]
    began_at: int
    ended_at: int
    on_interrupt: str


class Divergence(NamedTuple):
    """Code and journals disagree about a task."""

    scope_id: str
    task_key: str
    kind: Literal["changed", "removed"]
    detail: str


def _was_cut_short(ended: records.TaskRunEnded) -> bool:
    """Whether a task run had started its work and was stopped from outside, so that nobody knows how far it came."""
    return (
        ended.type == StateType.CRASHED
        or ended.name == "Interrupted"
        or (ended.type == StateType.CANCELLED and ended.run_count > 0)
    )


class History:
    """The task runs of a run's earlier attempts."""

    def __init__(self, found: Iterable[records.AnyRecord] = ()) -> None:
        self.began: dict[str, Began] = {}
        self.completed: dict[str, ResultRecord] = {}
        self.run: records.FlowRunBegan | None = None
        """How the run itself began, most recently."""
        self._stand_ins: dict[str, str] = {}
        """The task runs that stand for subflow runs, by the id of these."""
        self._questions: dict[str, records.InputAwaited] = {}
        """What was asked for last at pauses, by their task runs."""
        self._answers: dict[tuple[str, int], records.InputGiven] = {}
        self._settled: set[str] = set()
        """The pauses that have ended, so that to wait there again is to ask anew."""
        self._unstarted: set[str] = set()
        """The task runs that had not got beyond waiting for a slot."""
        self._asked: set[str] = set()
        self._scopes: set[str] = set()
        self._new: dict[tuple[str, str], str] = {}
        definitions: dict[int, records.TaskDefined] = {}
        for record in found:
            definitions = self._take(record, definitions)

    def _take(
        self, record: records.AnyRecord, definitions: dict[int, records.TaskDefined]
    ) -> dict[int, records.TaskDefined]:
        if isinstance(record, records.TaskRunEnded):
            self._ended(record)
        elif isinstance(record, records.TaskRunBegan):
            self._began(record, definitions)
        elif isinstance(record, records.TaskRunMoved):
            self._moved(record)
        elif isinstance(record, records.InputAwaited):
            self._questions[record.key] = record
            self._settled.discard(record.key)
        elif isinstance(record, records.InputGiven):
            self._answers[record.key, record.round] = record
        elif isinstance(record, records.TaskRunReused):
            self._reused(record, definitions)
        elif isinstance(record, records.TaskDefined):
            definitions[record.index] = record
        elif isinstance(record, records.JournalOpened):
            return {}
        elif isinstance(record, records.ResultsForgotten):
            self.forget(record.task_run_ids)
        elif isinstance(record, records.FlowRunBegan):
            if record.parent_task_run_id is None:
                self.run = record
            else:
                self._stand_ins[record.flow_run_id] = record.parent_task_run_id
        return definitions

    def _began(self, record: records.TaskRunBegan, definitions: dict[int, records.TaskDefined]) -> None:
        task = definitions[record.task]
        self.completed.pop(record.task_run_id, None)
        self._unstarted.discard(record.task_run_id)
        about = (task.key, record.scope_id, record.name, record.inputs, record.upstream)
        self.began[record.task_run_id] = Began(*about, record.at, 0, task.on_interrupt)

    def _moved(self, record: records.TaskRunMoved) -> None:
        if record.name == "AwaitingConcurrencySlot" and record.type == StateType.SCHEDULED:
            self._unstarted.add(record.task_run_id)
        else:
            self._unstarted.discard(record.task_run_id)

    def _reused(self, record: records.TaskRunReused, definitions: dict[int, records.TaskDefined]) -> None:
        task = definitions[record.task]
        about = (task.key, record.scope_id, record.name, record.inputs, record.upstream)
        self.began[record.task_run_id] = Began(*about, record.at, record.at, task.on_interrupt)
        if record.result is not None:
            self.completed[record.task_run_id] = record.result

    def _ended(self, record: records.TaskRunEnded) -> None:
        began = self.began.get(record.task_run_id)
        if began is not None and not _was_cut_short(record):
            self.began[record.task_run_id] = began._replace(ended_at=record.at)
            if record.task_run_id in self._questions:
                self._settled.add(record.task_run_id)
        if record.type == StateType.COMPLETED and record.result is not None:
            self.completed[record.task_run_id] = record.result

    def find(self, task_run_id: str, scope_id: str) -> ResultRecord | None:
        """The recorded result of a completed task run, if it can be used."""
        self._asked.add(task_run_id)
        self._scopes.add(scope_id)
        return self.completed.get(task_run_id)

    def was_interrupted(self, task_run_id: str) -> bool:
        """Whether the task run's code had begun, and neither completed nor failed."""
        began = self.began.get(task_run_id)
        if began is None or task_run_id in self._unstarted:
            return False
        return task_run_id not in self.completed and began.ended_at == 0

    def forget(self, task_run_ids: Iterable[str]) -> None:
        """Set aside what these task runs had recorded."""
        for task_run_id in task_run_ids:
            self.completed.pop(task_run_id, None)
            self._settled.add(task_run_id)

    def question(self, task_run_id: str, now: int) -> tuple[records.InputAwaited | None, bool]:
        """What was asked for last at a pause, and whether its answer is there or may still come."""
        asked = self._questions.get(task_run_id)
        if asked is None or task_run_id in self._settled:
            return asked, False
        return asked, self.answer(asked) is not None or asked.deadline is None or now <= asked.deadline

    def answer(self, question: records.InputAwaited) -> records.InputGiven | None:
        """What somebody has given at a pause."""
        return self._answers.get((question.key, question.round))

    def note_new(self, task_run_id: str, scope_id: str, task_key: str, inputs: str) -> None:
        """A call that no earlier attempt has completed is about to be executed."""
        if task_run_id not in self.began:
            self._new.setdefault((scope_id, task_key), inputs)

    def replaced_call(self, task_run_id: str, scope_id: str, task_key: str) -> str | None:
        """The inputs of a recorded call of the same task that this unknown call seems to stand for.

        Sound where calls come in the order of the earlier attempt; see `never_asked` for the rest.
        """
        if task_run_id in self.began:
            return None
        for known_id, began in self.began.items():
            if (began.task_key, began.scope_id) == (task_key, scope_id) and self._is_unasked(known_id):
                return began.inputs
        return None

    def never_asked(self) -> list[Divergence]:
        """At the end: completed task runs, of scopes that ran again, that the code did not ask for."""
        found: list[Divergence] = []
        for task_run_id, began in self.began.items():
            if began.scope_id in self._scopes and self._is_unasked(task_run_id):
                new = self._new.get((began.scope_id, began.task_key))
                if new is None:
                    detail = f"recorded ({began.inputs}), not called any more"
                    found.append(Divergence(began.scope_id, began.task_key, "removed", detail))
                else:
                    detail = f"recorded ({began.inputs}), now ({new})"
                    found.append(Divergence(began.scope_id, began.task_key, "changed", detail))
        return found

    def _is_unasked(self, task_run_id: str) -> bool:
        return task_run_id in self.completed and task_run_id not in self._asked

    def within(self, task_run_id: str) -> History | None:
        """The part that happened inside of a task run; None if that is nothing."""
        inside = {task_run_id}
        part = History()
        part._stand_ins = self._stand_ins
        for other, began in self.began.items():  # a caller began before what it called
            if self._caller(began) in inside:
                inside.add(other)
                part.began[other] = began
                if other in self.completed:
                    part.completed[other] = self.completed[other]
        return part if part.began else None

    def renew(self, later: History, flow_run_id: str) -> None:
        """Go on, for a retry of a flow run, with what this attempt has recorded; it has asked for nothing yet."""
        self.began.update(later.began)
        self.completed.update(later.completed)
        self._questions.update(later._questions)
        self._settled |= later._settled
        self._stand_ins.update(later._stand_ins)
        self._asked |= later.began.keys()
        self._asked = {each for each in self._asked if not self._is_within(each, flow_run_id)}
        self._new = {key: inputs for key, inputs in self._new.items() if not self._is_scope_within(key[0], flow_run_id)}

    def _is_within(self, task_run_id: str, flow_run_id: str) -> bool:
        """Whether a task run was called by a flow run, or by what that called."""
        began = self.began.get(task_run_id)
        return began is not None and self._is_scope_within(began.scope_id, flow_run_id)

    def _is_scope_within(self, scope_id: str, flow_run_id: str) -> bool:
        return scope_id == flow_run_id or self._is_within(self._stand_ins.get(scope_id, scope_id), flow_run_id)

    def named(self, name: str) -> list[str]:
        """The task runs whose id, name or task is ``name``, in the order in which they began."""
        found = [
            task_run_id
            for task_run_id, began in self.began.items()
            if name in (task_run_id, began.name, began.task_key, began.task_key.rpartition(".")[2])
            or (len(name) >= 8 and task_run_id.startswith(name))
        ]
        return sorted(found, key=lambda task_run_id: self.began[task_run_id].began_at)

    def what_saw(self, task_run_id: str) -> set[str]:
        """The task run, and each that could have seen its result.

        These are the ones that take it as input, directly or not; those that began after it had
        ended, as a plain value may have passed between them; the runs that called any of them; and,
        from these on, everything that they in turn could have influenced.
        """
        origin = self.began[task_run_id]
        horizon = origin.ended_at or origin.began_at
        affected = {other for other, began in self.began.items() if began.began_at >= horizon} | {task_run_id}
        more = affected
        while more:
            more = {
                other
                for other, began in self.began.items()
                if other not in affected
                and (self._caller(began) in affected or not affected.isdisjoint(began.upstream))
            }
            affected |= more
        return affected | {caller for each in affected for caller in self._callers(each)}

    def _caller(self, began: Began) -> str:
        """The task run that called it, or that stands for the subflow run that did; else the run itself."""
        return self._stand_ins.get(began.scope_id, began.scope_id)

    def _callers(self, task_run_id: str) -> Iterator[str]:
        """The task runs within which a task run was called, innermost first."""
        caller = self._caller(self.began[task_run_id])
        while caller in self.began:
            yield caller
            caller = self._caller(self.began[caller])
