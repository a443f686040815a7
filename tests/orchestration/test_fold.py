from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import astuple

from penstock import errors
from penstock.core import records
from penstock.core.result_records import ResultRecord
from penstock.core.states import StateType
from penstock.journal import frames
from penstock.orchestration import overview
from penstock.orchestration.fold import CONTROL, START, JournalKey, Outcome, as_piece, fold, fold_again, record
from penstock.store import sqlite
from penstock.store.interface import Store, Transaction
from penstock.store.sqlite import SqliteStore

ROOT = "01920001-0000-7000-8000-000000000001"
CHILD = "01920001-0000-8000-8000-00000000000c"


def journal(said: Iterable[records.Record]) -> list[bytes]:
    return [frames.frame(records.encode(each)) for each in said]


def opened(attempt: int = 1, writer: str = "main", at: int = 1) -> records.JournalOpened:
    return records.JournalOpened(records.FORMAT, ROOT, attempt, writer, "here", "", 7, at, "0.1.0")


def began(at: int, attempt: int = 1, flow_run_id: str = ROOT, **options: Any) -> records.FlowRunBegan:
    return records.FlowRunBegan(at, flow_run_id, attempt, f"name-{attempt}", "etl", "", "", {"n": at}, **options)


def task(at: int, name: str, index: int = 0) -> records.TaskRunBegan:
    return records.TaskRunBegan(at, name, ROOT, ROOT, index, name, ("up",), "inputs", ("t",), b"address")


def contents(store: Store) -> dict[str, Any]:
    """All rows, without the order in which they were written."""
    with store.reading() as tx:
        flows = tx.flow_runs.of_root(ROOT)
        ids = [row.id for row in flows]
        tasks = [astuple(each.row) for one in ids for each in tx.task_runs.page(one, limit=1000)]
        return {
            "flows": {row.id: astuple(row) for row in flows},
            "tasks": {row[0]: row for row in tasks},
            "counts": set(tx.task_runs.state_counts(ids)),
            "artifacts": {each.row.id: astuple(each.row) for each in tx.artifacts.page(limit=1000)},
            "logs": Counter(astuple(each)[1:] for each in tx.logs.page(ids, limit=1000)),
            "events": Counter(
                (each.at, each.event, each.run_id, str(sorted(each.payload.items())))
                for each in tx.events.page(limit=1000)
            ),
            "flow counts": tx.flow_runs.run_counts(),
            "tagged": [row.id for row in tx.flow_runs.page(tags=("nightly",), limit=10)],
            "files": sorted(tx.result_files.of_root(ROOT)),
        }


def folded(pieces: Iterable[tuple[JournalKey, bytes, int]]) -> dict[str, Any]:
    with SqliteStore.in_memory() as store:
        for key, data, start in pieces:
            with store.transaction() as tx:
                fold(tx, key, as_piece(data, start))
        return contents(store)


def put(store: Store, said: Iterable[records.Record], attempt: int = 1, writer: str = "main", start: int = START):
    with store.transaction() as tx:
        return fold(tx, JournalKey(ROOT, attempt, writer), as_piece(b"".join(journal(said)), start))


# What is generated: an attempt's writers and what each of them says, in its order.

TASKS = ("a", "b", "c")
times = st.integers(min_value=0, max_value=30)
names = st.sampled_from(TASKS)
kept = st.sampled_from([None, ResultRecord("1", b"1"), ResultRecord("big", None, "ab/cd", 9)])
ends = st.sampled_from([("COMPLETED", "Completed"), ("FAILED", "Failed"), ("FAILED", "TimedOut")])


def starts(tasks: list[str]) -> list[st.SearchStrategy[Any]]:
    return [st.builds(task, times, st.sampled_from(tasks))] if tasks else []


def finishes(tasks: list[str]) -> list[st.SearchStrategy[Any]]:
    if not tasks:
        return []
    names = st.sampled_from(tasks)
    return [
        st.builds(
            lambda at, name: records.TaskRunMoved(at, name, "SCHEDULED", "AwaitingRetry", "again", 2), times, names
        ),
        st.builds(
            lambda at, name, result, end: records.TaskRunEnded(at, name, result, end[0], end[1], "why", 2, "miss"),
            times,
            names,
            kept,
            ends,
        ),
    ]


