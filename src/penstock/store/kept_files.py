"""Files that all servers of a store must have: bundles of code, and large results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from penstock.store.connection import Connection, chunks
from penstock.store.sql import statements

Kind = Literal["bundle", "result"]

_PAGE = 1000


class KeptFiles:
    """Rows of ``kept_file`` and ``kept_file_part``. A file has a digest, which says what is in it."""

    __slots__ = ("_connection", "_sql")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sql = statements("kept_files", connection.dialect)

    def add(self, kind: Kind, digest: str, size: int, at: int) -> None:
        """There is a file, and a use for it now."""
        self._connection.run_many(self._sql["add"], [(kind, digest, size, at)])

    def add_part(self, kind: Kind, digest: str, part: int, data: bytes) -> None:
        """Some of its bytes; parts are counted from 0."""
        self._connection.run_many(self._sql["add_part"], [(kind, digest, part, data)])

    def size(self, kind: Kind, digest: str) -> int | None:
        """How large a file is; None if it is not here."""
        found = self._connection.rows(self._sql["size"], kind=kind, digest=digest)
        return found[0][0] if found else None

    def part(self, kind: Kind, digest: str, part: int) -> bytes | None:
        """Some of a file's bytes; None behind its end."""
        found = self._connection.rows(self._sql["part"], kind=kind, digest=digest, part=part)
        return bytes(found[0][0]) if found else None

    def use(self, kind: Kind, digests: Iterable[str], at: int) -> None:
        """There is a use for these files."""
        for some in chunks(digests):
            self._connection.run(self._sql["use"], kind=kind, digests=some, at=at)

    def unused(self, kind: Kind, before: int) -> Iterator[tuple[str, int]]:
        """The files for which nobody had a use since then, by digest: each with its size."""
        after = ""
        while found := self._connection.rows(self._sql["unused"], kind=kind, before=before, after=after, limit=_PAGE):
            yield from found
            after = found[-1][0]

    def forget(self, kind: Kind, digests: Iterable[str]) -> None:
        """Delete files."""
        for some in chunks(digests):
            self._connection.run(self._sql["forget"], kind=kind, digests=some)
            self._connection.run(self._sql["forget_parts"], kind=kind, digests=some)

    def forget_stray_parts(self) -> None:
        """Delete bytes of files that are not there."""
        self._connection.run(self._sql["forget_stray_parts"])
