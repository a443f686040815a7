"""Catch up: fold what runs have recorded since somebody last looked, and notice which processes died."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from penstock import errors
from penstock.clock import Clock, boot_id
from penstock.journal import reader
from penstock.journal.folder import MAIN, FolderLock, JournalFile, JournalFolder
from penstock.journal.outbox import Outbox
from penstock.orchestration.fold import JournalKey, Outcome, fold
from penstock.orchestration.lost import mark_lost
from penstock.settings import Settings
from penstock.store.interface import Store, Transaction
from penstock.store.rows import CursorRow, FlowRow

RUNS_A_TRANSACTION = 256
"""Many small runs share one transaction, because each costs the disk a sync."""

BYTES_A_TRANSACTION = 8 << 20
"""What is folded at most in one transaction, so that memory stays small however long the journals are."""

PIECE = 2 << 20
"""How much of a journal is read and folded at once."""

UNBEGUN_SECONDS = 3600
"""A journal in which no run has begun is deleted after this time; a younger one may be just being made."""


class Problem(NamedTuple):
    """A journal that could not be folded, or not to its end. The others were."""

    run_id: str
    path: str
    message: str
    hint: str | None = None


class CaughtUp(NamedTuple):
    """What catching up did. ``is_complete`` is False when the time was over before all was folded."""

    runs: int = 0
    records: int = 0
    refused: int = 0
    lost: tuple[str, ...] = ()
    """The runs whose process was found dead."""
    removed: int = 0
    """Runs whose journals were deleted, because the store has all of them."""
    problems: tuple[Problem, ...] = ()
    is_complete: bool = True


def catch_up(
    settings: Settings,
    store: Store,
    clock: Clock,
    *,
    limit_seconds: float | None = None,
    remove: bool = True,
    only: Iterable[str] | None = None,
) -> CaughtUp:
    """Fold all that is new in the home's journals, a transaction for every few MiB.

    Costs little when nothing is new: of a journal that is folded to its end, only the size is read.
    A damaged or foreign journal is told in ``problems``, and does not keep others from being folded.
    With ``only``, nothing but the journals of these runs is looked at.
    """
    folder = JournalFolder(settings.journals)
    run_ids = folder.run_ids() if only is None else only
    return _CatchUp(folder, Outbox(settings.outbox), store, clock, remove=remove).run(run_ids, limit_seconds)


class _Step(NamedTuple):
    """What folding some of a run's journals came to."""

    is_done: bool
    size: int
    records: int = 0
    refused: int = 0
    lost: bool = False
    is_removable: bool = False
    problems: tuple[Problem, ...] = ()


