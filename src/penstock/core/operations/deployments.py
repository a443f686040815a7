"""Deployments and their schedules."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.core.deployments import Deployment, DeploymentSpec, ScheduleSpec
from penstock.core.operations import Page, Permission, Request, operation
from penstock.core.runs import FlowRun


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """What applying a deployment came to."""

    deployment: Deployment
    created: bool
    changed: tuple[str, ...] = ()
    """The fields that are not as they were."""


@operation("PUT", "/deployments", Permission.AUTHOR)
class ApplyDeployment(Request[Applied], frozen=True, kw_only=True):
    """Make a deployment as the spec says, whatever it was. Schedules that keep their name keep what they have done.

    The work queue is made if it does not exist; an unknown work pool is refused. With ``dry_run`` nothing changes.
    """

    spec: DeploymentSpec
    dry_run: bool = False


@operation("GET", "/deployments", Permission.READ)
class ListDeployments(Request[Page[Deployment]], frozen=True, kw_only=True):
    """Deployments by flow and name."""

    flow: str | None = None
    tag: str | None = None
    pool: str | None = None
    search: str | None = None
    """A part of ``flow/name``."""
    limit: int = 100
    after: str | None = None


@operation("GET", "/deployments/{deployment}", Permission.READ)
class GetDeployment(Request[Deployment], frozen=True, kw_only=True):
    """The deployment of that id, or ``flow/name``; raises `NotFound` with what may have been meant."""

    deployment: str


@operation("DELETE", "/deployments/{deployment}", Permission.AUTHOR)
class DeleteDeployment(Request[None], frozen=True, kw_only=True):
    """Forget a deployment and its schedules. Runs that it has made stay; those that have not begun are cancelled."""

    deployment: str


@operation("POST", "/deployments/{deployment}/pause", Permission.OPERATE, is_idempotent=True)
class PauseDeployment(Request[Deployment], frozen=True, kw_only=True):
    """Its schedules make no runs until it is resumed."""

    deployment: str


@operation("POST", "/deployments/{deployment}/resume", Permission.OPERATE, is_idempotent=True)
class ResumeDeployment(Request[Deployment], frozen=True, kw_only=True):
    """Its schedules make runs again, from now on."""

    deployment: str


@operation("PUT", "/deployments/{deployment}/schedules", Permission.AUTHOR)
class SaveSchedule(Request[Deployment], frozen=True, kw_only=True):
    """Add a schedule, or change the one of that name."""

    deployment: str
    schedule: ScheduleSpec


@operation("DELETE", "/deployments/{deployment}/schedules/{schedule}", Permission.AUTHOR)
class DeleteSchedule(Request[Deployment], frozen=True, kw_only=True):
    deployment: str
    schedule: str


@operation("POST", "/deployments/{deployment}/schedules/{schedule}/pause", Permission.OPERATE, is_idempotent=True)
class PauseSchedule(Request[Deployment], frozen=True, kw_only=True):
    deployment: str
    schedule: str


@operation("POST", "/deployments/{deployment}/schedules/{schedule}/resume", Permission.OPERATE, is_idempotent=True)
class ResumeSchedule(Request[Deployment], frozen=True, kw_only=True):
    deployment: str
    schedule: str


class Occurrence(msgspec.Struct, frozen=True, kw_only=True):
    """When a schedule would make a run."""

    schedule: str
    at: int
    local: str
    """The same time as clocks of the schedule's zone show it, ISO 8601."""
    timezone: str


@operation("GET", "/deployments/{deployment}/occurrences", Permission.READ)
class PreviewOccurrences(Request[list[Occurrence]], frozen=True, kw_only=True):
    """The next slots of a deployment's schedules, or of one of them, soonest first."""

    deployment: str
    schedule: str | None = None
    count: int = 10
    after: int | None = None


class Slot(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a scheduled time, or of each one from ``slot`` to ``last``."""

    schedule: str
    slot: int
    last: int
    count: int | None = 1
    run_id: str | None = None
    reason: str | None = None
    """Why it did not run."""


@operation("GET", "/deployments/{deployment}/slots", Permission.READ)
class ListSlots(Request[Page[Slot]], frozen=True, kw_only=True):
    """What became of a deployment's scheduled times, latest first."""

    deployment: str
    schedule: str | None = None
    limit: int = 100
    after: str | None = None


@operation("POST", "/deployments/{deployment}/runs", Permission.OPERATE)
class RunDeployment(Request[FlowRun], frozen=True, kw_only=True):
    """Create a run of a deployment, to start now or at a time.

    Parameters are checked against the flow's schema. The same ``idempotency_key`` of the same deployment gives the run
    that it made before.
    """

    deployment: str
    parameters: dict[str, Any] = {}
    name: str | None = None
    tags: tuple[str, ...] = ()
    due_at: int | None = None
    """Microseconds since 1970 UTC; None: now."""
    in_seconds: float | None = None
    idempotency_key: str | None = None
    work_queue: str | None = None
    priority: int = 0
    """Within its queue, a lower number comes first."""
    job_variables: dict[str, Any] = {}
    """Laid over the deployment's ``infrastructure``, each value by itself: ``{"env.TZ": "UTC"}``."""
    parent_flow_run_id: str | None = None
    parent_task_run_id: str | None = None
    asked_by_run_id: str | None = None
    """The run whose code asks for it, child or not: that run may look at it. A run's own key says so by itself."""
