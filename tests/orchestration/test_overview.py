from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from tests.orchestration.written import SECOND, SteppingClock, WrittenRun

from penstock import errors
from penstock.core import records
from penstock.core.operations.flow_runs import ListLogs
from penstock.core.states import StateType
from penstock.orchestration import flow_runs, overview
from penstock.orchestration.local import Home

Complete = Callable[..., WrittenRun]
Opened = Callable[[], AbstractContextManager[Home]]


@pytest.fixture
def ask(opened: Opened):
    """``ask(overview.flow_runs, states=…)`` of all that the journals say by now."""

    def ask(question: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        with opened() as home, home.reading() as tx:
            return question(tx, *arguments, **options)

    return ask


def failed(run: WrittenRun, **options: Any) -> WrittenRun:
    journal = run.journal()
    journal.append(run.began(**options))
    journal.append(run.ended("FAILED"))
    run.die()
    return run


def test_flow_runs_are_listed_newest_first_in_pages(ask: Any, complete: Complete):
    runs = [complete().id for _ in range(5)]

    first = ask(overview.flow_runs, limit=2)
    second = ask(overview.flow_runs, limit=2, cursor=first.next)
    third = ask(overview.flow_runs, limit=2, cursor=second.next)

    assert [run.id for page in (first, second, third) for run in page.items] == runs[::-1]
    assert third.next is None


def test_flow_runs_are_listed_by_what_people_ask_for(
    ask: Any, complete: Complete, new_run: Callable[[], WrittenRun], time: SteppingClock
):
    one = complete(name="brave-otter", tags=("a", "b"))
    time.advance(10)
    two = failed(new_run(), flow_name="load", tags=("a",), parent_flow_run_id=one.id)

    def ids(**conditions: Any) -> list[str]:
        return [run.id for run in ask(overview.flow_runs, **conditions).items]

    assert ids() == ids(states=["completed", "failed"]) == [two.id, one.id]
    assert ids(flow="load") == ids(states=[StateType.FAILED]) == ids(since=time.now() - SECOND) == [two.id]
    assert ids(parent=None) == ids(tags=["a", "b"]) == ids(name="brave") == [one.id]
    assert ids(parent=one.id) == ids(tags=["a"], states=["FAILED"]) == [two.id]
    assert ids(states=[]) == [two.id, one.id]  # no condition


def test_tags_are_whole_words_and_pages_are_filled_when_some_runs_lack_one(ask: Any, complete: Complete):
    wanted = [complete(tags=("a", "b") if number % 3 == 0 else ("a", "bb")).id for number in range(9)]

    page = ask(overview.flow_runs, tags=["a", "b"], limit=2)

    assert [run.id for run in page.items] == [wanted[6], wanted[3]]
    assert [run.id for run in ask(overview.flow_runs, tags=["a", "b"], limit=2, cursor=page.next).items] == [wanted[0]]


def test_an_unknown_type_of_state_is_told_with_the_nearest(ask: Any):
    with pytest.raises(errors.UsageError, match=r"`FAILD`") as caught:
        ask(overview.flow_runs, states=["FAILD"])
    assert caught.value.hint == "did you mean `failed`?"
    with pytest.raises(errors.UsageError) as caught:
        ask(overview.flow_runs, states=["x"])
    assert str(caught.value.hint).startswith("one of: scheduled, pending")


@pytest.mark.parametrize("question", [overview.flow_runs, overview.artifacts])
def test_a_place_that_is_none_is_told(ask: Any, question: Any):
    for place in ("nowhere", "no.where"):
        with pytest.raises(errors.UsageError, match="Not a place"):
            ask(question, cursor=place)


def test_a_flow_run_is_found_by_id_beginning_of_id_and_name(ask: Any, complete: Complete, time: SteppingClock):
    one = complete(name="otter")
    time.advance(1)
    two = complete(name="otter")

    assert ask(overview.flow_run, one.id).id == one.id
    assert ask(overview.flow_run, two.id[:8]).id == two.id
    assert ask(overview.flow_run, "otter").id == two.id
    assert ask(overview.last_flow_run).id == two.id


def test_the_beginning_of_several_ids_is_told(ask: Any, complete: Complete):
    one = complete()
    complete()

    with pytest.raises(errors.UsageError, match="more than one flow run begins with: `0192`") as caught:
        ask(overview.flow_run, "0192")
    assert caught.value.hint == f"give more of it, for example `{one.id}`"
    with pytest.raises(errors.NotFound):
        ask(overview.flow_run, "019")


def test_what_does_not_exist_is_told_with_what_may_have_been_meant(ask: Any, complete: Complete):
    with pytest.raises(errors.NotFound, match="no flow runs yet"):
        ask(overview.last_flow_run)
    with pytest.raises(errors.NotFound) as caught:
        ask(overview.flow_run, "otter")
    assert caught.value.hint == "list them with `penstock flow-run ls`"
    complete(name="brave-otter")

    with pytest.raises(errors.NotFound) as caught:
        ask(overview.flow_run, "brave-oter")
    assert caught.value.hint == "did you mean `brave-otter`?"
    with pytest.raises(errors.NotFound, match="No task run has the id: `x`"):
        ask(overview.task_run, "x")
    with pytest.raises(errors.NotFound, match="No artifact has the key or id: `x`"):
        ask(overview.artifact, "x")
    with pytest.raises(errors.NotFound, match="No flow run or task run has the id: `x`"):
        ask(overview.state_history, "x")


def test_task_runs_are_listed_in_the_order_in_which_they_began(ask: Any, run: WrittenRun):
    journal = run.journal()
    journal.append(run.began())
    for name in "abcde":
        journal.append(run.task_began(name))
    journal.append(run.task_ended("b", "FAILED"))
    journal.append(run.task_ended("a"))

    first = ask(overview.task_runs, run.id, limit=3)
    rest = ask(overview.task_runs, run.id, limit=3, cursor=first.next)

    assert [task.name for task in first.items + rest.items] == list("abcde")
    assert [task.name for task in ask(overview.task_runs, run.id, states=["failed"]).items] == ["b"]
    assert ask(overview.task_run, run.task_id("b")[:13]).name == "b"
    counts = [(count.state_name, count.task_runs) for count in ask(overview.state_counts, run.id)]
    assert counts == [("Completed", 1), ("Failed", 1), ("Running", 3)]


def test_logs_are_followed_and_read_with_those_of_subflows(ask: Any, run: WrittenRun):
    journal = run.journal()
    journal.append(run.began())
    journal.append(run.began(flow_run_id="child", parent_flow_run_id=run.id))
    for number in range(3):
        journal.append(run.log(f"line {number}", level=10 * number, task="a" if number else None))
    journal.append(records.LogLine(run.time.now(), "child", None, 30, "log", "from the child"))

    def lines(**options: Any) -> list[str]:
        return [entry.message for entry in ask(overview.logs, run.id, **options)]

    first = ask(overview.logs, run.id, limit=1)
    assert lines() == ["line 0", "line 1", "line 2"]
    assert lines(after=first[0].sequence) == ["line 1", "line 2"]
    assert lines(subflows=True, tail=True, limit=2) == ["line 2", "from the child"]
    assert lines(level=20) == ["line 2"]
    assert lines(task=run.task_id("a")) == ["line 1", "line 2"]


def test_artifacts_are_found_by_run_key_and_id(ask: Any, run: WrittenRun):
    journal = run.journal()
    journal.append(run.began())
    journal.append(run.began(flow_run_id="child", parent_flow_run_id=run.id))
    for number, (owner, key) in enumerate([(run.id, "report"), (run.id, None), ("child", "report")]):
        kind = "markdown" if number else "table"
        journal.append(records.ArtifactSaved(number, f"art-{number}", owner, None, kind, key, None, {"n": number}))

    def data(**conditions: Any) -> list[int]:
        return [each.data["n"] for each in ask(overview.artifacts, **conditions).items]

    first = ask(overview.artifacts, limit=2)
    assert data() == data(flow_run_id=run.id, subflows=True) == [2, 1, 0]
    assert data(flow_run_id=run.id) == [1, 0]
    assert data(key="report", kind="table") == data(cursor=first.next) == [0]
    assert ask(overview.artifact, "report").data == {"n": 2}
    assert ask(overview.artifact, "art-1").data == {"n": 1}
    with pytest.raises(errors.UsageError, match="more than one artifact"):
        ask(overview.artifact, "art-")
    with pytest.raises(errors.NotFound) as caught:
        ask(overview.artifact, "repord")
    assert caught.value.hint == "did you mean `report`?"


def test_events_tell_what_happened_to_runs(ask: Any, complete: Complete):
    run = complete()

    assert [event.event for event in ask(overview.events)] == ["flow_run.began", "flow_run.completed"]
    assert ask(overview.events, run_id="x") == []
    (event,) = ask(overview.events, run_id=run.id, name="flow_run.began")
    assert event.resource == {"penstock.resource.id": f"flow_run.{run.id}"}


def test_flows_are_listed_with_their_newest_run(ask: Any, complete: Complete, new_run: Callable[[], WrittenRun]):
    complete()
    failed(new_run())
    complete(flow_name="load", description="Loads.")

    etl, load = ask(overview.flows)

    assert (etl.name, etl.runs, etl.last_state_type) == ("etl", 2, StateType.FAILED)
    assert (load.name, load.runs, load.description) == ("load", 1, "Loads.")


def test_the_history_of_a_run_tells_each_state_that_it_was_in(ask: Any, run: WrittenRun, time: SteppingClock):
    journal = run.journal()
    journal.append(run.began())
    journal.append(run.task_began("a"))
    journal.append(records.TaskRunMoved(time.now(), run.task_id("a"), "SCHEDULED", "AwaitingRetry", "again", 1))
    journal.append(run.task_ended("a", run_count=2))
    journal.append(records.FlowRunMoved(time.now(), run.id, "SCHEDULED", "AwaitingRetry"))
    run.die()
    ask(overview.flows)
    journal = run.journal(attempt=2)
    journal.append(run.began(attempt=2))
    journal.define(records.TaskDefined(0, "k", "load"))
    reused = records.TaskRunReused(time.now(), run.task_id("a"), run.id, run.id, 0, "a", run.id)
    journal.append(reused)
    journal.append(run.ended())
    run.die()

    def history(run_id: str) -> list[tuple[str, int, int]]:
        return [(each.name, each.attempt, each.run_count) for each in ask(overview.state_history, run_id)]

    crashed = [("Running", 1, 1), ("AwaitingRetry", 1, 1), ("Crashed", 1, 1)]
    assert history(run.id) == [*crashed, ("Running", 2, 1), ("Completed", 2, 1)]
    assert history(run.task_id("a")) == [
        ("Running", 1, 1),
        ("AwaitingRetry", 1, 1),
        ("Completed", 1, 2),
        ("Completed", 2, 1),
    ]


def test_logs_can_be_asked_for_and_followed_like_all_else(ask: Any, run: WrittenRun):
    journal = run.journal()
    journal.append(run.began())
    for number in range(3):
        journal.append(records.LogLine(run.time.now(), run.id, None, 20 + 10 * number, "x", f"line {number}"))
    run.die()

    first = ask(flow_runs.list_logs, ListLogs(run=run.id, limit=1))
    rest = ask(flow_runs.list_logs, ListLogs(run=run.id, after=first.next))
    errors_only = ask(flow_runs.list_logs, ListLogs(run=run.id, level=40))

    assert [line.message for line in first.items + rest.items] == ["line 0", "line 1", "line 2"]
    assert rest.next is None
    assert [line.message for line in errors_only.items] == ["line 2"]


@pytest.mark.parametrize("after", ["-1", "x", "²", "9" * 19])
def test_a_cursor_of_logs_that_is_none_is_told(ask: Any, run: WrittenRun, after: str):
    journal = run.journal()
    journal.append(run.began())
    run.die()

    with pytest.raises(errors.UsageError, match="Not a place"):
        ask(flow_runs.list_logs, ListLogs(run=run.id, after=after))
