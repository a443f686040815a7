"""What every route has in common."""

from __future__ import annotations

import re

import pytest
from tests.api.serving import Served

from penstock.core import operations
from penstock.core.deployments import DeploymentSpec, LocalFolder, ScheduleSpec
from penstock.core.operations.deployments import ApplyDeployment
from penstock.core.schedules import Cron


def test_health_is_told_to_anybody(served: Served):
    answer = served.ask("GET", "/api/health", key=None)

    assert (answer.status, answer.json) == (200, True)
    assert served.ask("GET", "/api/ready", key=None).json is True


def test_every_operation_needs_a_key(served: Served):
    for operation in operations.every():
        path = operation.path.replace("{", "").replace("}", "")
        for key in (None, "", "wrong"):
            answer = served.ask(operation.method, f"/api{path}", key=key)

            assert (answer.status, answer.json["type"]) == (401, "NotAllowed"), (operation.name, key)
            assert answer.headers["www-authenticate"] == "Bearer"


def test_the_answer_to_what_is_not_there_is_a_problem(served: Served):
    answer = served.ask("GET", "/api/nothing/here")

    assert answer.status == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json == {
        "type": "NotFound",
        "title": "Not Found",
        "status": 404,
        "detail": "There is nothing at this address",
        "hint": "`/docs` lists what there is",
    }


def test_an_address_outside_the_api_is_told_where_the_api_is(served: Served):
    answer = served.ask("GET", "/flow-runs")

    assert (answer.status, answer.json["type"]) == (404, "NotFound")
    assert "begin with `/api`, as PENSTOCK_API_URL is to end" in answer.json["hint"]


def test_a_method_that_does_not_fit_is_told_which_ones_do(served: Served):
    answer = served.ask("DELETE", "/api/flow-runs")

    assert (answer.status, answer.headers["content-type"]) == (405, "application/problem+json")
    assert "GET" in answer.headers["allow"]


@pytest.mark.parametrize(
    ("method", "path", "body", "said"),
    [
        ("GET", "/api/flow-runs?limit=x", None, "$.limit"),
        ("GET", "/api/flow-runs?nope=1", None, "unknown field `nope`"),
        ("POST", "/api/deployments/a~1b/runs", b"{", "not JSON"),
        ("POST", "/api/work-pools", b"{}", "missing required field `name`"),
    ],
)
def test_what_does_not_fit_is_named(served: Served, method: str, path: str, body: bytes | None, said: str):
    answer = served.ask(method, path, body)

    assert (answer.status, answer.json["type"]) == (422, "UsageError")
    assert said in answer.json["detail"]


@pytest.mark.parametrize(
    ("method", "path", "body", "said"),
    [
        ("POST", "runs", b'{"parameters": {"n": 99999999999999999999999}}', "more than 64 bits"),
        ("POST", "runs", b'{"parameters": {"n": [{"m": -9223372036854775809}]}}', "more than 64 bits"),
        ("POST", "runs", b'{"parameters": {"n": 1%s}}' % (b"0" * 5000), "more than 64 bits|not JSON"),
        ("POST", "runs", b'{"in_seconds": -1e308}', "No run can start at that time"),
        ("POST", "runs", b'{"in_seconds": 1e308}', "No run can start at that time"),
        ("POST", "runs", b'{"due_at": 300000000000000000}', "No run can start at that time"),
        ("POST", "runs", b'{"name": "%s"}' % (b"x" * 501), "`name` has at most 500 characters"),
        ("POST", "runs", b'{"tags": ["%s"]}' % (b"x" * 501), "A tag has at most 500 characters"),
        ("POST", "runs", b'{"tags": ["x"%s]}' % (b', "y"' * 100), "At most 100 tags"),
        ("GET", "slots?after=%C2%B2", None, "Not a place in this list"),
        ("GET", f"slots?after={'9' * 5000}", None, "Not a place in this list"),
        ("GET", "occurrences?after=9223372036854775807", None, "`after` is microseconds since 1970"),
        ("GET", "occurrences?after=-9223372036854775808", None, "`after` is microseconds since 1970"),
    ],
)
def test_what_is_out_of_all_bounds_is_refused(served: Served, method: str, path: str, body: bytes | None, said: str):
    schedule = ScheduleSpec(name="daily", schedule=Cron("@daily"))
    spec = DeploymentSpec(
        name="d", flow_name="etl", entrypoint="flows.py:etl", code=LocalFolder("/srv"), schedules=(schedule,)
    )
    served.orchestrator.ask(ApplyDeployment(spec=spec))

    answer = served.ask(method, f"/api/deployments/etl~1d/{path}", body)

    assert (answer.status, answer.json["type"]) == (422, "UsageError")
    assert re.search(said, answer.json["detail"])


@pytest.mark.parametrize("days", ["1e10", "1e18", "1e308"])
def test_runs_that_ended_before_all_time_are_none(served: Served, days: str):
    assert served.ask("POST", "/api/flow-runs/prune", b'{"older_than_days": %s}' % days.encode()).status == 200


def test_a_body_must_be_json_by_its_type_and_not_be_large(served: Served):
    answer = served.ask("POST", "/api/work-pools", b"name=x", headers={"Content-Type": "text/plain"})
    assert answer.status == 415

    answer = served.ask("POST", "/api/work-pools", b" " * (11 << 20))
    assert (answer.status, answer.json["hint"]) == (
        413,
        "at most 10,485,760 bytes come at once here; large data belongs in files",
    )
    assert answer.headers["content-type"] == "application/problem+json"