asides = [
    st.builds(lambda at, text: records.LogLine(at, ROOT, None, 20, "log", text), times, st.text(max_size=3)),
    st.builds(
        lambda at, name: records.EventEmitted(at, f"e{at}", ROOT, None, name, {"a": "b"}, {"n": at}), times, names
    ),
]
subflow_facts = st.one_of(
    st.builds(lambda at: began(at, flow_run_id=CHILD, parent_flow_run_id=ROOT, tags=("nightly",)), times),
    st.builds(lambda at: records.FlowRunMoved(at, CHILD, "SCHEDULED", "AwaitingRetry", None, 2), times),
    st.builds(lambda at, end: records.FlowRunEnded(at, CHILD, end[0], end[1], None, None, 2), times, ends),
    st.builds(
        lambda at, key: records.ArtifactSaved(at, f"art-{key}", ROOT, None, "markdown", key, None, f"text {at}"),
        times,
        names,
    ),
)


@st.composite
def attempts(draw: st.DrawFn) -> list[dict[str, list[bytes]]]:
    """For each attempt, what each writer says.

    A task run is begun by one writer and executed by one, the same or another. Artifacts and a
    subflow are the main writer's.
    """
    found: list[dict[str, list[bytes]]] = []
    for attempt in range(1, draw(st.integers(1, 3)) + 1):
        writers = draw(st.sampled_from([("main",), ("main", "w1"), ("main", "w1", "w2")]))
        starter = {name: draw(st.sampled_from(writers)) for name in TASKS}
        finisher = {name: draw(st.sampled_from(writers)) for name in TASKS}
        says = {
            writer: st.one_of(
                *starts([name for name in TASKS if starter[name] == writer]),
                *finishes([name for name in TASKS if finisher[name] == writer]),
                *asides,
            )
            for writer in writers
        }
        main: list[records.Record] = [opened(attempt), began(draw(times), attempt, tags=("nightly", "x")[:attempt])]
        main.append(records.TaskDefined(0, "mod.load", "load", ("io",)))
        main += draw(st.lists(st.one_of(says["main"], subflow_facts), max_size=8))
        if draw(st.booleans()):
            kind, name = draw(ends)
            main.append(records.FlowRunEnded(draw(times), ROOT, kind, name, None, draw(kept)))
        said = {"main": journal(main)}
        for writer in writers[1:]:
            start: list[records.Record] = [opened(attempt, writer), records.TaskDefined(0, "mod.load", "load", ("io",))]
            said[writer] = journal(start + draw(st.lists(says[writer], max_size=6)))
        found.append(said)
    return found


def whole(said: list[dict[str, list[bytes]]]) -> list[tuple[JournalKey, bytes, int]]:
    return [
        (JournalKey(ROOT, attempt, writer), b"".join(of), START)
        for attempt, writers in enumerate(said, start=1)
        for writer, of in writers.items()
    ]


def cut(data: st.DataObject, said: list[dict[str, list[bytes]]], *, shuffled: bool = False) -> list[Any]:
    """The same journals in pieces; ``shuffled`` among the writers of an attempt, each in its own order."""
    pieces: list[tuple[JournalKey, bytes, int]] = []
    for attempt, writers in enumerate(said, start=1):
        queues: list[list[tuple[JournalKey, bytes, int]]] = []
        for writer, of in writers.items():
            queue: list[tuple[JournalKey, bytes, int]] = []
            start, rest = START, list(of)
            while rest:
                size = data.draw(st.integers(1, len(rest)))
                piece = b"".join(rest[:size])
                queue.append((JournalKey(ROOT, attempt, writer), piece, start))
                start, rest = start + len(piece), rest[size:]
            queues.append(queue)
        while queues:
            chosen = queues[data.draw(st.integers(0, len(queues) - 1)) if shuffled else 0]
            pieces.append(chosen.pop(0))
            queues = [queue for queue in queues if queue]
    return pieces


@settings(max_examples=40)
@given(attempts(), st.data())
def test_any_chunks_give_the_same_rows(said: list[dict[str, list[bytes]]], data: st.DataObject):
    assert folded(cut(data, said)) == folded(whole(said))


@settings(max_examples=40)
@given(attempts(), st.data())
def test_any_order_of_an_attempts_writers_gives_the_same_rows(said: list[dict[str, list[bytes]]], data: st.DataObject):
    assert folded(cut(data, said, shuffled=True)) == folded(whole(said))


@settings(max_examples=40)
@given(attempts(), st.data())
def test_pieces_that_come_again_change_nothing(said: list[dict[str, list[bytes]]], data: st.DataObject):
    pieces = cut(data, said)
    again: list[Any] = []
    for position, piece in enumerate(pieces):
        again.append(piece)
        # All of its journal so far, which overlaps with what is known already.
        sent = [each for each in pieces[: position + 1] if each[0] == piece[0]]
        repeats = range(data.draw(st.integers(0, len(sent))))
        again += [(piece[0], b"".join(each[1] for each in sent[start:]), sent[start][2]) for start in repeats]

    assert folded(again) == folded(pieces)


