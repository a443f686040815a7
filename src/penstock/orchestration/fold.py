"""The fold: a run's recorded state changes here and nowhere else.

A piece of a journal is folded in one transaction: its bytes are kept as they are, the rows that
follow from them are written, and the journal's cursor moves. A piece that comes again, or overlaps
with one that was here, changes nothing that it has changed already.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from typing import NamedTuple, TypeVar

import msgspec

from penstock import errors
from penstock.core import records
from penstock.core.records import AnyRecord
from penstock.journal import frames, reader
from penstock.orchestration.projection import Projection, ends_others
from penstock.store.interface import Transaction
from penstock.store.rows import ArtifactRow, CursorRow, FlowRow, Segment, TaskRow

T = TypeVar("T")

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
    return fold_all(tx, [(key, piece)])[0]


def fold_all(tx: Transaction, pieces: Sequence[tuple[JournalKey, reader.Piece]]) -> list[Folded]:
    """Fold pieces of any journals, in this order; what became of each. Many together cost little more than one.

    Raises as `fold` does for the first piece that cannot be folded: the caller undoes the transaction then.
    """
    tx.lock_all(key.run_id for key, _ in pieces)
    folded: list[Folded] = []
    for together in _of_different_runs(pieces):
        folded += _fold_together(tx, together, _known(tx, [key for key, _ in together]))
    return folded


def _of_different_runs(pieces: Iterable[tuple[JournalKey, T]]) -> Iterator[list[tuple[JournalKey, T]]]:
    """The pieces in portions in which no run comes twice: what one changes, the next one has to see."""
    portion: list[tuple[JournalKey, T]] = []
    runs: set[str] = set()
    for each in pieces:
        if each[0].run_id in runs:
            yield portion
            portion, runs = [], set()
        portion.append(each)
        runs.add(each[0].run_id)
    if portion:
        yield portion


class _Known(NamedTuple):
    """How far journals are folded, and the rows of their runs. The fold changes both in place."""

    cursors: dict[JournalKey, CursorRow]
    roots: dict[str, FlowRow]


def _known(tx: Transaction, keys: Sequence[JournalKey]) -> _Known:
    cursors, runs = tx.journals.cursors_and_runs(keys)
    return _Known(
        {JournalKey(row.run_id, row.attempt, row.writer): row for row in cursors}, {row.id: row for row in runs}
    )


def _fold_together(tx: Transaction, pieces: list[tuple[JournalKey, reader.Piece]], known: _Known) -> list[Folded]:
    folded: list[Folded] = []
    news: list[_News] = []
    segments: list[tuple[str, int, str, int, bytes]] = []
    refused: list[CursorRow] = []
    for key, piece in pieces:
        cursor = known.cursors.get(key) or _new_cursor(key)
        start, root = cursor.end_offset, known.roots.get(key.run_id)
        if piece.start > start:
            folded.append(Folded(Outcome.GAP, start))
            continue
        fresh = [frame for frame in piece.frames if frame.offset >= start]
        if not fresh and piece.end <= start:
            folded.append(Folded(Outcome.KNOWN, start))
            continue
        if not fresh or fresh[0].offset != start:
            raise errors.CorruptJournal(f"A record of run `{key.run_id}` lies where another one was: at byte {start}")
        said = list(reader.decoded(fresh, f"{key.run_id}/{key.attempt}.{key.writer}"))
        end = fresh[-1].end
        if root is not None and _is_superseded(key, root):
            cursor.end_offset = end
            cursor.refused += len(said)
            refused.append(cursor)
            folded.append(Folded(Outcome.SUPERSEDED, end, len(said)))
            continue
        news.append(_News(cursor, root, said, end))
        segments.append(
            (key.run_id, key.attempt, key.writer, start, piece.data[start - piece.start : end - piece.start])
        )
        folded.append(Folded(Outcome.FOLDED, end, len(said)))
    _tell(tx, news, segments)
    tx.journals.save_cursors(refused)
    return folded


ControlRecord = (
    records.ProcessLost | records.CommandIssued | records.FlowRunCreated | records.FlowRunDirected | records.InputGiven
)


def _is_superseded(key: JournalKey, root: FlowRow) -> bool:
    return key.attempt < root.attempt or (key.attempt <= root.fence and key.writer != CONTROL)


def record(tx: Transaction, run_id: str, *said: ControlRecord, attempt: int) -> None:
    """Record what others have to say about a run, beside what its own processes wrote."""
    record_all(tx, [(run_id, attempt, said)])


def record_all(tx: Transaction, told: Iterable[tuple[str, int, Iterable[ControlRecord]]]) -> dict[str, FlowRow]:
    """The same about many runs: id, attempt and what is said of each. Returns the rows of those that were known."""
    data = [
        (JournalKey(run_id, attempt, CONTROL), b"".join(frames.frame(records.encode(each)) for each in said))
        for run_id, attempt, said in told
    ]
    tx.lock_all(key.run_id for key, _ in data)
    rows: dict[str, FlowRow] = {}
    for together in _of_different_runs(data):
        known = _known(tx, [key for key, _ in together])
        ends = {key: row.end_offset for key, row in known.cursors.items()}
        _fold_together(tx, [(key, as_piece(said, ends.get(key, START))) for key, said in together], known)
        rows |= known.roots
    return rows


def fold_again(tx: Transaction, segment: Segment, data: bytes) -> int:
    """Bring the rows up to what a piece says that the store has kept; says how many records it holds."""
    key = JournalKey(segment.run_id, segment.attempt, segment.writer)
    cursor = tx.journals.cursor(*key) or _new_cursor(key)
    said = list(reader.decoded(as_piece(data, segment.start).frames, f"{key.run_id}/{key.attempt}.{key.writer}"))
    _tell(tx, [_News(cursor, tx.flow_runs.row(key.run_id), said, segment.end)], ())
    return len(said)


def as_piece(data: bytes, start: int) -> reader.Piece:
    """Bytes of frames as a piece of a journal that lies at offset ``start``."""
    scan = frames.scan(data, start)
    return reader.Piece(start, scan.end, data[: scan.end - start], scan.frames, at_end=True, damaged_at=scan.damaged_at)


class _News(NamedTuple):
    """Records that the store has not heard yet, up to the offset ``end`` of their journal."""

    cursor: CursorRow
    root: FlowRow | None
    said: list[AnyRecord]
    end: int


def _tell(tx: Transaction, news: list[_News], segments: Iterable[tuple[str, int, str, int, bytes]]) -> None:
    """Work out what the records change, and write it. All that may be wrong with them shows before the first write."""
    flow_rows, task_rows = _rows_concerned(tx, news)
    artifacts = {each.artifact_id for one in news for each in one.said if type(each) is records.ArtifactSaved}
    artifact_rows = tx.artifacts.rows(artifacts) if artifacts else []
    _refuse_strangers(tx, news, task_rows, artifact_rows)
    input_rows = {
        one.cursor.run_id: tx.run_inputs.rows(one.cursor.run_id, keys) for one in news if (keys := _pauses(one.said))
    }
    flows_before = {row.id: (row.flow_name, row.created_at, row.tags) for rows in flow_rows.values() for row in rows}
    tasks_before = [(row.flow_run_id, row.state_type, row.state_name) for rows in task_rows.values() for row in rows]
    projections: list[Projection] = []
    for cursor, _, said, _ in news:
        projection = Projection(
            run_id=cursor.run_id,
            attempt=cursor.attempt,
            clock=cursor.clock,
            tasks=_tasks_in(cursor.definitions),
            flow_rows=flow_rows.get(cursor.run_id, ()),
            task_rows=task_rows.get(cursor.run_id, ()),
            artifact_rows=artifact_rows,
            input_rows=input_rows.get(cursor.run_id, ()),
        )
        for each in said:
            projection.apply(each)
        projections.append(projection)
    tx.journals.append_all(segments)
    _write(tx, projections, flows_before, tasks_before)
    for (cursor, _, _, end), projection in zip(news, projections, strict=True):
        cursor.clock = projection.clock
        cursor.definitions = _pack_tasks(projection.tasks)
        if projection.opened is not None:
            cursor.host = projection.opened.host
            cursor.boot_id = projection.opened.boot_id
            cursor.pid = projection.opened.pid
        cursor.end_offset = end
    tx.journals.save_cursors(one.cursor for one in news)
    for projection in projections:
        tx.wake(f"run:{projection.run_id}")
        if projection.logs:
            tx.wake(f"logs:{projection.run_id}")


def _write(
    tx: Transaction,
    projections: list[Projection],
    flows_before: dict[str, tuple[str, int, str]],
    tasks_before: list[tuple[str, str, str]],
) -> None:
    """Write the changed rows."""
    tx.flow_runs.save([row for each in projections for row in each.changed_flows.values()])
    tx.task_runs.save([row for each in projections for row in each.changed_tasks.values()])
    tx.artifacts.save([row for each in projections for row in each.changed_artifacts.values()])
    tx.run_inputs.save([row for each in projections for row in each.changed_inputs.values()])
    tx.logs.append([row for each in projections for row in each.logs])
    tx.events.append([row for each in projections for row in each.events])
    for each in projections:
        if each.result_files:
            tx.result_files.refer(each.run_id, sorted(each.result_files))
    _count_flows(tx, projections, flows_before)
    _count_tasks(tx, projections, tasks_before)


def _refuse_strangers(
    tx: Transaction, news: list[_News], task_rows: dict[str, list[TaskRow]], artifact_rows: list[ArtifactRow]
) -> None:
    """A journal tells of its run and the subflow runs in it. Whoever may send it could change any run otherwise."""
    told: set[tuple[str, str]] = set()
    artifacts: set[tuple[str, str]] = set()
    for cursor, _, said, _ in news:
        for each in said:
            named = each.run_id if type(each) is records.CommandIssued else getattr(each, "flow_run_id", None)
            if named is not None and named != cursor.run_id:
                told.add((cursor.run_id, named))
            if type(each) is records.ArtifactSaved:
                artifacts.add((cursor.run_id, each.artifact_id))
    told.update((run_id, row.flow_run_id) for run_id, rows in task_rows.items() for row in rows)
    owners = {row.id: row.flow_run_id for row in artifact_rows}
    told.update((run_id, owners[artifact]) for run_id, artifact in artifacts if artifact in owners)
    strange = {pair for pair in told if pair[0] != pair[1]}
    roots = tx.flow_runs.roots(sorted({named for _, named in strange})) if strange else {}
    for run_id, named in strange:
        if roots.get(named, run_id) != run_id:
            raise errors.CorruptJournal(f"The journal of run `{run_id}` tells of a run that is not its own: `{named}`")


def _rows_concerned(tx: Transaction, news: list[_News]) -> tuple[dict[str, list[FlowRow]], dict[str, list[TaskRow]]]:
    """The rows that the records may change, by the root run that they are under."""
    flow_ids, task_ids = _named_in(news)
    flows: dict[str, dict[str, FlowRow]] = {one.cursor.run_id: {} for one in news}
    tasks: dict[str, dict[str, TaskRow]] = {one.cursor.run_id: {} for one in news}
    for row in tx.flow_runs.rows(flow_ids):
        flows[flow_ids[row.id]][row.id] = row
    for task in tx.task_runs.rows(task_ids):
        tasks[task_ids[task.id]][task.id] = task
    for cursor, root, said, _ in news:
        if root is None:
            continue
        of_run = flows[cursor.run_id]
        of_run[root.id] = root
        if any(ends_others(each, cursor.run_id, cursor.attempt) for each in said):
            family = [row.id for row in tx.flow_runs.of_root(root.id)]
            for row in tx.flow_runs.of_root(root.id, unfinished=True):
                of_run.setdefault(row.id, row)
            for task in tx.task_runs.unfinished(family):
                tasks[cursor.run_id].setdefault(task.id, task)
    return (
        {run_id: list(rows.values()) for run_id, rows in flows.items()},
        {run_id: list(rows.values()) for run_id, rows in tasks.items()},
    )


def _pauses(said: list[AnyRecord]) -> set[str]:
    """The pauses that records are about."""
    return {each.key for each in said if isinstance(each, records.InputAwaited | records.InputGiven)}


def _named_in(news: list[_News]) -> tuple[dict[str, str], dict[str, str]]:
    """The subflow runs and task runs that records are about, and the root runs that they are under."""
    flow_ids: dict[str, str] = {}
    task_ids: dict[str, str] = {}
    for cursor, _, said, _ in news:
        for each in said:
            if isinstance(each, _ABOUT_TASK_RUNS):
                task_ids[each.task_run_id] = cursor.run_id
            elif isinstance(each, _ABOUT_FLOW_RUNS):
                flow_ids[each.flow_run_id] = cursor.run_id
            elif type(each) is records.CommandIssued:
                flow_ids[each.run_id] = cursor.run_id
    for cursor, _, _, _ in news:
        flow_ids.pop(cursor.run_id, None)
    for each in (*flow_ids, *task_ids):
        if "\0" in each:  # no database keeps it, so it would come back as another one
            raise errors.CorruptJournal(f"Not the id of a run: `{each}`")
    return flow_ids, task_ids


_ABOUT_FLOW_RUNS = (
    records.FlowRunBegan,
    records.FlowRunMoved,
    records.FlowRunEnded,
    records.FlowRunCreated,
    records.FlowRunDirected,
)
_ABOUT_TASK_RUNS = (records.TaskRunBegan, records.TaskRunMoved, records.TaskRunEnded, records.TaskRunReused)


def _count_flows(tx: Transaction, projections: list[Projection], before: dict[str, tuple[str, int, str]]) -> None:
    counts: Counter[str] = Counter()
    retagged: list[FlowRow] = []
    for row in (row for each in projections for row in each.changed_flows.values()):
        name, created_at, tags = before.get(row.id, ("", 0, "[]"))
        counts[row.flow_name] += 1
        if row.id in before:
            counts[name] -= 1
        if (row.tags != tags or row.created_at != created_at) and (row.tags != "[]" or tags != "[]"):
            retagged.append(row)
    del counts[""]  # runs whose beginning is not known yet
    tx.flow_runs.count_flows(counts)
    tx.flow_runs.save_tags(retagged)


def _count_tasks(tx: Transaction, projections: list[Projection], before: Iterable[tuple[str, str, str]]) -> None:
    counts: Counter[tuple[str, str, str]] = Counter()
    counts.subtract(before)
    for row in (row for each in projections for row in each.task_rows.values()):
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
