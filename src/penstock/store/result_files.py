"""Which runs name which files in the folder of results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from penstock.store.connection import Connection, chunks
from penstock.store.sql import statements

_PAGE = 1000


class ResultFiles:
    """Rows of ``result_file``: a location below the folder of results, and a root run that names it."""

    __slots__ = ("_connection", "_sql")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sql = statements("result_files", connection.dialect)

    def refer(self, root_run_id: str, locations: Iterable[str]) -> None:
        """A root run names files."""
        self._connection.run_many(self._sql["refer"], [(location, root_run_id) for location in locations])

    def of_root(self, root_run_id: str) -> list[str]:
        """The files that a root run names."""
        return [row[0] for row in self._connection.rows(self._sql["of_root"], root_run_id=root_run_id)]

    def referrers(self, locations: Iterable[str]) -> dict[str, set[str]]:
        """The root runs that name each of these files; files that nobody names are left out."""
        found: dict[str, set[str]] = {}
        for some in chunks(locations):
            for location, root_run_id in self._connection.rows(self._sql["referrers"], locations=some):
                found.setdefault(location, set()).add(root_run_id)
        return found

    def locations(self) -> Iterator[str]:
        """All files that are named, in order."""
        after = ""
        while found := self._connection.rows(self._sql["next_locations"], after=after, limit=_PAGE):
            yield from (row[0] for row in found)
            after = found[-1][0]

    def forget(self, root_run_id: str) -> None:
        """A root run names no files any more."""
        self._connection.run(self._sql["forget"], root_run_id=root_run_id)

    def forget_all(self) -> None:
        """Delete all of it, before all is folded again."""
        self._connection.run(self._sql["forget_all"])
