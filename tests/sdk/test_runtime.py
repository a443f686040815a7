from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from penstock import context, flow, runtime, tags, task
from penstock.core.records import FlowRunBegan, TaskRunBegan
from penstock.errors import MissingContext

Recorded = Callable[[type[Any]], list[Any]]

FLOW_FACTS = (
    "id name flow_name flow_version parameters tags run_count attempt scheduled_start_time "
    "parent_flow_run_id root_flow_run_id idempotency_key"
).split()
TASK_FACTS = "id name task_name parameters tags run_count attempt idempotency_key".split()


@pytest.mark.parametrize("fact", FLOW_FACTS)
def test_outside_of_a_run_nothing_is_known_of_a_flow_run(fact: str):
    assert getattr(runtime.flow_run, fact) is None


@pytest.mark.parametrize("fact", TASK_FACTS)
def test_outside_of_a_task_run_nothing_is_known_of_one(fact: str):
    @flow
    def etl() -> Any:
        return getattr(runtime.task_run, fact)

    assert getattr(runtime.task_run, fact) is None
    assert etl() is None


def test_a_flow_run_knows_itself(recorded: Recorded):
    @flow(name="etl", version="3", flow_run_name="first")
    def etl(month: int, colour: str = "yellow") -> Any:
        return {fact: getattr(runtime.flow_run, fact) for fact in FLOW_FACTS}

    with tags("nightly", "taxi"):
        known = etl("7")  # pyright: ignore[reportArgumentType]  it is coerced

    (began,) = recorded(FlowRunBegan)
    assert known.pop("scheduled_start_time") == datetime.fromtimestamp(began.at / 1_000_000, tz=UTC)
    assert known == {
        "id": began.flow_run_id,
        "name": "first",
        "flow_name": "etl",
        "flow_version": "3",
        "parameters": {"month": 7, "colour": "yellow"},
        "tags": ["nightly", "taxi"],
        "run_count": 1,
        "attempt": 1,
        "parent_flow_run_id": None,
        "root_flow_run_id": began.flow_run_id,
        "idempotency_key": began.flow_run_id,
    }


def test_a_task_run_knows_itself_and_its_flow_run(recorded: Recorded):
    @task(name="load", tags=["sql"], retries=1)
    def load(rows: int) -> Any:
        if runtime.task_run.run_count == 1:
            raise ValueError
        return {fact: getattr(runtime.task_run, fact) for fact in TASK_FACTS}, runtime.flow_run.id

    @flow
    def etl() -> Any:
        return load.submit(3).result()

    known, flow_run_id = etl()

    (began,) = recorded(TaskRunBegan)
    assert flow_run_id == began.flow_run_id
    assert known == {
        "id": began.task_run_id,
        "name": "load-0",
        "task_name": "load",
        "parameters": {"rows": 3},
        "tags": ["sql"],
        "run_count": 2,
        "attempt": 1,
        "idempotency_key": f"{began.flow_run_id}/{began.task_run_id}",
    }


def test_a_subflow_run_knows_its_parent_and_root():
    @flow
    def grandchild() -> Any:
        return runtime.flow_run.parent_flow_run_id, runtime.flow_run.root_flow_run_id

    @flow
    def child() -> Any:
        return runtime.flow_run.id, grandchild()

    @flow
    def parent() -> Any:
        return runtime.flow_run.id, child()

    parent_id, (child_id, seen) = parent()

    assert seen == (child_id, parent_id)


def test_the_environment_can_say_otherwise_for_tests(monkeypatch: pytest.MonkeyPatch):
    told = {
        "FLOW_RUN__NAME": "told",
        "FLOW_RUN__RUN_COUNT": "4",
        "FLOW_RUN__PARAMETERS": '{"month": 3}',
        "FLOW_RUN__SCHEDULED_START_TIME": "2024-01-02",
        "TASK_RUN__TAGS": '["sql"]',
    }
    for name, value in told.items():
        monkeypatch.setenv(f"PENSTOCK__RUNTIME__{name}", value)

    @flow
    def etl() -> Any:
        return runtime.flow_run.name

    assert etl() == runtime.flow_run.name == "told"
    assert runtime.flow_run.run_count == 4
    assert runtime.flow_run.parameters == {"month": 3}
    assert runtime.flow_run.scheduled_start_time == datetime(2024, 1, 2, tzinfo=UTC)
    assert runtime.task_run.tags == ["sql"]


def test_the_context_of_a_flow_run_tells_flow_run_and_parameters():
    @flow
    def etl(month: int) -> Any:
        found = context.get_run_context()
        assert isinstance(found, context.FlowRunContext)
        assert context.TaskRunContext.get() is None
        return found.flow, found.flow_run.name, found.parameters, found.start_time, runtime.flow_run.name, repr(found)

    owner, name, parameters, began_at, expected, text = etl(3)

    assert (owner, name, parameters) == (etl, expected, {"month": 3})
    assert began_at.tzinfo is UTC
    assert text == f"<context of flow run {name!r}>"


def test_the_context_of_a_task_run_tells_task_and_task_run():
    @task
    def load(rows: int) -> Any:
        found = context.get_run_context()
        assert isinstance(found, context.TaskRunContext)
        around = context.FlowRunContext.get()
        assert around is not None
        return found.task, found.task_run.name, found.parameters, around.flow, repr(found)

    @flow
    def etl() -> Any:
        return load(3)

    assert etl() == (load, "load-0", {"rows": 3}, etl, "<context of task run 'load-0'>")


def test_outside_of_a_run_there_is_no_context():
    assert context.FlowRunContext.get() is None
    assert context.TaskRunContext.get() is None
    with pytest.raises(context.MissingContextError, match="no run here"):
        context.get_run_context()
    assert issubclass(context.MissingContextError, RuntimeError)
    assert context.MissingContextError is MissingContext
