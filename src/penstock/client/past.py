"""What earlier attempts of a run have recorded: fetched from the server, read by the process that goes on with it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from penstock import errors
from penstock.client.server import Piece, Server
from penstock.core import records
from penstock.core.records import AnyRecord
from penstock.journal import frames, reader
from penstock.journal.folder import JournalFolder


class JournalPast:
    """`core.ports.Past` of a folder of journals in which everything has been put that was recorded elsewhere."""

    def __init__(self, journals: Path) -> None:
        self._folder = JournalFolder(journals)

    def attempts(self, run_id: str) -> int:
        return max((journal.attempt for journal in self._folder.journals(run_id)), default=0)

    def records(self, run_id: str) -> Iterator[AnyRecord]:
        """All records, attempt by attempt, in each the main writer's first. Raises `CorruptJournal` at damage."""
        for journal in self._folder.journals(run_id):
            yield from reader.read_all(journal.path)


def fetch(server: Server, journals: Path, results: Path | None, run_id: str, *, before: int | None = None) -> None:
    """Put what the server has of a run into its folder, as the journals that it was; ``before``: up to that attempt.

    What lies there already gives way: an attempt that was superseded may have written more than what counts. With
    ``results``, the files of its results are put there that are not there yet.
    """
    folder = JournalFolder(journals)
    wanted: set[str] = set()
    written: dict[Path, Path] = {}
    try:
        for piece in server.journal(run_id):
            if before is None or piece.attempt < before:
                path = folder.journal_path(run_id, piece.attempt, piece.writer)
                if path not in written:
                    written[path] = _begun(path)
                _append(written[path], piece)
                if results is not None:
                    wanted.update(_results_in(piece))
        for path, temporary in written.items():
            os.replace(temporary, path)
    except OSError as error:
        raise errors.JournalError(f"What is recorded of the run cannot be put in place: {error}") from error
    finally:
        for temporary in written.values():
            temporary.unlink(missing_ok=True)
    for location in sorted(wanted):
        if results is not None and not (results / location).exists():
            with suppress(errors.MissingResult):  # the task runs again, and says why
                server.get_result(location, results / location)


def _begun(path: Path) -> Path:
    temporary = path.with_name(f".{path.name}")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as file:
        file.write(frames.MAGIC)
    return temporary


def _append(path: Path, piece: Piece) -> None:
    with open(path, "ab") as file:
        if file.tell() != piece.start:
            raise errors.CorruptJournal(
                f"The server has a journal of run `{piece.run_id}` with a hole in it, at byte {file.tell()}"
            )
        file.write(piece.data)


def _results_in(piece: Piece) -> Iterator[str]:
    for frame in frames.scan(piece.data, piece.start).frames:
        yield from records.locations(records.decode(frame.payload))
