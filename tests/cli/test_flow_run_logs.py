"""``penstock flow-run logs``."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from penstock.core import records

Call = Callable[..., Any]

SECOND = 1_000_000
LINES = ((20, "loading"), (10, "row 1"), (30, "row 2 is odd"), (40, "row 3\nis \x1b[31mbad"))


@pytest.fixture
def run(journals: Any):
    return journals.run("brave-otter", state="FAILED", logs=LINES)


def texts(ran: Any) -> list[str]:
    return [json.loads(line)["message"] for line in ran.out.splitlines()]


def test_people_see_local_times_and_nothing_that_steers_the_terminal(penstock: Call, run: Any):
    assert penstock("flow-run", "logs", "brave-otter", tty=True) == (
        0,
        (
            "12:00:00.000 INFO     brave-otter loading\n"
            "12:00:01.000 DEBUG    brave-otter row 1\n"
            "12:00:02.000 WARNING  brave-otter row 2 is odd\n"
            "12:00:03.000 ERROR    brave-otter row 3\nis bad\n"
        ),
        "",
    )


def test_behind_a_pipe_a_line_is_what_was_recorded(penstock: Call, run: Any):
    lines = penstock("flow-run", "logs", "brave-otter").out.splitlines()

    assert lines[0] == "2025-11-23T11:00:00.000000Z\tINFO\tbrave-otter\tloading"
    assert lines[-1] == "is \x1b[31mbad"


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("--level warning", LINES[2:]),
        ("--head 2", LINES[:2]),
        ("--tail 1", LINES[3:]),
        ("--since 2025-11-23T11:00:02Z", LINES[2:]),
        ("--since 1min", ()),
        ("--level info --tail 2", LINES[2:]),
    ],
)
def test_only_the_lines_that_were_asked_for_are_shown(penstock: Call, run: Any, line: Any, wanted: Any):
    ran = penstock("flow-run", "logs", "brave-otter", "-o", "jsonl", *line.split())

    assert texts(ran) == [text for _, text in wanted]


def test_json_is_one_list_with_the_names_of_levels(penstock: Call, run: Any):
    found = json.loads(penstock("flow-run", "logs", "brave-otter", "--json", "level,level_name").out)

    assert found[0] == {"level": 20, "level_name": "INFO"}
    assert len(found) == 4


def test_lines_of_a_task_are_found_by_its_name_its_task_or_its_id(penstock: Call, journals: Any, make_task: Any):
    run_id = journals.run(
        "calm-heron", state=None, lives=True, tasks=(make_task("clean-0"), make_task("load-0", task="load"))
    )
    clean = journals.task_run_id(run_id, 0)
    journals.writer(run_id).append(records.LogLine(1, run_id, clean, 20, "penstock.task_runs", "from clean"))
    journals.writer(run_id).append(records.LogLine(2, run_id, None, 20, "penstock.flow_runs", "from the flow"))

    for task in ("clean-0", "clean", clean[:8]):
        assert texts(penstock("flow-run", "logs", "calm-heron", "--task", task, "-o", "jsonl")) == ["from clean"]
    assert penstock("flow-run", "logs", "calm-heron", "--task", "load").out == ""
    assert penstock("flow-run", "logs", "calm-heron", "--task", "clean").out.split("\t")[2] == "clean-0"


def test_following_goes_on_until_the_run_has_ended(penstock: Call, journals: Any, still: Any):
    run_id = journals.run("calm-heron", state=None, lives=True, logs=((20, "one"),))
    writer = journals.writer(run_id)

    def say(text: str) -> None:
        writer.append(records.LogLine(still.at, run_id, None, 20, "penstock.flow_runs", text))

    def end() -> None:
        say("three")
        writer.append(records.FlowRunEnded(still.at, run_id, "COMPLETED", "Completed"))

    still.meanwhile = [lambda: say("two"), lambda: None, end]

    assert texts(penstock("flow-run", "logs", "-f", "calm-heron", "--json")) == ["one", "two", "three"]
    assert still.meanwhile == []


def test_following_a_run_that_has_ended_shows_its_log(penstock: Call, run: Any):
    assert len(texts(penstock("flow-run", "logs", "-f", "brave-otter", "-o", "jsonl", "--tail", "2"))) == 2


@pytest.mark.parametrize("line", ["--head 1 --tail 1", "--head 1 --follow", "--follow -o csv"])
def test_options_that_exclude_each_other_are_refused(penstock: Call, run: Any, line: Any):
    ran = penstock("flow-run", "logs", "brave-otter", *line.split())

    assert (ran.code, ran.err.partition(":")[2].partition(":")[0]) == (2, " These exclude each other")
