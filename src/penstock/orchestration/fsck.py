"""Checks: does the store say what the journals say? And making it say so again."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from penstock import errors
from penstock.core import records
from penstock.journal import reader
from penstock.journal.folder import JournalFile, JournalFolder
from penstock.orchestration.catch_up import CaughtUp, catch_up
from penstock.orchestration.fold import CONTROL, START, JournalKey, as_piece, fold_again
from penstock.orchestration.kept_files import lacking_code
from penstock.orchestration.local import Home
from penstock.orchestration.mending import Mended, mend
from penstock.orchestration.taking_over import Taken, TakenOver, take_over
from penstock.store.interface import Store, Transaction
from penstock.store.rows import CursorRow, Segment
from penstock.store.sqlite import SqliteStore

_REBUILD = "`penstock db rebuild` makes the rows anew from the journals"
_GIVE_WORK = "`penstock db rebuild` lets it go on as its deployment says, or ends it if there is none"
_FIT_WORK = "`penstock db rebuild` makes the two fit"


class Problem(NamedTuple):
    """Something is not as it should be, and what to do about it."""

    kind: str
    """``database``, ``segment``, ``journal``, ``rows``, ``work``, ``deployment`` or ``result``."""
    run_id: str | None
    message: str
    hint: str | None = None


class Report(NamedTuple):
    """What was checked, and what was found wrong."""

    runs: int
    records: int
    result_files: int
    problems: tuple[Problem, ...]

    @property
    def is_clean(self) -> bool:
        return not self.problems


class Rebuilt(NamedTuple):
    """What a rebuild made, and what it could not save."""

    runs: int
    records: int
    set_aside: Path | None
    """Where the damaged database lies now; None when it was sound."""
    taken: tuple[Taken, ...]
    """What was taken over of it, by table, and what could not be read: first the pieces of journals."""
    mended: Mended
    caught_up: CaughtUp


def fsck(home: Home, *, results: bool = True) -> Report:
    """Fold everything again, out of sight, and compare; check checksums, offsets, order and result files.

    Changes nothing. With ``results=False`` the bytes of result files are not read.
    """
    problems: list[Problem] = []
    files = 0
    with home.reading() as tx:
        problems += [Problem("database", None, f"The database finds: {each}", _REBUILD) for each in home.check()]
        checked = check_rows(tx)
        problems += checked.problems
        problems += _check_journals(home, tx)
        if results:
            for location in tx.result_files.locations():
                files += 1
                problems += _check_result(home, tx, location)
    return Report(checked.runs, checked.records, files, tuple(problems))


class Checked(NamedTuple):
    """What `check_rows` has looked at, and what it found."""

    runs: int
    records: int
    problems: list[Problem]


def check_rows(tx: Transaction) -> Checked:
    """Fold everything that a store was told again, out of sight, and compare; check that its work fits its runs."""
    runs = said = 0
    problems: list[Problem] = []
    flows: Counter[str] = Counter()
    with SqliteStore.in_memory() as scratch:
        for run_id in tx.journals.run_ids():
            runs += 1
            count, found = _check_run(tx, scratch, run_id, flows)
            said += count
            problems += found
    problems += _check_all_runs(tx, flows)
    problems += _check_work(tx)
    problems += _check_plant(tx)
    return Checked(runs, said, problems)


def rebuild(home: Home) -> Rebuilt:
    """Make the rows anew from the pieces of journals that the store keeps, then fold what is in the folder.

    A damaged database is replaced by one that has what can be read of it. What waits for workers fits what journals say
    afterwards.
    """
    home.close()
    made, set_aside = TakenOver((), 0, 0), None
    if _is_damaged(home):
        made, set_aside = home.make_anew(".damaged", take_over)
    else:
        with home.writing() as store:
            runs, said = _fold_all_again(store)
        made = made._replace(runs=runs, records=said)
    with home.writing() as store:
        # What workers have must be known to be theirs before it is judged what became of processes on this machine.
        mended = mend(store, is_all_told=False)
        caught_up = catch_up(home.settings, store, home.clock)
        mended = mended.and_then(mend(store, is_all_told=True))
    return Rebuilt(made.runs, made.records, set_aside, made.tables, mended, caught_up)


def _is_damaged(home: Home) -> bool:
    """Whether a page of a file cannot be read, be it of rows that are made anew or of others."""
    if home.settings.postgres_url is not None:
        return False
    try:
        with home.writing() as store:
            return bool(store.check())
    except errors.StoreError as error:
        if "damaged" not in error.message:
            raise
        return True


def _check_run(tx: Transaction, scratch: Store, run_id: str, flows: Counter[str]) -> tuple[int, list[Problem]]:
    """Check the pieces of a run, and compare the rows that follow from them with those that are there."""
    problems: list[Problem] = []
    said = 0
    ends: dict[JournalKey, int] = {}
    with suppress(_Undo), scratch.transaction() as fresh:
        for segment in tx.journals.segments(run_id):
            key = JournalKey(segment.run_id, segment.attempt, segment.writer)
            data = tx.journals.frames(segment)
            problems += _check_segment(segment, data, ends.get(key, START))
            ends[key] = segment.end
            try:
                said += fold_again(fresh, segment, data)
            except errors.JournalError as error:
                problems.append(Problem("segment", run_id, error.message, error.hint))
        for cursor in tx.journals.cursors(run_id):
            problems += _check_cursor(cursor, ends)
        if not problems:
            problems += _differences(tx, fresh, run_id)
        for row in tx.flow_runs.of_root(run_id):
            flows[row.flow_name] += 1
        raise _Undo
    return said, problems


class _Undo(Exception):
    pass


def _check_segment(segment: Segment, data: bytes, expected: int) -> Iterator[Problem]:
    where = f"{segment.attempt}.{segment.writer} of run `{segment.run_id}`"
    if segment.start != expected:
        message = (
            f"A piece is missing before byte {segment.start} of journal {where}: the one before ends at {expected}"
        )
        yield Problem("segment", segment.run_id, message, "restore a backup, or delete the run")
    piece = as_piece(data, segment.start)
    if piece.end != segment.end:
        message = f"A kept piece of journal {where} fails its checksum at byte {piece.end}"
        yield Problem("segment", segment.run_id, message, "restore a backup, or delete the run")
        return
    if segment.start == START and segment.writer != CONTROL:
        with suppress(msgspec.DecodeError):
            opened = records.decode(piece.frames[0].payload)
            wanted = (segment.run_id, segment.attempt, segment.writer)
            if isinstance(opened, records.JournalOpened) and (opened.run_id, opened.attempt, opened.writer) == wanted:
                return
        yield Problem("segment", segment.run_id, f"Journal {where} begins like that of another run", _REBUILD)


def _check_cursor(cursor: CursorRow, ends: dict[JournalKey, int]) -> Iterator[Problem]:
    key = JournalKey(cursor.run_id, cursor.attempt, cursor.writer)
    end = ends.get(key, START)
    if cursor.end_offset != end and not (cursor.refused and cursor.end_offset > end):
        message = (
            f"Journal {cursor.attempt}.{cursor.writer} of run `{cursor.run_id}` counts as folded up to byte "
            f"{cursor.end_offset}, but what is kept of it ends at byte {end}"
        )
        yield Problem("segment", cursor.run_id, message, _REBUILD)


def _differences(tx: Transaction, fresh: Transaction, run_id: str) -> Iterator[Problem]:
    """What the store's rows say otherwise than those that follow from the journals."""
    family = sorted({row.id for side in (tx, fresh) for row in side.flow_runs.of_root(run_id)})
    for what, kept, right in (
        (what, read(tx, run_id, family), read(fresh, run_id, family)) for what, read in _READ.items()
    ):
        missing = len(right - kept)
        surplus = len(kept - right)
        if missing or surplus:
            message = f"The {what} of run `{run_id}` are not what its journals say: {missing} missing, {surplus} wrong"
            yield Problem("rows", run_id, message, _REBUILD)


