"""The seam between the groups of queries and a database's driver."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from penstock.store.sql import Statement


class Connection(Protocol):
    """Runs statements within one transaction. Each database has its own."""

    @property
    def dialect(self) -> str:
        """Whose variant of the statements to load: ``sqlite`` or ``postgres``."""
        ...

    def rows(self, statement: Statement, **values: Any) -> list[tuple[Any, ...]]:
        """The rows that the statement finds."""
        ...

    def run(self, statement: Statement, **values: Any) -> int:
        """Execute the statement; says how many rows it changed."""
        ...

    def run_many(self, statement: Statement, rows: Sequence[tuple[Any, ...]]) -> None:
        """Execute the statement for each row of values, in the order of its names."""
        ...


CHUNK = 500
"""How many ids are asked for in one statement."""


def chunks(ids: Iterable[str]) -> Iterable[tuple[str, ...]]:
    """Ids in portions that fit one statement."""
    every = tuple(ids)
    for start in range(0, len(every), CHUNK):
        yield every[start : start + CHUNK]
