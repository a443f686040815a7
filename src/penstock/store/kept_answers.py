"""What was answered to requests that must not be carried out twice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from penstock.store.connection import Connection, chunks
from penstock.store.sql import statements


class KeptAnswer(NamedTuple):
    """The digest of a request, and what it was answered."""

    digest: bytes
    answer: bytes


class KeptAnswers:
    """Rows of ``kept_answer``."""

    __slots__ = ("_connection", "_sql")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sql = statements("kept_answers", connection.dialect)

    def answer(self, asker: str, key: str) -> KeptAnswer | None:
        """What was answered to somebody's request of this key."""
        return self.answers(asker, [key]).get(key)

    def answers(self, asker: str, keys: Iterable[str]) -> dict[str, KeptAnswer]:
        """The same for several keys: what is known, by key."""
        statement = self._sql["answers"]
        return {
            key: KeptAnswer(bytes(digest), bytes(answer))
            for some in chunks(keys)
            for key, digest, answer in self._connection.rows(statement, asker=asker, keys=some)
        }

    def keep(self, asker: str, given: Mapping[str, KeptAnswer], at: int) -> None:
        """Keep answers to somebody's requests, by their keys."""
        rows = [(asker, key, each.digest, each.answer, at) for key, each in given.items()]
        self._connection.run_many(self._sql["keep"], rows)

    def forget(self, before: int) -> int:
        """Delete the answers of before; says how many."""
        return self._connection.run(self._sql["forget"], before=before)
