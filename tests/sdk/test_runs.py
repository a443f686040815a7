"""Running flows on a home whose disk fails, and with what nobody else is to read."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydantic
import pytest

from penstock import clock, errors, flow, settings, task
from penstock.core import records
from penstock.core.deployments import DeploymentSpec, LocalFolder
from penstock.core.operations.deployments import ApplyDeployment, RunDeployment
from penstock.core.operations.flow_runs import CancelFlowRun, GetFlowRun
from penstock.journal import writer
from penstock.sdk import connect


class Login(pydantic.BaseModel):
    password: pydantic.SecretStr


@flow
def log_in(login: Login, token: pydantic.SecretStr) -> int:
    return len(login.password.get_secret_value()) + len(token.get_secret_value())


@flow
def one() -> int:
    return 1


@task
def depth_of(_: Any) -> int:
    return 1


def test_a_secret_given_as_plain_text_shows_nowhere_but_in_the_kept_arguments(
    recorded: Callable[[type[Any]], list[Any]],
):
    assert log_in({"password": "hunter2"}, "hunter2") == 14  # type: ignore[arg-type]  coerced

    (began,) = recorded(records.FlowRunBegan)
    assert "hunter2" not in str(began.parameters)
    assert "hunter2" not in began.arguments.preview


def test_a_journal_that_cannot_be_begun_because_the_disk_fails_ends_the_process(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    write = os.write

    def fail(descriptor: int, data: bytes) -> int:
        if bytes(data).startswith(b"penstock journal"):
            raise OSError(5, "Input/output error")
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", fail)

    with pytest.raises(SystemExit) as ended:
        one()

    assert ended.value.code == 70
    assert "mend the disk" in capsys.readouterr().err


def test_a_last_sync_that_fails_ends_the_process(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(writer, "_datasync", fail)

    with pytest.raises(SystemExit) as ended:
        one()

    assert ended.value.code == 70
    assert capsys.readouterr().err.count("mend the disk") == 1


def test_a_task_takes_what_is_nested_deeper_than_python_calls(home: Path):
    deep: dict[str, Any] = {}
    for _ in range(20_000):
        deep = {"deeper": deep}

    @flow
    def deeply() -> int:
        return depth_of(deep) + depth_of.submit([deep]).result()

    assert deeply() == 2


def test_a_run_that_waits_for_a_worker_does_not_go_on_here_as_well(home: Path):
    with connect.asking(settings.load(), clock.SYSTEM) as orchestrator:
        spec = DeploymentSpec(name="nightly", flow_name="one", entrypoint="one.py:one", code=LocalFolder("/flows"))
        orchestrator.ask(ApplyDeployment(spec=spec))
        run = orchestrator.ask(RunDeployment(deployment="one/nightly")).id

        with pytest.raises(errors.AlreadyRunning, match="waits for a worker"):
            one.resume(run)
        with pytest.raises(errors.AlreadyRunning, match="waits for a worker"):
            one.rerun(run, from_task="load")

        assert orchestrator.ask(GetFlowRun(run=run)).state_name == "Scheduled"
        orchestrator.ask(CancelFlowRun(run=run))
    with pytest.raises(errors.NotFound, match="Nothing is recorded"):
        one.resume(run)
