"""Runs of deployments that somebody goes on with by hand: one process executes each, and can be ended."""

from __future__ import annotations

import os
import signal

import pytest
from tests.acceptance.place import Place, write

from penstock.core.operations.flow_runs import GetFlowRun, ListFlowRuns

pytestmark = pytest.mark.slow

FLOWS = """
import os
import time
from penstock import flow, suspend_flow_run


@flow
def stubborn():
    if not os.path.exists("mended"):
        raise ValueError("not yet")
    if os.path.exists("asks"):
        print("answer", suspend_flow_run(int, key="number"), flush=True)
        return
    print("ready", flush=True)
    time.sleep(300)
"""


@pytest.fixture
def failed(place: Place) -> str:
    """The id of a run that a worker has executed; a server is there, and no worker any more."""
    write(place.folder, stubborn=FLOWS)
    place.start_server()
    worker = place.start("worker", "start")
    place.run("deployment", "build", "stubborn.py:stubborn", "-n", "x", "--apply")
    place.run("deployment", "run", "stubborn/x", "--watch", code=1)
    worker.end()
    (place.folder / "mended").touch()
    return place.ask(ListFlowRuns()).items[0].id


def state(place: Place, run: str) -> str:
    return place.ask(GetFlowRun(run=run)).state_name


@pytest.mark.skipif("COVERAGE_PROCESS_CONFIG" in os.environ, reason="coverage handles SIGTERM itself")
def test_its_process_is_ended_when_it_is_cancelled_with_a_server_and_without(place: Place, failed: str):
    process = place.start("flow-run", "resume", failed)
    process.says("ready")
    place.until(lambda: state(place, failed) == "Running", "its beginning")

    asked = place.run("flow-run", "cancel", failed)

    assert asked.out.endswith("is Cancelling: its processes are being ended\n")
    assert process.popen.wait(60) == 128 + signal.SIGTERM
    place.until(lambda: state(place, failed) == "Cancelled", "its end")

    place.run("server", "stop")
    again = place.start("flow-run", "resume", failed)
    again.says("ready")
    assert place.run("flow-run", "cancel", failed).out.endswith("is Cancelled\n")
    assert again.popen.wait(60) == 128 + signal.SIGTERM


def test_it_is_left_to_the_worker_that_it_waits_for_until_it_is_cancelled(place: Place, failed: str):
    place.run("flow-run", "retry", failed)

    refused = place.run("flow-run", "resume", failed, code=1)

    assert "The run waits for a worker, which goes on with it" in refused.err
    assert state(place, failed) == "AwaitingRetry"
    place.run("flow-run", "cancel", failed)
    process = place.start("flow-run", "resume", failed)
    process.says("ready")
    place.until(lambda: state(place, failed) == "Running", "its beginning")
    assert "A process may be executing this run" in place.run("flow-run", "set-state", failed, "failed", code=1).err
    assert process.end(signal.SIGINT) == 130
    place.until(lambda: state(place, failed) == "Interrupted", "its end")


def test_it_goes_on_here_with_the_input_for_which_it_has_suspended_itself_here(place: Place, failed: str):
    (place.folder / "asks").touch()
    place.run("flow-run", "resume", failed, code=7)
    place.until(lambda: state(place, failed) == "Suspended", "its suspension")

    ran = place.run("flow-run", "resume", failed, "--input", "value=3")

    assert "answer 3" in ran.out
    place.until(lambda: state(place, failed) == "Completed", "its end")
