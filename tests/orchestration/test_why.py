from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from tests.orchestration.written import SteppingClock, WrittenRun

from penstock import errors
from penstock.core import records
from penstock.core.result_records import ResultRecord
from penstock.orchestration.local import Home
from penstock.orchestration.why import Explanation, explain_flow_run, explain_task_run

Opened = Callable[[], AbstractContextManager[Home]]


@pytest.fixture
def why(opened: Opened):
    """``why(run.id)``, or with ``task=True`` of a task run."""

    def why(run_id: str, *, task: bool = False) -> Explanation:
        with opened() as home, home.reading() as tx:
            return explain_task_run(tx, run_id) if task else explain_flow_run(tx, run_id)

    return why


def test_the_task_that_failed_first_and_those_that_waited_for_it_are_named(
    why: Any, run: WrittenRun, time: SteppingClock
):
    journal = run.journal()
    journal.append(run.began(name="otter"))
    for name in ("extract", "load", "report", "check", "lost"):
        upstream = {"report": ("load",), "check": ("report",)}.get(name, ())
        journal.append(run.task_began(name, upstream=tuple(run.task_id(each) for each in upstream)))
    journal.append(run.task_ended("extract"))
    time.advance(1)
    journal.append(run.task_ended("load", "FAILED", message="ValueError: bad row", run_count=3))
    time.advance(1)
    for name in ("report", "check"):
        message = "Upstream task run 'load' did not complete"
        journal.append(run.task_ended(name, "FAILED", name="NotReady", message=message))
    journal.append(run.task_ended("lost", "FAILED", message="OSError: gone"))
    journal.append(run.ended("FAILED", message="1/5 states failed."))
    run.die()

    found = why("otter")

    assert found.sentences == (
        "Flow run `otter` is Failed: 1/5 states failed.",
        "Task run `load` was the first to end Failed, after 3 tries: ValueError: bad row.",
        "After it, `lost` did not complete either.",
        "`report`, `check` could not start, because `load` did not complete.",
        (
            "`penstock flow-run resume otter` would use 1 recorded result and run 4 tasks again, "
            "besides those that had not begun."
        ),
    )
    assert [reason.kind for reason in found.reasons] == [
        "state",
        "failed_first",
        "failed_later",
        "not_ready",
        "resume",
    ]
    assert found.reasons[1].subject == run.task_id("load")
    assert found.reasons[-1].details == {"reused": 1, "run_again": 4, "not_kept": 0}
    report = why(run.task_id("report"), task=True)
    assert report.sentences == (
        "Task run `report` is NotReady: Upstream task run 'load' did not complete.",
        "It takes the result of `load`, which is Failed: ValueError: bad row.",
    )
    assert why(run.task_id("load"), task=True).sentences[1] == "It was tried 3 times."


def test_a_dead_process_is_named_with_what_it_interrupted(why: Any, run: WrittenRun):
    for attempt in (1, 2):
        journal = run.journal(attempt)
        journal.append(run.began(attempt=attempt, name="otter"))
        for number in range(7):
            journal.append(run.task_began(f"t{number}"))
        run.die()
        found = why("otter")

    assert found.sentences == (
        "Flow run `otter` is Crashed: Process 4242 on here died.",
        "2 attempts in a row ended without a newly completed task.",
        "`t0`, `t1`, `t2`, `t3`, `t4` and 2 others were interrupted.",
        (
            "`penstock flow-run resume otter` would use 0 recorded results and run 7 tasks again, "
            "besides those that had not begun."
        ),
    )


def test_what_is_under_way_is_told(why: Any, run: WrittenRun, time: SteppingClock):
    journal = run.journal()
    journal.append(run.began(name="otter"))
    journal.append(run.task_began("a"))
    journal.append(run.task_began("b"))
    moved = records.TaskRunMoved(time.now(), run.task_id("b"), "SCHEDULED", "AwaitingRetry", "in 5 s", 1)
    journal.append(moved)

    assert why("otter").sentences == (
        "Flow run `otter` is Running.",
        "`a` is running.",
        "`b` is waiting: AwaitingRetry: in 5 s.",
    )


