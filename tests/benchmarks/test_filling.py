"""A store that was filled for measurements is one that runs could have filled, whichever database it is in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks import filling
from penstock.core.operations.flow_runs import ListFlowRuns
from penstock.core.states import StateType
from penstock.orchestration import fsck
from penstock.orchestration.handlers import answer
from penstock.store import tables
from penstock.store.interface import Store
from penstock.store.postgres import PostgresStore
from penstock.store.sqlite import SqliteStore

RUNS = 500


def everything(store: Store) -> dict[str, list[dict[str, Any]]]:
    """All rows, by table, in an order of ours: a database has none."""
    found: dict[str, list[dict[str, Any]]] = {}
    with store.reading() as tx:
        for table in tables.names():
            rows = [dict(zip(columns, row, strict=True)) for columns, rows in tx.tables.rows(table) for row in rows]
            found[table] = sorted(rows, key=repr)
    return found


@pytest.fixture
def filled() -> Iterator[SqliteStore]:
    with SqliteStore.in_memory() as store:
        filling.fill(store, RUNS, 3)
        yield store


def test_a_filled_store_says_what_its_journals_say(filled: SqliteStore):
    with filled.reading() as tx:
        checked = fsck.check_rows(tx)

    assert checked.problems == []
    assert checked.runs == RUNS


def test_it_has_runs_of_every_kind_that_pages_ask_for(filled: SqliteStore):
    rows = everything(filled)
    kinds = Counter(row["state_type"] for row in rows["flow_run"])

    assert kinds[StateType.SCHEDULED] == filling.WAITING
    assert min(kinds[kind] for kind in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")) > 0
    assert len(rows["task_run"]) == 3 * (RUNS - filling.WAITING)
    assert len(answer(filled, ListFlowRuns(tag=(filling.RARE,))).items) == 1


def test_both_databases_are_filled_with_the_same_rows(filled: SqliteStore, postgres_url: str):
    filling.fill_postgres(postgres_url, RUNS, 3)

    with PostgresStore.open(postgres_url, write=False) as store:
        in_postgres = everything(store)

    assert in_postgres == everything(filled)
