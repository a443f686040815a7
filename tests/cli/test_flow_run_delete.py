"""``penstock flow-run delete``."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

Call = Callable[..., Any]


@pytest.fixture
def runs(journals: Any):
    journals.run("quick-fox", state=None, lives=True)
    return [journals.run("brave-otter"), journals.run("calm-heron", began=-60)]


def names(penstock: Call) -> list[str]:
    return [run["name"] for run in json.loads(penstock("flow-run", "ls", "--json", "name").out)]


def test_runs_are_deleted_once_the_user_agrees(penstock: Call, runs: Any):
    ran = penstock("flow-run", "delete", "brave-otter", "calm-heron", tty=True, stdin="y\n")

    assert ran == (
        0,
        f"{runs[0]}\n{runs[1]}\n",
        (
            f"brave-otter  Completed, of flow etl, {runs[0]}\n"
            f"calm-heron  Completed, of flow etl, {runs[1]}\n"
            "Delete 2 runs for good? [y/N] "
        ),
    )
    assert names(penstock) == ["quick-fox"]


def test_nothing_is_deleted_if_the_user_does_not(penstock: Call, runs: Any):
    ran = penstock("flow-run", "delete", "brave-otter", tty=True, stdin="\n")

    assert (ran.code, ran.out) == (1, "")
    assert ran.err.endswith("[y/N] error: Nothing was changed\n")
    assert len(names(penstock)) == 3


@pytest.mark.parametrize("line", [[], ["--no-input"]])
def test_where_nobody_can_be_asked_it_is_refused(penstock: Call, runs: Any, line: Any):
    ran = penstock("flow-run", "delete", "brave-otter", *line, tty=bool(line), stdin="y\n")

    assert (ran.code, ran.out) == (2, "")
    assert ran.err.endswith("Nobody can be asked here\nhint: say `--yes` to do it\n")
    assert len(names(penstock)) == 3


def test_yes_needs_no_question(penstock: Call, runs: Any):
    assert penstock("flow-run", "delete", "brave-otter", "--yes", "-q") == (0, f"{runs[0]}\n", "")
    assert "brave-otter" not in names(penstock)


def test_a_dry_run_deletes_nothing(penstock: Call, runs: Any):
    ran = penstock("flow-run", "delete", "brave-otter", "--dry-run")

    assert ran == (0, "", f"brave-otter  Completed, of flow etl, {runs[0]}\nhint: nothing was deleted\n")
    assert len(names(penstock)) == 3


def test_a_run_that_a_process_executes_is_refused(penstock: Call, runs: Any):
    ran = penstock("flow-run", "delete", "quick-fox", "--yes")

    assert ran.code == 1
    assert "error: The run has not ended: `quick-fox`" in ran.err


def test_if_one_does_not_exist_none_is_deleted(penstock: Call, runs: Any):
    assert penstock("flow-run", "delete", "brave-otter", "brave-oter", "--yes").code == 3
    assert len(names(penstock)) == 3


def test_a_run_has_to_be_named(penstock: Call):
    assert penstock("flow-run", "delete", "--yes") == (
        2,
        "",
        "error: Which runs? Name some, or give a condition\nhint: for example `--state failed`\n",
    )


def test_runs_are_chosen_by_conditions(penstock: Call, journals: Any):
    journals.run("old-otter", began=-40 * 86400, state="FAILED")
    journals.run("new-otter", state="FAILED")
    journals.run("other-otter", flow="other", state="FAILED")
    journals.run("quick-fox", state=None, lives=True)

    rehearsed = penstock("flow-run", "delete", "--state", "failed", "--flow", "etl", "--dry-run")
    old = penstock("flow-run", "delete", "--older-than", "30d", "--yes")
    rest = penstock("flow-run", "delete", "--flow", "etl", "--yes", "-q")

    assert [line.split()[0] for line in rehearsed.err.splitlines()] == ["new-otter", "old-otter", "hint:"]
    assert "Delete" not in old.err
    assert old.err.startswith("old-otter  Failed")
    assert len(rest.out.splitlines()) == 1
    assert names(penstock) == ["quick-fox", "other-otter"]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (["brave-otter", "--state", "failed"], "Name runs, or say which by conditions: not both"),
        (["--state", "running"], "No run in such a state can be meant"),
        (["--older-than", "x"], "Not a length of time"),
    ],
)
def test_conditions_that_cannot_be_are_refused(penstock: Call, line: list[str], told: str):
    ran = penstock("flow-run", "delete", *line, "--yes")

    assert ran.code == 2
    assert told in ran.err


def test_nothing_that_meets_the_conditions_is_no_error(penstock: Call, runs: Any):
    assert penstock("flow-run", "delete", "--flow", "nothing", "--yes") == (0, "", "There are no runs like that\n")
