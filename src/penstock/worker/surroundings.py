"""What the process of a run finds around it: its environment, and the file of its assignment."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from penstock import processes
from penstock.core import assignments
from penstock.core.assignments import Assignment
from penstock.core.infrastructure import ProcessJob
from penstock.core.work import Claim
from penstock.settings import PREFIX, SECRET, Settings
from penstock.worker.entrypoint import JOB

_OWN = frozenset({f"{PREFIX}{name.upper()}" for name in (*SECRET, "database_url", "home", "api_url")})
"""Settings of the worker that are none of a run's: what opens doors, and what is said anew."""


def without_keys(worker: Mapping[str, str]) -> dict[str, str]:
    """The worker's environment, as far as it concerns its runs."""
    return {name: value for name, value in worker.items() if name not in _OWN}


def environment(
    worker: Mapping[str, str], job: ProcessJob, claim: Claim, settings: Settings, api_url: str, job_file: Path
) -> dict[str, str]:
    """All variables of the run's process: the worker's, without its keys; the job's; and which run it is."""
    found = without_keys(worker)
    for name, value in job.variables.items():
        if value is None:
            found.pop(name, None)
        else:
            found[name] = value
    return {
        **found,
        f"{PREFIX}HOME": str(settings.home),
        f"{PREFIX}API_URL": api_url,
        processes.RUN_ID: claim.run_id,
        processes.ATTEMPT: str(claim.attempt),
        JOB: str(job_file),
    }


def argv(job: ProcessJob) -> list[str] | None:
    """What to execute, with the worker's own interpreter where none is named; None: a fork will do."""
    line = job.argv
    return None if line is None else [line[0] or sys.executable, *line[1:]]


def assignment(claim: Claim, folder: Path, api_url: str | None, lease: Path) -> Assignment:
    """What the process is told. Without an ``api_url``, it asks the server of its home, wherever that listens."""
    job = claim.job
    return Assignment(
        run_id=claim.run_id,
        attempt=claim.attempt,
        name=claim.name,
        flow_name=job.flow_name,
        entrypoint=job.entrypoint,
        folder=str(folder),
        parameters=job.parameters,
        tags=claim.tags,
        deployment_id=claim.deployment_id,
        deployment=claim.deployment,
        parent_flow_run_id=claim.parent_flow_run_id,
        due_at=claim.due_at,
        api_url=api_url,
        key=claim.key,
        lease=str(lease),
    )


def write(path: Path, told: Assignment) -> None:
    """Write the assignment where only this account can read it: it holds the run's key."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o600)
    with open(descriptor, "wb") as file:
        file.write(assignments.encode(told))
