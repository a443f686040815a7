"""The seam between the groups of queries and a database's driver."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from penstock.store.sql import Statement

Question = tuple[Statement, Mapping[str, Any]]
"""A statement and its values."""


class Connection(Protocol):
    """Runs statements within one transaction. Each database has its own."""

    @property
    def dialect(self) -> str:
        """Whose variant of the statements to load: ``sqlite`` or ``postgres``."""
        ...

    def rows(self, statement: Statement, **values: Any) -> list[tuple[Any, ...]]:
        """The rows that the statement finds."""
        ...

    def rows_of_each(self, *questions: Question) -> list[list[tuple[Any, ...]]]:
        """What each of several questions finds, for little more than the price of one."""
        ...

    def run(self, statement: Statement, **values: Any) -> int:
        """Execute the statement; says how many rows it changed."""
        ...

    def run_many(self, statement: Statement, rows: Sequence[tuple[Any, ...]]) -> None:
        """Execute the statement for each row of values, in the order of its names."""
        ...

    def stream(self, statement: Statement, portion: int) -> Iterator[tuple[tuple[str, ...], list[tuple[Any, ...]]]]:
        """The rows that the statement finds, so many at a time, with the names of the columns."""
        ...

    def load(self, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert rows into a table in the fastest way that there is."""
        ...

    def now(self) -> int:
        """Microseconds since 1970, by the database's clock where it has one. The same all through a transaction."""
        ...

    def lock(self, keys: Sequence[str], *, at_once: bool) -> None:
        """Wait for the end of other transactions that named these keys, and let others wait for the end of this one.

        They are locked one after the other, in this order; if not ``at_once``, before whatever is asked next.
        """
        ...


CHUNK = 500
"""How many ids are asked for in one statement."""


def chunks(ids: Iterable[str]) -> Iterable[tuple[str, ...]]:
    """Ids in portions that fit one statement."""
    every = tuple(ids)
    for start in range(0, len(every), CHUNK):
        yield every[start : start + CHUNK]
