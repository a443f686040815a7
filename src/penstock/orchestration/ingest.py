"""Journals that come from elsewhere: pieces are folded as they arrive, and handed out again to who replays them."""

from __future__ import annotations

import re
from typing import NamedTuple

from penstock import errors, telemetry
from penstock.core.access import Principal
from penstock.journal import reader
from penstock.journal.folder import RUN_ID
from penstock.orchestration.access import authorize_run
from penstock.orchestration.fold import CONTROL, Folded, JournalKey, Outcome, as_piece, fold_all
from penstock.store.interface import Store, Transaction

MAX_PIECES = 10_000
PAGE_BYTES = 4 << 20
"""About as much is handed out at once."""

_WRITER = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LARGEST = 1 << 62


class Piece(NamedTuple):
    """Whole frames of a journal, as they lie in it from the offset ``start`` on."""

    run_id: str
    attempt: int
    writer: str
    start: int
    data: bytes


class Receipt(NamedTuple):
    """What became of a piece: ``folded``, ``known``, ``gap``, ``superseded`` or ``gone``, as the run was deleted.

    The journal is folded up to ``end``, or as good as.
    """

    outcome: str
    end: int


class Pieces(NamedTuple):
    """Some of what is kept of a run's journals, and where it goes on; None at the end."""

    pieces: list[Piece]
    after: int | None


def ingest(store: Store, pieces: list[Piece], *, by: Principal) -> list[Receipt]:
    """Fold pieces, all in one transaction; a receipt for each, in their order. One that comes again changes nothing.

    A run that was deleted does not come back: what is still sent of it is not kept. Raises `NotAllowed`,
    `CorruptJournal` or `ForeignJournal` at a piece that cannot be: then none is folded.
    """
    if len(pieces) > MAX_PIECES:
        raise errors.UsageError(f"At most {MAX_PIECES:,} pieces come at once")
    for piece in pieces:
        _check(piece)

    def work(tx: Transaction) -> tuple[set[str], list[Folded]]:
        run_ids = sorted({piece.run_id for piece in pieces})
        for run_id in run_ids:
            attempts = {piece.attempt for piece in pieces if piece.run_id == run_id}
            authorize_run(tx, by, run_id, attempts)
        tx.lock_all(run_ids)  # one that is being deleted is gone after that
        gone = tx.flow_runs.deleted_among(run_ids)
        kept = [piece for piece in pieces if piece.run_id not in gone]
        return gone, fold_all(tx, [(JournalKey(*piece[:3]), _read(piece)) for piece in kept])

    try:
        gone, folded = store.run(work)
    except OverflowError as error:
        raise errors.CorruptJournal(f"A number in a record is too large to be kept: {error}") from None
    except errors.ImpossibleValue as error:
        raise errors.CorruptJournal(f"What a record says cannot be: {error.message}") from error
    telemetry.emit("journals.folded", count=sum(each.records for each in folded if each.outcome is Outcome.FOLDED))
    receipts = (Receipt(each.outcome.value, each.end) for each in folded)
    return [
        Receipt("gone", piece.start + len(piece.data)) if piece.run_id in gone else next(receipts) for piece in pieces
    ]


def journal_of(tx: Transaction, run_id: str, after: int, *, by: Principal) -> Pieces:
    """What is kept of a run's journals after a place in it, in the order in which it was folded."""
    authorize_run(tx, by, run_id, frozenset())
    found: list[Piece] = []
    size = 0
    for segment in tx.journals.segments(run_id):
        if segment.sequence <= after:
            continue
        if size >= PAGE_BYTES:
            return Pieces(found, after)
        data = tx.journals.frames(segment)
        found.append(Piece(segment.run_id, segment.attempt, segment.writer, segment.start, data))
        size += len(data)
        after = segment.sequence
    return Pieces(found, None)


def _read(piece: Piece) -> reader.Piece:
    read = as_piece(piece.data, piece.start)
    if read.damaged_at is not None:
        raise errors.CorruptJournal(f"A record of run `{piece.run_id}` is damaged, at byte {read.damaged_at}")
    return read


def _check(piece: Piece) -> None:
    if not RUN_ID.match(piece.run_id):
        raise errors.UsageError(f"Not the id of a run: `{piece.run_id[:100]}`")
    if not _WRITER.fullmatch(piece.writer):
        raise errors.UsageError(f"Not the name of a writer of journals: `{piece.writer[:100]}`")
    if piece.writer == CONTROL:
        # What others have to say about a run, nobody can say from elsewhere: there are requests for that.
        raise errors.NotAllowed("The control journal of a run is written by the server alone")
    if not 1 <= piece.attempt < _LARGEST or not 0 <= piece.start < _LARGEST:
        raise errors.UsageError(f"No attempt or offset of a journal: `{piece.attempt}`, `{piece.start}`")
