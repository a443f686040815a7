"""Runs as everyone else sees them: what the store keeps and the API, the UI and the CLI show.

All times are microseconds since 1970 UTC.
"""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.core.result_records import ResultRecord
from penstock.core.states import FINAL, StateType


def begun_by_hand(work_pool: str | None, worker: str | None, started_at: int | None) -> bool:
    """Of a root run: whether it was a process started by hand, not a worker's, that began it last."""
    return work_pool is None or (worker is None and started_at is not None)


class FlowRun(msgspec.Struct, frozen=True, kw_only=True):
    """One execution of a flow, through all its attempts."""

    id: str
    name: str
    flow_name: str
    flow_version: str = ""
    entrypoint: str = ""
    """``path/to/file.py:flow_name``; empty when the flow was defined where no file is."""
    code_version: str = ""
    state_type: StateType
    state_name: str
    state_message: str | None = None
    created_at: int
    """When the first attempt began."""
    started_at: int | None = None
    """When the latest attempt began."""
    ended_at: int | None = None
    attempt: int = 1
    run_count: int = 1
    """Tries within the latest attempt: 1 + retries so far."""
    parameters: dict[str, Any] = {}
    arguments: ResultRecord | None = None
    result: ResultRecord | None = None
    tags: tuple[str, ...] = ()
    parent_flow_run_id: str | None = None
    parent_task_run_id: str | None = None
    root_run_id: str
    """The run whose journal this one is written in: its own id, unless it is a subflow run."""
    source: str = "call"
    forked_from: str | None = None
    description: str = ""
    crashes: int = 0
    """Attempts whose process died, since a task was last completed anew, or somebody retried the run."""
    deployment_id: str | None = None
    due_at: int | None = None
    """When it was, or is, to start; None for runs that were simply called."""
    work_pool: str | None = None
    """The pool whose workers execute it; None for runs that were simply called."""
    work_queue: str | None = None
    worker: str | None = None
    """The name of the worker that claimed it last; None once somebody has gone on with it by hand."""

    @property
    def is_final(self) -> bool:
        return self.state_type in FINAL

    @property
    def is_by_hand(self) -> bool:
        """See `begun_by_hand`."""
        return begun_by_hand(self.work_pool, self.worker, self.started_at)


class TaskRun(msgspec.Struct, frozen=True, kw_only=True):
    """One execution of a task within a flow run, through all its attempts."""

    id: str
    flow_run_id: str
    scope_id: str
    """Who called it: the flow run, or a task run."""
    name: str
    task_name: str
    task_key: str
    kind: str = "task"
    """``task``; or ``subflow``: it stands for a subflow run."""
    state_type: StateType
    state_name: str
    state_message: str | None = None
    started_at: int
    ended_at: int | None = None
    attempt: int = 1
    """The attempt of the flow run in which it was last executed (or reused)."""
    run_count: int = 1
    reused_from: str | None = None
    """The run whose recorded result was used on replay."""
    upstream: tuple[str, ...] = ()
    inputs: str = ""
    tags: tuple[str, ...] = ()
    result: ResultRecord | None = None
    cache: str = ""
    """How the cache was asked, and what it answered."""
    address: bytes = b""

    @property
    def is_final(self) -> bool:
        return self.state_type in FINAL


class LogEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a run's log."""

    sequence: int
    """Grows with the order of the lines; where a follower goes on."""
    at: int
    flow_run_id: str
    task_run_id: str | None = None
    level: int
    logger: str
    message: str


class Artifact(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a run published to be looked at."""

    id: str
    flow_run_id: str
    task_run_id: str | None = None
    kind: str
    """markdown, table, link, progress or image."""
    key: str | None = None
    description: str | None = None
    data: Any = None
    created_at: int
    updated_at: int


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to a run, or that its code told."""

    sequence: int
    at: int
    event: str
    """``flow_run.began``, ``flow_run.failed``, …, or the name that user code gave."""
    run_id: str | None = None
    task_run_id: str | None = None
    resource: dict[str, str] = {}
    payload: dict[str, Any] = {}


class StateCount(msgspec.Struct, frozen=True):
    """So many task runs of a flow run are in this state."""

    flow_run_id: str
    state_type: StateType
    state_name: str
    task_runs: int


class StateChange(msgspec.Struct, frozen=True):
    """A run entered a state."""

    at: int
    type: StateType
    name: str
    message: str | None
    attempt: int
    run_count: int


class Reason(msgspec.Struct, frozen=True):
    """A part of an explanation, for programs."""

    kind: str
    """``state``; ``crashed``, ``failed_first``, ``failed_later``, ``not_ready``, ``running``, ``waiting``, ``retried``,
    ``reused``, ``diverged``, ``cache``, ``resume``, ``subflow``.

    Of runs that wait: ``no_server``, ``scheduled``, ``resuming``, ``held``, ``pool_paused``, ``queue_paused``,
    ``no_worker``, ``workers_full``, ``pool_full``, ``queue_full``, ``deployment_full``, ``position``, ``unclaimed``,
    ``claimed``, ``worker_silent``, ``cancelling``, ``slot``, ``input``.
    """
    subject: str
    """The id of the run that it is about."""
    message: str
    details: dict[str, Any]


class Explanation(msgspec.Struct, frozen=True):
    """Why a run is where it is."""

    reasons: tuple[Reason, ...]

    @property
    def sentences(self) -> tuple[str, ...]:
        return tuple(reason.message for reason in self.reasons)


class FlowSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A flow, by its runs."""

    name: str
    runs: int
    last_run_at: int
    last_state_type: StateType
    last_state_name: str
    entrypoint: str = ""
    description: str = ""
