"""Journals with whole frames and impossible records in them: refused or folded, and never a fault of the server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.api.serving import Served, serving

from penstock.core import records
from penstock.core.records import AnyRecord, Record
from penstock.core.result_records import ResultRecord
from penstock.journal import frames
from penstock.orchestration.fold import START
from penstock.store.interface import Store

pytestmark = pytest.mark.slow

RUN = "01920001-0000-7000-8000-{:012x}"
ODD = "a\0b", "", "\ud7ff\U0010ffff", "x" * 5000, "../..", "'; DROP TABLE event; --"

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.sampled_from(ODD)
NUMBER = st.integers(-(1 << 63), (1 << 64) - 1) | st.integers(-2, 5)
ANYTHING = st.recursive(
    st.none() | st.booleans() | NUMBER | TEXT | st.binary(max_size=20) | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)


def of_type(kind: Any) -> st.SearchStrategy[Any]:
    """Values that a field of this type may hold in a journal."""
    if kind is ResultRecord:
        return st.builds(
            ResultRecord, preview=TEXT, inline=st.none() | st.binary(max_size=5), location=st.none() | TEXT
        )
    parts = get_args(kind)
    name = str(kind)
    if "None" in name and parts:
        return st.none() | st.one_of([of_type(part) for part in parts if part is not type(None)])
    if name.startswith("tuple"):
        return st.lists(TEXT, max_size=3).map(tuple)
    if name.startswith("dict"):
        return st.dictionaries(TEXT, TEXT if "str, str" in name else ANYTHING, max_size=3)
    plain: dict[Any, st.SearchStrategy[Any]] = {
        str: TEXT,
        int: NUMBER,
        bool: st.booleans(),
        bytes: st.binary(max_size=20),
        float: st.floats(),
    }
    return plain.get(kind, ANYTHING)


def of_record(kind: type[Record]) -> st.SearchStrategy[Record]:
    """Any record of a kind; about one of a few runs, mostly."""
    fields: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        strategy = of_type(field.type)
        if field.name.endswith("run_id"):
            strategy = st.sampled_from([RUN.format(number) for number in range(3)]) | strategy
        elif field.name in {"state", "type", "kind"} and field.type is str:
            strategy = st.sampled_from(["COMPLETED", "FAILED", "RUNNING", "table"]) | TEXT
        fields[field.name] = strategy
    return st.builds(kind, **fields)


RECORDS = st.one_of([of_record(kind) for kind in get_args(AnyRecord)])


@pytest.fixture
def served(either_store: Store) -> Iterator[Served]:
    with serving(either_store) as served:
        yield served


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(said=st.lists(RECORDS, min_size=1, max_size=6), number=st.integers(0, 1 << 40))
def test_no_record_makes_the_server_fail(served: Served, said: list[Record], number: int):
    run = RUN.format(number)
    opened = records.JournalOpened(1, run, 1, "main", "host", "boot", 4242, 1_000, "0")
    data = b"".join(frames.frame(records.encode(each)) for each in (opened, *said))
    body = msgspec.msgpack.encode([[run, 1, "main", START, data]])

    answer = served.ask("POST", "/api/journal", body, headers={"Content-Type": "application/vnd.penstock.journal"})
    assert answer.status in {200, 422}, answer.body
    for path in ("/api/flow-runs?limit=5", f"/api/flow-runs/{run}", "/api/events?limit=5", f"/api/task-runs?run={run}"):
        assert served.ask("GET", path).status in {200, 404, 422}, path