def _task_rows(tx: Transaction, _: str, family: list[str]) -> Counter[Any]:
    found: Counter[Any] = Counter()
    for flow_run_id in family:
        after = 0
        while page := tx.task_runs.page(flow_run_id, after=after, limit=5000):
            found.update(msgspec.structs.astuple(each.row) for each in page)
            after = page[-1].sequence
    return found


def _log_rows(tx: Transaction, _: str, family: list[str]) -> Counter[Any]:
    found: Counter[Any] = Counter()
    for flow_run_id in family:
        after = 0
        while page := tx.logs.page([flow_run_id], after=after, limit=5000):
            found.update(msgspec.structs.astuple(each)[1:] for each in page)
            after = page[-1].sequence
    return found


def _event_rows(tx: Transaction, _: str, family: list[str]) -> Counter[Any]:
    found: Counter[Any] = Counter()
    for flow_run_id in family:
        after = 0
        while page := tx.events.page(run_ids=(flow_run_id,), after=after, limit=5000):
            found.update(msgspec.msgpack.encode(msgspec.structs.replace(each, sequence=0)) for each in page)
            after = page[-1].sequence
    return found


def _artifact_rows(tx: Transaction, _: str, family: list[str]) -> Counter[Any]:
    found: Counter[Any] = Counter()
    for flow_run_id in family:
        before = 1 << 62
        while page := tx.artifacts.page(flow_run_ids=(flow_run_id,), before=before, limit=1000):
            found.update(msgspec.structs.astuple(each.row) for each in page)
            before = page[-1].sequence
    return found


_READ = {
    "flow runs": lambda tx, run_id, _: Counter(msgspec.structs.astuple(row) for row in tx.flow_runs.of_root(run_id)),
    "task runs": _task_rows,
    "counts of task runs": lambda tx, _, family: Counter(tx.task_runs.state_counts(family)),
    "log lines": _log_rows,
    "artifacts": _artifact_rows,
    "events": _event_rows,
    "inputs": lambda tx, run_id, _: Counter(msgspec.structs.astuple(row) for row in tx.run_inputs.rows(run_id)),
    "result files": lambda tx, run_id, _: Counter(tx.result_files.of_root(run_id)),
}


