"""``penstock flow-run cancel``, ``retry``, ``set-state`` and ``watch``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import NOON, SECOND, Journals

from penstock import clock, settings
from penstock.core import records
from penstock.core.deployments import DeploymentSpec, LocalFolder
from penstock.core.operations.deployments import ApplyDeployment, RunDeployment
from penstock.core.operations.flow_runs import CancelFlowRun, ListFlowRuns, RetryFlowRun
from penstock.core.operations.work import ClaimFlowRuns, RegisterWorker
from penstock.sdk import connect

Call = Callable[..., Any]


@pytest.fixture
def ask(home: Path, still: clock.Clock) -> Callable[[Any], Any]:
    return lambda request: connect.orchestrator(settings.load(), still).ask(request)


@pytest.fixture
def create(ask: Call) -> Call:
    """``create("quiet-otter")`` makes a run of a deployment."""

    def create(name: str, **options: Any) -> str:
        spec = DeploymentSpec(name="nightly", flow_name="etl", entrypoint="etl.py:etl", code=LocalFolder("/flows"))
        ask(ApplyDeployment(spec=spec))
        return ask(RunDeployment(deployment="etl/nightly", name=name, **options)).id

    return create


@pytest.fixture
def claim(ask: Call) -> Call:
    """A worker takes what is due."""

    def claim() -> Any:
        ask(RegisterWorker(id="w", name="ada", pool="default"))
        return ask(ClaimFlowRuns(worker_id="w", pool="default"))[0]

    return claim


def state(penstock: Call, name: str) -> str:
    return json.loads(penstock("flow-run", "inspect", name, "--json", "state_name").out)["state_name"]


# ── cancel ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_run_that_waits_is_cancelled_at_once(penstock: Call, create: Call):
    create("quiet-otter")

    ran = penstock("flow-run", "cancel", "quiet-otter", "--message", "Too late", USER="ada")

    assert ran == (0, "Flow run 'quiet-otter' is Cancelled\n", "")
    shown = json.loads(penstock("flow-run", "inspect", "quiet-otter", "--json").out)
    assert shown["state_message"] == "Too late"
    assert [step["event"] for step in shown["history"]] == ["flow_run.scheduled", "flow_run.cancelled"]
    assert shown["history"][-1]["by"] == "ada"


def test_a_run_under_way_is_cancelling_and_without_a_server_nobody_waits_for_its_end(
    penstock: Call, create: Call, claim: Call
):
    create("quiet-otter")
    claim()

    asked = penstock("flow-run", "cancel", "quiet-otter")
    waited = penstock("flow-run", "cancel", "quiet-otter", "--wait")

    hint = "hint: no server runs here: `penstock server start` starts one, which tells the worker"
    told = "Flow run 'quiet-otter' is Cancelling: worker ada hears of it when a server runs here\n"
    assert asked == (0, told, f"{hint}\n")
    assert waited == (5, told, f"{hint}. So there is nothing to wait for\n")


def test_runs_are_cancelled_by_conditions_once_the_user_agrees(penstock: Call, create: Call):
    for name in ("quiet-otter", "brave-otter"):
        create(name)

    rehearsed = penstock("flow-run", "cancel", "--deployment", "etl/nightly", "--dry-run")
    refused = penstock("flow-run", "cancel", "--state", "scheduled")
    done = penstock("flow-run", "cancel", "--state", "scheduled", tty=True, stdin="y\n")

    assert rehearsed.err.endswith("hint: nothing was cancelled\n")
    assert refused.code == 2
    assert "Cancel 2 runs? [y/N]" in done.err
    assert done.out == "Flow run 'brave-otter' is Cancelled\nFlow run 'quiet-otter' is Cancelled\n"
    assert penstock("flow-run", "cancel", "--flow", "etl").err == "There are no runs like that\n"


def test_a_run_that_has_ended_cannot_be_cancelled(penstock: Call, journals: Journals):
    journals.run("quiet-otter")

    ran = penstock("flow-run", "cancel", "quiet-otter")

    assert (ran.code, ran.out) == (1, "")
    assert ran.err == "error: The run has ended already: `quiet-otter` is Completed\n"


def test_a_run_of_another_machine_is_told(penstock: Call, journals: Journals):
    journals.run("quiet-otter", state=None, lives=True)

    ran = penstock("flow-run", "cancel", "quiet-otter")

    assert ran.code == 1
    assert "`penstock flow-run cancel quiet-otter` there does it" in ran.err


WAITS = """
import time
from penstock import flow

