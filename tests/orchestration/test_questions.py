"""What the API, the pages and the command line ask about runs, on either database."""

from __future__ import annotations

import pytest
from tests.orchestration.plant import Plant

from penstock import errors
from penstock.core import records
from penstock.core.operations import artifacts, events, flow_runs, flows, task_runs
from penstock.core.states import StateType
from penstock.store.sqlite import SqliteStore

SECOND = 1_000_000


def by_hand(plant: Plant, number: int, *, state: str | None = "COMPLETED", flow: str = "report") -> str:
    """A run that somebody called; each begins a second after the one before."""
    run_id = f"0192{number:04x}-0000-7000-8000-{number:012x}"
    at = number * SECOND
    opened = records.JournalOpened(1, run_id, 1, "main", "host", "boot", 4242, at, "0")
    plant.tell(run_id, 1, opened, records.FlowRunBegan(at, run_id, 1, f"{flow}-{number}", flow, "1", "a.py:b", {}))
    if state is not None:
        plant.tell(run_id, 1, records.FlowRunEnded(at + 1, run_id, state, state.capitalize()))
    return run_id


def say(plant: Plant, run_id: str, text: str, *, level: int = 20, task: str | None = None, at: int = 7) -> None:
    plant.tell(run_id, 1, records.LogLine(at, run_id, task and f"{run_id}/{task}", level, "penstock", text))


def test_flows_are_listed_in_pages_and_looked_up(plant: Plant):
    for number, flow in enumerate(("b", "a", "c", "ab"), 1):
        by_hand(plant, number, flow=flow)

    first = plant.ask(flows.ListFlows(limit=2))
    rest = plant.ask(flows.ListFlows(limit=2, after=first.next))

    assert [flow.name for flow in (*first.items, *rest.items)] == ["a", "ab", "b", "c"]
    assert rest.next is None
    assert [flow.name for flow in plant.ask(flows.ListFlows(name="a")).items] == ["a", "ab"]
    assert plant.ask(flows.GetFlow(flow="b")).runs == 1
    with pytest.raises(errors.NotFound, match="did you mean"):
        plant.ask(flows.GetFlow(flow="abc"))


def test_runs_that_are_due_are_listed_soonest_first(plant: Plant):
    now = plant.now()
    late = plant.create(in_seconds=60)
    soon = plant.create(in_seconds=10)
    at_once = plant.create()

    first = plant.ask(flow_runs.ListDueFlowRuns(limit=2))
    rest = plant.ask(flow_runs.ListDueFlowRuns(limit=2, after=first.next, deployment="etl/nightly", pool="default"))

    assert [run.id for run in (*first.items, *rest.items)] == [at_once, soon, late]
    assert rest.next is None
    assert plant.ask(flow_runs.ListDueFlowRuns(queue="other")).items == []
    until = plant.ask(flow_runs.ListDueFlowRuns(until=now + 30 * SECOND))
    assert [run.id for run in until.items] == [at_once, soon]


def test_a_run_that_is_claimed_waits_no_longer(plant: Plant):
    plant.create()
    plant.claim()

    assert plant.ask(flow_runs.ListDueFlowRuns()).items == []


def test_runs_of_a_pool_and_queue_are_listed(plant: Plant):
    by_hand(plant, 1)
    mine = plant.create(work_queue="fast")
    plant.create()

    found = plant.ask(flow_runs.ListFlowRuns(pool="default", queue="fast"))

    assert [run.id for run in found.items] == [mine]
    assert len(plant.ask(flow_runs.ListFlowRuns(pool="default")).items) == 2


