"""``penstock flow-run why`` and ``penstock task-run why``."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

Call = Callable[..., Any]


@pytest.fixture
def run(journals: Any, make_task: Any):
    tasks = (make_task("clean-0"), make_task("clean-1", "FAILED", "ValueError: \x1b[31mbad row"))
    return journals.run("brave-otter", state="FAILED", message="ValueError: bad row", tasks=tasks)


def test_people_get_sentences(penstock: Call, run: Any):
    assert penstock("flow-run", "why", "brave-otter", tty=True).out == (
        "Flow run `brave-otter` is Failed: ValueError: bad row.\n"
        "Task run `clean-1` was the first to end Failed: ValueError: bad row.\n"
        "`penstock flow-run resume brave-otter` would use 1 recorded result and run 1 task again, besides those "
        "that had not begun.\n"
    )


def test_programs_get_reasons(penstock: Call, run: Any):
    found = json.loads(penstock("flow-run", "why", "brave-otter", "--json").out)

    assert [reason["kind"] for reason in found] == ["state", "failed_first", "resume"]
    assert found[-1]["details"] == {"reused": 1, "run_again": 1, "not_kept": 0}


def test_a_task_run_is_explained_too(penstock: Call, journals: Any, run: Any):
    ran = penstock("task-run", "why", journals.task_run_id(run, 0))

    assert ran == (0, "Task run `clean-0` is Completed.\n", "")


@pytest.mark.parametrize("noun", ["flow-run", "task-run"])
def test_what_does_not_exist_is_not_found(penstock: Call, noun: Any):
    assert penstock(noun, "why", "nothing").code == 3