@settings(max_examples=40)
@given(attempts(), st.data())
def test_folding_what_the_store_has_kept_gives_the_same_rows(said: list[dict[str, list[bytes]]], data: st.DataObject):
    with SqliteStore.in_memory() as store, SqliteStore.in_memory() as again:
        for key, piece, start in cut(data, said, shuffled=True):
            with store.transaction() as tx:
                fold(tx, key, as_piece(piece, start))
            if data.draw(st.booleans()):
                with store.transaction() as tx:
                    record(tx, ROOT, records.ProcessLost(40, ROOT, key.attempt, "died"), attempt=key.attempt)
        with store.reading() as tx, again.transaction() as fresh:
            for segment in tx.journals.all_segments():
                fold_again(fresh, segment, tx.journals.frames(segment))

        assert contents(again) == contents(store)


@settings(max_examples=40)
@given(attempts(), st.data())
def test_counts_are_those_of_the_rows(said: list[dict[str, list[bytes]]], data: st.DataObject):
    found = folded(cut(data, said, shuffled=True))
    counted: Counter[tuple[str, str, str]] = Counter((row[1], row[7], row[8]) for row in found["tasks"].values())

    assert {(one.flow_run_id, one.state_type, one.state_name): one.task_runs for one in found["counts"]} == counted
    assert found["flow counts"].get("etl", 0) == sum(row[2] == "etl" for row in found["flows"].values())


class _Fault(Exception):
    pass


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_fold_that_fails_at_any_write_leaves_nothing_and_succeeds_the_second_time(
    moment: str, monkeypatch: pytest.MonkeyPatch
):
    said = [opened(), began(2, tags=("nightly",)), records.TaskDefined(0, "k", "load"), task(3, "a")]
    said += [records.TaskRunEnded(4, "a", ResultRecord("big", None, "ab/cd"))]
    said += [records.LogLine(4, ROOT, None, 20, "log", "text"), records.FlowRunEnded(5, ROOT, "COMPLETED", "Completed")]
    said += [records.ArtifactSaved(5, "x", ROOT, None, "markdown", "k", None, "text")]
    pieces = [(JournalKey(ROOT, 1, "main"), b"".join(journal(said)), START)]
    expected = folded(pieces)
    empty = folded([])
    run_many = sqlite._Connection.run_many
    faults = 0
    while True:
        writes = 0

        def failing(self: Any, statement: Any, rows: Any, at: int = faults) -> None:
            nonlocal writes
            writes += 1
            if writes == at + 1 and moment == "before":
                raise _Fault
            run_many(self, statement, rows)
            if writes == at + 1:
                raise _Fault

        with SqliteStore.in_memory() as store:
            with monkeypatch.context() as patch:
                patch.setattr(sqlite._Connection, "run_many", failing)
                try:
                    put(store, said)
                except _Fault:
                    faults += 1
                else:
                    break
            assert contents(store) == empty
            put(store, said)
            assert contents(store) == expected
    assert faults > 8


def test_a_piece_after_a_gap_is_not_folded_and_says_where_to_go_on(store: Store):
    first = put(store, [opened(), began(2)])
    gap = put(store, [task(9, "a")], start=first.end + 50)

    assert (first.outcome, gap) == (Outcome.FOLDED, (Outcome.GAP, first.end, 0))
    assert put(store, [], start=first.end).outcome is Outcome.KNOWN


def test_a_piece_that_does_not_fit_what_was_folded_is_refused(store: Store):
    put(store, [opened(), began(2)])

    with pytest.raises(errors.CorruptJournal, match="lies where another one was"):
        put(store, [records.LogLine(1, ROOT, None, 20, "log", "text" * 99)])


def test_a_superseded_attempt_is_told_so(store: Store):
    put(store, [opened(), began(2)])
    put(store, [opened(2), began(3, 2)], attempt=2)

    late = put(store, [opened(1, "w1"), task(9, "a")], writer="w1")

    assert (late.outcome, late.records) == (Outcome.SUPERSEDED, 2)
    assert contents(store)["tasks"] == {}


def test_an_impossible_time_is_refused_and_nothing_is_written(store: Store):
    with pytest.raises(errors.CorruptJournal, match="impossible time"):
        put(store, [opened(), began(1 << 62)])

    with store.reading() as tx:
        assert tx.journals.segments(ROOT) == []


def test_a_state_that_does_not_end_a_run_cannot_end_it(store: Store):
    with pytest.raises(errors.CorruptJournal, match="impossible state: `RUNNING`"):
        put(store, [opened(), began(2), records.TaskRunEnded(3, "a", None, "RUNNING", "Running")])


