"""Characters that no database or no JSON takes: what runs say is kept for all that, and names with them are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.api.serving import serving

from penstock import clock, errors, flow, get_run_logger, states, tags, task
from penstock.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from penstock.core.operations import Request
from penstock.core.operations.concurrency_limits import CreateConcurrencyLimit
from penstock.core.operations.deployments import RunDeployment
from penstock.core.operations.flow_runs import GetFlowRun
from penstock.events import emit_event
from penstock.orchestration import fsck
from penstock.orchestration.local import open_home
from penstock.orchestration.local_orchestrator import LocalOrchestrator
from penstock.settings import Settings, load
from penstock.store.sqlite import SqliteStore

STRAYS = {"surrogate": "\udce9", "nul": "\0"}


@pytest.fixture(params=STRAYS.values(), ids=list(STRAYS))
def stray(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("PENSTOCK_PROGRESS", "off")
    return request.param


@pytest.fixture(params=["sqlite", "postgres"])
def settings(request: pytest.FixtureRequest, home: Path) -> Settings:
    if request.param == "sqlite":
        return load()
    pytest.importorskip("psycopg")
    return Settings(home=home, database_url=request.getfixturevalue("postgres_url"))


@flow(flow_run_name="run-{x}", description="d", log_prints=True)
def speaks(x: Any, also: Any) -> Any:
    @task(task_run_name="task-{x}", cache_key_fn=lambda _, given: given["x"])
    def echo(x: str) -> str:
        return x

    @task
    def fails() -> None:
        raise ValueError(x)

    get_run_logger().warning(f"said {x}")
    print(f"printed {x}")
    create_markdown_artifact(f"text {x}", key="text", description=x)
    create_table_artifact([{x: x}], key="table")
    create_link_artifact(f"http://x/{x}", key="link")
    emit_event("happened", resource={"penstock.resource.id": x, x: x}, payload={x: [x]})
    echo({"x": x}["x"])
    fails(return_state=True)
    return states.Completed(message=f"ended {x}", name=f"Done {x}", data=also[x])


def test_what_a_run_says_with_a_stray_character_is_kept_and_stops_nothing(settings: Settings, stray: str):
    assert speaks(stray, {stray: 1}) == 1
    with open_home(settings, clock.SYSTEM) as home:
        assert home.caught_up is not None
        problems = home.caught_up.problems
        with home.reading() as tx:
            (run,) = tx.flow_runs.page(limit=10)
            logs = [row.message for row in tx.logs.page([run.id], limit=1000)]
            checked = fsck.check_rows(tx)
        with home.writing() as store, serving(store) as served:
            answers = [
                served.ask("GET", f"/api/{path}").status
                for path in ("flow-runs", f"flow-runs/{run.id}", "artifacts", "events", f"flow-runs/{run.id}/logs")
            ]

    kept = "\ufffd" if stray == "\0" else "\\udce9"
    assert (problems, checked.problems) == ((), [])
    assert (run.name, run.state_message) == (f"run-{kept}", f"ended {kept}")
    assert {f"said {kept}", f"printed {kept}"} <= set(logs)
    assert answers == [200] * len(answers)


@pytest.mark.parametrize(
    "give",
    [
        lambda name: flow(name=name)(print),
        lambda name: flow(version=name)(print),
        lambda name: flow(flow_run_name=name)(print),
        lambda name: task(name=name)(print),
        lambda name: task(tags=[name])(print),
        lambda name: task(version=name)(print),
        lambda name: task(task_run_name=name)(print),
        lambda name: tags(name).__enter__(),
        lambda name: emit_event(name),
        lambda name: create_markdown_artifact("text", key=name),
    ],
    ids="flow version flow_run_name task tag task_version task_run_name tags event artifact_key".split(),
)
def test_a_name_with_a_stray_character_is_refused_where_it_is_given(give: Callable[[str], object], stray: str):
    with pytest.raises(errors.UsageError, match=r"holds a NUL character|holds half of a surrogate pair|key is made of"):
        give(f"a{stray}")


@pytest.mark.parametrize(
    "request_with",
    [
        lambda text: RunDeployment(deployment="etl/d", name=text),
        lambda text: RunDeployment(deployment="etl/d", tags=(text,)),
        lambda text: GetFlowRun(run=text),
        lambda text: CreateConcurrencyLimit(name=text, limit=1),
    ],
    ids=["run name", "tag", "path", "limit"],
)
def test_a_request_with_a_stray_character_is_refused_with_a_server_and_without(
    request_with: Callable[[str], Request[Any]], stray: str
):
    with SqliteStore.in_memory() as store, serving(store) as served:
        for orchestrator in (LocalOrchestrator(load(), clock.SYSTEM), served.orchestrator):
            with pytest.raises(errors.UsageError, match=r"holds a NUL character|holds half of a surrogate pair"):
                orchestrator.ask(request_with(f"a{stray}"))


def test_parameters_that_no_json_takes_are_refused():
    with pytest.raises(errors.UsageError, match=r"Not text in UTF-8: `caf\\udce9`"):
        LocalOrchestrator(load(), clock.SYSTEM).ask(RunDeployment(deployment="etl/d", parameters={"x": ["caf\udce9"]}))


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "flow-runs/%ED%B3%A9", None),
        ("GET", "flow-runs/%00", None),
        ("GET", "flow-runs?name=%00", None),
        ("POST", "concurrency-limits", b'{"name": "\\udce9", "limit": 1}'),
        ("POST", "concurrency-limits", b'{"name": "\xed\xb3\xa9", "limit": 1}'),
        ("POST", "concurrency-limits", b'{"name": "a\\u0000", "limit": 1}'),
    ],
)
def test_a_server_answers_to_stray_characters_with_what_is_wrong(method: str, path: str, body: bytes | None):
    with SqliteStore.in_memory() as store, serving(store) as served:
        answer = served.ask(method, f"/api/{path}", body)

    assert (answer.status, answer.headers["content-type"]) in [
        (status, "application/problem+json") for status in (400, 404, 422)
    ], answer
