"""What every store must do, whatever database is below. A new implementation joins `IMPLEMENTATIONS`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import astuple

from penstock import errors, telemetry
from penstock.core.result_records import ResultRecord
from penstock.core.states import StateType
from penstock.store.interface import Store, Transaction
from penstock.store.rows import ArtifactRow, CursorRow, EventRow, FlowRow, LogRow, TaskRow, pack, texts_in
from penstock.store.sqlite import SqliteStore


def open_postgres(request: pytest.FixtureRequest) -> Store:
    url = request.getfixturevalue("postgres_url")
    from penstock.store.postgres import PostgresStore

    return PostgresStore.open(url, write=True)


IMPLEMENTATIONS: dict[str, Callable[[pytest.FixtureRequest, Path], Store]] = {
    "SQLite file": lambda _, folder: SqliteStore.open(folder / "penstock.db", write=True),
    "SQLite memory": lambda _, __: SqliteStore.in_memory(),
    "Postgres": lambda request, _: open_postgres(request),
}


@pytest.fixture(params=IMPLEMENTATIONS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    store = IMPLEMENTATIONS[request.param](request, tmp_path)
    yield store
    store.close()


def together(calls: list[Callable[[], object]]) -> None:
    """Make these calls at the same time, each in a thread of its own; raises what one of them raised."""
    with ThreadPoolExecutor(len(calls)) as pool:
        for future in [pool.submit(call) for call in calls]:
            future.result(timeout=60)


def flow_row(number: int, **options: Any) -> FlowRow:
    state = options.get("state_type", "COMPLETED")
    is_final = state in {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
    given: dict[str, Any] = {
        "id": f"run-{number:04}",
        "name": f"name-{number}",
        "flow_name": "etl",
        "flow_version": "",
        "entrypoint": "flow.py:etl",
        "code_version": "",
        "state_type": state,
        "state_name": state.capitalize(),
        "state_message": None,
        "created_at": number,
        "started_at": number,
        "ended_at": number + 5 if is_final else None,
        "attempt": 1,
        "run_count": 1,
        "tags": "[]",
        "parent_flow_run_id": None,
        "parent_task_run_id": None,
        "root_run_id": f"run-{number:04}",
        "source": "call",
        "forked_from": None,
        "description": "",
        "crashes": 0,
        "clock": number,
        "began_attempt": 1,
        "began_clock": number,
        "lost_attempt": 0,
        "progress_attempt": 0,
        "parameters": pack({"n": number, "bytes": b"\0\xff", "text": "é\ud7ff"}),
        "arguments": None,
        "result": pack(ResultRecord("x", b"\0x")),
    }
    return FlowRow(**{**given, **options})


def task_row(number: int, **options: Any) -> TaskRow:
    state = options.get("state_type", "COMPLETED")
    given: dict[str, Any] = {
        "id": f"task-{number:04}",
        "flow_run_id": "run-0001",
        "scope_id": "run-0001",
        "name": f"load-{number}",
        "task_name": "load",
        "task_key": "mod.load",
        "kind": "task",
        "state_type": state,
        "state_name": state.capitalize(),
        "state_message": None,
        "started_at": number,
        "ended_at": number if state in {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"} else None,
        "attempt": 1,
        "run_count": 1,
        "reused_from": None,
        "upstream": '["a","b"]',
        "inputs": "",
        "tags": "[]",
        "cache": "",
        "address": b"\0\1",
        "clock": number,
        "began_attempt": 1,
        "began_clock": number,
        "result": None,
    }
    return TaskRow(**{**given, **options})


def test_flow_runs_come_back_as_they_were_saved(store: Store):
    rows = [flow_row(1), flow_row(2, state_type="RUNNING", tags='["a","b"]', parent_flow_run_id="run-0001")]
    with store.transaction() as tx:
        tx.flow_runs.save(rows)
        tx.flow_runs.save([rows[0]])

    with store.reading() as tx:
        assert sorted(tx.flow_runs.rows(["run-0001", "run-0002", "nobody"]), key=lambda row: row.id) == rows
        assert tx.flow_runs.row("nobody") is None
        first, second = (row.view() for row in rows)
    assert first.parameters == {"n": 1, "bytes": b"\0\xff", "text": "é\ud7ff"}
    assert first.result == ResultRecord("x", b"\0x")
    assert (second.tags, second.is_final, first.is_final) == (("a", "b"), False, True)


def test_a_run_has_an_end_exactly_when_its_state_is_final(store: Store):
    for row in (flow_row(1, ended_at=None), flow_row(1, state_type="RUNNING", ended_at=3)):
        with pytest.raises(errors.StoreError, match="ended_exactly_when_final"), store.transaction() as tx:
            tx.flow_runs.save([row])
    with pytest.raises(errors.StoreError, match="ended_exactly_when_final"), store.transaction() as tx:
        tx.task_runs.save([task_row(1, ended_at=None)])
    with pytest.raises(errors.StoreError, match="state_type_is_known"), store.transaction() as tx:
        tx.task_runs.save([task_row(1, state_type="ASLEEP")])


def test_lists_of_flow_runs_go_from_new_to_old_and_on_from_any_place(store: Store):
    with store.transaction() as tx:
        tx.flow_runs.save(flow_row(number, created_at=number // 2) for number in range(10))

    with store.reading() as tx:
        first = tx.flow_runs.page(limit=4)
        second = tx.flow_runs.page(limit=99, before=(first[-1].created_at, first[-1].id))
    assert [row.id for row in first + second] == [f"run-{number:04}" for number in range(9, -1, -1)]


def test_flow_runs_are_listed_by_every_condition_together(store: Store):
    with store.transaction() as tx:
        rows = [
            flow_row(1, state_type="FAILED", tags='["a"]'),
            flow_row(2, tags='["a"]', parent_flow_run_id="run-0001", flow_name="load"),
            flow_row(3, name="other", tags='["a","b"]'),
            flow_row(4, flow_name="load"),
        ]
        tx.flow_runs.save(rows)
        tx.flow_runs.save_tags(rows)

    def ids(**conditions: Any) -> list[int]:
        with store.reading() as tx:
            return [int(row.id[-1]) for row in tx.flow_runs.page(limit=9, **conditions)]

    assert ids(flow="load") == [4, 2]
    assert ids(state=StateType.FAILED) == [1]
    assert ids(name="name-") == [4, 2, 1]
    assert ids(since=3) == [4, 3]
    assert ids(parent="run-0001") == [2]
    assert ids(roots=True) == [4, 3, 1]
    assert ids(tags=("a",)) == [3, 2, 1]
    assert ids(tags=("a",), flow="load", state=StateType.COMPLETED, name="n", since=1, parent="run-0001") == [2]
    assert ids(tags=("a",), roots=True, before=(3, "run-0003")) == [1]
    assert ids(tags=("c",)) == []


@pytest.mark.parametrize("many", [0, 3, 99])
def test_lists_are_the_same_whichever_condition_finds_the_runs(
    store: Store, many: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("penstock.store.flow_runs._MANY", many)
    rows = [
        flow_row(
            number,
            name=("brisk-otter", "brisk-eel", "calm-otter")[number % 3],
            flow_name=("etl", "load")[number % 2],
            state_type=("COMPLETED", "FAILED")[number // 2 % 2],
            tags=('["a"]', '["b"]', '["a","b"]', '["a","b","c"]', "[]")[number % 5],
            deployment_id=(None, "nightly", "hourly")[number // 3 % 3],
            work_pool=(None, "default", "k8s")[number // 5 % 3],
            work_queue=(None, "default", "urgent")[number // 7 % 3],
        )
        for number in range(40)
    ]
    with store.transaction() as tx:
        tx.flow_runs.save(rows)
        tx.flow_runs.save_tags(rows)
    meets: dict[str, Callable[[FlowRow, Any], bool]] = {
        "flow": lambda row, flow: row.flow_name == flow,
        "state": lambda row, state: row.state_type == state,
        "deployment": lambda row, deployment: row.deployment_id == deployment,
        "pool": lambda row, pool: row.work_pool == pool,
        "queue": lambda row, queue: row.work_queue == queue,
        "name": lambda row, name: row.name.startswith(name),
        "tags": lambda row, tags: set(tags) <= set(texts_in(row.tags)),
    }
    values: dict[str, Any] = {
        "flow": "etl",
        "state": StateType.FAILED,
        "deployment": "nightly",
        "pool": "k8s",
        "queue": "urgent",
        "name": "brisk",
        "tags": ("a", "b"),
    }

    with store.reading() as tx:
        for size in (1, 2, 3):
            for some in combinations(values, size):
                conditions = {what: values[what] for what in some}
                right = [row.id for row in reversed(rows) if all(meets[what](row, values[what]) for what in some)]
                assert [row.id for row in tx.flow_runs.page(limit=99, **conditions)] == right, some
                assert [row.id for row in tx.flow_runs.page(limit=2, before=(30, ""), **conditions)] == [
                    each for each in right if each < "run-0030"
                ][:2], some


def test_runs_are_counted_by_the_part_of_a_time_in_which_they_were_created(store: Store):
    with store.transaction() as tx:
        tx.flow_runs.save(
            [
                flow_row(1, deployment_id="nightly"),
                flow_row(12, deployment_id="nightly", state_type="FAILED"),
                flow_row(13, deployment_id="nightly", flow_name="load", parent_flow_run_id="run-0001"),
                flow_row(14, deployment_id="hourly"),
                flow_row(25, deployment_id="nightly"),
            ]
        )

    def counts(**conditions: Any) -> set[tuple[int, StateType, int]]:
        with store.reading() as tx:
            return set(tx.flow_runs.counts(since=0, until=25, width=10, parts=3, **conditions))

    completed, failed = StateType.COMPLETED, StateType.FAILED
    assert counts() == {(0, completed, 1), (1, completed, 2), (1, failed, 1)}
    assert counts(roots=True) == counts(flow="etl") == {(0, completed, 1), (1, completed, 1), (1, failed, 1)}
    assert counts(deployment="nightly") == {(0, completed, 1), (1, completed, 1), (1, failed, 1)}
    assert counts(deployment="nightly", roots=True) == {(0, completed, 1), (1, failed, 1)}
    assert counts(deployment="nightly", flow="load") == {(1, completed, 1)}


def test_tags_that_were_taken_off_find_nothing_any_more(store: Store):
    with store.transaction() as tx:
        tx.flow_runs.save([flow_row(1, tags='["a"]')])
        tx.flow_runs.save_tags([flow_row(1, tags='["a","a"]')])
        tx.flow_runs.save_tags([flow_row(1, tags='["b"]')])

    with store.reading() as tx:
        assert tx.flow_runs.page(limit=9, tags=("a",)) == []
        assert len(tx.flow_runs.page(limit=9, tags=("b",))) == 1


def test_flow_runs_are_found_by_name_and_by_the_beginning_of_an_id(store: Store):
    with store.transaction() as tx:
        tx.flow_runs.save([flow_row(1), flow_row(2, name="name-1"), flow_row(3)])

    with store.reading() as tx:
        assert tx.flow_runs.latest_named("name-1") == "run-0002"
        assert tx.flow_runs.latest_named("name") is None
        assert tx.flow_runs.ids_that_begin_with("run-", limit=2) == ["run-0001", "run-0002"]
        assert tx.flow_runs.ids_that_begin_with("%") == []
        assert tx.flow_runs.latest(1) == [("run-0003", "name-3")]


def test_families_are_found_at_any_depth(store: Store):
    child: dict[str, Any] = {"root_run_id": "run-0001"}
    with store.transaction() as tx:
        tx.flow_runs.save([flow_row(1), flow_row(2, parent_flow_run_id="run-0001", state_type="RUNNING", **child)])
        tx.flow_runs.save([flow_row(3, parent_flow_run_id="run-0002", **child), flow_row(4)])

    with store.reading() as tx:
        assert sorted(tx.flow_runs.descendants("run-0001")) == ["run-0001", "run-0002", "run-0003"]
        assert [row.id for row in tx.flow_runs.of_root("run-0001")] == ["run-0001", "run-0002", "run-0003"]
        assert [row.id for row in tx.flow_runs.of_root("run-0001", unfinished=True)] == ["run-0002"]


def test_flows_are_counted_and_show_their_newest_run(store: Store):
    with store.transaction() as tx:
        tx.flow_runs.save([flow_row(1), flow_row(2, state_type="FAILED"), flow_row(3, flow_name="load")])
        tx.flow_runs.count_flows({"etl": 2, "load": 1, "gone": 1})
        tx.flow_runs.count_flows({"gone": -1, "etl": 0})

    with store.reading() as tx:
        etl, load = tx.flow_runs.flows(limit=9)
        assert tx.flow_runs.run_counts() == {"etl": 2, "load": 1}
    assert (etl.name, etl.runs, etl.last_run_at, etl.last_state_type) == ("etl", 2, 2, StateType.FAILED)
    assert (load.runs, load.entrypoint) == (1, "flow.py:etl")


def test_runs_that_ended_are_found_oldest_first(store: Store):
    with store.transaction() as tx:
        tx.flow_runs.save([flow_row(3), flow_row(1), flow_row(2, state_type="RUNNING")])
        tx.flow_runs.save([flow_row(4, parent_flow_run_id="run-0001", root_run_id="run-0001")])

    with store.reading() as tx:
        assert [root.id for root in tx.flow_runs.ended_roots(before=99)] == ["run-0001", "run-0003"]
        assert [root.id for root in tx.flow_runs.ended_roots(before=7)] == ["run-0001"]
        assert tx.flow_runs.count_ended_roots() == 2
        assert tx.flow_runs.without_journals() == ["run-0001", "run-0002", "run-0003", "run-0004"]


def test_task_runs_are_listed_in_the_order_in_which_they_came(store: Store):
    with store.transaction() as tx:
        tx.task_runs.save([task_row(2), task_row(1, state_type="FAILED"), task_row(3, state_type="RUNNING")])
        tx.task_runs.save([task_row(2, name="again")])

    with store.reading() as tx:
        first = tx.task_runs.page("run-0001", limit=2)
        rest = tx.task_runs.page("run-0001", limit=2, after=first[-1].sequence)
        not_completed = tx.task_runs.page(
            "run-0001", limit=9, states=((StateType.FAILED, None), (StateType.RUNNING, None))
        )
        completed = tx.task_runs.page("run-0001", limit=9, states=((StateType.COMPLETED, None),))
        assert [row.id for row in tx.task_runs.unfinished(["run-0001", "x"])] == ["task-0003"]
        assert tx.task_runs.rows(["task-0002"])[0].view().upstream == ("a", "b")
        assert tx.task_runs.row("nobody") is None
        assert tx.task_runs.ids_that_begin_with("task-000", limit=2) == ["task-0001", "task-0002"]
    assert [each.row.name for each in first + rest] == ["again", "load-1", "load-3"]
    assert [each.row.id for each in not_completed] == ["task-0001", "task-0003"]
    assert [each.row.id for each in completed] == ["task-0002"]


def test_more_ids_than_fit_one_statement_can_be_asked_for(store: Store):
    with store.transaction() as tx:
        tx.task_runs.save(task_row(number) for number in range(1200))

    with store.reading() as tx:
        assert len(tx.task_runs.rows(f"task-{number:04}" for number in range(1500))) == 1200


def test_states_are_counted_up_and_down(store: Store):
    running, completed = ("run-0001", "RUNNING", "Running"), ("run-0001", "COMPLETED", "Completed")
    with store.transaction() as tx:
        tx.task_runs.count_states({running: 3})
        tx.task_runs.count_states({running: -3, completed: 3})
        tx.task_runs.count_states({completed: 1, running: 0})

    with store.reading() as tx:
        assert [astuple(count) for count in tx.task_runs.state_counts(["run-0001"])] == [(*completed, 4)]
    with store.transaction() as tx:
        tx.task_runs.forget(["run-0001"])
        assert tx.task_runs.state_counts(["run-0001"]) == []


def test_logs_can_be_paged_followed_filtered_and_read_from_the_end(store: Store):
    with store.transaction() as tx:
        tx.logs.append([LogRow(n, f"run-{n % 2}", f"task-{n}", 10 * n, "log", f"line {n}") for n in range(6)])

    def lines(*runs: str, **options: Any) -> list[int]:
        with store.reading() as tx:
            options.setdefault("limit", 99)
            return [entry.at for entry in tx.logs.page(runs, **options)]

    with store.reading() as tx:
        third = tx.logs.page(["run-0", "run-1"], limit=3)[-1]
    assert third.message == "line 2"
    assert lines("run-0", "run-1") == [0, 1, 2, 3, 4, 5]
    assert lines("run-0", "run-1", after=third.sequence) == [3, 4, 5]
    assert lines("run-0", level=20) == [2, 4]
    assert lines("run-0", "run-1", task="task-3") == [3]
    assert lines("run-0", "run-1", limit=2) == [0, 1]
    assert lines("run-0", "run-1", limit=2, tail=True) == [4, 5]
    assert lines("run-0", limit=99, tail=True) == [0, 2, 4]


def test_sequences_are_not_used_twice_so_that_a_follower_misses_nothing(store: Store):
    with store.transaction() as tx:
        tx.logs.append([LogRow(1, "run", None, 20, "log", "one")])
        before = tx.logs.page(["run"], limit=1)[0].sequence
        tx.logs.forget(["run"])
        tx.logs.append([LogRow(2, "run", None, 20, "log", "two")])

        assert tx.logs.page(["run"], limit=1)[0].sequence > before


def test_artifacts_are_replaced_by_id_and_listed_newest_first(store: Store):
    def row(number: int, key: str | None, **options: Any) -> ArtifactRow:
        given = ArtifactRow(f"art-{number}", "run-1", None, "table", key, None, 1, 1, 1, pack([{"a": 1}]))
        for name, value in options.items():
            setattr(given, name, value)
        return given

    with store.transaction() as tx:
        tx.artifacts.save([row(1, "a"), row(2, None, kind="link"), row(3, "a", flow_run_id="run-2")])
        tx.artifacts.save([row(1, "a", description="again")])

    with store.reading() as tx:
        every = tx.artifacts.page(limit=9)
        assert [each.row.id for each in every] == ["art-3", "art-2", "art-1"]
        assert (every[-1].row.description, every[-1].row.view().data) == ("again", [{"a": 1}])
        assert [each.row.id for each in tx.artifacts.page(limit=9, before=every[0].sequence, key="a")] == ["art-1"]
        assert [each.row.id for each in tx.artifacts.page(limit=9, flow_run_ids=("run-1",), kind="link")] == ["art-2"]
        assert (tx.artifacts.keys(9), tx.artifacts.ids_that_begin_with("art-", limit=1)) == (["a"], ["art-1"])
        assert [each.id for each in tx.artifacts.rows(["art-2"])] == ["art-2"]


def test_events_are_listed_oldest_first(store: Store):
    with store.transaction() as tx:
        tx.events.append(
            [EventRow(n, f"e{n}", f"run-{n % 2}", None, pack({"r": "s"}), pack({"n": n})) for n in range(4)]
        )

    with store.reading() as tx:
        every = tx.events.page(limit=99)
        assert [event.payload["n"] for event in every] == [0, 1, 2, 3]
        assert [event.at for event in tx.events.page(limit=99, after=every[1].sequence)] == [2, 3]
        assert [event.at for event in tx.events.page(limit=99, run_ids=("run-0",))] == [0, 2]
        assert [event.resource for event in tx.events.page(limit=99, name="e1")] == [{"r": "s"}]


@pytest.mark.parametrize("many", [0, 99])
def test_events_from_a_time_on_are_found_though_some_came_late(
    store: Store, many: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("penstock.store.events._MANY", many)
    with store.transaction() as tx:
        times = [1, 6, 2, 7, 3, 8]
        tx.events.append([EventRow(at, f"e{at % 2}", f"run-{at}", None, pack({}), pack({})) for at in times])

    def times_of(*, limit: int = 9, **conditions: Any) -> list[int]:
        with store.reading() as tx:
            return [event.at for event in tx.events.page(limit=limit, **conditions)]

    with store.reading() as tx:
        third = tx.events.page(limit=3)[-1].sequence
    assert times_of(since=6) == times_of(since=6, tail=True) == [6, 7, 8]
    assert times_of(since=6, limit=1) == [6]
    assert times_of(since=3, limit=2, tail=True) == [3, 8]
    assert times_of(since=6, after=third) == [7, 8]
    assert times_of(since=6, name="e0") == [6, 8]
    assert times_of(since=6, run_ids=("run-7", "run-1")) == [7]
    assert times_of(since=9) == times_of(since=9, tail=True) == []


def test_a_piece_of_a_journal_is_kept_once(store: Store):
    with store.transaction() as tx:
        tx.journals.append("run", 1, "main", 19, b"abc")
        tx.journals.append("run", 1, "main", 22, b"d")
        tx.journals.append("run", 2, "main", 19, b"e")
        (first, second, third) = tx.journals.segments("run")
        assert (tx.journals.frames(first), second.start, second.end) == (b"abc", 22, 23)
        assert tx.journals.segments("run", attempt=1, writer="main") == [first, second]
        assert list(tx.journals.all_segments()) == [first, second, third]

    with pytest.raises(errors.StoreError, match=r"UNIQUE|a_piece_is_kept_once"), store.transaction() as tx:
        tx.journals.append("run", 1, "main", 19, b"abc")


def test_cursors_tell_how_far_each_journal_is(store: Store):
    cursor = CursorRow("run", 1, "main", 30, 7, "here", "boot", 4242, 0, b"\x90")
    later = CursorRow("run", 2, "main", 30, 7, "here", "boot", 4242, 0, b"\x90")
    with store.transaction() as tx:
        tx.journals.save_cursors([cursor])
        cursor.end_offset = 40
        tx.journals.save_cursors([cursor])
        tx.journals.save_cursors([later])

    with store.reading() as tx:
        assert tx.journals.cursor("run", 1, "main") == cursor
        assert tx.journals.cursor("run", 1, "other") is None
        assert tx.journals.cursors("run") == [cursor, later]
        assert (tx.journals.latest_attempt("run"), tx.journals.latest_attempt("nobody")) == (2, 0)
        assert list(tx.journals.run_ids()) == ["run"]
    with store.transaction() as tx:
        tx.journals.forget("run")
        assert tx.journals.cursors("run") == []


def test_result_files_are_named_by_runs(store: Store):
    with store.transaction() as tx:
        tx.result_files.refer("run-1", ["a", "b"])
        tx.result_files.refer("run-1", ["b"])
        tx.result_files.refer("run-2", ["b"])

    with store.transaction() as tx:
        assert tx.result_files.of_root("run-1") == ["a", "b"]
        assert tx.result_files.referrers(["a", "b", "c"]) == {"a": {"run-1"}, "b": {"run-1", "run-2"}}
        tx.result_files.forget("run-1")
        assert list(tx.result_files.locations()) == ["b"]


def test_a_run_is_forgotten_with_all_that_belongs_to_it(store: Store):
    with store.transaction() as tx:
        tx.flow_runs.save([flow_row(1)])
        tx.flow_runs.save_tags([flow_row(1, tags='["a"]')])
        tx.task_runs.save([task_row(1)])
        tx.artifacts.save([ArtifactRow("art", "run-0001", None, "link", None, None, 1, 1, 1, pack(None))])
        tx.events.append([EventRow(1, "e", "run-0001", None, pack({}), pack({}))])
        tx.flow_runs.forget(["run-0001"])
        tx.task_runs.forget(["run-0001"])
        tx.artifacts.forget(["run-0001"])
        tx.events.forget(["run-0001"])

        assert tx.flow_runs.page(limit=9) == tx.flow_runs.page(limit=9, tags=("a",)) == tx.events.page(limit=9) == []
        assert tx.task_runs.page("run-0001", limit=9) == tx.artifacts.page(limit=9) == []


def test_all_rows_can_be_forgotten(store: Store):
    with store.transaction() as tx:
        tx.flow_runs.save([flow_row(1)])
        tx.result_files.refer("run-1", ["a"])
        for rows in (tx.flow_runs, tx.task_runs, tx.logs, tx.artifacts, tx.events, tx.result_files):
            rows.forget_all()
        tx.journals.forget_all_cursors()

        assert tx.flow_runs.page(limit=9) == []


def test_a_transaction_keeps_all_or_nothing(store: Store):
    with pytest.raises(ZeroDivisionError), store.transaction() as tx:
        tx.flow_runs.save([flow_row(1)])
        _ = 1 / 0

    with store.reading() as tx:
        assert tx.flow_runs.row("run-0001") is None


def test_text_that_no_database_could_keep_is_kept_with_marks_in_its_place(store: Store):
    with store.transaction() as tx:
        tx.logs.append([LogRow(1, "run", None, 20, "log", "a\0b\ud800c😀é")])
        tx.meta.put("a\0", "\udfff")

    with store.reading() as tx:
        assert tx.logs.page(["run"], limit=1)[0].message == "a\ufffdb\ufffdc😀é"
        assert tx.meta.value("a\0") == tx.meta.value("a\ufffd") == "\ufffd"


def test_texts_are_in_the_order_of_their_characters(store: Store):
    names = ["A", "Z", "_", "a", "z", "é", "😀"]
    with store.transaction() as tx:
        tx.result_files.refer("run", reversed(names))
        assert list(tx.result_files.locations()) == names


def test_a_transaction_in_which_a_statement_failed_is_not_kept_whatever_is_done_about_it(store: Store):
    with pytest.raises(errors.StoreError, match="statement failed"), store.transaction() as tx:
        tx.meta.put("a", "1")
        with pytest.raises(errors.StoreError):
            tx.flow_runs.save([flow_row(1, ended_at=None)])
            tx.meta.value("a")

    with store.reading() as tx:
        assert tx.meta.value("a") is None


def test_events_of_a_transaction_are_seen_by_it(store: Store):
    with store.transaction() as tx:
        tx.events.append([EventRow(1, "e", "run", None, pack({}), pack({}))] * 6000)
        assert len(tx.events.page(limit=9999)) == 6000
        tx.events.append([EventRow(2, "e", "run", None, pack({}), pack({}))])
        tx.events.forget(["run"])
        assert tx.events.page(limit=9) == []


def test_the_time_is_the_same_all_through_a_transaction_and_never_before_that_of_the_last(store: Store):
    with store.transaction() as tx:
        first = tx.now
        tx.meta.put("a", "1")
        assert tx.now == first
    with store.transaction() as tx:
        assert tx.now >= first
    with store.reading() as tx:
        assert tx.now >= first > 1_700_000_000_000_000


def test_ids_made_later_sort_later(store: Store):
    with store.transaction() as tx:
        first = tx.new_id()

    assert len(first) == 36
    assert first[14] == "7"


def test_use_cases_run_in_a_transaction_and_return_what_they_found(store: Store):
    def put(tx: Transaction) -> str | None:
        tx.meta.put("a", "1")
        return tx.meta.value("a")

    def fail(tx: Transaction) -> None:
        tx.meta.put("a", "2")
        raise errors.NotFound("No flow run has the id: `x`")

    assert store.run(put) == "1"
    with pytest.raises(errors.NotFound):
        store.run(fail)
    with store.reading() as tx:
        assert tx.meta.value("a") == "1"


def test_who_names_the_same_key_comes_one_after_the_other(store: Store):
    def count(tx: Transaction) -> None:
        tx.lock("count")
        tx.lock("count")
        tx.meta.put("count", str(int(tx.meta.value("count") or 0) + 1))

    together([lambda: [store.run(count) for _ in range(10)]] * 4)

    with store.reading() as tx:
        assert tx.meta.value("count") == "40"


def test_subscribers_hear_of_what_is_committed_and_only_then(store: Store):
    heard: list[frozenset[str]] = []

    def callback(topics: frozenset[str]) -> None:
        heard.append(topics)
        with store.transaction() as tx:  # the store is free again
            tx.meta.put("heard", "1")

    unsubscribe = store.subscribe(callback)
    with store.transaction() as tx:
        tx.wake("events")
        tx.wake("run:1")
        tx.wake("events")
        assert heard == []
    with pytest.raises(ZeroDivisionError), store.transaction() as tx:
        tx.wake("events")
        _ = 1 / 0
    unsubscribe()
    unsubscribe()
    with store.transaction() as tx:
        tx.wake("events")

    assert heard == [frozenset({"events", "run:1"})]


def test_a_subscriber_that_raises_keeps_nothing_from_others(store: Store):
    heard: list[frozenset[str]] = []
    told: list[str] = []
    stop = telemetry.subscribe(lambda event, details: told.append(f"{event} {details}"))
    store.listen()
    store.subscribe(lambda _: 1 // 0)
    store.subscribe(heard.append)
    with store.transaction() as tx:
        tx.wake("events")
    stop()

    assert heard == [frozenset({"events"})]
    assert [each for each in told if each.startswith("store.subscriber_failed")]


def test_threads_take_turns_to_write(store: Store):
    def save(number: int) -> None:
        for each in range(20):
            with store.transaction() as tx:
                tx.flow_runs.save([flow_row(100 * number + each)])
            with store.reading() as tx:
                assert tx.flow_runs.row(f"run-{100 * number + each:04}") is not None

    together([partial(save, number) for number in range(4)])

    with store.reading() as tx:
        assert len(tx.flow_runs.page(limit=999)) == 80
