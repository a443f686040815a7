"""`run_deployment`: alone, and as a subflow that a resume finds again."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.orchestration.plant import Plant

from penstock import errors, flow, tags, task
from penstock.core import records
from penstock.core.operations import Request
from penstock.core.operations.deployments import RunDeployment
from penstock.core.operations.flow_runs import GetFlowRun
from penstock.sdk import connect
from penstock.sdk.deployment_runs import DeploymentRun, run_deployment
from penstock.store.sqlite import SqliteStore
from penstock.testing import FakeClock, Harness, harness

Recorded = Callable[[type[Any]], list[Any]]


class Scripted:
    """An orchestrator with a plant behind it, in which something happens whenever a run is looked at."""

    def __init__(self, plant: Plant) -> None:
        self.plant = plant
        self.asked: list[Request[Any]] = []
        self.meanwhile: list[Callable[[], object]] = []
        self.away = 0
        """So many more requests are not answered."""
        self._looking = threading.Lock()

    def ask(self, request: Request[Any]) -> Any:
        self.asked.append(request)
        if self.away:
            self.away -= 1
            raise errors.ServerUnreachable("The server cannot be reached")
        if isinstance(request, GetFlowRun):
            with self._looking:  # several may, at once
                if self.meanwhile:
                    self.meanwhile.pop(0)()
        return self.plant.ask(request)

    def close(self) -> None:
        """There is nothing to close."""

    def count(self, kind: type[Request[Any]]) -> int:
        return sum(isinstance(each, kind) for each in self.asked)


@pytest.fixture
def tested() -> Iterator[Harness]:
    with harness(clock=FakeClock()) as tested:
        yield tested


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tested: Harness) -> Iterator[Scripted]:
    with SqliteStore.in_memory() as store:
        plant = Plant(store)
        plant.deploy()
        plant.start_worker()
        scripted = Scripted(plant)
        monkeypatch.setattr(connect, "orchestrator", lambda *_: scripted)
        yield scripted


def fail_next(plant: Plant) -> None:
    """The next run that waits is claimed, and fails."""
    for each in plant.claim():
        plant.begin(each.run_id, each.attempt)
        plant.end(each.run_id, each.attempt, "FAILED", "Failed")
        plant.exit(each.run_id, each.attempt)


# ── alone ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_run_is_waited_for_at_the_port_at_which_the_server_of_the_home_is_back(
    server: Scripted, monkeypatch: pytest.MonkeyPatch
):
    gone = Scripted(server.plant)
    gone.away = 1000
    found: list[Scripted] = [gone, server]
    monkeypatch.setattr(connect, "orchestrator", lambda *_: found.pop(0))
    monkeypatch.setattr(connect, "server", lambda _: connect.Address("http://127.0.0.1:4300/api", None, is_own=True))

    @flow
    def calls() -> str:
        return run_deployment("etl/nightly", timeout=0).state_name

    assert calls() == "Scheduled"
    assert (len(gone.asked), found) == (1, [])


def test_a_run_is_made_and_waited_for(server: Scripted):
    server.meanwhile = [lambda: None, server.plant.work_off]

    run = run_deployment("etl/nightly", parameters={"day": datetime(2026, 1, 1, tzinfo=UTC)}, tags=["adhoc"])

    assert run.state.is_completed()
    assert run.flow_name == "etl"
    assert run.tags == ("adhoc",)
    assert run.parameters == {"day": "2026-01-01T00:00:00+00:00"}
    assert server.count(GetFlowRun) == 2


def test_with_no_time_to_wait_it_is_only_made(server: Scripted):
    run = run_deployment(
        "etl/nightly", timeout=0, flow_run_name="mine", scheduled_time=datetime(2030, 1, 1, tzinfo=UTC)
    )

    assert (run.name, run.state_name) == ("mine", "Scheduled")
    assert run.due_at == 1_893_456_000_000_000
    assert server.count(GetFlowRun) == 0


def test_waiting_ends_when_the_time_is_up_and_the_run_goes_on(server: Scripted, tested: Harness):
    run = run_deployment("etl/nightly", timeout=60, poll_interval=7)

    assert run.state.is_scheduled()
    assert sum(tested.clock.sleeps) == pytest.approx(60)
    assert max(tested.clock.sleeps) == 7


def test_how_it_ended_is_told_and_not_raised(server: Scripted):
    server.meanwhile = [lambda: fail_next(server.plant)]

    run = run_deployment("etl/nightly")

    assert run.state.is_failed()
    with pytest.raises(errors.FailedRun):
        run.state.result()


def test_tags_of_a_block_are_given_to_it(server: Scripted):
    with tags("nightly"):
        assert run_deployment("etl/nightly", timeout=0, tags=["adhoc"]).tags == ("adhoc", "nightly")


def test_the_same_key_gives_the_same_run(server: Scripted):
    first = run_deployment("etl/nightly", timeout=0, idempotency_key="once")

    assert run_deployment("etl/nightly", timeout=0, idempotency_key="once").id == first.id
    assert run_deployment("etl/nightly", timeout=0).id != first.id


def test_a_server_that_is_away_while_it_waits_does_not_matter(server: Scripted):
    def go_away() -> None:
        server.away = 3

    server.meanwhile = [go_away, server.plant.work_off]

    assert run_deployment("etl/nightly").state.is_completed()


def test_a_server_that_cannot_be_asked_at_all_is_told_at_once(server: Scripted):
    server.away = 1

    with pytest.raises(errors.ServerUnreachable):
        run_deployment("etl/nightly")


def test_async_code_awaits_it(server: Scripted):
    server.meanwhile = [server.plant.work_off]

    async def main() -> DeploymentRun:
        return await run_deployment("etl/nightly")

    assert asyncio.run(main()).state.is_completed()


@pytest.mark.parametrize("wrong", [{"timeout": -1}, {"timeout": float("nan")}, {"poll_interval": 0}])
def test_times_that_cannot_be_are_refused(server: Scripted, wrong: dict[str, Any]):
    with pytest.raises(errors.UsageError, match="is a number of seconds"):
        run_deployment("etl/nightly", **wrong)


def test_parameters_that_no_json_can_hold_are_refused(server: Scripted):
    with pytest.raises(errors.UsageError, match="has no form in JSON at 'x'"):
        run_deployment("etl/nightly", parameters={"x": object()})


def test_what_a_run_returned_cannot_be_read_when_it_kept_nothing(server: Scripted):
    server.meanwhile = [server.plant.work_off]
    run = run_deployment("etl/nightly")

    with pytest.raises(errors.MissingResult, match=f"Flow run `{run.name}` kept no result"):
        run.state.result()


# ── within a flow ────────────────────────────────────────────────────────────────────────────────────────────────────


@flow
def parent(name: str = "etl/nightly") -> str:
    run = run_deployment(name, parameters={"a": 1})
    return f"{run.id} {run.state_name}"


def records_of(tested: Harness, kind: type[Any]) -> list[Any]:
    from penstock.journal import reader

    paths = sorted((tested.home / "journals").glob("*/*.journal"))
    return [each for path in paths for each in reader.read_all(path) if isinstance(each, kind)]


def test_in_a_flow_a_task_run_stands_for_it(server: Scripted, tested: Harness):
    server.meanwhile = [server.plant.work_off]

    child_id = parent().partition(" ")[0]

    (began,) = records_of(tested, records.TaskRunBegan)
    (ended,) = records_of(tested, records.TaskRunEnded)
    child = server.plant.run(child_id)
    assert (began.kind, began.name) == ("subflow", child.name)
    assert child_id in ended.result.preview
    assert child.parent_task_run_id == began.task_run_id
    assert child.parent_flow_run_id == began.flow_run_id
    assert child.root_run_id == child_id


def test_a_finished_one_is_not_asked_for_again_on_resume(server: Scripted):
    server.meanwhile = [server.plant.work_off]
    broken = True

    @flow
    def breaks_after() -> str:
        run = run_deployment("etl/nightly")
        if broken:
            raise OSError("afterwards")
        return f"{run.id} {run.state}"

    state = breaks_after(return_state=True)
    broken = False
    server.asked.clear()

    run_id = _run_id(state, server)
    assert breaks_after.resume(run_id).endswith(" Completed()")
    assert server.asked == []


def test_one_that_is_under_way_is_found_again_on_resume(server: Scripted):
    def interrupt() -> None:
        raise KeyboardInterrupt

    server.meanwhile = [lambda: None, interrupt]
    with pytest.raises(KeyboardInterrupt):
        parent()
    made = _last_run(server)
    server.meanwhile = [server.plant.work_off]

    assert parent.resume(_latest_parent()) == f"{made} Completed"
    assert server.count(RunDeployment) == 2  # with the same key


def test_one_that_failed_is_retried_on_resume(server: Scripted):
    server.meanwhile = [lambda: fail_next(server.plant)]

    @flow
    def checks() -> str:
        run = run_deployment("etl/nightly")
        run.state.result(raise_on_failure=True) if run.state.is_failed() else None
        return f"{run.id} {run.state_name}"

    assert checks(return_state=True).is_failed()
    made = _last_run(server)
    server.meanwhile = [server.plant.work_off]

    assert checks.resume(_latest_parent()) == f"{made} Completed"
    assert server.plant.run(made).attempt == 2


def test_a_flow_that_does_not_care_how_it_ended_has_failed_with_it(server: Scripted):
    """As with any task run: returning a value is what completes it."""
    server.meanwhile = [lambda: fail_next(server.plant)]

    @flow
    def does_not_care() -> None:
        run_deployment("etl/nightly")

    assert does_not_care(return_state=True).message == "1/1 states failed."


def test_two_calls_alike_are_two_runs_and_found_again_each(server: Scripted):
    @flow
    def twice() -> list[str]:
        return [run_deployment("etl/nightly", timeout=0).id for _ in range(2)]

    first, second = twice()
    assert first != second


def test_the_result_of_a_task_can_be_a_parameter(server: Scripted):
    @task
    def months() -> list[int]:
        return [1, 2]

    @flow
    def passes() -> Any:
        return run_deployment("etl/nightly", parameters={"months": months.submit()}, timeout=0).parameters

    assert passes() == {"months": [1, 2]}


def test_a_task_may_run_deployments_too(server: Scripted):
    @task
    def starts() -> str | None:
        return run_deployment("etl/nightly", timeout=0).parent_flow_run_id

    @flow
    def calls() -> str | None:
        return starts()

    assert calls() is not None


def test_without_a_parent_if_so_asked(server: Scripted):
    @flow
    def starts() -> str | None:
        return run_deployment("etl/nightly", timeout=0, as_subflow=False).parent_flow_run_id

    assert starts() is None


def test_an_outage_pauses_the_flow(server: Scripted, tested: Harness):
    server.away = 4
    server.meanwhile = [server.plant.work_off]

    assert parent().endswith("Completed")

    assert tested.clock.sleeps[:4] == [5, 5, 5, 5]
    said = [line.message for line in records_of(tested, records.LogLine)]
    assert said.count("Waiting: The server cannot be reached") == 1


def test_an_async_flow_awaits_several_at_once(server: Scripted):
    def work_off() -> None:
        server.meanwhile.append(work_off)  # whoever looks first may do so before all of them are there
        server.plant.work_off()

    server.meanwhile = [work_off]

    @flow
    async def gathers() -> list[str]:
        runs = await asyncio.gather(*(run_deployment("etl/nightly", parameters={"n": n}) for n in range(3)))
        return [run.state_name for run in runs]

    assert asyncio.run(gathers()) == ["Completed"] * 3


def test_what_cannot_be_made_fails_like_a_task(server: Scripted):
    with pytest.raises(errors.NotFound, match="There is no deployment: `etl/nightli`"):
        parent("etl/nightli")


def test_a_flow_that_runs_one_cannot_be_drawn(server: Scripted):
    with pytest.raises(errors.UsageError, match="cannot be drawn"):
        parent.visualize()


def _last_run(server: Scripted) -> str:
    from penstock.core.operations.flow_runs import ListFlowRuns

    return server.plant.ask(ListFlowRuns()).items[0].id


def _latest_parent() -> str:
    from penstock.orchestration import local, overview
    from penstock.sdk.runs import environment

    here = environment()
    with local.open_home(here.settings, here.clock) as home, home.reading() as tx:
        return overview.flow_runs(tx, limit=1).items[0].id


def _run_id(state: Any, server: Scripted) -> str:
    return _latest_parent()
