"""The names of fields that `--json` may be followed by."""

from __future__ import annotations

from penstock.cli.views import HIDDEN
from penstock.core import deployments, runs
from penstock.core.access import ApiKey
from penstock.core.concurrency import ConcurrencyLimit
from penstock.core.operations.deployments import Occurrence, Slot
from penstock.core.work import Worker, WorkPool, WorkQueue


def every() -> set[str]:
    """All names of fields that some command can show."""
    kinds = (
        *(runs.FlowRun, runs.TaskRun, runs.LogEntry, runs.Artifact, runs.Event, runs.FlowSummary),
        *(deployments.Deployment, deployments.DeploymentSpec, deployments.ScheduleState, Occurrence, Slot),
        *(ApiKey, ConcurrencyLimit),
        *(WorkPool, WorkQueue, Worker),
    )
    names = {name for kind in kinds for name in kind.__struct_fields__}
    told = {"level_name", "duration_seconds", "full_name", "task_runs", "failures", "artifacts", "history"}
    return names - HIDDEN | told | {"deployment", "deployments", "latest_runs", "queues", "workers"}
