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


@pytest.mark.parametrize("line", ["flow-run watch", "flow-run logs -f"])
def test_who_follows_a_run_that_waits_for_an_input_is_told_once_how_to_give_it(
    penstock: Penstock, suspended: str, still: Any, line: str
):
    resume = ["flow-run", "resume", suspended, "--input", "approve=true"]
    still.meanwhile = [lambda: None] * 50 + [lambda: penstock(*resume)]

    ran = penstock(*line.split(), suspended)

    (hint,) = [each for each in ran.err.splitlines() if each.startswith("hint: ")]
    assert "it waits for an input, until" in hint
    assert hint.endswith(f": `penstock flow-run resume {suspended} --input approve=…`")
    assert ran.code == 0


def test_each_pause_of_a_run_that_is_followed_is_told(penstock: Penstock, journals: Any, still: Any):
    run = journals.run("otter", state=None, lives=True)
    writer = journals.writer(run)
    writer.define(records.TaskDefined(0, "penstock.pause", "pause"))

    def pause(key: str) -> None:
        writer.append(records.TaskRunBegan(still.at, key, run, run, 0, key, kind="pause", address=key.encode() * 16))
        writer.append(records.InputAwaited(still.at, run, key, schema={}))
        writer.append(records.TaskRunMoved(still.at, key, "PAUSED", "Paused"))
        writer.append(records.FlowRunMoved(still.at, run, "PAUSED", "Paused"))

    def end() -> None:
        writer.append(records.FlowRunEnded(still.at, run, "COMPLETED", "Completed"))

    still.meanwhile = [lambda: pause("a"), lambda: penstock("flow-run", "resume", "otter"), lambda: pause("b"), end]
    ran = penstock("flow-run", "watch", "otter")

    assert ran.err.count("it waits for somebody to resume it") == 2
    assert ran.err.count("`penstock flow-run resume otter`") == 2


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
