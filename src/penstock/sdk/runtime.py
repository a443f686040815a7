"""What is known of the run whose code is being executed: ``runtime.flow_run``, ``task_run``, ``deployment``.

Each attribute is None outside of a run. For tests, the environment can say otherwise:
``PENSTOCK__RUNTIME__FLOW_RUN__NAME`` is what ``runtime.flow_run.name`` then is, anywhere;
parameters and tags are given as JSON.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar, overload

from penstock.core import timestamps
from penstock.core.assignments import Assignment
from penstock.engine.context import current
from penstock.engine.runs import FlowRun, TaskRun

T = TypeVar("T")


class Fact(Generic[T]):
    """Something known of a run: how to read it, and how the environment may say it instead."""

    def __init__(self, read: Callable[[Any], T | None], parse: Callable[[str], T]) -> None:
        self._read = read
        self._parse = parse
        self._variable = ""

    def __set_name__(self, owner: type[Facts], name: str) -> None:
        self._variable = f"PENSTOCK__RUNTIME__{owner.KIND}__{name.upper()}"

    @overload
    def __get__(self, facts: None, owner: type) -> Fact[T]: ...

    @overload
    def __get__(self, facts: Facts, owner: type) -> T | None: ...

    def __get__(self, facts: Facts | None, owner: type) -> Any:
        if facts is None:
            return self
        told = os.environ.get(self._variable)
        if told is not None:
            return self._parse(told)
        run = facts.run()
        return None if run is None else self._read(run)


def _json(text: str) -> Any:
    import json  # noqa: PLC0415  only in tests

    return json.loads(text)


def _time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _began_at(run: FlowRun) -> datetime:
    asked = run.attempt.assignment
    due_at = asked.due_at if asked is not None and run.parent is None else 0
    return timestamps.as_datetime(due_at or run.started_at)


def _names(tags: frozenset[str]) -> list[str]:
    return sorted(tags)


class Facts:
    """What is known of a run, while its code is being executed."""

    __slots__ = ()
    KIND = ""

    def run(self) -> Any:
        """The run, as the engine sees it; None outside of one."""
        raise NotImplementedError


class TaskRunFacts(Facts):
    """The task run whose code is being executed."""

    __slots__ = ()
    KIND = "TASK_RUN"

    id = Fact[str](lambda run: run.id, str)
    name = Fact[str](lambda run: run.name, str)
    task_name = Fact[str](lambda run: run.task_name, str)
    parameters = Fact[dict[str, Any]](lambda run: dict(run.parameters), _json)
    tags = Fact[list[str]](lambda run: _names(run.tags), _json)
    run_count = Fact[int](lambda run: run.run_count, int)
    """1, and one more for each retry."""
    attempt = Fact[int](lambda run: run.attempt.number, int)
    """1, and one more for each time that the flow run was resumed."""
    idempotency_key = Fact[str](lambda run: run.idempotency_key, str)
    """The same in every attempt and every retry: hand it to systems that act once for each key."""

    def run(self) -> TaskRun | None:
        run = current()
        return run if isinstance(run, TaskRun) else None


class FlowRunFacts(Facts):
    """The flow run whose code, or one of whose tasks, is being executed."""

    __slots__ = ()
    KIND = "FLOW_RUN"

    id = Fact[str](lambda run: run.id, str)
    name = Fact[str](lambda run: run.name, str)
    flow_name = Fact[str](lambda run: run.flow_name, str)
    flow_version = Fact[str](lambda run: run.flow_version, str)
    parameters = Fact[dict[str, Any]](lambda run: dict(run.parameters), _json)
    tags = Fact[list[str]](lambda run: _names(run.tags), _json)
    run_count = Fact[int](lambda run: run.run_count, int)
    """1, and one more for each retry."""
    attempt = Fact[int](lambda run: run.attempt.number, int)
    """1, and one more for each time that the run was resumed."""
    scheduled_start_time = Fact[datetime](_began_at, _time)
    """When the run was to begin; for one that was started by hand, when it did."""
    parent_flow_run_id = Fact[str](lambda run: run.called_by, str)
    """The flow run in which it is a subflow run."""
    root_flow_run_id = Fact[str](lambda run: run.attempt.run_id, str)
    """The outermost flow run: itself, unless it is a subflow run."""
    idempotency_key = Fact[str](lambda run: run.idempotency_key, str)
    """The same in every attempt and every retry: hand it to systems that act once for each key."""

    def run(self) -> FlowRun | None:
        run = current()
        return None if run is None else run.flow


class DeploymentFacts(Facts):
    """The deployment of which the run was made that is being executed."""

    __slots__ = ()
    KIND = "DEPLOYMENT"

    id = Fact[str](lambda asked: asked.deployment_id, str)
    name = Fact[str](lambda asked: (asked.deployment or "").partition("/")[2] or None, str)
    flow_run_id = Fact[str](lambda asked: asked.run_id, str)
    """The run that was made of it; in a subflow run, the outermost one."""
    parameters = Fact[dict[str, Any]](lambda asked: dict(asked.parameters), _json)
    """The parameters with which that run was made."""

    def run(self) -> Assignment | None:
        run = current()
        asked = None if run is None else run.attempt.assignment
        return asked if asked is not None and asked.deployment_id else None


deployment = DeploymentFacts()
flow_run = FlowRunFacts()
task_run = TaskRunFacts()
