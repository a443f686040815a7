"""Questions about runs, and their answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import merge
from types import EllipsisType
from typing import NamedTuple

from penstock import errors
from penstock.core import records
from penstock.core.runs import Artifact, Event, FlowRun, FlowSummary, LogEntry, TaskRun
from penstock.core.states import StateType
from penstock.journal import frames
from penstock.store.flow_runs import NEWEST
from penstock.store.interface import Transaction
from penstock.store.rows import FlowRow, StateCount


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


class StateChange(NamedTuple):
    """A run entered a state."""

    at: int
    type: StateType
    name: str
    message: str | None
    attempt: int
    run_count: int


def flow_runs(
    tx: Transaction,
    *,
    flow: str | None = None,
    states: Iterable[StateType | str] | None = None,
    tags: Iterable[str] | None = None,
    name: str | None = None,
    since: int | None = None,
    parent: str | EllipsisType | None = ...,
    limit: int = 50,
    cursor: str | None = None,
) -> FlowRunPage:
    """Flow runs that meet every condition given, newest first.

    ``states`` are types; any of them counts. ``tags`` must all be there. ``name`` is how names begin.
    ``since`` is a time in microseconds. ``parent`` is the id of a flow run whose subflow runs are
    meant, or None for runs without a parent; left out, both kinds are listed.
    """
    wanted = None if states is None else _state_types(states)
    tags = tuple(tags or ())
    before = NEWEST if cursor is None else _flow_run_place(cursor)
    found: list[FlowRow] = []
    while len(found) <= limit:
        portions = [
            tx.flow_runs.page(
                before=before,
                limit=limit + 1,
                flow=flow,
                state=state,
                tag=tags[0] if tags else None,
                name=name,
                since=since,
                parent=parent if isinstance(parent, str) else None,
                roots=parent is None,
            )
            for state in (wanted if wanted is not None else (None,))
        ]
        portion = list(merge(*portions, key=lambda row: (row.created_at, row.id), reverse=True))[: limit + 1]
        found += [row for row in portion if all(f'"{tag}"' in row.tags or tag in row.view().tags for tag in tags[1:])]
        if len(portion) <= limit:
            break
        before = (portion[-1].created_at, portion[-1].id)
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
        hint = _near(name, known) or "list them with `penstock flow-run ls`"
        raise errors.NotFound(f"No flow run has the name or id: `{name}`", hint=hint)
    return row.view()


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
    states: Iterable[StateType | str] | None = None,
    limit: int = 200,
    cursor: str | None = None,
) -> TaskRunPage:
    """Task runs of a flow run in the order in which they began; ``states`` are types, any of them counts."""
    wanted = None if states is None else _state_types(states)
    after = 0 if cursor is None else _place(cursor)
    found = tx.task_runs.page(flow_run_id, after=after, limit=limit + 1, states=wanted)
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


def state_counts_of(tx: Transaction, flow_run_ids: Iterable[str]) -> dict[str, list[StateCount]]:
    """The same for many flow runs at once."""
    counts: dict[str, list[StateCount]] = {}
    for count in tx.task_runs.state_counts(flow_run_ids):
        counts.setdefault(count.flow_run_id, []).append(count)
    return counts


def logs(
    tx: Transaction,
    flow_run_id: str,
    *,
    level: int | None = None,
    task_run_id: str | None = None,
    after: int = 0,
    limit: int = 1000,
    tail: bool = False,
    subflows: bool = False,
) -> list[LogEntry]:
    """Lines of the flow run's log, oldest first; with ``tail`` the last ones, with ``subflows`` theirs too.

    To follow a log, ask again with ``after`` as the ``sequence`` of the last line.
    """
    runs = tx.flow_runs.descendants(flow_run_id) if subflows else [flow_run_id]
    return tx.logs.page(runs, after=after, limit=limit, level=level, task_run_id=task_run_id, tail=tail)


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
    before = NEWEST[0] if cursor is None else _place(cursor)
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
        hint = _near(name, tx.artifacts.keys(1000)) or "list them with `penstock artifact ls`"
        raise errors.NotFound(f"No artifact has the key or id: `{name}`", hint=hint)
    return rows[0].view()


def events(
    tx: Transaction, *, run_id: str | None = None, name: str | None = None, after: int = 0, limit: int = 200
) -> list[Event]:
    """What happened, oldest first: to one flow run or to any, of one name or of any."""
    return tx.events.page(after=after, limit=limit, run_ids=None if run_id is None else (run_id,), name=name)


def flows(tx: Transaction) -> list[FlowSummary]:
    """The flows that have runs, by name."""
    return tx.flow_runs.flows()


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


def _state_types(states: Iterable[StateType | str]) -> tuple[StateType, ...]:
    wanted: list[StateType] = []
    for state in states:
        try:
            wanted.append(StateType(state.upper()))
        except ValueError:
            hint = _near(state.upper(), [each.value for each in StateType]) or f"one of: {', '.join(StateType)}"
            raise errors.UsageError(f"Not a type of state: `{state}`", hint=hint) from None
    return tuple(dict.fromkeys(wanted))


def _by_beginning(text: str, found: Sequence[str], what: str) -> str | None:
    if len(text) < 4 or not found:
        return None
    if len(found) > 1:
        hint = f"give more of it, for example `{found[0]}`"
        raise errors.UsageError(f"The id of more than one {what} begins with: `{text}`", hint=hint)
    return found[0]


def _near(text: str, known: Sequence[str]) -> str | None:
    import difflib  # noqa: PLC0415  only in the error case

    near = difflib.get_close_matches(text, known, n=1)
    return f"did you mean `{near[0]}`?" if near else None


def _flow_run_place(cursor: str) -> tuple[int, str]:
    created_at, dot, run_id = cursor.partition(".")
    if not dot:
        raise errors.UsageError(f"Not a place in a list of flow runs: `{cursor}`")
    return _place(created_at), run_id


def _place(cursor: str) -> int:
    try:
        return int(cursor)
    except ValueError:
        raise errors.UsageError(f"Not a place in a list: `{cursor}`") from None