def test_runs_are_counted_by_state_and_by_part_of_a_time(plant: Plant):
    for number in range(1, 7):
        by_hand(plant, number, state="FAILED" if number == 2 else "COMPLETED")
    by_hand(plant, 7, state=None, flow="other")

    everything = plant.ask(flow_runs.CountFlowRuns(since=0, until=9 * SECOND, buckets=3))

    assert everything.total == 7
    assert everything.counts == {StateType.COMPLETED: 5, StateType.FAILED: 1, StateType.RUNNING: 1}
    assert [part.start for part in everything.buckets] == [0, 3 * SECOND, 6 * SECOND]
    assert [sum(part.counts.values()) for part in everything.buckets] == [2, 3, 2]
    assert plant.ask(flow_runs.CountFlowRuns(since=0, until=9 * SECOND, flow="other", roots=True)).total == 1
    assert plant.ask(flow_runs.CountFlowRuns(since=0, until=9 * SECOND, deployment="etl/nightly")).total == 0
    assert plant.ask(flow_runs.CountFlowRuns(since=2 * SECOND, until=3 * SECOND)).total == 1


@pytest.mark.parametrize("wrong", [{"since": 2}, {"until": 1 << 62}, {"buckets": 0}, {"buckets": 1000}])
def test_a_time_that_cannot_be_is_refused(wrong: dict[str, int]):
    with SqliteStore.in_memory() as store, pytest.raises(errors.UsageError):
        Plant(store).ask(flow_runs.CountFlowRuns(**{"since": 0, "until": 1, **wrong}))


def test_the_graph_of_a_run_tells_who_waited_for_whom(plant: Plant):
    run_id = by_hand(plant, 1, state=None)
    child = f"{run_id[:-1]}f"
    plant.tell(
        run_id,
        1,
        records.TaskDefined(0, "etl.load", "load"),
        records.TaskRunBegan(1, "first", run_id, run_id, 0, "load-1"),
        records.TaskRunBegan(2, "second", run_id, run_id, 0, "load-2", upstream=("first",), kind="subflow"),
        records.FlowRunBegan(
            3, child, 1, "child", "part", "", "", {}, parent_flow_run_id=run_id, parent_task_run_id="second"
        ),
    )

    graph = plant.ask(flow_runs.GetFlowRunGraph(run=run_id))

    assert [(node.name, node.upstream, node.flow_run_id) for node in graph.nodes] == [
        ("load-1", (), None),
        ("load-2", ("first",), child),
    ]
    assert graph.is_whole
    assert not plant.ask(flow_runs.GetFlowRunGraph(run=run_id, limit=1)).is_whole


def test_logs_come_with_the_names_of_who_says_them(plant: Plant):
    run_id = by_hand(plant, 1, state=None)
    plant.finish_task(run_id, 1, "load-1")
    say(plant, run_id, "of the run", at=100)
    say(plant, run_id, "of the task", task="load-1", level=30, at=200)

    both = plant.ask(flow_runs.ListLogs(run=run_id))
    of_task = plant.ask(flow_runs.ListLogs(run=run_id, task="load"))
    late = plant.ask(flow_runs.ListLogs(run=run_id, since=150))
    last = plant.ask(flow_runs.ListLogs(run=run_id, tail=True, limit=1))

    assert both.names == {run_id: "report-1", f"{run_id}/load-1": "load-1"}
    assert [line.message for line in both.items] == ["of the run", "of the task"]
    for found in (of_task, late, last, plant.ask(flow_runs.ListLogs(run=run_id, task=f"{run_id}/lo"))):
        assert [line.message for line in found.items] == ["of the task"]


def test_a_run_is_followed_until_it_has_ended(plant: Plant):
    run_id = by_hand(plant, 1, state=None)
    say(plant, run_id, "one")

    first = plant.ask(flow_runs.FollowFlowRun(run=run_id))
    nothing = plant.ask(flow_runs.FollowFlowRun(run=run_id, after=first.next))
    say(plant, run_id, "two")
    second = plant.ask(flow_runs.FollowFlowRun(run=run_id, after=first.next))
    plant.end(run_id, 1)
    third = plant.ask(flow_runs.FollowFlowRun(run=run_id, after=second.next))

    assert [event.event for event in first.events] == ["flow_run.began"]
    assert [line.message for line in first.logs + second.logs] == ["one", "two"]
    assert not nothing
    assert nothing.next == first.next
    assert [event.event for event in third.events] == ["flow_run.completed"]
    assert third.run.is_final
    assert plant.ask(flow_runs.FollowFlowRun(run=run_id, after=third.next))


