"""Reading journals: tolerant of a torn tail, honest about damage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from penstock import errors
from penstock.core import records
from penstock.journal import frames

CHUNK = 4 << 20
"""How many bytes are read at once; a longer frame is read whole."""


class Piece(NamedTuple):
    """What was read of a journal from one offset on.

    ``start`` to ``end`` are the whole frames; ``data`` are exactly their bytes. ``at_end`` says
    that nothing more is there now. ``damaged_at`` is the offset of a bad frame that others follow.
    """

    start: int
    end: int
    data: bytes
    frames: list[frames.Frame]
    at_end: bool
    damaged_at: int | None = None


def read(path: Path, start: int = 0, *, limit: int = CHUNK) -> Piece:
    """Read whole frames from offset ``start`` (0: the beginning) on, at most about ``limit`` bytes.

    Raises `ForeignJournal` when the file is not a journal, FileNotFoundError when there is none.
    """
    with open(path, "rb") as file:
        if start == 0:
            magic = file.read(len(frames.MAGIC))
            if magic != frames.MAGIC:
                if frames.MAGIC.startswith(magic):  # torn while its first line was written
                    return Piece(0, 0, b"", [], at_end=True)
                raise errors.ForeignJournal(f"Not a journal that this version of Penstock can read: `{path}`")
            start = len(magic)
        file.seek(start)
        data = file.read(limit)
        at_end = len(data) < limit
        scan = frames.scan(data, start)
        while not at_end and (scan.damaged_at is not None or not scan.frames):
            # A frame longer than the limit, or bad bytes whose neighbourhood is not all here.
            more = file.read(frames.MAX_PAYLOAD)
            at_end = len(more) < frames.MAX_PAYLOAD
            data += more
            scan = frames.scan(data, start)
            if scan.damaged_at is not None:
                break
    return Piece(start, scan.end, data[: scan.end - start], scan.frames, at_end, scan.damaged_at)


def read_all(path: Path) -> Iterator[records.AnyRecord]:
    """All records of a journal up to its (perhaps torn) end.

    Raises `CorruptJournal` at a bad frame that others follow, `ForeignJournal` for a file that is
    no journal.
    """
    start = 0
    while True:
        piece = read(path, start)
        yield from decoded(piece.frames, path)
        if piece.damaged_at is not None:
            raise errors.CorruptJournal(
                f"A record in the middle of a journal is damaged, at byte {piece.damaged_at} of `{path}`",
                hint="`penstock fsck` tells what is affected",
            )
        if piece.at_end or piece.end == start:
            return
        start = piece.end


def decoded(found: list[frames.Frame], path: Path | str) -> Iterator[records.AnyRecord]:
    """The records in the frames, without those of a kind that this version does not know."""
    for each in found:
        try:
            record = records.decode(each.payload)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise errors.CorruptJournal(f"Not a record, at byte {each.offset} of `{path}`: {error}") from None
        if isinstance(record, records.JournalOpened) and record.format > records.FORMAT:
            raise errors.ForeignJournal(
                f"A newer version of Penstock ({record.penstock_version}) wrote this journal: `{path}`",
                hint="upgrade Penstock to read it",
            )
        if record is not None:
            yield record
