"""Numbers for Prometheus."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from tests.api.serving import Served, serving
from tests.orchestration.plant import Plant

from penstock.core.access import OWNER
from penstock.core.operations.work import ClaimFlowRuns
from penstock.orchestration import asking


@pytest.fixture
def served(plant: Plant) -> Iterator[Served]:
    with serving(plant.store) as served:
        yield served


def shown(served: Served) -> dict[str, float]:
    answer = served.ask("GET", "/metrics")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    lines = [line for line in answer.body.decode().splitlines() if not line.startswith("#")]
    for line in lines:
        assert re.fullmatch(r'[a-z_]+(\{([a-z_]+="[^"]*",?)*\})? [0-9.e+-]+', line), line
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


def test_runs_work_and_workers_are_counted(served: Served, plant: Plant):
    for _ in range(3):
        plant.create()
    asking.answer(plant.store, ClaimFlowRuns(worker_id="w1", pool="default"), by=OWNER)

    found = shown(served)
    assert found['penstock_unfinished_runs{type="SCHEDULED",state="Scheduled"}'] == 2
    assert found['penstock_unfinished_runs{type="PENDING",state="Pending"}'] == 1
    assert found['penstock_work_runs{pool="default",queue="default",status="waiting"}'] == 2
    assert found['penstock_work_runs{pool="default",queue="default",status="claimed"}'] == 1
    assert found['penstock_workers{pool="default",status="online"}'] == 1
    assert found["penstock_claims_total"] == 1


def test_requests_are_counted_by_route_and_not_by_path(served: Served):
    for path in ("/api/flow-runs/a", "/api/flow-runs/b", "/api/nothing", "/api/flow-runs"):
        served.ask("GET", path)

    found = shown(served)
    assert found['penstock_http_requests_total{route="get_flow_run",method="GET",status="404"}'] == 2
    assert found['penstock_http_requests_total{route="list_flow_runs",method="GET",status="200"}'] == 1
    assert found['penstock_http_requests_total{route="other",method="GET",status="404"}'] == 1
    assert found['penstock_http_request_seconds_count{route="get_flow_run"}'] == 2
    assert found['penstock_http_request_seconds_bucket{route="get_flow_run",le="+Inf"}'] == 2


def test_late_runs_are_counted(served: Served, plant: Plant):
    run = plant.create()
    plant.store.run(lambda tx: tx.work.mark_late([run]))

    assert shown(served)['penstock_late_runs{pool="default"}'] == 1


def test_not_everybody_may_see_them(served: Served):
    assert served.ask("GET", "/metrics", key=None).status == 401
