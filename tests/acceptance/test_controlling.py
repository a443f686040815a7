"""Commands that act on runs, while a server keeps the home: they go through it, and nobody is told to come later."""

from __future__ import annotations

import json
import signal

import pytest
from tests.acceptance.place import Place, write

pytestmark = pytest.mark.slow

FLOWS = """
import sys
import time
from penstock import flow, get_run_logger


@flow(flow_run_name="waiting-otter", log_prints=True)
def waits():
    print("ready")
    time.sleep(300)


@flow(flow_run_name="quick-otter", log_prints=True)
def quick(text: str = "done"):
    print(text)
    if text == "broken":
        raise ValueError(text)


if __name__ == "__main__":
    waits() if sys.argv[1:] == ["waits"] else quick(*sys.argv[1:])
"""


@pytest.fixture
def served(place: Place) -> Place:
    write(place.folder, flows=FLOWS)
    place.start_server()
    return place


def state(place: Place, run: str) -> str:
    return json.loads(place.run("flow-run", "inspect", run, "--json", "state_name").out)["state_name"]


def test_a_run_that_was_started_by_hand_is_followed_and_cancelled(served: Place):
    process = served.start("flows.py", "waits")
    served.until(lambda: "waiting-otter" in served.run("flow-run", "ls").out, "the run")
    watching = served.start("flow-run", "watch", "waiting-otter")
    following = served.start("flow-run", "logs", "-f", "waiting-otter")
    watching.says("INFO    .* ready")
    following.says("ready")

    told = served.run("flow-run", "cancel", "waiting-otter", "--wait", "--message", "Enough")

    assert told.out == "Flow run 'waiting-otter' is Cancelled\n"
    assert process.popen.wait(30) == 128 + signal.SIGTERM
    watching.says("The flow run is Cancelled: Enough")
    assert watching.popen.wait(30) == 1
    assert following.popen.wait(30) == 0
    assert "Cancelled: Enough" in served.run("flow-run", "inspect", "waiting-otter").out
    assert served.run("flow-run", "cancel", "waiting-otter").out == "Flow run 'waiting-otter' is Cancelled\n"


def test_runs_are_given_states_deleted_and_pruned_by_way_of_the_server(served: Place):
    for text in ("broken", "one", "two"):
        process = served.start("flows.py", text)
        process.popen.wait(30)
    served.until(lambda: len(served.run("flow-run", "ls", "--since", "1h").out.splitlines()) == 3, "the runs")
    served.until(lambda: not served.run("flow-run", "ls", "--state", "running").out, "their ends")
    failed = json.loads(served.run("flow-run", "ls", "--state", "failed", "--json", "id").out)[0]["id"]

    served.run("flow-run", "set-state", failed, "completed", "--name", "Mended")
    mended = state(served, failed)
    gone = served.run("flow-run", "delete", failed, "--yes")
    pruned = served.run("db", "prune", "--keep", "1", "--yes")

    assert mended == "Mended"
    assert gone.out == f"{failed}\n"
    assert "Forgot 1 run and kept 1" in pruned.err
    assert len(served.run("flow-run", "ls").out.splitlines()) == 1
    assert served.run("fsck").code == 0


def test_events_are_followed_from_the_server(served: Place):
    following = served.start("event", "ls", "-f", "-o", "jsonl")
    served.start("flows.py").popen.wait(30)

    following.says('"flow_run.completed"')
    assert following.end(signal.SIGINT) == 130
