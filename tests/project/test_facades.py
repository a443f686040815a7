"""The module names that people coming from Prefect import from."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

FACADES = {
    "artifacts": "create_table_artifact update_progress_artifact",
    "cache_policies": "INPUTS NO_CACHE CachePolicy",
    "client": "get_client",
    "concurrency": "concurrency rate_limit",
    "concurrency.asyncio": "concurrency rate_limit",
    "concurrency.sync": "concurrency rate_limit",
    "context": "get_run_context FlowRunContext TaskRunContext tags",
    "deployments": "Deployment run_deployment",
    "events": "emit_event",
    "exceptions": "MissingContextError FailedRun CrashedRun ParameterTypeError UpstreamTaskError",
    "filesystems": "LocalFileSystem GitHub GitRepository",
    "flows": "flow Flow",
    "futures": "Future as_completed wait",
    "infrastructure": "DockerContainer KubernetesJob Process",
    "infrastructure.container": "DockerContainer",
    "infrastructure.docker": "DockerContainer",
    "infrastructure.process": "Process",
    "input": "RunInput",
    "logging": "get_run_logger get_logger disable_run_logger RunHandler",
    "orion.schemas.schedules": "CronSchedule IntervalSchedule RRuleSchedule",
    "runtime": "deployment flow_run task_run",
    "schedules": "Cron Interval RRule Once ScheduleSpec Policy",
    "server.schemas.schedules": "CronSchedule IntervalSchedule RRuleSchedule",
    "states": "Completed Failed Crashed Cancelled State StateType",
    "task_runners": "ConcurrentTaskRunner SequentialTaskRunner ThreadPoolTaskRunner ProcessPoolTaskRunner",
    "tasks": "task Task task_input_hash exponential_backoff",
    "testing": "harness FakeClock penstock_test_harness",
    "testing.utilities": "prefect_test_harness penstock_test_harness",
    "utilities.annotations": "unmapped allow_failure quote",
}
HEAVY = {"asyncio", "pydantic", "sqlite3", "http", "http.client", "urllib.request", "penstock.store", "penstock.cli"}


@pytest.mark.parametrize("module", FACADES)
def test_the_names_that_people_know_are_there(module: str):
    found = import_module(f"penstock.{module}")

    assert [name for name in FACADES[module].split() if not hasattr(found, name)] == []
    assert [name for name in getattr(found, "__all__", ()) if not hasattr(found, name)] == []


@pytest.mark.parametrize("module", ["task_runners", "testing", "client", "deployments", "filesystems"])
def test_other_names_are_told_to_be_missing(module: str):
    with pytest.raises(AttributeError, match=f"module 'penstock.{module}' has no attribute 'nonsense'"):
        _ = import_module(f"penstock.{module}").nonsense


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("from penstock.deployments import DeploymentSpec", "Deployment.build_from_flow"),
        ("from penstock.filesystems import GCS", "upload=True"),
    ],
)
def test_names_of_old_are_refused_with_what_to_write_instead(line: str, hint: str):
    with pytest.raises(ImportError, match=hint):
        exec(line)


@pytest.mark.slow
def test_importing_them_loads_nothing_heavy():
    imports = "; ".join(f"import penstock.{module}" for module in FACADES)
    program = f"import sys; before = set(sys.modules); {imports}; print('\\n'.join(set(sys.modules) - before))"
    command = [sys.executable, "-I", "-c", program]
    loaded = set(subprocess.run(command, capture_output=True, check=True, text=True).stdout.split())

    assert sorted(loaded & HEAVY) == []


@pytest.mark.parametrize("module", ["blocks", "variables"])
def test_what_does_not_exist_yet_is_a_missing_module(module: str):
    with pytest.raises(ModuleNotFoundError, match=module):
        import_module(f"penstock.{module}")
