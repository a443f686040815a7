"""Flows that a worker executes, and that run deployments: with the key of their run, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.api.serving import TOKEN, Served, serving
from tests.worker.factory import Factory, until
from tests.worker.test_supervision import PRELUDE

from penstock import clock, errors
from penstock.client.orchestrator import HttpOrchestrator
from penstock.core.operations import Request
from penstock.core.operations import deployments as of_deployments
from penstock.core.operations import flow_runs as of_runs
from penstock.core.runs import FlowRun
from penstock.orchestration import run_keys

pytestmark = pytest.mark.slow

FLOWS = PRELUDE + (
    "import asyncio\n"
    "from penstock.deployments import run_deployment\n"
    "@flow\n"
    "def child():\n"
    "    if (here / 'broken').exists():\n"
    "        raise OSError('broken')\n"
    "    return 7\n"
    "@flow\n"
    "def calls():\n"
    "    return run_deployment('child/d').state.name\n"
    "@flow\n"
    "def main():\n"
    "    return calls()\n"
    "@task\n"
    "def starts_calls():\n"
    "    return calls()\n"
    "@flow\n"
    "def deep():\n"
    "    return starts_calls()\n"
    "@flow\n"
    "async def at_once():\n"
    "    @flow\n"
    "    async def calls_three():\n"
    "        return await asyncio.gather(*(run_deployment('child/d') for _ in range(3)))\n"
    "    stamp(' '.join([run.state.name for run in await calls_three()]))\n"
    "@flow\n"
    "def apart():\n"
    "    run = run_deployment('child/d', as_subflow=False)\n"
    "    stamp(f'{run.id} {run.state.name} {run.parent_flow_run_id}')\n"
    "@flow\n"
    "def insists():\n"
    "    run = run_deployment('child/d')\n"
    "    stamp(f'{run.id} {run.state.name}')\n"
    "    if not run.state.is_completed():\n"
    "        raise OSError(run.state.name)\n"
    "@flow\n"
    "def waits():\n"
    "    run = run_deployment('child/d')\n"
    "    stamp(run.id)\n"
    "    while not (here / 'end').exists():\n"
    "        time.sleep(0.01)\n"
)


@pytest.fixture
def served(factory: Factory) -> Iterator[Served]:
    with serving(factory.store) as served:
        factory.deploy(FLOWS, flow="child")
        yield served
        factory.stop_workers()


def start(factory: Factory, served: Served, flow: str) -> str:
    """Its run, under a worker that knows the server by its URL alone."""
    run = factory.create(factory.deploy(FLOWS, flow=flow))
    factory.work(url=served.url, key=TOKEN, limit=8)
    return run


def children(factory: Factory) -> list[FlowRun]:
    return factory.ask(of_runs.ListFlowRuns(flow="child")).items


def asking_as(factory: Factory, served: Served, run: str) -> HttpOrchestrator:
    """The server, with the key that this run shows in its first attempt."""
    key = factory.store.run(lambda tx: run_keys.make(tx, run, 1))
    return HttpOrchestrator(served.url, key, clock.SYSTEM, patience_seconds=0)


@pytest.mark.parametrize("flow", ["main", "deep"])
def test_a_subflow_runs_a_deployment_as_the_first_thing_that_it_does(factory: Factory, served: Served, flow: str):
    run = start(factory, served, flow)

    ended = factory.ended(run)
    assert (ended.state_name, ended.state_message) == ("Completed", None), factory.logs(run)
    (child,) = children(factory)
    (subflow,) = factory.ask(of_runs.ListFlowRuns(flow="calls")).items
    assert (child.parent_flow_run_id, subflow.root_run_id) == (subflow.id, run)
    assert not any("Waiting" in line for line in factory.logs(run))


def test_an_async_subflow_runs_several_at_once(factory: Factory, served: Served):
    run = start(factory, served, "at_once")

    assert factory.ended(run).state_name == "Completed", factory.logs(run)
    assert factory.stamps() == ["Completed Completed Completed"]
    assert len(children(factory)) == 3


def test_a_run_that_is_no_subflow_is_made_and_waited_for(factory: Factory, served: Served):
    run = start(factory, served, "apart")

    assert factory.ended(run).state_name == "Completed", factory.logs(run)
    (child,) = children(factory)
    assert factory.stamps() == [f"{child.id} Completed None"]


def test_a_child_that_failed_is_tried_again_when_its_caller_is_retried(factory: Factory, served: Served):
    (factory.code / "broken").touch()
    run = start(factory, served, "insists")
    before = factory.ended(run).state_name
    (factory.code / "broken").unlink()
    factory.ask(of_runs.RetryFlowRun(run=run))

    ended = factory.ended(run)
    (child,) = children(factory)
    assert (before, ended.state_name, ended.attempt) == ("Failed", "Completed", 2), factory.logs(run)
    assert factory.stamps() == [f"{child.id} Failed", f"{child.id} Completed"]
    assert child.attempt == 2


def test_the_key_of_a_run_is_for_its_own_children_alone(factory: Factory, served: Served):
    (factory.code / "broken").touch()
    strange_child = factory.create("child/d")
    run = start(factory, served, "waits")
    (child,) = until(factory.stamps)
    stranger = factory.create("waits/d")
    until(lambda: factory.stamps()[1:])
    mine, theirs = (asking_as(factory, served, each) for each in (run, stranger))
    factory.ended(strange_child)

    refused: list[tuple[HttpOrchestrator, Request[FlowRun]]] = [
        (mine, of_runs.RetryFlowRun(run=strange_child)),
        (mine, of_runs.RetryFlowRun(run=stranger)),
        (mine, of_runs.CancelFlowRun(run=child)),
        (mine, of_deployments.RunDeployment(deployment="child/d", parent_flow_run_id=stranger)),
        (theirs, of_runs.RetryFlowRun(run=child)),
        (theirs, of_runs.GetFlowRun(run=child)),
        (theirs, of_deployments.RunDeployment(deployment="child/d", parent_flow_run_id=run)),
    ]
    for orchestrator, request in refused:
        with pytest.raises(errors.NotAllowed):
            orchestrator.ask(request)
    retried = mine.ask(of_runs.RetryFlowRun(run=child))
    mine.close()
    theirs.close()
    (factory.code / "end").touch()

    assert (retried.id, retried.state_name) == (child, "AwaitingRetry")
