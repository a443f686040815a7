"""Questions about runs, and their answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import merge
from types import EllipsisType
from typing import Any, NamedTuple, TypeVar

import msgspec

from penstock import errors
from penstock.core import records
from penstock.core.runs import Artifact, Event, FlowRun, FlowSummary, LogEntry, StateChange, StateCount, TaskRun
from penstock.core.states import NAMES, StateType, meant
from penstock.core.suggestions import did_you_mean
from penstock.journal import frames
from penstock.store.deployments import DeploymentRow
from penstock.store.flow_runs import NEWEST
from penstock.store.interface import Transaction

T = TypeVar("T", FlowRun, TaskRun)

_ALL = 1 << 40


class FlowRunPage(NamedTuple):
    """Some flow runs, newest first. ``next`` goes on from there; None at the end."""

    items: list[FlowRun]
    next: str | None


class TaskRunPage(NamedTuple):
    """Some task runs, in the order in which they began. ``next`` goes on from there; None at the end."""

    items: list[TaskRun]
    next: str | None


class ArtifactPage(NamedTuple):
    """Some artifacts, newest first. ``next`` goes on from there; None at the end."""

    items: list[Artifact]
    next: str | None


def flow_runs(
    tx: Transaction,
    *,
    flow: str | None = None,
    states: Iterable[StateType | str] = (),
    tags: Iterable[str] | None = None,
    name: str | None = None,
    since: int | None = None,
    parent: str | EllipsisType | None = ...,
    deployment: str | None = None,
    pool: str | None = None,
    queue: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> FlowRunPage:
    """Flow runs that meet every condition given, newest first.

    ``states`` are types, or names as `core.states.NAMES` has them; any of them counts. ``tags`` must all be there.
    ``name`` is how names begin. ``since`` is a time in microseconds. ``parent`` is the id of a flow run whose subflow
    runs are meant, or None for runs without a parent; left out, both kinds are listed. ``deployment`` is an id.
    """
    wanted = _types_and_names(states)
    before = NEWEST if cursor is None else flow_run_place(cursor)
    portions = [
        tx.flow_runs.page(
            before=before,
            limit=limit + 1,
            flow=flow,
            state=state,
            state_name=state_name,
            tags=tags or (),
            name=name,
            since=since,
            parent=parent if isinstance(parent, str) else None,
            roots=parent is None,
            deployment=deployment,
            pool=pool,
            queue=queue,
        )
        for state, state_name in wanted or ((None, None),)
    ]
    found = list(merge(*portions, key=lambda row: (row.created_at, row.id), reverse=True))[: limit + 1]
    items = [row.view() for row in found[:limit]]
    more = len(found) > limit and items
    return FlowRunPage(items, f"{items[-1].created_at}.{items[-1].id}" if more else None)


def flow_run(tx: Transaction, name: str) -> FlowRun:
    """The flow run of that id, beginning of an id, or name; of several of a name, the newest.

    Raises `NotFound`, with what may have been meant, and `UsageError` for the beginning of several ids.
    """
    row = tx.flow_runs.row(name)
    if row is None:
        found = _by_beginning(name, tx.flow_runs.ids_that_begin_with(name), "flow run") or tx.flow_runs.latest_named(
            name
        )
        row = tx.flow_runs.row(found) if found else None
    if row is None:
        known = [text for pair in tx.flow_runs.latest(500) for text in reversed(pair)]
        hint = did_you_mean(name, known) or "list them with `penstock flow-run ls`"
        raise errors.NotFound(f"No flow run has the name or id: `{name}`", hint=hint)
    return row.view()


def deployment_of(tx: Transaction, name: str) -> DeploymentRow:
    """The deployment of that id, or ``flow/name``. Raises `NotFound`."""
    row = tx.deployments.row(name)
    if row is None and "/" in name:
        flow_name, _, rest = name.partition("/")
        row = tx.deployments.named(flow_name, rest)
    if row is None:
        known = tx.deployments.names()
        hint = did_you_mean(name, known) or "`penstock deployment ls` lists them"
        raise errors.NotFound(f"There is no deployment: `{name}`", hint=hint)
    return row


def last_flow_run(tx: Transaction) -> FlowRun:
    """The newest run that is no subflow run. Raises `NotFound` when there is none."""
    found = tx.flow_runs.page(limit=1, roots=True)
    if not found:
        raise errors.NotFound("There are no flow runs yet", hint="make one with `penstock run FILE`")
    return found[0].view()


def task_runs(
    tx: Transaction,
    flow_run_id: str,
    *,
    states: Iterable[StateType | str] = (),
    limit: int = 200,
    cursor: str | None = None,
) -> TaskRunPage:
    """Task runs of a flow run in the order in which they began; ``states`` as for `flow_runs`."""
    after = 0 if cursor is None else place(cursor)
    found = tx.task_runs.page(flow_run_id, after=after, limit=limit + 1, states=_types_and_names(states))
    items = found[:limit]
    more = len(found) > limit and items
    return TaskRunPage([item.row.view() for item in items], str(items[-1].sequence) if more else None)


def task_run(tx: Transaction, name: str) -> TaskRun:
    """The task run of that id or beginning of an id. Raises `NotFound`, or `UsageError` as `flow_run` does."""
    row = tx.task_runs.row(name)
    if row is None:
        found = _by_beginning(name, tx.task_runs.ids_that_begin_with(name), "task run")
        row = tx.task_runs.row(found) if found else None
    if row is None:
        hint = "list those of a run with `penstock task-run ls RUN`"
        raise errors.NotFound(f"No task run has the id: `{name}`", hint=hint)
    return row.view()


def state_counts(tx: Transaction, flow_run_id: str) -> list[StateCount]:
    """How many task runs of the flow run are in which state."""
    return tx.task_runs.state_counts([flow_run_id])


def logs(
    tx: Transaction,
    flow_run_id: str,
    *,
    level: int | None = None,
    task: str | None = None,
    since: int | None = None,
    after: int = 0,
    limit: int = 1000,
    tail: bool = False,
    subflows: bool = False,
) -> list[LogEntry]:
    """Lines of the flow run's log, oldest first; with ``tail`` the last ones, with ``subflows`` theirs too.

    ``task`` is a task run (id, beginning of an id, or name) or the name of a task. To follow a log, ask again with
    ``after`` as the ``sequence`` of the last line.
    """
    runs = tx.flow_runs.descendants(flow_run_id) if subflows else [flow_run_id]
    return tx.logs.page(runs, after=after, limit=limit, level=level, task=task, since=since, tail=tail)


def artifacts(
    tx: Transaction,
    *,
    flow_run_id: str | None = None,
    key: str | None = None,
    kind: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
    subflows: bool = False,
) -> ArtifactPage:
    """Artifacts that meet every condition given, newest first."""
    runs = None
    if flow_run_id is not None:
        runs = tuple(tx.flow_runs.descendants(flow_run_id)) if subflows else (flow_run_id,)
    before = NEWEST[0] if cursor is None else place(cursor)
    found = tx.artifacts.page(before=before, limit=limit + 1, flow_run_ids=runs, key=key, kind=kind)
    items = found[:limit]
    more = len(found) > limit and items
    return ArtifactPage([item.row.view() for item in items], str(items[-1].sequence) if more else None)


def artifact(tx: Transaction, name: str) -> Artifact:
    """The artifact of that id, beginning of an id, or key; of several of a key, the newest. Raises `NotFound`."""
    rows = tx.artifacts.rows([name])
    if not rows:
        rows = [item.row for item in tx.artifacts.page(limit=1, key=name)]
    if not rows:
        found = _by_beginning(name, tx.artifacts.ids_that_begin_with(name), "artifact")
        rows = tx.artifacts.rows([found]) if found else []
    if not rows:
        hint = did_you_mean(name, tx.artifacts.keys(1000)) or "list them with `penstock artifact ls`"
        raise errors.NotFound(f"No artifact has the key or id: `{name}`", hint=hint)
    return rows[0].view()


def events(
    tx: Transaction, *, run_id: str | None = None, name: str | None = None, after: int = 0, limit: int = 200
) -> list[Event]:
    """What happened, oldest first: to one flow run or to any, of one name or of any."""
    return tx.events.page(after=after, limit=limit, run_ids=None if run_id is None else (run_id,), name=name)


def in_a_list(run: T) -> T:
    """The run without the bytes of what it took and returned, which lists have no need of."""
    changes: dict[str, Any] = {}
    if run.result is not None and run.result.inline is not None:
        changes["result"] = msgspec.structs.replace(run.result, inline=None)
    if isinstance(run, FlowRun) and run.arguments is not None:
        changes["arguments"] = None
    return msgspec.structs.replace(run, **changes) if changes else run


def flows(tx: Transaction) -> list[FlowSummary]:
    """The flows that have runs, by name."""
    return tx.flow_runs.flows(limit=_ALL)


def state_history(tx: Transaction, run_id: str) -> list[StateChange]:
    """The states that a flow run or task run was in, oldest first, as its journals tell.

    Reads all that is kept of its root run, so it takes a while for a run of many thousand tasks.
    """
    root = _root_of(tx, run_id)
    mark = run_id.encode()
    changes: list[StateChange] = []
    for segment in tx.journals.segments(root):
        for frame in frames.scan(tx.journals.frames(segment), segment.start).frames:
            if segment.writer == "control" or mark in bytes(frame.payload):
                change = _change(records.decode(frame.payload), run_id, segment.attempt)
                changes += [] if change is None else [change]
    return changes


def _change(record: records.AnyRecord | None, run_id: str, attempt: int) -> StateChange | None:
    match record:
        case records.FlowRunCreated(flow_run_id=of) if of == run_id:
            return StateChange(record.at, StateType.SCHEDULED, "Scheduled", None, attempt, 1)
        case records.FlowRunDirected(flow_run_id=of) if of == run_id:
            return StateChange(record.at, StateType(record.type), record.name, record.message, attempt, 1)
        case records.FlowRunBegan(flow_run_id=of) | records.TaskRunBegan(task_run_id=of) if of == run_id:
            return StateChange(record.at, StateType.RUNNING, "Running", None, attempt, 1)
        case (
            records.FlowRunMoved(flow_run_id=of)
            | records.FlowRunEnded(flow_run_id=of)
            | records.TaskRunMoved(task_run_id=of)
            | records.TaskRunEnded(task_run_id=of)
        ) if of == run_id:
            kind = StateType(record.type)
            return StateChange(record.at, kind, record.name, record.message, attempt, record.run_count)
        case records.TaskRunReused(task_run_id=of) if of == run_id:
            message = f"Its result was recorded by run {record.from_run_id}"
            return StateChange(record.at, StateType.COMPLETED, "Completed", message, attempt, 1)
        case records.ProcessLost(run_id=of) if of == run_id:
            return StateChange(record.at, StateType.CRASHED, "Crashed", record.reason, attempt, 1)
        case records.CommandIssued(run_id=of) if of == run_id and "type" in record.details:
            kind = StateType(record.details["type"])
            name = record.details.get("name") or kind.value.capitalize()
            return StateChange(record.at, kind, name, record.details.get("message"), attempt, 1)
        case _:
            return None


def _root_of(tx: Transaction, run_id: str) -> str:
    row = tx.flow_runs.row(run_id)
    if row is None:
        task = tx.task_runs.row(run_id)
        row = tx.flow_runs.row(task.flow_run_id) if task is not None else None
    if row is None:
        raise errors.NotFound(f"No flow run or task run has the id: `{run_id}`")
    return row.root_run_id


def _types_and_names(states: Iterable[StateType | str]) -> tuple[tuple[StateType, str | None], ...]:
    """Each type that is wanted, with the name that is; None for all of the type. Raises `UsageError`."""
    wanted = [each if isinstance(each, StateType) else meant(each) for each in states]
    whole = dict.fromkeys(each for each in wanted if isinstance(each, StateType))
    named = {(kind, each): None for each in wanted if not isinstance(each, StateType) for kind in NAMES[each]}
    return (*((each, None) for each in whole), *(pair for pair in named if pair[0] not in whole))


def _by_beginning(text: str, found: Sequence[str], what: str) -> str | None:
    if len(text) < 4 or not found:
        return None
    if len(found) > 1:
        hint = f"give more of it, for example `{found[0]}`"
        raise errors.UsageError(f"The id of more than one {what} begins with: `{text}`", hint=hint)
    return found[0]


def flow_run_place(cursor: str) -> tuple[int, str]:
    created_at, dot, run_id = cursor.partition(".")
    if not dot:
        raise errors.UsageError(
            f"Not a place in a list of flow runs: `{cursor}`", hint="the last answer tells where it goes on"
        )
    return place(created_at), run_id


def place(cursor: str | None) -> int:
    """The number that a cursor is; 0 for none. Raises `UsageError` for anything else."""
    text = cursor or "0"
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise errors.UsageError(f"Not a place in this list: `{cursor}`", hint="the last answer tells where it goes on")
    return int(text)
