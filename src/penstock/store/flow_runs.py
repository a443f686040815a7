"""Flow runs, their tags, and the flows that they are runs of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from msgspec.structs import astuple

from penstock.core.runs import FlowSummary
from penstock.core.states import StateType
from penstock.store.connection import Connection, chunks
from penstock.store.rows import FlowRow, texts_in
from penstock.store.sql import statements

NEWEST = (1 << 62, "~")
"""The place before the newest run, where a list begins."""

_PAGE = 1000
_MANY = 1000
"""So many rows are sorted in no time."""


class EndedRoot(NamedTuple):
    """A root run that has ended."""

    created_at: int
    id: str
    ended_at: int


class FlowRuns:
    """Rows of ``flow_run``, ``flow_run_tag`` and ``flow``."""

    __slots__ = ("_connection", "_sql")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sql = statements("flow_runs", connection.dialect)

    def rows(self, ids: Iterable[str]) -> list[FlowRow]:
        """The flow runs of these ids, in no order."""
        statement = self._sql["rows"]
        return [FlowRow(*row) for some in chunks(ids) for row in self._connection.rows(statement, ids=some)]

    def row(self, flow_run_id: str) -> FlowRow | None:
        """The flow run of this id."""
        found = self.rows([flow_run_id])
        return found[0] if found else None

    def of_root(self, root_run_id: str, *, unfinished: bool = False) -> list[FlowRow]:
        """A run and its subflow runs at any depth; or those that have not ended."""
        rows = self._connection.rows(self._sql["rows_of_root"], root_run_id=root_run_id, unfinished=unfinished or None)
        return [FlowRow(*row) for row in rows]

    def save(self, rows: Iterable[FlowRow]) -> None:
        """Keep flow runs, in place of what was known of them. Their tags are kept by `save_tags`."""
        self._connection.run_many(self._sql["save"], [astuple(row) for row in rows])

    def save_tags(self, rows: Iterable[FlowRow]) -> None:
        """Let flow runs be found by the tags that they have now."""
        every = list(rows)
        for some in chunks(row.id for row in every):
            self._connection.run(self._sql["forget_tags"], ids=some)
        tags = [(tag, row.created_at, row.id) for row in every for tag in dict.fromkeys(texts_in(row.tags))]
        self._connection.run_many(self._sql["save_tag"], tags)

    def count_flows(self, changes: Mapping[str, int]) -> None:
        """So many more (or fewer) runs of flows."""
        self._connection.run_many(self._sql["count_flow"], [change for change in changes.items() if change[1] > 0])
        fewer = [(runs, name) for name, runs in changes.items() if runs < 0]
        self._connection.run_many(self._sql["uncount_flow"], fewer)

    def page(
        self,
        *,
        before: tuple[int, str] = NEWEST,
        limit: int,
        flow: str | None = None,
        state: StateType | None = None,
        tag: str | None = None,
        name: str | None = None,
        since: int | None = None,
        parent: str | None = None,
        roots: bool = False,
    ) -> list[FlowRow]:
        """Flow runs that meet every condition given, newest first. ``name`` is how their names begin."""
        values: dict[str, Any] = {
            "before_created": before[0],
            "before_id": before[1],
            "limit": limit,
            "flow": flow,
            "state": None if state is None else state.value,
            "since": since,
            "parent": parent,
            "roots": roots or None,
        }
        name_is_common = name is not None and self._is_name_common(name)
        end = None if name is None else _after_all_that_begin_with(name)
        values |= {"name": None if name_is_common else name, "name_end": None if name_is_common else end}
        values |= {"common_name": name if name_is_common else None, "common_name_end": end if name_is_common else None}
        by_tag = tag is not None and (state is None or not self._is_tag_common(tag))
        if by_tag:
            # What a tag finds is in order already, and few have other conditions beside it.
            statement = self._sql["page_with_tag"]
            return [FlowRow(*row) for row in self._connection.rows(statement, tag=tag, **values)]
        return [FlowRow(*row) for row in self._connection.rows(self._sql["page"], common_tag=tag, **values)]

    def _is_name_common(self, name: str) -> bool:
        end = _after_all_that_begin_with(name)
        return bool(self._connection.rows(self._sql["some_named"], name=name, name_end=end, many=_MANY))

    def _is_tag_common(self, tag: str) -> bool:
        return bool(self._connection.rows(self._sql["some_tagged"], tag=tag, many=_MANY))

    def ids_that_begin_with(self, text: str, *, limit: int = 5) -> list[str]:
        """Ids of flow runs that begin like this."""
        stop = _after_all_that_begin_with(text)
        return [row[0] for row in self._connection.rows(self._sql["ids_from"], start=text, stop=stop, limit=limit)]

    def latest_named(self, name: str) -> str | None:
        """The id of the newest run of that name."""
        found = self._connection.rows(self._sql["latest_named"], name=name)
        return found[0][0] if found else None

    def latest(self, limit: int) -> list[tuple[str, str]]:
        """Ids and names of the newest runs."""
        return [(row[0], row[1]) for row in self._connection.rows(self._sql["latest"], limit=limit)]

    def flows(self) -> list[FlowSummary]:
        """The flows that have runs, by name, each with its newest run."""
        found: list[FlowSummary] = []
        for name, runs in self._connection.rows(self._sql["flows"]):
            newest = self._connection.rows(self._sql["newest_of_flow"], flow=name)
            for created_at, state_type, state_name, entrypoint, description in newest:
                summary = FlowSummary(
                    name=name,
                    runs=runs,
                    last_run_at=created_at,
                    last_state_type=StateType(state_type),
                    last_state_name=state_name,
                    entrypoint=entrypoint,
                    description=description,
                )
                found.append(summary)
        return found

    def descendants(self, flow_run_id: str) -> list[str]:
        """The ids of a flow run and its subflow runs at any depth."""
        return [row[0] for row in self._connection.rows(self._sql["descendants"], id=flow_run_id)]

    def ended_roots(self, *, before: int) -> Iterator[EndedRoot]:
        """Root runs that ended before a time, oldest first."""
        after = (-1, "")
        statement = self._sql["ended_before"]
        while found := self._connection.rows(
            statement, before=before, after_created=after[0], after_id=after[1], limit=_PAGE
        ):
            yield from (EndedRoot(*row) for row in found)
            after = (found[-1][0], found[-1][1])

    def without_journals(self) -> list[str]:
        """Flow runs of which the store has no journal, so that nothing tells why they are there."""
        return [row[0] for row in self._connection.rows(self._sql["without_journals"])]

    def run_counts(self) -> dict[str, int]:
        """The flows that have runs, and how many, as `count_flows` has counted."""
        return {row[0]: row[1] for row in self._connection.rows(self._sql["flows"])}

    def count_ended_roots(self) -> int:
        """How many root runs have ended."""
        return self._connection.rows(self._sql["count_ended_roots"])[0][0]

    def forget(self, ids: Iterable[str]) -> None:
        """Delete flow runs and their tags. Flows are counted by `count_flows`."""
        for some in chunks(ids):
            self._connection.run(self._sql["forget_tags"], ids=some)
            self._connection.run(self._sql["forget"], ids=some)

    def forget_all(self) -> None:
        """Delete all flow runs, before all is folded again."""
        self._connection.run(self._sql["forget_all"])
        self._connection.run(self._sql["forget_all_tags"])
        self._connection.run(self._sql["forget_all_flows"])


def _after_all_that_begin_with(text: str) -> str:
    return text + "\U0010ffff"