def test_the_fold_wakes_those_who_follow_a_run_or_all_events(plant: Plant):
    woken: list[frozenset[str]] = []
    stop = plant.store.subscribe(woken.append)
    run_id = by_hand(plant, 1, state=None)
    stop()

    assert {"events", f"run:{run_id}"} <= frozenset().union(*woken)
    assert flow_runs.FollowFlowRun(run=run_id).topic() == f"run:{run_id}"
    assert flow_runs.FollowFlowRun(run="child", root=run_id).topic() == f"run:{run_id}"
    assert events.ListEvents().topic() == "events"


def test_the_last_events_are_told_oldest_first(plant: Plant):
    run_id = by_hand(plant, 1)
    by_hand(plant, 2, state="FAILED")

    last = plant.ask(events.ListEvents(tail=True, limit=2))
    of_one = plant.ask(events.ListEvents(run=run_id, tail=True))
    late = plant.ask(events.ListEvents(since=2 * SECOND))

    assert [event.event for event in last.items] == ["flow_run.began", "flow_run.failed"]
    assert [event.event for event in of_one.items] == ["flow_run.began", "flow_run.completed"]
    assert late.items == last.items


def test_task_runs_are_listed_counted_and_explained(plant: Plant):
    run_id = by_hand(plant, 1, state=None)
    plant.finish_task(run_id, 1, "load-1")

    listed = plant.ask(task_runs.ListTaskRuns(run="report-1"))

    assert [run.name for run in listed.items] == ["load-1"]
    assert plant.ask(task_runs.GetTaskRun(task_run=listed.items[0].id)).task_name == "load"
    assert [(count.state_name, count.task_runs) for count in plant.ask(task_runs.CountTaskRuns(run=(run_id,)))] == [
        ("Completed", 1)
    ]
    assert "Completed" in plant.ask(task_runs.ExplainTaskRun(task_run=listed.items[0].id)).sentences[0]
    assert "Running" in plant.ask(flow_runs.ExplainFlowRun(run=run_id)).sentences[0]
    states = plant.ask(task_runs.ListTaskRunStates(task_run=listed.items[0].id))
    assert [state.name for state in states] == ["Running", "Completed"]
    assert [state.name for state in plant.ask(flow_runs.ListFlowRunStates(run=run_id))] == ["Running"]


def test_lists_leave_out_the_bytes_of_results(plant: Plant):
    run_id = by_hand(plant, 1, state=None)
    kept = records.ResultRecord(preview="42", inline=b"pickled", size=7)
    plant.tell(run_id, 1, records.FlowRunEnded(2 * SECOND, run_id, "COMPLETED", "Completed", None, kept))

    listed = plant.ask(flow_runs.ListFlowRuns(flow="report")).items[0].result
    whole = plant.ask(flow_runs.GetFlowRun(run=run_id)).result

    assert listed is not None
    assert (listed.preview, listed.inline) == ("42", None)
    assert whole == kept


def test_artifacts_are_listed_and_looked_up(plant: Plant):
    run_id = by_hand(plant, 1, state=None)
    saved = records.ArtifactSaved(5, "0192aaaa", run_id, None, "markdown", "report", "The report", "# Hello")
    plant.tell(run_id, 1, saved)

    assert [each.key for each in plant.ask(artifacts.ListArtifacts(run=run_id)).items] == ["report"]
    assert plant.ask(artifacts.ListArtifacts(kind="table")).items == []
    assert plant.ask(artifacts.GetArtifact(artifact="report")).data == "# Hello"


def test_more_than_a_page_is_refused():
    with SqliteStore.in_memory() as store:
        plant = Plant(store)
        for request in (
            flows.ListFlows(limit=201),
            flow_runs.ListDueFlowRuns(limit=0),
            flow_runs.ListLogs(run="x", limit=1001),
            flow_runs.GetFlowRunGraph(run="x", limit=0),
            task_runs.CountTaskRuns(run=tuple("x" * 201)),
        ):
            with pytest.raises(errors.UsageError):
                plant.ask(request)
