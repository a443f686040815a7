"""The fold: a run's recorded state changes here and nowhere else.

A piece of a journal is folded in one transaction: its bytes are kept as they are, the rows that
follow from them are written, and the journal's cursor moves. A piece that comes again, or overlaps
with one that was here, changes nothing that it has changed already.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple

import msgspec

from penstock import errors
from penstock.core import records
from penstock.core.records import AnyRecord
from penstock.journal import frames, reader
from penstock.orchestration.projection import Projection, ends_others
from penstock.store.interface import Transaction
from penstock.store.rows import CursorRow, FlowRow, Segment, TaskRow

CONTROL = "control"
"""The writer of what others have to say about a run: that its process died, that a user acted on it."""

START = len(frames.MAGIC)
"""Where the first frame of a journal lies."""


class JournalKey(NamedTuple):
    """Which journal a piece is of."""

    run_id: str
    attempt: int
    writer: str


class Outcome(Enum):
    FOLDED = "folded"
    KNOWN = "known"
    """All of it had been folded before."""
    GAP = "gap"
    """Something is missing before it: send again from ``Folded.end`` on."""
    SUPERSEDED = "superseded"
    """A later attempt has begun, so this one records nothing any more."""


class Folded(NamedTuple):
    """What became of a piece. The journal is now folded up to the offset ``end``."""

    outcome: Outcome
    end: int
    records: int = 0


def fold(tx: Transaction, key: JournalKey, piece: reader.Piece) -> Folded:
    """Fold a piece of a journal into the store.

    Raises `CorruptJournal` or `ForeignJournal`, before anything is written, when the piece holds
    what cannot be a record or is of a newer version.
    """
    cursor = tx.journals.cursor(*key) or _new_cursor(key)
    start = cursor.end_offset
    if piece.start > start:
        return Folded(Outcome.GAP, start)
    fresh = [frame for frame in piece.frames if frame.offset >= start]
    if not fresh and piece.end <= start:
        return Folded(Outcome.KNOWN, start)
    if not fresh or fresh[0].offset != start:
        raise errors.CorruptJournal(f"A record of run `{key.run_id}` lies where another one was: at byte {start}")
    said = list(reader.decoded(fresh, f"{key.run_id}/{key.attempt}.{key.writer}"))
    end = fresh[-1].end
    root = tx.flow_runs.row(key.run_id)
    if root is not None and key.attempt < root.attempt:
        cursor.end_offset = end
        cursor.refused += len(said)
        tx.journals.save_cursor(cursor)
        return Folded(Outcome.SUPERSEDED, end, len(said))
    # All that may be wrong with the records shows here, before the first write.
    change = _change(tx, cursor, root, said)
    tx.journals.append(*key, start, piece.data[start - piece.start : end - piece.start])
    _write(tx, cursor, change, end)
    return Folded(Outcome.FOLDED, end, len(said))


def record(tx: Transaction, run_id: str, said: records.ProcessLost | records.CommandIssued, *, attempt: int) -> None:
    """Record what others have to say about a run, beside what its own processes wrote."""
    key = JournalKey(run_id, attempt, CONTROL)
    cursor = tx.journals.cursor(*key)
    start = START if cursor is None else cursor.end_offset
    data = frames.frame(records.encode(said))
    fold(tx, key, as_piece(data, start))


def fold_again(tx: Transaction, segment: Segment, data: bytes) -> int:
    """Bring the rows up to what a piece says that the store has kept; says how many records it holds."""
    key = JournalKey(segment.run_id, segment.attempt, segment.writer)
    cursor = tx.journals.cursor(*key) or _new_cursor(key)
    said = list(reader.decoded(as_piece(data, segment.start).frames, f"{key.run_id}/{key.attempt}.{key.writer}"))
    _write(tx, cursor, _change(tx, cursor, tx.flow_runs.row(key.run_id), said), segment.end)
    return len(said)


def as_piece(data: bytes, start: int) -> reader.Piece:
    """Bytes of frames as a piece of a journal that lies at offset ``start``."""
    scan = frames.scan(data, start)
    return reader.Piece(start, scan.end, data[: scan.end - start], scan.frames, at_end=True, damaged_at=scan.damaged_at)


class _Change(NamedTuple):
    """What records make of the rows, and what the counts of rows were made of before."""

    projection: Projection
    flows_before: dict[str, tuple[str, int, str]]
    tasks_before: list[tuple[str, str, str]]


def _change(tx: Transaction, cursor: CursorRow, root: FlowRow | None, said: list[AnyRecord]) -> _Change:
    """Work out what the records change. Only reads."""
    flow_rows, task_rows = _rows_concerned(tx, cursor, root, said)
    flows_before = {row.id: (row.flow_name, row.created_at, row.tags) for row in flow_rows}
    tasks_before = [(row.flow_run_id, row.state_type, row.state_name) for row in task_rows]
    projection = Projection(
        run_id=cursor.run_id,
        attempt=cursor.attempt,
        clock=cursor.clock,
        tasks=_tasks_in(cursor.definitions),
        flow_rows=flow_rows,
        task_rows=task_rows,
        artifact_rows=tx.artifacts.rows({each.artifact_id for each in said if type(each) is records.ArtifactSaved}),
    )
    for each in said:
        projection.apply(each)
    return _Change(projection, flows_before, tasks_before)


def _write(tx: Transaction, cursor: CursorRow, change: _Change, end: int) -> None:
    """Write the changed rows, and how far the journal is folded now."""
    projection = change.projection
    tx.flow_runs.save(projection.changed_flows.values())
    tx.task_runs.save(projection.changed_tasks.values())
    tx.artifacts.save(projection.changed_artifacts.values())
    tx.logs.append(projection.logs)
    tx.events.append(projection.events)
    tx.result_files.refer(cursor.run_id, sorted(projection.result_files))
    _count_flows(tx, projection, change.flows_before)
    _count_tasks(tx, projection, change.tasks_before)
    cursor.clock = projection.clock
    cursor.definitions = _pack_tasks(projection.tasks)
    if projection.opened is not None:
        cursor.host = projection.opened.host
        cursor.boot_id = projection.opened.boot_id
        cursor.pid = projection.opened.pid
    cursor.end_offset = end
    tx.journals.save_cursor(cursor)


def _rows_concerned(
    tx: Transaction, cursor: CursorRow, root: FlowRow | None, said: list[AnyRecord]
) -> tuple[list[FlowRow], list[TaskRow]]:
    """The rows that the records may change."""
    flow_ids = {each.flow_run_id for each in said if isinstance(each, _ABOUT_FLOW_RUNS)}
    flow_ids.update(each.run_id for each in said if type(each) is records.CommandIssued)
    flow_ids.discard(cursor.run_id)
    task_ids = {each.task_run_id for each in said if isinstance(each, _ABOUT_TASK_RUNS)}
    flows = {row.id: row for row in tx.flow_runs.rows(flow_ids)}
    tasks = {row.id: row for row in tx.task_runs.rows(task_ids)}
    if root is not None:
        flows[root.id] = root
        if any(ends_others(each, cursor.run_id, cursor.attempt) for each in said):
            family = [row.id for row in tx.flow_runs.of_root(root.id)]
            flows.update((row.id, row) for row in tx.flow_runs.of_root(root.id, unfinished=True) if row.id not in flows)
            tasks.update((row.id, row) for row in tx.task_runs.unfinished(family) if row.id not in tasks)
    return list(flows.values()), list(tasks.values())


_ABOUT_FLOW_RUNS = (records.FlowRunBegan, records.FlowRunMoved, records.FlowRunEnded)
_ABOUT_TASK_RUNS = (records.TaskRunBegan, records.TaskRunMoved, records.TaskRunEnded, records.TaskRunReused)


def _count_flows(tx: Transaction, projection: Projection, before: dict[str, tuple[str, int, str]]) -> None:
    counts: Counter[str] = Counter()
    retagged: list[FlowRow] = []
    for row in projection.changed_flows.values():
        name, created_at, tags = before.get(row.id, ("", 0, "[]"))
        counts[row.flow_name] += 1
        if row.id in before:
            counts[name] -= 1
        if (row.tags != tags or row.created_at != created_at) and (row.tags != "[]" or tags != "[]"):
            retagged.append(row)
    del counts[""]  # runs whose beginning is not known yet
    tx.flow_runs.count_flows(counts)
    tx.flow_runs.save_tags(retagged)


def _count_tasks(tx: Transaction, projection: Projection, before: Iterable[tuple[str, str, str]]) -> None:
    counts: Counter[tuple[str, str, str]] = Counter()
    counts.subtract(before)
    for row in projection.task_rows.values():
        counts[row.flow_run_id, row.state_type, row.state_name] += 1
    tx.task_runs.count_states(counts)


def _new_cursor(key: JournalKey) -> CursorRow:
    return CursorRow(*key, end_offset=START, clock=0, host="", boot_id="", pid=0, refused=0, definitions=_NO_TASKS)


_NO_TASKS = b"\x90"
_tasks_decoder = msgspec.msgpack.Decoder(list[records.TaskDefined])


def _tasks_in(definitions: bytes) -> dict[int, records.TaskDefined]:
    return {task.index: task for task in _tasks_decoder.decode(definitions)}


def _pack_tasks(tasks: dict[int, records.TaskDefined]) -> bytes:
    return msgspec.msgpack.encode(list(tasks.values()))
