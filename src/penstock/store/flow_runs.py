"""Flow runs, their tags, and the flows that they are runs of."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
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
_ALL = 1 << 40
_MANY = 20_000
"""So many rows are sorted in no time; and of what more runs have, a page is found soon on the way through all."""

_IN_ORDER = ("flow", "state", "deployment")
"""What these find is in the order of lists, however many they are."""

_MAY_BE_RARE = ("queue", "pool", "name")


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

    def roots(self, ids: Iterable[str]) -> dict[str, str]:
        """The root runs of those of these flow runs that are known."""
        found: dict[str, str] = {}
        for some in chunks(ids):
            found.update(self._connection.rows(self._sql["roots"], ids=some))
        return found

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

    def unfinished_called(self, root_run_id: str) -> list[FlowRow]:
        """The runs of deployments that a run and its subflow runs have called, and that have not ended."""
        rows = self._connection.rows(self._sql["unfinished_called"], root_run_id=root_run_id)
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
        state_name: str | None = None,
        tags: Iterable[str] = (),
        name: str | None = None,
        since: int | None = None,
        parent: str | None = None,
        roots: bool = False,
        deployment: str | None = None,
        pool: str | None = None,
        queue: str | None = None,
    ) -> list[FlowRow]:
        """Flow runs that meet every condition given, newest first: have all ``tags``, a name that begins with ``name``.

        Takes long only for conditions that many runs meet one by one, and hardly any together.
        """
        given: dict[str, str] = {
            what: value
            for what, value in {
                "flow": flow,
                "state": None if state is None else state.value,
                "deployment": deployment,
                "queue": queue,
                "pool": pool,
                "name": name,
            }.items()
            if value is not None
        }
        every_tag = set(tags)
        finding, tag = (set[str](), None) if parent is not None else self._finding(given, every_tag)
        to_check = tuple(sorted(every_tag - {tag}))
        values: dict[str, Any] = {
            "before_created": before[0],
            "before_id": before[1],
            "limit": limit,
            "state_name": state_name,
            "since": since,
            "parent": parent,
            "roots": roots or None,
            "name_end": None if name is None else _after_all_that_begin_with(name),
            "tags": to_check or None,
            "tags_in_all": len(to_check),
        }
        for what in (*_IN_ORDER, *_MAY_BE_RARE):
            values[what] = given.get(what) if what in finding else None
            values[f"common_{what}"] = None if what in finding else given.get(what)
        if tag is None:
            return [FlowRow(*row) for row in self._connection.rows(self._sql["page"], **values)]
        return [FlowRow(*row) for row in self._connection.rows(self._sql["page_with_tag"], tag=tag, **values)]

    def _finding(self, given: Mapping[str, str], tags: Collection[str]) -> tuple[set[str], str | None]:
        """Which conditions, or which tag, are to find the runs in an index: something that few have, if there is."""
        in_order = {what for what in _IN_ORDER if what in given}
        asked = [
            *(("tag", tag) for tag in sorted(tags)),
            *((what, given[what]) for what in _MAY_BE_RARE if what in given),
        ]
        is_alone = len(asked) == 1 and not in_order and asked[0][0] != "name"
        rare = asked if is_alone else (each for each in asked if not self._is_common(*each))
        for what, value in rare:
            return (set(), value) if what == "tag" else ({what}, None)
        if in_order or not tags:
            return in_order, None
        return set(), min(tags)

    def _is_common(self, what: str, value: str) -> bool:
        end = {"end": _after_all_that_begin_with(value)} if what == "name" else {}
        return bool(self._connection.rows(self._sql[f"many_of_{what}"], value=value, many=_MANY, **end))

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

    def flows(self, *, after: str = "", name: str | None = None, limit: int) -> list[FlowSummary]:
        """The flows that have runs, by name, each with its newest run. ``name`` is how their names begin."""
        end = None if name is None else _after_all_that_begin_with(name)
        found = self._connection.rows(self._sql["flows"], after=after, name=name, name_end=end, limit=limit)
        return [summary for flow, runs in found if (summary := self._summary(flow, runs)) is not None]

    def flow(self, name: str) -> FlowSummary | None:
        """The flow of that name, if it has runs."""
        found = self._connection.rows(self._sql["flow"], name=name)
        return self._summary(name, found[0][0]) if found else None

    def _summary(self, name: str, runs: int) -> FlowSummary | None:
        for created_at, state_type, state_name, entrypoint, description in self._connection.rows(
            self._sql["newest_of_flow"], flow=name
        ):
            return FlowSummary(
                name=name,
                runs=runs,
                last_run_at=created_at,
                last_state_type=StateType(state_type),
                last_state_name=state_name,
                entrypoint=entrypoint,
                description=description,
            )
        return None

    def counts(
        self,
        *,
        since: int,
        until: int,
        width: int,
        parts: int,
        flow: str | None = None,
        deployment: str | None = None,
        roots: bool = False,
    ) -> list[tuple[int, StateType, int]]:
        """How many runs were created in each part of a time, by type of state; parts without any are left out."""
        found = self._connection.rows(
            self._sql["counts" if deployment is None else "counts_of_deployment"],
            since=since,
            until=until,
            width=width,
            parts=parts,
            flow=flow,
            deployment=deployment,
            roots=roots or None,
        )
        return [(number, StateType(kind), runs) for number, kind, runs in found]

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
        found = self._connection.rows(self._sql["flows"], after="", name=None, name_end=None, limit=_ALL)
        return {row[0]: row[1] for row in found}

    def unfinished_by_state(self) -> dict[tuple[str, str], int]:
        """How many runs have not ended, by the type and name of their state."""
        rows = self._connection.rows(self._sql["unfinished_by_state"])
        return {(row[0], row[1]): row[2] for row in rows}

    def count_ended_roots(self) -> int:
        """How many root runs have ended."""
        return self._connection.rows(self._sql["count_ended_roots"])[0][0]

    def forget(self, ids: Iterable[str]) -> None:
        """Delete flow runs and their tags. Flows are counted by `count_flows`."""
        for some in chunks(ids):
            self._connection.run(self._sql["forget_tags"], ids=some)
            self._connection.run(self._sql["forget"], ids=some)

    def note_deleted(self, run_id: str, at: int) -> None:
        """Remember that a root run was deleted."""
        self._connection.run(self._sql["note_deleted"], run_id=run_id, deleted_at=at)

    def deleted_among(self, run_ids: Iterable[str]) -> set[str]:
        """Those of these root runs that were deleted, as far as that is remembered."""
        statement = self._sql["deleted_among"]
        return {row[0] for some in chunks(run_ids) for row in self._connection.rows(statement, ids=some)}

    def forget_deleted(self, *, before: int) -> None:
        """Forget which runs were deleted before a time."""
        self._connection.run(self._sql["forget_deleted"], before=before)

    def forget_all(self) -> None:
        """Delete all flow runs, before all is folded again."""
        self._connection.run(self._sql["forget_all"])
        self._connection.run(self._sql["forget_all_tags"])
        self._connection.run(self._sql["forget_all_flows"])


def _after_all_that_begin_with(text: str) -> str:
    return text + "\U0010ffff"
