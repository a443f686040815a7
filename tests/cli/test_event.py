"""``penstock event``: what happened."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import NOON, SECOND, Journals

from penstock import clock, settings
from penstock.cli import run_views
from penstock.core import records
from penstock.core.deployments import DeploymentSpec, LocalFolder
from penstock.core.operations.deployments import ApplyDeployment, RunDeployment
from penstock.core.runs import Event
from penstock.sdk import connect

Call = Callable[..., Any]


@pytest.fixture
def ask(home: Path, still: clock.Clock) -> Call:
    return lambda request: connect.orchestrator(settings.load(), still).ask(request)


def test_the_last_events_are_listed(penstock: Call, journals: Journals):
    run_id = journals.run("quiet-otter", state="FAILED", message="Boom")
    journals.run("brave-otter", began=-60)

    everything = penstock("event", "ls")
    of_one = json.loads(penstock("event", "ls", "--run", "quiet-otter", "--json", "event,payload").out)

    assert [line.split("\t")[1] for line in everything.out.splitlines()] == [
        "flow_run.began",
        "flow_run.failed",
        "flow_run.began",
        "flow_run.completed",
    ]
    assert everything.out.splitlines()[1] == (
        f"2025-11-23T11:00:12.300000Z\tflow_run.failed\t{run_id}\tattempt 1: Boom"
    )
    assert of_one[1]["payload"] == {"state": "Failed", "message": "Boom", "attempt": 1}
    assert len(penstock("event", "ls", "-n", "1").out.splitlines()) == 1
    assert len(penstock("event", "ls", "--name", "flow_run.began").out.splitlines()) == 2
    assert len(penstock("event", "ls", "--since", "10min").out.splitlines()) == 2
    assert penstock("event", "ls", "--name", "nothing", tty=True).err == "Nothing has happened like that\n"


def test_when_a_run_is_due_is_shown_as_other_times_are_and_told_exactly_in_json(penstock: Call, ask: Call):
    spec = DeploymentSpec(name="nightly", flow_name="etl", entrypoint="etl.py:etl", code=LocalFolder("/flows"))
    ask(ApplyDeployment(spec=spec))
    ask(RunDeployment(deployment="etl/nightly", name="quiet-otter", due_at=NOON + 250_000))

    piped = penstock("event", "ls").out
    shown = penstock("event", "ls", tty=True, COLUMNS="200").out
    (told,) = json.loads(penstock("event", "ls", "--json", "payload").out)

    assert piped.endswith("\tname=quiet-otter, flow=etl, due_at=2025-11-23T12:00:00.250000Z\n")
    assert "name=quiet-otter, flow=etl, due_at=2025-11-23 13:00:00 CET\n" in shown
    assert told["payload"]["due_at"] == NOON + 250_000


def test_the_whole_of_what_is_told_is_shown_whatever_signs_are_in_it():
    suspended = Event(sequence=1, at=NOON, event="flow_run.suspended", payload={"message": "Why (a, b), and for long?"})

    assert run_views.details(suspended) == "Why (a, b), and for long?"
    assert run_views.step(suspended) == "suspended: Why (a, b), and for long?"


def test_more_events_than_a_page_are_the_last(penstock: Call, journals: Journals):
    for number in range(105):
        journals.run(f"otter-{number}", began=number - 1000)

    listed = penstock("event", "ls", "-n", "205", "--json", "sequence").out

    assert [each["sequence"] for each in json.loads(listed)] == list(range(6, 211))


def test_events_are_followed_until_ctrl_c(penstock: Call, journals: Journals, still: Any):
    run_id = journals.run("quiet-otter", state=None, lives=True)

    def end() -> None:
        journals.writer(run_id).append(records.FlowRunEnded(NOON + SECOND, run_id, "COMPLETED", "Completed"))

    def stop() -> None:
        raise KeyboardInterrupt

    still.meanwhile = [lambda: None, end, stop]
    ran = penstock("event", "ls", "-f", "--json", "event")

    assert ran.code == 130
    assert ran.out == '{"event":"flow_run.began"}\n{"event":"flow_run.completed"}\n'
    assert penstock("event", "ls", "-f", "-o", "csv").code == 2
