"""Lists stay fast with a million runs: each finds its place in an index, and none sorts or reads all rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from penstock.core.states import StateType
from penstock.store.interface import Transaction
from penstock.store.sqlite import SqliteStore, _Connection

CONDITIONS: list[dict[str, Any]] = [
    {},
    {"flow": "etl"},
    {"state": StateType.FAILED},
    {"flow": "etl", "state": StateType.FAILED},
    {"parent": "run"},
    {"roots": True},
    {"tags": ("nightly",)},
    {"tags": ("nightly",), "flow": "etl", "roots": True},
    {"tags": ("nightly",), "state": StateType.FAILED},
    {"tags": ("nightly", "eu")},
    {"queue": "urgent"},
    {"pool": "k8s"},
    {"pool": "k8s", "queue": "urgent", "state": StateType.FAILED},
    {"roots": True, "state": StateType.FAILED},
    {"since": 5},
    {"since": 5, "flow": "etl", "state": StateType.FAILED, "roots": True},
]

LISTS: dict[str, Callable[[Transaction], Any]] = {
    "task runs": lambda tx: tx.task_runs.page("run", limit=9),
    "task runs that failed": lambda tx: tx.task_runs.page("run", limit=9, states=((StateType.FAILED, None),)),
    "unfinished task runs": lambda tx: tx.task_runs.unfinished(["run"]),
    "state counts": lambda tx: tx.task_runs.state_counts(["run", "other"]),
    "due runs": lambda tx: tx.work.due(after=(0, ""), until=9, pool="p", queue=None, deployment=None, limit=9),
    "runs that wait and are under way, counted": lambda tx: tx.work.counts(9),
    "counts of runs": lambda tx: tx.flow_runs.counts(since=0, until=9, width=3, parts=3),
    "counts of runs without a parent": lambda tx: tx.flow_runs.counts(since=0, until=9, width=3, parts=3, roots=True),
    "counts of a flow's runs": lambda tx: tx.flow_runs.counts(since=0, until=9, width=3, parts=3, flow="etl"),
    "counts of a deployment's runs": lambda tx: tx.flow_runs.counts(since=0, until=9, width=3, parts=3, deployment="d"),
    "log of a task": lambda tx: tx.logs.page(["run"], limit=9, task="clean"),
    "end of all events": lambda tx: tx.events.page(limit=9, tail=True),
    "log": lambda tx: tx.logs.page(["run"], limit=9, level=30),
    "end of a log": lambda tx: tx.logs.page(["run"], limit=9, tail=True),
    "artifacts": lambda tx: tx.artifacts.page(limit=9),
    "artifacts of a run": lambda tx: tx.artifacts.page(limit=9, flow_run_ids=("run",)),
    "artifacts of a key": lambda tx: tx.artifacts.page(limit=9, key="report"),
    "events": lambda tx: tx.events.page(limit=9),
    "events from a time on": lambda tx: tx.events.page(limit=9, since=5),
    "last events from a time on": lambda tx: tx.events.page(limit=9, since=5, tail=True, name="e"),
    "events of a run": lambda tx: tx.events.page(limit=9, run_ids=("run",), name="e"),
    "flows": lambda tx: tx.flow_runs.flows(limit=9),
    "descendants": lambda tx: tx.flow_runs.descendants("run"),
    "ids": lambda tx: tx.flow_runs.ids_that_begin_with("run"),
    "newest of a name": lambda tx: tx.flow_runs.latest_named("otter"),
    "newest": lambda tx: tx.flow_runs.latest(9),
    "cursors": lambda tx: tx.journals.cursors("run"),
    "result files": lambda tx: tx.result_files.referrers(["a"]),
}


@pytest.fixture
def plan(monkeypatch: pytest.MonkeyPatch):
    """``plan(ask)`` says how SQLite would find what ``ask(tx)`` asks for."""

    def plan(ask: Callable[[Transaction], Any]) -> list[str]:
        steps: list[str] = []

        def rows(self: Any, statement: Any, **values: Any) -> list[Any]:
            text, given = statement.given(values)
            steps.extend(row[3] for row in self._connection.execute(f"EXPLAIN QUERY PLAN {text}", given))
            return self._connection.execute(text, given).fetchall()

        with SqliteStore.in_memory() as store, monkeypatch.context() as patch:
            patch.setattr(_Connection, "rows", rows)
            with store.transaction() as tx:
                ask(tx)
        return steps

    return plan


def is_costly(step: str) -> bool:
    """Whether the step reads a whole table, or sorts."""
    in_order = ("USING INTEGER PRIMARY KEY", "USING INDEX", "USING COVERING INDEX")
    small = (
        "SCAN flow",
        "SCAN family",
        "SCAN CONSTANT ROW",
        "SCAN 9 CONSTANT ROWS",
        "SCAN artifact",
        "SCAN event",
        "SCAN part",
        "SCAN state",
    )
    scans = step.startswith("SCAN") and not any(each in step for each in in_order) and step not in small
    return scans or "TEMP B-TREE FOR ORDER BY" in step


@pytest.mark.parametrize("conditions", CONDITIONS, ids=str)
def test_no_list_of_flow_runs_reads_all_of_them_or_sorts(plan: Any, conditions: dict[str, Any]):
    steps = plan(lambda tx: tx.flow_runs.page(limit=9, before=(9, "x"), **conditions))

    assert steps
    assert [step for step in steps if is_costly(step)] == []


@pytest.mark.parametrize("name", LISTS)
def test_no_other_list_reads_a_whole_table_or_sorts(plan: Any, name: str):
    steps = plan(LISTS[name])

    assert steps
    assert [step for step in steps if is_costly(step)] == []


def test_what_belongs_to_a_run_is_sorted_but_found_in_an_index(plan: Any):
    steps = plan(lambda tx: (tx.flow_runs.of_root("run"), tx.journals.segments("run", attempt=1, writer="main")))

    assert [step for step in steps if step.startswith("SCAN")] == []


def test_a_name_or_tag_that_many_runs_have_does_not_choose_the_index():
    from tests.conformance.test_store import flow_row

    from penstock.store import flow_runs

    with SqliteStore.in_memory() as store, pytest.MonkeyPatch.context() as patch, store.transaction() as tx:
        rows = [flow_row(number, tags='["nightly"]') for number in range(5)]
        tx.flow_runs.save(rows)
        tx.flow_runs.save_tags(rows)
        found: list[list[str]] = []
        both: list[dict[str, Any]] = [{"name": "name-"}]
        both.append({"name": "name-", "tags": ("nightly",), "state": StateType.COMPLETED})
        for many in (1000, 2):
            patch.setattr(flow_runs, "_MANY", many)
            for conditions in both:
                found.append([row.id for row in tx.flow_runs.page(limit=3, **conditions)])

    assert found == [["run-0004", "run-0003", "run-0002"]] * 4
