"""What is wanted of a server beyond answers to requests: to take journals and results, and to give them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

from penstock import errors
from penstock.core.operations import Request

R = TypeVar("R")

PASSING = (errors.ServerUnreachable, errors.ServerFailed, errors.StoreError, errors.StorageFull)
"""What asking again later may mend."""

CLOSE_SECONDS = 2.0
"""Whoever stops waits no longer for a thread that waits for the server: it holds nothing that would be lost."""


class Piece(NamedTuple):
    """Whole frames of a journal, as they lie in it from ``start`` on."""

    run_id: str
    attempt: int
    writer: str
    start: int
    data: bytes


class Receipt(NamedTuple):
    """What became of a piece: ``folded``, ``known``, ``gap``, ``superseded`` or ``gone``, as the run was deleted.

    The server has the journal up to ``end``, or wants no more of it.
    """

    outcome: str
    end: int


class Server(Protocol):
    """Safe to use from any thread. Raises one of `PASSING` when the server cannot answer at present."""

    url: str

    def ask(self, request: Request[R], *, key: str | None = None) -> R:
        """The answer. With the ``key`` of a request that came before, it is the answer that this one had."""
        ...

    def send_journal(self, pieces: list[Piece]) -> list[Receipt]:
        """Have pieces folded; a receipt for each. A piece may come again."""
        ...

    def journal(self, run_id: str) -> Iterable[Piece]:
        """All that the server has of a run's journals, in the order in which it is to be read."""
        ...

    def put_result(self, location: str, path: Path) -> None:
        """Keep the file of a result, which is named by what it holds."""
        ...

    def get_result(self, location: str, path: Path) -> None:
        """Put the file of a result in place, whole. Raises `MissingResult` if the server has none."""
        ...

    def get_bundle(self, digest: str, path: Path) -> None:
        """Write the archive of a deployment's code into a new file. Raises `NotFound`."""
        ...

    def close(self) -> None:
        """Close the connections on which nobody waits for an answer."""
        ...

    def end(self) -> None:
        """Nobody asks any more: let threads that wait for an answer go."""
        ...