def test_an_end_that_was_found_after_the_process_was_lost_still_counts(store: Store):
    put(store, [opened(), began(2), records.TaskDefined(0, "k", "load"), task(3, "a"), task(3, "b")])
    with store.transaction() as tx:
        record(tx, ROOT, records.ProcessLost(50, ROOT, 1, "Process 7 on here died"), attempt=1)
    put(store, [opened(1, "w1"), records.TaskRunEnded(4, "a"), task(9, "c", 5)], writer="w1")

    with store.reading() as tx:
        states = {name: overview.task_run(tx, name).state_name for name in "abc"}
        assert overview.task_run(tx, "c").state_message == "Process 7 on here died"
    assert states == {"a": "Completed", "b": "Interrupted", "c": "Interrupted"}


def test_a_reused_task_keeps_what_is_known_of_its_execution(store: Store):
    ended = records.TaskRunEnded(9, "a", ResultRecord("1", b"1"))
    put(store, [opened(), began(2), records.TaskDefined(0, "k", "load"), task(3, "a"), ended])
    reused = records.TaskRunReused(20, "a", ROOT, ROOT, 0, "a", ROOT, ResultRecord("1", b"1"))
    other = records.TaskRunReused(21, "b", ROOT, ROOT, 0, "b", "another run", ResultRecord("2", b"2"))
    put(store, [opened(2), began(12, 2), records.TaskDefined(0, "k", "load", ("io",)), reused, other], attempt=2)

    with store.reading() as tx:
        a, b = overview.task_run(tx, "a"), overview.task_run(tx, "b")
    assert (a.started_at, a.ended_at, a.attempt, a.reused_from, a.tags) == (3, 9, 2, ROOT, ("t",))
    assert (b.started_at, b.ended_at, b.state_type, b.reused_from) == (21, 21, StateType.COMPLETED, "another run")
    assert (b.task_name, b.tags, b.result) == ("load", ("io",), ResultRecord("2", b"2"))


def test_progress_of_another_writer_counts_before_the_run_itself_is_known(store: Store):
    put(store, [opened(1, "w1"), records.TaskRunEnded(4, "a")], writer="w1")
    with store.reading() as tx:
        root = overview.flow_run(tx, ROOT)
    assert (root.state_type, root.name) == (StateType.PENDING, "")

    put(store, [opened(), began(2)])
    with store.reading() as tx:
        root = overview.flow_run(tx, ROOT)
        assert overview.flows(tx)[0].runs == 1
    assert (root.state_type, root.name, root.created_at) == (StateType.RUNNING, "name-1", 2)


def test_an_artifact_of_the_same_id_is_replaced(store: Store):
    def saved(at: int, text: str) -> records.ArtifactSaved:
        return records.ArtifactSaved(at, "x", ROOT, None, "markdown", "report", None, text)

    put(store, [opened(), began(2), saved(3, "first"), saved(8, "second")])

    with store.reading() as tx:
        found = overview.artifact(tx, "report")
    assert (found.data, found.created_at, found.updated_at) == ("second", 3, 8)


def test_what_others_say_is_recorded_beside_what_the_run_wrote(store: Store):
    put(store, [opened(), began(2)])
    with store.transaction() as tx:
        record(tx, ROOT, records.ProcessLost(50, ROOT, 1, "died"), attempt=1)
        record(tx, ROOT, records.CommandIssued(60, ROOT, "tell", "me", {"what": "x"}), attempt=1)

    with store.reading() as tx:
        assert [segment.writer for segment in tx.journals.segments(ROOT)] == ["main", CONTROL, CONTROL]
        assert [event.event for event in overview.events(tx)] == ["flow_run.began", "flow_run.crashed", "flow_run.tell"]


def test_what_a_rerun_sets_aside_and_where_the_code_has_changed_is_told_as_events(store: Store):
    forgotten = records.ResultsForgotten(3, ROOT, ("a", "b"))
    diverged = records.ReplayDiverged(4, ROOT, ROOT, "mod.load", "changed", "one, now two")
    put(store, [opened(), began(2), forgotten, diverged])

    with store.reading() as tx:
        told = {event.event: event.payload for event in overview.events(tx)}
    assert told["flow_run.results_forgotten"] == {"task_runs": 2}
    assert told["flow_run.replay_diverged"]["kind"] == "changed"


def test_tags_that_a_run_lost_do_not_find_it_any_more(store: Store):
    put(store, [opened(), began(2, tags=("nightly",))])
    put(store, [opened(2), began(3, 2, tags=("daily",))], attempt=2)

    def tagged(tx: Transaction, tag: str) -> list[str]:
        return [run.id for run in overview.flow_runs(tx, tags=[tag]).items]

    with store.reading() as tx:
        assert (tagged(tx, "nightly"), tagged(tx, "daily")) == ([], [ROOT])
