"""What people ask of runs that were started by hand, in a home without a server."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.orchestration.written import SteppingClock, WrittenRun

from penstock import errors
from penstock.core.operations.flow_runs import CancelFlowRun, DeleteFlowRun, GetFlowRun, PruneFlowRuns, SetFlowRunState
from penstock.core.states import StateType
from penstock.orchestration import overview
from penstock.orchestration.fsck import fsck
from penstock.orchestration.local import open_home
from penstock.orchestration.local_orchestrator import LocalOrchestrator
from penstock.settings import Settings

Complete = Callable[..., WrittenRun]


@pytest.fixture
def orchestrator(settings: Settings, time: SteppingClock) -> LocalOrchestrator:
    return LocalOrchestrator(settings, time)


def test_a_run_whose_process_died_can_be_given_another_end(
    orchestrator: LocalOrchestrator, settings: Settings, time: SteppingClock, run: WrittenRun
):
    run.journal().append(run.began())
    run.die()

    cancelled = orchestrator.ask(SetFlowRunState(run=run.id, type=StateType.CANCELLED, by="me"))
    again = orchestrator.ask(CancelFlowRun(run=run.id, by="you"))
    done = orchestrator.ask(
        SetFlowRunState(run=run.id, type=StateType.COMPLETED, by="me", name="Mended", message="by hand")
    )

    assert (cancelled.state_type, cancelled.state_message) == (StateType.CANCELLED, "Set by me")
    assert again == cancelled
    assert (done.state_type, done.state_name, done.state_message) == (StateType.COMPLETED, "Mended", "by hand")
    with open_home(settings, time) as home:
        with home.reading() as tx:
            told = [event.event for event in overview.events(tx, run_id=run.id)]
            history = [change.name for change in overview.state_history(tx, run.id)]
        assert fsck(home).is_clean
    assert told == ["flow_run.began", "flow_run.crashed", "flow_run.set_state", "flow_run.set_state"]
    assert history == ["Running", "Crashed", "Cancelled", "Mended"]


def test_a_run_that_is_being_executed_is_neither_deleted_nor_given_a_state(
    orchestrator: LocalOrchestrator, run: WrittenRun
):
    run.journal().append(run.began())

    for request in (DeleteFlowRun(run=run.id), SetFlowRunState(run=run.id, type=StateType.FAILED)):
        with pytest.raises(errors.AlreadyRunning):
            orchestrator.ask(request)

    assert orchestrator.ask(GetFlowRun(run=run.id)).state_type is StateType.RUNNING


def test_a_run_is_given_no_state_but_a_final_one(orchestrator: LocalOrchestrator, complete: Complete):
    run = complete()

    with pytest.raises(errors.UsageError, match="only be given a final state, not: `RUNNING`"):
        orchestrator.ask(SetFlowRunState(run=run.id, type=StateType.RUNNING))
    with pytest.raises(errors.NotFound):
        orchestrator.ask(SetFlowRunState(run="nobody", type=StateType.FAILED))


def test_a_subflow_run_is_given_no_state_without_the_run_that_called_it(
    orchestrator: LocalOrchestrator, run: WrittenRun
):
    journal = run.journal()
    journal.append(run.began())
    journal.append(run.began(flow_run_id="child", parent_flow_run_id=run.id))
    run.die()

    for request in (SetFlowRunState(run="child", type=StateType.FAILED), DeleteFlowRun(run="child")):
        with pytest.raises(errors.UsageError):
            orchestrator.ask(request)


def test_runs_are_deleted_and_old_ones_forgotten(
    orchestrator: LocalOrchestrator, complete: Complete, settings: Settings, time: SteppingClock
):
    first, second = complete(), complete()

    orchestrator.ask(DeleteFlowRun(run=first.id))

    with pytest.raises(errors.NotFound):
        orchestrator.ask(GetFlowRun(run=first.id))
    assert orchestrator.ask(PruneFlowRuns(keep=0, dry_run=True)).runs == 1
    assert orchestrator.ask(GetFlowRun(run=second.id)).name
    assert orchestrator.ask(PruneFlowRuns(keep=0)).runs == 1
    with pytest.raises(errors.NotFound):
        orchestrator.ask(GetFlowRun(run=second.id))
    with pytest.raises(errors.UsageError, match="not less than 0"):
        orchestrator.ask(PruneFlowRuns(keep=-1))
    with open_home(settings, time) as home:
        assert fsck(home).is_clean