@flow(flow_run_name="quiet-otter")
def main():
    print("ready", flush=True)
    time.sleep(300)

main()
"""


@pytest.fixture
def by_hand(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A run that somebody has started."""
    (tmp_path / "waits.py").write_text(WAITS)
    with subprocess.Popen([sys.executable, tmp_path / "waits.py"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


@pytest.mark.skipif("COVERAGE_PROCESS_CONFIG" in os.environ, reason="coverage handles SIGTERM itself")
@pytest.mark.slow
def test_the_process_of_a_run_of_this_machine_is_ended(by_hand: subprocess.Popen[str]):
    ran = subprocess.run(
        [sys.executable, "-m", "penstock", "flow-run", "cancel", "quiet-otter"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (ran.returncode, ran.stdout) == (0, "Flow run 'quiet-otter' is Cancelled\n")
    assert by_hand.wait(30) == 128 + signal.SIGTERM


# ── retry, set-state ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_run_that_was_cancelled_goes_on(penstock: Call, create: Call, ask: Call):
    ask(CancelFlowRun(run=create("quiet-otter")))

    rehearsed = penstock("flow-run", "retry", "quiet-otter", "--dry-run")
    ran = penstock("flow-run", "retry", "quiet-otter")

    assert rehearsed.err == "Flow run 'quiet-otter', which is Cancelled, would go on where it stopped\n"
    assert ran == (0, "Flow run 'quiet-otter' is AwaitingRetry: it goes on where it stopped\n", "")
    assert penstock("flow-run", "retry", "quiet-otter").code == 1


def test_who_asks_about_a_workers_run_that_has_ended_is_told_to_have_a_worker_go_on_with_it(
    penstock: Call, create: Call, ask: Call
):
    ask(CancelFlowRun(run=create("quiet-otter")))

    assert (
        "`penstock flow-run retry quiet-otter` would use 0 recorded" in penstock("flow-run", "why", "quiet-otter").out
    )
    hint = "hint: go on from where it ended: `penstock flow-run retry quiet-otter`\n"
    assert penstock("flow-run", "inspect", "quiet-otter", tty=True).err == hint


def test_who_resumes_a_workers_run_elsewhere_than_where_its_code_is_is_told_how_a_worker_goes_on(
    penstock: Call, create: Call, ask: Call
):
    ask(CancelFlowRun(run=create("quiet-otter")))

    assert penstock("flow-run", "resume", "quiet-otter") == (
        2,
        "",
        (
            "error: There is no file of flows: `etl.py`\n"
            "hint: `penstock flow-run retry quiet-otter` lets a worker go on with it; to do so here, "
            "say where it is now: `--file FILE:FLOW`\n"
        ),
    )


@pytest.mark.parametrize("words", [("resume",), ("resume", "--dry-run"), ("rerun", "--from", "load")])
def test_a_run_that_waits_for_a_worker_does_not_go_on_here_as_well(
    penstock: Call, create: Call, ask: Call, words: tuple[str, ...]
):
    ask(CancelFlowRun(run=create("quiet-otter")))
    ask(RetryFlowRun(run="quiet-otter"))

    assert penstock("flow-run", words[0], "quiet-otter", *words[1:]) == (
        1,
        "",
        (
            "error: The run waits for a worker, which goes on with it: `quiet-otter`\n"
            "hint: `penstock worker start -p default` starts one; to go on here instead, "
            "`penstock flow-run cancel quiet-otter` first\n"
        ),
    )


def test_a_run_that_was_started_by_hand_is_resumed_and_not_retried(penstock: Call, journals: Journals):
    journals.run("quiet-otter", state="FAILED")

    ran = penstock("flow-run", "retry", "quiet-otter")

    assert ran.code == 2
    assert "`penstock flow-run resume quiet-otter` does so here" in ran.err


def test_a_run_is_given_another_final_state(penstock: Call, journals: Journals):
    journals.run("quiet-otter", state="FAILED")

    rehearsed = penstock("flow-run", "set-state", "quiet-otter", "completed", "--dry-run")
    ran = penstock("flow-run", "set-state", "quiet-otter", "completed", "--name", "Mended", "--message", "By hand")

    assert rehearsed.err == "Flow run 'quiet-otter', which is Failed, would be Completed\n"
    assert ran == (0, "Flow run 'quiet-otter' is Mended\n", "")
    assert state(penstock, "quiet-otter") == "Mended"
    assert penstock("flow-run", "set-state", "quiet-otter", "running").code == 2


# ── watch ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_run_is_watched_until_it_has_ended(penstock: Call, journals: Journals, still: Any):
    run_id = journals.run("quiet-otter", state=None, logs=((20, "one"),), began=-2, lives=True)

    def go_on() -> None:
        journals.writer(run_id).append(records.LogLine(NOON, run_id, None, 40, "penstock", "two"))

    def end() -> None:
        journals.writer(run_id).append(records.FlowRunEnded(NOON + SECOND, run_id, "FAILED", "Failed", "Boom"))

    still.meanwhile = [go_on, end]
    ran = penstock("flow-run", "watch", "quiet-otter")

    assert ran.code == 1
    assert ran.out == "12:59:58.000 | INFO    | one\n13:00:00.000 | ERROR   | two\n"
    assert ran.err == (
        "12:59:58.000 | began, attempt 1\n13:00:01.000 | failed, attempt 1: Boom\nerror: The flow run is Failed: Boom\n"
    )


def test_a_run_that_completed_is_told_and_exits_with_0(penstock: Call, journals: Journals):
    journals.run("quiet-otter", logs=((20, "one"), (40, "two")))

    ran = penstock("flow-run", "watch", "quiet-otter", "--level", "error")

    assert ran.code == 0
    assert ran.out.splitlines() == ["12:00:01.000 | ERROR   | two"]
    assert ran.err.splitlines()[-1] == "Flow run 'quiet-otter' is Completed"


def test_what_is_watched_may_be_lines_of_json(penstock: Call, journals: Journals):
    journals.run("quiet-otter", logs=((20, "one"),))

    ran = penstock("flow-run", "watch", "quiet-otter", "--json", "-q")

    told = [json.loads(line) for line in ran.out.splitlines()]
    assert [each.get("event") or each["message"] for each in told] == ["flow_run.began", "one", "flow_run.completed"]
    assert penstock("flow-run", "watch", "quiet-otter", "-o", "csv").code == 2


def test_a_run_that_is_due_later_says_when(penstock: Call, create: Call, ask: Call, still: Any):
    create("quiet-otter", in_seconds=3600)
    still.meanwhile = [lambda: None] * 26 + [lambda: ask(CancelFlowRun(run=ask(ListFlowRuns()).items[0].id))]

    ran = penstock("flow-run", "watch", "quiet-otter")

    assert ran.code == 1
    assert "It is due in " in ran.err
    assert "no worker serves" not in ran.err


# ── ls ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_runs_that_wait_are_listed_with_when_they_are_due(penstock: Call, create: Call):
    create("late-otter", in_seconds=7200)
    create("soon-otter", in_seconds=300)

    listed = penstock("flow-run", "ls", "--due", tty=True)

    assert [line.split()[0] for line in listed.out.splitlines()] == ["NAME", "soon-otter", "late-otter"]
    assert "default/default" in listed.out
    assert "due in 5 min" in penstock("flow-run", "ls", tty=True).out
    assert penstock("flow-run", "ls", "--due", "--flow", "etl").code == 2
    assert penstock("flow-run", "ls", "--due", "--queue", "other", tty=True).err == "No flow run waits\n"
    assert len(penstock("flow-run", "ls", "--pool", "default", "--deployment", "etl/nightly").out.splitlines()) == 2


def test_a_page_shows_where_a_run_comes_from_and_what_happened_to_it(penstock: Call, create: Call, claim: Call):
    create("quiet-otter")
    claim()

    page = penstock("flow-run", "inspect", "quiet-otter", tty=True).out

    assert "deployment  etl/nightly\n" in page
    assert "work pool   default, queue default\n" in page
    assert "worker      ada\n" in page
    assert "History\n" in page
    assert "pending, attempt 1" in page