class _CatchUp:
    def __init__(self, folder: JournalFolder, outbox: Outbox, store: Store, clock: Clock, *, remove: bool) -> None:
        self._folder = folder
        self._outbox = outbox
        self._store = store
        self._clock = clock
        self._remove = remove
        self._boot_id = boot_id()
        self._records = 0
        self._refused = 0
        self._removed = 0
        self._touched: set[str] = set()
        self._lost: list[str] = []
        self._problems: list[Problem] = []

    def run(self, run_ids: Iterable[str], limit_seconds: float | None) -> CaughtUp:
        deadline = None if limit_seconds is None else self._clock.elapsed() + limit_seconds
        waiting = deque(sorted(run_ids))
        while waiting and (deadline is None or self._clock.elapsed() < deadline):
            self._fold_some(waiting)
        return CaughtUp(
            runs=len(self._touched),
            records=self._records,
            refused=self._refused,
            lost=tuple(self._lost),
            removed=self._removed,
            problems=tuple(self._problems),
            is_complete=not waiting,
        )

    def _fold_some(self, waiting: deque[str]) -> None:
        """One transaction: as many runs as fit, or a part of one."""
        portion = [waiting.popleft() for _ in range(min(RUNS_A_TRANSACTION, len(waiting)))]
        try:
            rest = self._fold_together(portion)
        except (errors.StorageFull, errors.StoreBusy):
            raise
        except (errors.PenstockError, OverflowError) as error:
            if len(portion) > 1:
                # One of them spoilt the transaction for all: each on its own, and the culprit is told.
                for run_id in portion:
                    alone = deque([run_id])
                    while alone:
                        self._fold_some(alone)
                return
            self._check_that_the_store_is_well(error)
            self._problems.append(_problem(portion[0], self._folder.run_path(portion[0]), error))
            return
        waiting.extendleft(reversed(rest))

    def _check_that_the_store_is_well(self, error: Exception) -> None:
        """A fault of the store, unlike one of a journal, is the caller's to know."""
        try:
            with self._store.transaction() as tx:
                tx.meta.put("checked_at", str(self._clock.now()))
        except errors.PenstockError:
            raise error from None

    def _fold_together(self, portion: list[str]) -> list[str]:
        """Fold these runs in one transaction; those that did not fit into it are handed back."""
        steps: dict[str, _Step] = {}
        size = 0
        rest: list[str] = []
        with self._store.transaction() as tx:
            for position, run_id in enumerate(portion):
                step = steps[run_id] = self._fold_run(tx, run_id, BYTES_A_TRANSACTION - size)
                size += step.size
                if not step.is_done or size >= BYTES_A_TRANSACTION:
                    rest = portion[position + step.is_done :]
                    break
        # From here on the store keeps it: a journal is deleted only after that.
        for run_id, step in steps.items():
            self._take_note(run_id, step)
        return rest

    def _take_note(self, run_id: str, step: _Step) -> None:
        self._records += step.records
        self._refused += step.refused
        self._problems.extend(step.problems)
        if step.records or step.lost:
            self._touched.add(run_id)
        if step.lost:
            self._lost.append(run_id)
        if step.is_removable and self._remove and self._delete_journals(run_id):
            self._removed += 1

    def _fold_run(self, tx: Transaction, run_id: str, room: int) -> _Step:
        """Fold a run's journals, attempt by attempt, as far as there is room in the transaction."""
        if self._folder.is_supervised(run_id):
            return _Step(True, 0)  # a worker tells the server of it, which may be another than this
        tx.lock(run_id)
        cursors = {(row.attempt, row.writer): row for row in tx.journals.cursors(run_id)}
        journals = self._folder.journals(run_id)
        count = refused = size = 0
        lost = False
        problems: list[Problem] = []
        for attempt in sorted({journal.attempt for journal in journals}):
            of_attempt = [journal for journal in journals if journal.attempt == attempt]
            # Asked before the end is read: whoever dies later has written nothing after it.
            is_alive = any(journal.writer == MAIN and journal.is_locked for journal in of_attempt)
            for journal in of_attempt:
                end = _end_in(cursors, journal)
                try:
                    while _size(journal) > end:
                        if size >= room:
                            return _Step(False, size, count, refused, lost, problems=tuple(problems))
                        piece = reader.read(journal.path, end, limit=PIECE)
                        folded = fold(tx, _key(journal), piece)
                        size += piece.end - piece.start
                        count += folded.records if folded.outcome is Outcome.FOLDED else 0
                        refused += folded.records if folded.outcome is Outcome.SUPERSEDED else 0
                        if piece.damaged_at is not None:
                            raise _damaged(journal, piece.damaged_at)
                        if piece.at_end or folded.end <= end:
                            break
                        end = folded.end
                except FileNotFoundError:
                    continue  # another who catches up has deleted it, as the store has all of it
                except (errors.CorruptJournal, errors.ForeignJournal, OSError) as error:
                    problems.append(_problem(run_id, journal.path, error))
            if not is_alive:
                lost = self._mark_lost(tx, run_id, attempt) or lost
        root = tx.flow_runs.row(run_id)
        is_removable = not problems and (root is None or root.ended_at is not None)
        return _Step(True, size, count, refused, lost, is_removable, tuple(problems))

    def _mark_lost(self, tx: Transaction, run_id: str, attempt: int) -> bool:
        reason = _reason(tx.journals.cursor(run_id, attempt, MAIN), self._boot_id)
        sign = self._folder.last_sign_at(run_id, attempt)
        return mark_lost(tx, run_id, attempt, at=self._clock.now(), reason=reason, last_sign_at=sign)

    def _delete_journals(self, run_id: str) -> bool:
        """Delete a run's journals, once nobody opens another attempt of it and all of them are in the store."""
        try:
            with FolderLock(self._folder.run_path(run_id)):
                if not self._store_has_all(run_id):
                    return False
                self._folder.remove(run_id)
        except (errors.JournalError, OSError):
            return False  # gone already, or not ours to delete: the next one to catch up tries again
        return True

    def _store_has_all(self, run_id: str) -> bool:
        journals = self._folder.journals(run_id)
        if any(journal.is_locked or self._outbox.holds(run_id, journal.attempt) for journal in journals):
            return False
        with self._store.reading() as tx:
            cursors = {(row.attempt, row.writer): row for row in tx.journals.cursors(run_id)}
            root: FlowRow | None = tx.flow_runs.row(run_id)
        if root is not None and root.ended_at is None:
            return False
        if root is None or not journals:
            # Nothing began yet, but may be about to.
            paths = [journal.path for journal in journals] or [self._folder.run_path(run_id)]
            if not all(self._is_old(path) for path in paths):
                return False
        for journal in journals:
            end = _end_in(cursors, journal)
            if _size(journal) > end:
                # More than was folded: a torn tail may go, whole records may not.
                piece = reader.read(journal.path, end)
                if piece.frames or piece.damaged_at is not None:
                    return False
        return True

    def _is_old(self, path: Path) -> bool:
        return self._clock.now() / 1e6 - path.stat().st_mtime > UNBEGUN_SECONDS


def _key(journal: JournalFile) -> JournalKey:
    return JournalKey(journal.run_id, journal.attempt, journal.writer)


def _end_in(cursors: dict[tuple[int, str], CursorRow], journal: JournalFile) -> int:
    cursor = cursors.get((journal.attempt, journal.writer))
    return 0 if cursor is None else cursor.end_offset


def _size(journal: JournalFile) -> int:
    return journal.path.stat().st_size


def _reason(cursor: CursorRow | None, boot_id_now: str) -> str:
    if cursor is None or not cursor.pid:
        return "Its process died"
    if cursor.boot_id and boot_id_now and cursor.boot_id != boot_id_now:
        return f"Process {cursor.pid} on {cursor.host} died: the machine was restarted"
    return f"Process {cursor.pid} on {cursor.host} died"


def _damaged(journal: JournalFile, offset: int) -> errors.CorruptJournal:
    return errors.CorruptJournal(
        f"A record in the middle of a journal is damaged, at byte {offset} of `{journal.path}`",
        hint="`penstock fsck` tells what is affected",
    )


def _problem(run_id: str, path: object, error: Exception) -> Problem:
    if isinstance(error, errors.PenstockError):
        return Problem(run_id, str(path), error.message, error.hint)
    return Problem(run_id, str(path), f"{error}")