def _check_all_runs(tx: Transaction, flows: Counter[str]) -> Iterator[Problem]:
    for flow_run_id in tx.flow_runs.without_journals():
        yield Problem("rows", flow_run_id, f"Nothing tells why this flow run is here: `{flow_run_id}`", _REBUILD)
    del flows[""]
    if tx.flow_runs.run_counts() != dict(flows):
        yield Problem("rows", None, "The numbers of runs of flows are not what their runs say", _REBUILD)


def _check_work(tx: Transaction) -> Iterator[Problem]:
    """Whether what waits, is claimed or is done agrees with the states of its runs."""
    for run_id, status, state in tx.work.contradictions():
        if status is None:
            message = f"No worker will ever have this run, which is {state}: what it executes is not there: `{run_id}`"
            yield Problem("work", run_id, message, _GIVE_WORK)
        else:
            yield Problem("work", run_id, f"Its work is {status}, but the run is {state or 'not there'}", _FIT_WORK)


def _check_plant(tx: Transaction) -> Iterator[Problem]:
    """Whether all is there that deployments and waiting runs name."""
    pools = {row.name for row in tx.work_pools.pools()}
    lacking = {pool for pool, _ in tx.work.places()} - pools
    for row in tx.deployments.every():
        name = f"{row.flow_name}/{row.name}"
        if row.work_pool not in pools:
            lacking.add(row.work_pool)
        there = {each.name for each in tx.schedules.of([row.id])}
        for spec in row.deployment_spec().schedules:
            if spec.name not in there:
                message = f"A schedule of the deployment `{name}` is not there, so it makes no runs: `{spec.name}`"
                yield Problem("deployment", None, message, "`penstock db rebuild` puts it back")
    for row in lacking_code(tx):
        message = f"The code of a deployment is not there: `{row.flow_name}/{row.name}`"
        yield Problem("deployment", None, message, "deploy it again, which sends its code")
    for pool in sorted(lacking):
        message = f"There is no such work pool, though deployments or waiting runs name it: `{pool}`"
        yield Problem("work", None, message, f"make it with `penstock work-pool create {pool}`")


def _check_journals(home: Home, tx: Transaction) -> Iterator[Problem]:
    """Whether the journals that are still here can be read, and begin as what was folded of them."""
    folder = JournalFolder(home.settings.journals)
    for run_id in sorted(folder.run_ids()):
        for journal in folder.journals(run_id):
            try:
                yield from _check_journal(tx, journal)
            except FileNotFoundError:
                continue  # folded and deleted meanwhile
            except (errors.JournalError, OSError) as error:
                yield Problem("journal", run_id, str(getattr(error, "message", error)), getattr(error, "hint", None))


def _check_journal(tx: Transaction, journal: JournalFile) -> Iterator[Problem]:
    for segment in tx.journals.segments(journal.run_id, attempt=journal.attempt, writer=journal.writer):
        with open(journal.path, "rb") as file:
            file.seek(segment.start)
            if file.read(segment.end - segment.start) != tx.journals.frames(segment):
                message = f"A journal has changed since it was folded, below byte {segment.end}: `{journal.path}`"
                hint = "the store has what it said before; delete the file once the run has ended"
                yield Problem("journal", journal.run_id, message, hint)
                return
    end = 0
    while True:
        piece = reader.read(journal.path, end)
        for _ in reader.decoded(piece.frames, journal.path):
            pass
        if piece.damaged_at is not None:
            message = f"A record in the middle of a journal is damaged, at byte {piece.damaged_at} of `{journal.path}`"
            hint = "what came before it is kept; delete the run, or run it again"
            yield Problem("journal", journal.run_id, message, hint)
            return
        if piece.at_end or piece.end == end:
            return
        end = piece.end


def _check_result(home: Home, tx: Transaction, location: str) -> Iterator[Problem]:
    path = home.settings.results / location
    run_id = min(tx.result_files.referrers([location])[location])
    hint = f"`penstock flow-run rerun {run_id}` computes it again"
    try:
        with open(path, "rb") as file:
            digest = blake2b(digest_size=32)
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    except FileNotFoundError:
        yield Problem("result", run_id, f"The file of a result is not there (nor kept elsewhere by it): `{path}`", hint)
        return
    except OSError as error:
        yield Problem("result", run_id, f"The file of a result cannot be read ({error.strerror}): `{path}`", hint)
        return
    if digest.hexdigest() != os.path.basename(location):
        yield Problem("result", run_id, f"The file of a result is damaged: `{path}`", hint)


def _fold_all_again(store: Store) -> tuple[int, int]:
    """In one transaction, so that those who read meanwhile see the old rows or the new ones."""
    said = 0
    runs: set[str] = set()
    with store.transaction(long=True) as tx:
        tx.journals.keep_others_from_folding()
        for rows in (tx.flow_runs, tx.task_runs, tx.logs, tx.artifacts, tx.events, tx.result_files, tx.run_inputs):
            rows.forget_all()
        tx.journals.forget_all_cursors()
        for segment in tx.journals.all_segments():
            said += fold_again(tx, segment, tx.journals.frames(segment))
            runs.add(segment.run_id)
    return len(runs), said
