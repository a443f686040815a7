"""What `Flow.to_deployment`, `Flow.deploy` and `Flow.serve` take, and what becomes of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, TypedDict, cast

from penstock.core import deployments
from penstock.core.deployments import DEFAULT_POOL, DEFAULT_QUEUE, OnCrash
from penstock.core.operations.deployments import Applied
from penstock.core.specs import refuse_unknown_options
from penstock.sdk import schedule_choices
from penstock.sdk.deployments import Deployment, DeploymentId, DescribedFlow


class DeploymentOptions(TypedDict, total=False):
    """What can be said of a flow's deployment."""

    cron: str | list[str] | None
    """Run at these times: ``"0 6 * * MON-FRI"``."""
    interval: float | timedelta | list[float | timedelta] | None
    """Run every so often: seconds, or a `timedelta`."""
    rrule: str | list[str] | None
    """Run by a recurrence of RFC 5545."""
    anchor_date: datetime | str | None
    """What intervals are counted from."""
    timezone: str | None
    """The zone of ``cron``, ``interval`` and ``rrule``."""
    schedule: Any
    """A schedule as an object: `CronSchedule(cron="0 6 * * *", timezone="Europe/Berlin")`."""
    schedules: Iterable[Any]
    """Several of them; `ScheduleSpec` gives one a name, parameters and a policy."""
    paused: bool | None
    """Whether its schedules make runs. Without a word, that stays as it is."""
    parameters: Mapping[str, Any] | None
    """Parameters of its runs, unless a run is given others."""
    description: str | None
    """What it is for. Default: the flow's docstring."""
    tags: Iterable[str] | None
    """Tags of its runs."""
    version: str | None
    """Default: the flow's version."""
    enforce_parameter_schema: bool | None
    """Whether runs are refused whose parameters do not fit the flow's type hints (default True)."""
    work_pool_name: str | None
    """Where its runs wait for a worker."""
    work_queue_name: str | None
    """The queue in it; made if there is none."""
    job_variables: Mapping[str, Any] | None
    """For the process of a run: ``{"env": {"TZ": "UTC"}}``."""
    infrastructure: Any
    """What its runs are executed in, as an object of `penstock.infrastructure`."""
    concurrency_limit: int | None
    """How many of its runs may be under way at once."""
    on_crash: OnCrash | None
    """What becomes of a run whose process died: ``resume`` (default) or ``fail``."""
    timeout_seconds: float | None
    """A run is ended from outside after this time."""
    storage: Any
    """Where its code lies, as an object of `penstock.filesystems`. Default: in this folder."""
    path: str | os.PathLike[str] | None
    """The folder of the code, or the folder in its storage."""
    entrypoint: str | None
    """The flow in it, as in ``flows/etl.py:etl``."""
    upload: bool | None
    """Whether the folder is packed and sent to the server, for workers that do not have it."""


_SCHEDULING = ("cron", "interval", "rrule", "anchor_date", "timezone", "schedule", "schedules")


def to_deployment(flow: DescribedFlow, name: str, options: DeploymentOptions) -> Deployment:
    """The deployment that is described so. Raises `UnknownOption` for an option that does not exist."""
    refuse_unknown_options("A deployment", options, DeploymentOptions)
    given = cast("dict[str, Any]", dict(options))
    chosen = schedule_choices.chosen(**{key: given.pop(key) for key in _SCHEDULING if key in given})
    paused = given.pop("paused", None)
    overrides = given.pop("job_variables", None)
    deployment = Deployment(
        name,
        flow=flow,
        schedules=chosen,
        is_schedule_active=None if paused is None else not paused,
        infra_overrides=overrides,
        **given,
    )
    deployment.check()
    return deployment


def deploy(flow: DescribedFlow, name: str, options: DeploymentOptions, *, print_next_steps: bool) -> DeploymentId:
    """Let the server know the flow; says what to do next."""
    applied = to_deployment(flow, name, options).applied()
    if applied is None:
        return DeploymentId("")
    if print_next_steps:
        sys.stdout.write("\n".join([_what_became(applied), "", *_next_steps(applied.deployment.spec)]) + "\n")
    return DeploymentId(applied.deployment.id)


def _what_became(applied: Applied) -> str:
    name = applied.deployment.full_name
    if applied.created:
        return f"Successfully created deployment '{name}'!"
    if applied.changed:
        return f"Successfully updated deployment '{name}'! Changed: {', '.join(applied.changed)}"
    return f"Deployment '{name}' was there already, and is as it was."


def _next_steps(spec: deployments.DeploymentSpec) -> list[str]:
    queue = "" if spec.work_queue == DEFAULT_QUEUE else f" -q '{spec.work_queue}'"
    pool = "" if spec.work_pool == DEFAULT_POOL else f" -p '{spec.work_pool}'"
    return [
        "To execute its runs, start a worker in another terminal:",
        "",
        f"        $ penstock worker start{pool}{queue}",
        "",
        "To create a run, use the following command:",
        "",
        f"        $ penstock deployment run '{spec.full_name}'",
        "",
    ]
