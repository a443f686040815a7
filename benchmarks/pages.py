"""What pages ask of a server over a store with years of runs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.postgres import cluster

from benchmarks.filling import BEGINNING, FLOWS, GAP, RARE, fill_home, fill_postgres
from benchmarks.fold_postgres import DURABLE
from benchmarks.harness import Bench, Budget, Row, benchmark
from benchmarks.served import opened, started
from penstock import settings
from penstock.core.operations import Request
from penstock.core.operations.artifacts import ListArtifacts
from penstock.core.operations.deployments import GetDeployment, ListDeployments, ListSlots
from penstock.core.operations.events import ListEvents
from penstock.core.operations.flow_runs import (
    CountFlowRuns,
    ExplainFlowRun,
    FollowFlowRun,
    GetFlowRun,
    GetFlowRunGraph,
    ListDueFlowRuns,
    ListFlowRuns,
    ListFlowRunStates,
    ListLogs,
)
from penstock.core.operations.flows import GetFlow, ListFlows
from penstock.core.operations.task_runs import CountTaskRuns, GetTaskRun, ListTaskRuns
from penstock.core.operations.work_pools import ListWorkers, ListWorkPools, ListWorkQueues, PreviewWork
from penstock.core.ports import Orchestrator
from penstock.core.runs import FlowRun
from penstock.core.states import StateType

TASKS = 10
_IN_EARNEST = {**DURABLE, "shared_buffers": "1GB"}
_DAY = 24 * 3600 * 1_000_000


@benchmark("api")
def api(bench: Bench) -> Iterator[Row]:
    """What pages ask, over HTTP, of an SQLite store with years of runs: the slowest one in twenty of each."""
    home = _filled()
    if home is None:
        home = settings.load().home
        fill_home(home, _runs(bench), TASKS)
    yield from _measured(bench, "SQLite", home)


@benchmark("api-postgres")
def api_postgres(bench: Bench) -> Iterator[Row]:
    """The same on Postgres, in a cluster of its own."""
    kept = _filled()
    with cluster(_IN_EARNEST, kept_in=kept and kept / "postgres") as running:
        url = running.url("postgres")
        if kept is None:
            fill_postgres(url, _runs(bench), TASKS)
        yield from _measured(bench, "Postgres", settings.load().home, PENSTOCK_DATABASE_URL=url)


def _filled() -> Path | None:
    """A home that `benchmarks.filling` has filled."""
    folder = os.environ.get("FILLED")
    return Path(folder) if folder else None


def _runs(bench: Bench) -> int:
    return bench.some(200_000)


def _measured(bench: Bench, database: str, home: Path, **environment: str) -> Iterator[Row]:
    with (
        started("server", "start", "--port", "0", PENSTOCK_HOME=str(home), **environment),
        opened(home) as orchestrator,
    ):
        for name, ask in _asks(orchestrator).items():
            samples = [_slowest_of_twenty(ask) for _ in range(bench.rounds)]
            yield Row(f"API on {database}: {name}, p95", "ms", samples, budget=Budget(0.05))


def _asks(orchestrator: Orchestrator) -> dict[str, Callable[[], object]]:
    newest = orchestrator.ask(ListFlowRuns(limit=1)).items[0]
    runs = (newest.created_at - BEGINNING) // GAP + 1
    begun = orchestrator.ask(ListFlowRuns(state=(StateType.FAILED,), limit=50)).items
    failed = begun[-1]
    task = orchestrator.ask(ListTaskRuns(run=failed.id, limit=1)).items[0]
    requests = {**_of_lists(newest, runs), **_of_counts(newest.created_at), **_of_a_run(failed)}
    requests |= {
        "task runs of 50 runs, counted": CountTaskRuns(run=tuple(run.id for run in begun)),
        "a task run": GetTaskRun(task_run=task.id),
    }
    asks: dict[str, Callable[[], object]] = {
        name: lambda request=request: orchestrator.ask(request) for name, request in requests.items()
    }
    asks["page after page"] = _pages(orchestrator)
    return asks


def _of_lists(newest: FlowRun, runs: int) -> dict[str, Request[Any]]:
    middle = f"{BEGINNING + runs // 2 * GAP}.x"
    failed = (StateType.FAILED,)
    deployment = f"{FLOWS[3]}/nightly"
    return {
        "newest runs": ListFlowRuns(),
        "200 newest runs": ListFlowRuns(limit=200),
        "newest runs without a parent": ListFlowRuns(roots=True),
        "runs from the middle on": ListFlowRuns(after=middle),
        "the oldest runs": ListFlowRuns(after=f"{BEGINNING + 60 * GAP}.x"),
        "failed runs": ListFlowRuns(state=failed),
        "failed runs from the middle on": ListFlowRuns(state=failed, after=middle),
        "failed, crashed and cancelled runs": ListFlowRuns(state=(*failed, StateType.CRASHED, StateType.CANCELLED)),
        "running runs": ListFlowRuns(state=(StateType.RUNNING,)),
        "runs of a flow": ListFlowRuns(flow=FLOWS[3]),
        "failed runs of a flow": ListFlowRuns(flow=FLOWS[3], state=failed),
        "runs of a flow that there is not": ListFlowRuns(flow="none"),
        "runs of a deployment": ListFlowRuns(deployment=deployment),
        "crashed runs of a deployment": ListFlowRuns(deployment=deployment, state=(StateType.CRASHED,)),
        "runs with a tag": ListFlowRuns(tag=("eu",)),
        "failed runs with a tag": ListFlowRuns(state=failed, tag=("eu",)),
        "failed runs of a flow with a tag": ListFlowRuns(flow=FLOWS[3], state=failed, tag=("eu",)),
        "runs with a rare tag": ListFlowRuns(tag=(RARE,)),
        "failed runs with a rare tag": ListFlowRuns(tag=(RARE,), state=failed),
        "runs with a tag and a rare one": ListFlowRuns(tag=("eu", RARE)),
        "runs with two tags that none has both of": ListFlowRuns(tag=("eu", "finance")),
        "runs of a pool": ListFlowRuns(pool="default"),
        "runs of a rare queue": ListFlowRuns(pool="default", queue=RARE),
        "failed runs of a rare queue": ListFlowRuns(queue=RARE, state=failed),
        "runs of a pool that there is not": ListFlowRuns(pool="none"),
        "runs whose names begin alike": ListFlowRuns(name="brisk"),
        "runs with the beginning of a name": ListFlowRuns(name=newest.name[:-2]),
        "runs with the beginning of an old name": ListFlowRuns(name="brisk-otter-12"),
        "failed runs with the beginning of a name": ListFlowRuns(name=newest.name[:-3], state=failed),
        "runs of a name that there is not": ListFlowRuns(name="none"),
        "failed runs of a day": ListFlowRuns(state=failed, since=newest.created_at - _DAY),
        "runs that are due": ListDueFlowRuns(),
        "runs of a deployment that are due": ListDueFlowRuns(deployment=deployment),
        "runs that are claimed next": PreviewWork(pool="default", hours=1),
        "flows": ListFlows(),
        "a flow": GetFlow(flow=FLOWS[3]),
        "deployments": ListDeployments(),
        "a deployment": GetDeployment(deployment=deployment),
        "slots of a deployment": ListSlots(deployment=deployment),
        "pools": ListWorkPools(),
        "queues": ListWorkQueues(),
        "workers": ListWorkers(),
        "artifacts": ListArtifacts(),
        "oldest events": ListEvents(),
        "newest events": ListEvents(tail=True),
        "newest events of a name": ListEvents(tail=True, name="flow_run.crashed"),
        "events of a name that there is not": ListEvents(tail=True, name="none"),
        "oldest events of a day": ListEvents(since=newest.created_at - _DAY),
        "newest events of a day": ListEvents(since=newest.created_at - _DAY, tail=True),
        "events of the last minutes": ListEvents(since=newest.created_at - 5 * GAP, tail=True),
        "newest events of a year": ListEvents(since=newest.created_at - 365 * _DAY, tail=True),
        "crashes of a day": ListEvents(since=newest.created_at - _DAY, name="flow_run.crashed"),
    }


def _of_counts(until: int) -> dict[str, Request[Any]]:
    deployment = f"{FLOWS[3]}/nightly"
    return {
        "runs of a day, by hour": CountFlowRuns(since=until - _DAY, until=until, buckets=24),
        "runs of a week, by hour": CountFlowRuns(since=until - 7 * _DAY, until=until, buckets=168),
        "runs of 30 days, by day": CountFlowRuns(since=until - 30 * _DAY, until=until, buckets=30),
        "runs of 30 days without a parent, by day": CountFlowRuns(
            since=until - 30 * _DAY, until=until, buckets=30, roots=True
        ),
        "runs of a flow in 30 days, by day": CountFlowRuns(
            since=until - 30 * _DAY, until=until, buckets=30, flow=FLOWS[3]
        ),
        "runs of a year, by day": CountFlowRuns(since=until - 365 * _DAY, until=until, buckets=365),
        "all runs, counted": CountFlowRuns(since=BEGINNING, until=until, buckets=1),
        "runs of a year without a parent, by day": CountFlowRuns(
            since=until - 365 * _DAY, until=until, buckets=365, roots=True
        ),
        "runs of a flow in a year, by day": CountFlowRuns(
            since=until - 365 * _DAY, until=until, buckets=365, flow=FLOWS[3]
        ),
        "runs of a deployment in 30 days, by day": CountFlowRuns(
            since=until - 30 * _DAY, until=until, buckets=30, deployment=deployment
        ),
        "runs of a deployment in a year, by day": CountFlowRuns(
            since=until - 365 * _DAY, until=until, buckets=365, deployment=deployment
        ),
    }


def _of_a_run(run: FlowRun) -> dict[str, Request[Any]]:
    return {
        "a run": GetFlowRun(run=run.id),
        "a run by name": GetFlowRun(run=run.name),
        "a run by the beginning of its id": GetFlowRun(run=run.id[:18]),
        "why a run failed": ExplainFlowRun(run=run.id),
        "the states of a run": ListFlowRunStates(run=run.id),
        "the graph of a run": GetFlowRunGraph(run=run.id),
        "a run, followed": FollowFlowRun(run=run.id),
        "the log of a run": ListLogs(run=run.id),
        "the end of the log of a run": ListLogs(run=run.id, tail=True),
        "the log of a task": ListLogs(run=run.id, task="load"),
        "events of a run": ListEvents(run=run.id),
        "subflow runs of a run": ListFlowRuns(parent=run.id),
        "task runs of a run": ListTaskRuns(run=run.id),
        "failed task runs of a run": ListTaskRuns(run=run.id, state=(StateType.FAILED,)),
    }


def _pages(orchestrator: Orchestrator) -> Callable[[], object]:
    """Asks for the next page of the failed runs each time."""
    place: str | None = None

    def ask() -> None:
        nonlocal place
        place = orchestrator.ask(ListFlowRuns(state=(StateType.FAILED,), after=place)).next

    return ask


def _slowest_of_twenty(ask: Callable[[], object]) -> float:
    took: list[float] = []
    for _ in range(20):
        began = time.perf_counter()
        ask()
        took.append(time.perf_counter() - began)
    return sorted(took)[18]