def test_results_that_were_not_kept_are_told_because_a_resume_computes_them_again(why: Any, run: WrittenRun):
    journal = run.journal()
    journal.append(run.began(name="otter"))
    journal.append(run.task_began("a"))
    journal.append(run.task_ended("a", result=ResultRecord("<socket>", kept=False)))
    journal.append(run.ended("FAILED", message="What now?"))

    assert why("otter").sentences == (
        "Flow run `otter` is Failed: What now?",
        (
            "`penstock flow-run resume otter` would use 0 recorded results and run 1 task again, "
            "besides those that had not begun (`a` kept no result)."
        ),
    )


def test_where_replay_and_code_disagreed_is_told(why: Any, run: WrittenRun, time: SteppingClock):
    run.journal().append(run.began())
    run.die()
    journal = run.journal(attempt=2)
    journal.append(run.began(attempt=2, name="otter", forked_from="another"))
    journal.append(records.ReplayDiverged(time.now(), run.id, run.id, "mod.load", "changed", "recorded (1), now (2)"))
    journal.append(run.ended())

    assert why("otter").sentences == (
        "Flow run `otter` is Completed.",
        "On replay the code had changed for task `mod.load` (changed): recorded (1), now (2)",
        "It was forked from run another.",
    )


def test_the_answer_of_the_cache_is_told_by_its_parts(why: Any, run: WrittenRun):
    journal = run.journal()
    journal.append(run.began())
    journal.append(run.task_began("a"))
    text = "miss: no run has computed this key [task=ab12, x=cannot be hashed]"
    journal.append(run.task_ended("a", cache=text))
    journal.append(run.task_began("b"))
    journal.append(run.task_ended("b", cache="hit: computed by task run 7"))

    a, b = (why(run.task_id(name), task=True).reasons[-1] for name in "ab")

    assert a.message == "The cache was asked: miss: no run has computed this key. Its key is made of task, x."
    assert a.details == {"outcome": "miss", "components": {"task": "ab12", "x": "cannot be hashed"}}
    assert (b.message, b.details["outcome"]) == ("The cache was asked: hit: computed by task run 7.", "hit")


def test_a_reused_result_is_told_with_where_it_comes_from(why: Any, run: WrittenRun, time: SteppingClock):
    journal = run.journal()
    journal.append(run.began())
    journal.define(records.TaskDefined(0, "k", "load"))
    for name, origin in (("a", run.id), ("b", "another")):
        reused = records.TaskRunReused(time.now(), run.task_id(name), run.id, run.id, 0, name, origin)
        journal.append(reused)

    assert [why(run.task_id(name), task=True).sentences[1] for name in "ab"] == [
        "In attempt 1 it was not executed: its result was recorded by an earlier attempt.",
        "In attempt 1 it was not executed: its result was recorded by run another.",
    ]


def test_a_subflow_that_failed_is_followed(why: Any, run: WrittenRun):
    journal = run.journal()
    journal.append(run.began(name="otter"))
    journal.append(run.task_began("load", kind="subflow"))
    journal.append(run.task_began("aside", kind="subflow"))
    for name in ("load", "aside"):
        journal.append(
            run.began(
                flow_run_id=name, name=f"{name}-run", parent_flow_run_id=run.id, parent_task_run_id=run.task_id(name)
            )
        )
    journal.append(run.ended("FAILED", flow_run_id="load", message="KeyError: 'x'"))
    journal.append(run.task_ended("load", "FAILED", message="KeyError: 'x'"))

    expected = "It stands for subflow run `load-run`, which is Failed: KeyError: 'x'."
    assert why("otter").sentences[2] == expected
    assert why(run.task_id("load"), task=True).sentences[1] == expected


def test_what_does_not_exist_cannot_be_explained(why: Any):
    for task in (True, False):
        with pytest.raises(errors.NotFound):
            why("nothing", task=task)
