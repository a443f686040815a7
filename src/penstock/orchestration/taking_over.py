"""What a damaged database still holds is taken over into a new one, as far as it can be read.

The rows that journals tell of are made anew from the pieces of these. All others are taken over as they are, row by
row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from penstock import errors
from penstock.core.deployments import DeploymentSpec, Job, ScheduleSpec
from penstock.orchestration import kept_files
from penstock.orchestration.fold import JournalKey, Outcome, as_piece, fold
from penstock.store import tables
from penstock.store.interface import Store, Transaction
from penstock.store.rows import Segment
from penstock.store.salvaging import Damaged, Gap
from penstock.store.sqlite import SqliteStore

_LOG = "journal_segment"
_FOLDED = frozenset({
    _LOG,
    "journal_cursor",
    "flow_run",
    "flow_run_tag",
    "flow",
    "task_run",
    "task_run_count",
    "log",
    "artifact",
    "event",
    "result_file",
    "run_input",
})  # fmt: skip
"""What follows from the pieces of journals."""

_OF_THE_SCHEMA = frozenset({"alembic_version"})

TAKEN_OVER = tuple(name for name in tables.names() if name not in _FOLDED | _OF_THE_SCHEMA)
"""The tables with what no journal tells, in the order of the schema."""

_CONTENTS: Mapping[str, tuple[str, Any]] = {
    "deployment": ("spec", DeploymentSpec),
    "schedule": ("spec", ScheduleSpec),
    "work_pool": ("job_template", dict[str, Any]),
    "work": ("job", Job),
}
"""Columns that many a question decodes, and what is in them: were one damaged, none of these could be answered."""


class Taken(NamedTuple):
    """What was taken over of a table."""

    table: str
    rows: int
    lost: int
    """Rows that could not be read, or made no sense …"""
    more: bool
    """… and perhaps others: nobody knows which there were."""


class TakenOver(NamedTuple):
    """What was taken over of a database, and what the pieces of journals in it tell of."""

    tables: tuple[Taken, ...]
    runs: int
    records: int


def take_over(store: SqliteStore, path: Path) -> TakenOver:
    """Put into a new store what can be read of a damaged one that lies at ``path``."""
    with Damaged(path) as damaged:
        # So that whoever asks for what came after a number is not told that there is nothing.
        counters = {table: damaged.counter(table) for table in tables.counted()}
        store.run(lambda tx: _count_on(tx, counters))
        taken = [_take_table(store, damaged, table) for table in TAKEN_OVER]
        incomplete = kept_files.forget_incomplete(store)
        pieces, runs, records = _fold_what_is_left(store, damaged)
    if incomplete:
        taken = [
            each._replace(rows=each.rows - incomplete, lost=each.lost + incomplete)
            if each.table == "kept_file"
            else each
            for each in taken
        ]
    return TakenOver((pieces, *taken), runs, records)


def _count_on(tx: Transaction, counters: Mapping[str, int]) -> None:
    for table, number in counters.items():
        tx.tables.count_on_from(table, number)


def _take_table(store: Store, damaged: Damaged, table: str) -> Taken:
    columns = damaged.columns(table)
    gaps: list[Gap] = []
    rows = 0
    if table in tables.at_first():
        store.run(lambda tx: tx.tables.empty(table))
    for some in _portions(_sound(damaged.rows(table), _check_of(table, columns), gaps), tables.portion(table)):
        kept = _keep(store, table, columns, some)
        rows += kept
        gaps += [Gap.ROW] * (len(some) - kept)
    if table in tables.at_first():
        store.run(lambda tx: tx.tables.put_first_rows())
    return Taken(table, rows, gaps.count(Gap.ROW), Gap.ROWS in gaps)


def _sound(
    found: Iterable[tuple[Any, ...] | Gap], is_sound: Callable[[tuple[Any, ...]], bool | None], gaps: list[Gap]
) -> Iterator[tuple[Any, ...]]:
    for each in found:
        if isinstance(each, Gap):
            gaps.append(each)
            continue
        verdict = is_sound(each)
        if verdict:
            yield each
        elif verdict is False:
            gaps.append(Gap.ROW)


def _check_of(table: str, columns: Sequence[str]) -> Callable[[tuple[Any, ...]], bool | None]:
    """Whether a row of the table can be used. None for one that is not to be taken over."""
    if table == "meta" and "name" in columns:
        name = columns.index("name")
        return lambda row: None if row[name] == "schema_version" else True
    column, kind = _CONTENTS.get(table, ("", None))
    if column not in columns:
        return lambda _: True
    place = columns.index(column)
    decode = msgspec.json.Decoder(kind).decode

    def is_sound(row: tuple[Any, ...]) -> bool:
        try:
            decode(row[place])
        except (msgspec.MsgspecError, errors.PenstockError, TypeError):
            return False
        return True

    return is_sound


def _portions(rows: Iterable[tuple[Any, ...]], size: int) -> Iterator[list[tuple[Any, ...]]]:
    some: list[tuple[Any, ...]] = []
    for row in rows:
        some.append(row)
        if len(some) == size:
            yield some
            some = []
    if some:
        yield some


def _keep(store: Store, table: str, columns: Sequence[str], rows: list[tuple[Any, ...]]) -> int:
    """Keep rows; says how many. One that the table does not take does not keep the others out."""
    try:
        store.run(lambda tx: tx.tables.load(table, columns, rows))
    except errors.ImpossibleValue:
        return sum(_keep(store, table, columns, [row]) for row in rows) if len(rows) > 1 else 0
    return len(rows)


def _fold_what_is_left(store: Store, damaged: Damaged) -> tuple[Taken, int, int]:
    """What became of the pieces of journals; how many runs and records they tell of."""
    said = pieces = 0
    gaps: list[Gap] = []
    runs: set[str] = set()
    columns = damaged.columns(_LOG)
    for found in damaged.rows(_LOG):
        if isinstance(found, Gap) or None in found:
            gaps.append(found if isinstance(found, Gap) else Gap.ROW)
            continue
        values = dict(zip(columns, found, strict=True))
        segment, data = Segment(*(values[name] for name in _SEGMENT)), values["frames"]
        try:
            folded = store.run(lambda tx, segment=segment, data=data: _fold(tx, segment, data))
        except (errors.JournalError, errors.ImpossibleValue, OverflowError):
            gaps.append(Gap.ROW)
            continue
        if folded is None:
            continue
        if folded.is_whole:
            pieces += 1
        else:
            gaps.append(Gap.ROW)
        said += folded.records
        runs.add(segment.run_id)
    return Taken(_LOG, pieces, gaps.count(Gap.ROW), Gap.ROWS in gaps), len(runs), said


_SEGMENT = ("sequence", "run_id", "attempt", "writer", "start_offset", "end_offset")


class _Folded(NamedTuple):
    records: int
    is_whole: bool


def _fold(tx: Transaction, segment: Segment, data: bytes) -> _Folded | None:
    """Fold a piece; None if its run was deleted, which is not to come back."""
    if tx.flow_runs.deleted_among([segment.run_id]):
        return None
    piece = as_piece(data, segment.start)
    folded = fold(tx, JournalKey(segment.run_id, segment.attempt, segment.writer), piece)
    return _Folded(folded.records, folded.outcome is not Outcome.GAP and piece.end == segment.end)
