"""``penstock task-run``."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

Call = Callable[..., Any]


@pytest.fixture
def run(journals: Any, make_task: Any):
    tasks = (make_task("clean-0"), make_task("clean-1", "FAILED", "ValueError: bad row"), make_task("load-0", None))
    return journals.run("brave-otter", state=None, lives=True, tasks=tasks)


def test_task_runs_are_listed_in_the_order_in_which_they_began(penstock: Call, run: Any):
    lines = penstock("task-run", "ls", "brave-otter", tty=True).out.splitlines()

    assert lines[0].split() == ["NAME", "TASK", "STATE", "STARTED", "TOOK", "TRIES", "ID"]
    assert [line.split()[:3] for line in lines[1:]] == [
        ["clean-0", "clean", "Completed"],
        ["clean-1", "clean", "Failed"],
        ["load-0", "clean", "Running"],
    ]


def test_only_those_in_a_state_are_listed(penstock: Call, run: Any):
    found = json.loads(penstock("task-run", "ls", "brave-otter", "--state", "failed", "--json", "name").out)

    assert found == [{"name": "clean-1"}]
    assert penstock("task-run", "ls", "brave-otter", "--state", "Failed", "--json", "name").out.count("name") == 1
    assert penstock("task-run", "ls", "brave-otter", "--state", "paused", tty=True).err == (
        "Flow run `brave-otter` has no task runs like that\n"
    )


def test_task_runs_are_listed_by_the_name_of_their_state(penstock: Call, journals: Any, make_task: Any):
    tasks = (
        make_task("slow", "FAILED", state_name="TimedOut"),
        make_task("bad", "FAILED"),
        make_task("kept", state_name="Cached"),
        make_task("new"),
    )
    journals.run("brave-otter", tasks=tasks)

    def names(*states: str) -> list[str]:
        line = [word for state in states for word in ("--state", state)]
        found = penstock("task-run", "ls", "brave-otter", *line, "--json", "name")
        return [each["name"] for each in json.loads(found.out)]

    assert names("timed out") == ["slow"]
    assert names("Cached", "failed") == ["slow", "bad", "kept"]
    assert names("cached", "TimedOut") == ["slow", "kept"]


def test_a_list_that_goes_on_says_so(penstock: Call, run: Any):
    assert penstock("task-run", "ls", "brave-otter", "-n", "1", tty=True).err == (
        "hint: these are the first 1; `--limit` shows more\n"
    )


def test_a_task_run_is_shown_on_one_page(penstock: Call, journals: Any, run: Any):
    identity = journals.task_run_id(run, 1)

    assert penstock("task-run", "inspect", identity[:8], tty=True).out == (
        "clean-1  Failed\n"
        "\n"
        "  task      clean\n"
        f"  id        {identity}\n"
        f"  flow run  {run}\n"
        "  state     Failed: ValueError: bad row\n"
        "  attempt   1\n"
        "  started   2025-11-23 12:00:01 CET\n"
        "  ended     2025-11-23 12:00:01 CET\n"
        "  took      500 ms\n"
    )


def test_programs_get_the_preview_of_a_result_and_never_its_bytes(penstock: Call, journals: Any, run: Any):
    found = json.loads(penstock("task-run", "inspect", journals.task_run_id(run, 0), "--json").out)

    assert found["result"] == {"preview": "42", "size": 1, "kept": True, "location": None}
    assert "address" not in found


def test_a_task_run_that_does_not_exist_is_not_found(penstock: Call, run: Any):
    assert penstock("task-run", "inspect", "nothing") == (
        3,
        "",
        "error: No task run has the id: `nothing`\nhint: list those of a run with `penstock task-run ls RUN`\n",
    )
