from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from penstock.core import records

Penstock = Any

FLOW = """
from penstock import flow, suspend_flow_run
from penstock.input import RunInput


class Approval(RunInput):
    approve: bool
    reason: str = "none"


@flow
def asks():
    print(suspend_flow_run(Approval))
"""


@pytest.fixture
def suspended(penstock: Penstock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a run that waits for an input."""
    monkeypatch.chdir(tmp_path)
    Path("asks.py").write_text(FLOW)
    assert penstock("run", "asks.py").code == 7
    (run,) = json.loads(penstock("flow-run", "ls", "--json", "name,state_name").out)
    assert run["state_name"] == "Suspended"
    return run["name"]


def test_a_suspended_run_is_resumed_with_its_input_and_executed_here(
    penstock: Penstock, suspended: str, capsys: pytest.CaptureFixture[str]
):
    rehearsed = penstock("flow-run", "resume", suspended, "--input", "approve=true", "--dry-run")
    wrong = penstock("flow-run", "resume", suspended, "--input", "approve=3")
    resumed = penstock("flow-run", "resume", suspended, "--input", "approve=true", "--input", '{"reason": "rain"}')

    assert rehearsed.err == f"Flow run `{suspended}` would be resumed\n"
    assert (wrong.code, "`approve` should be true or false" in wrong.err) == (2, True)
    assert (resumed.code, resumed.out) == (0, f"Resumed flow run '{suspended}'\n")
    assert capsys.readouterr().out == "approve=True reason='rain'\n"
    assert penstock("flow-run", "ls").out.split("\t")[2] == "Completed"


def test_an_input_without_a_value_is_told_how_inputs_are_written(penstock: Penstock, suspended: str):
    ran = penstock("flow-run", "resume", suspended, "--input", "approve")

    assert ran.code == 2
    assert ran.err == (
        "error: Not an input: `approve`\nhint: write `--input name=value`; the value is JSON or a text\n"
    )


def test_a_suspended_run_says_what_it_waits_for(penstock: Penstock, suspended: str):
    told = penstock("flow-run", "why", suspended).out

    assert f"`penstock flow-run resume {suspended} --input approve=…`" in told


def test_an_input_for_a_run_that_waits_for_none_is_refused(penstock: Penstock, journals: Any):
    journals.run("otter", state="FAILED")

    refused = penstock("flow-run", "resume", "otter", "--input", "approve=true")
    assert refused.code == 2
    assert "Flow run `otter` waits for no input: it is Failed" in refused.err


def test_a_paused_run_goes_on_in_its_own_process(penstock: Penstock, journals: Any):
    run = journals.run("otter", state=None, lives=True)
    writer = journals.writer(run)
    at = writer.opened.at
    writer.define(records.TaskDefined(0, "penstock.pause", "pause"))
    writer.append(records.TaskRunBegan(at, "p", run, run, 0, "pause-0", kind="pause"))
    writer.append(records.InputAwaited(at, run, "p", schema={}))
    writer.append(records.TaskRunMoved(at, "p", "PAUSED", "Paused"))
    writer.append(records.FlowRunMoved(at, run, "PAUSED", "Paused"))
    writer.sync()

    resumed = penstock("flow-run", "resume", "otter", USER="ada")
    assert (resumed.code, resumed.out) == (0, "Resumed flow run 'otter'\n")


@pytest.mark.parametrize("command", ["pause", "suspend"])
def test_a_run_that_was_started_by_hand_cannot_be_made_to_wait_from_outside(
    penstock: Penstock, journals: Any, command: str
):
    journals.run("otter", state=None, lives=True)

    refused = penstock("flow-run", command, "otter")
    assert refused.code == 2
    assert "was started by hand" in refused.err
