"""``penstock flow-run resume | rerun | fork``."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Call = Callable[..., Any]

FLOWS = """
import os
from penstock import flow, task


@task
def load(number: int) -> int:
    print("loading", number)
    return number * 10

@task
def check(number: int) -> int:
    print("checking", number)
    if not os.path.exists("mended"):
        raise ValueError("not yet")
    return number

@flow
def main(number: int = 1) -> int:
    print("sum", check(load(number)))
    return number
"""

NESTED = """
from penstock import flow


@flow(flow_run_name="month-{number}")
def month(number: int) -> float:
    return 1 / (2 - number)

@flow
def months() -> float:
    return month(1) + month(2)
"""


@pytest.fixture
def failed(penstock: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """The name of a run whose first task completed, and whose second failed."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "again.py").write_text(FLOWS)
    assert penstock("run", "again.py", "-q").code == 1
    capsys.readouterr()
    yield json.loads(penstock("flow-run", "ls", "--json", "name").out)[0]["name"]
    sys.modules.pop("again", None)


@pytest.fixture
def mended(failed: Any, tmp_path: Path):
    (tmp_path / "mended").touch()
    return failed


def runs(penstock: Call) -> list[tuple[str, int]]:
    found = json.loads(penstock("flow-run", "ls", "--json", "state_name,attempt").out)
    return [(run["state_name"], run["attempt"]) for run in found]


@pytest.mark.parametrize("last", [True, False])
def test_resume_goes_on_where_the_run_failed(
    penstock: Call, mended: Any, capsys: pytest.CaptureFixture[str], last: Any
):
    assert penstock("flow-run", "resume", "--last" if last else mended, "-q") == (0, "", "")
    assert capsys.readouterr().out == "checking 10\nsum 10\n"
    assert runs(penstock) == [("Completed", 2)]


def test_resume_of_a_run_that_fails_again_exits_with_1(penstock: Call, failed: Any):
    ran = penstock("flow-run", "resume", failed, "-q")

    assert (ran.code, ran.err.splitlines()[-2]) == (1, "ValueError: not yet")
    assert runs(penstock) == [("Failed", 2)]


def test_resume_can_be_rehearsed(penstock: Call, failed: Any):
    assert penstock("flow-run", "resume", failed, "--dry-run") == (
        0,
        "",
        f"Flow run `{failed}` would go on, with the results of 1 finished task run\n",
    )
    assert runs(penstock) == [("Failed", 1)]


def test_a_completed_run_is_not_resumed(penstock: Call, mended: Any):
    penstock("flow-run", "resume", mended, "-q")

    ran = penstock("flow-run", "resume", mended)

    assert (ran.code, ran.err.splitlines()[0]) == (2, f"error: Flow run `{mended}` has completed")


def test_resume_needs_a_run_or_last_and_not_both(penstock: Call):
    assert penstock("flow-run", "resume") == (
        2,
        "",
        "error: Missing: `RUN`\nhint: name a run, or say `--last`\n",
    )
    assert penstock("flow-run", "resume", "x", "--last").err == "error: These exclude each other: `RUN`, `--last`\n"


def test_resume_of_the_last_run_of_none_is_not_found(penstock: Call):
    assert penstock("flow-run", "resume", "--last").code == 3


def test_code_that_has_moved_can_be_named(penstock: Call, mended: Any, tmp_path: Path):
    sys.modules.pop("again", None)
    (tmp_path / "new").mkdir()
    (tmp_path / "again.py").rename(tmp_path / "new" / "again.py")

    ran = penstock("flow-run", "resume", mended)
    assert (ran.code, ran.err) == (
        2,
        f"error: There is no file of flows: `{tmp_path}/again.py`\nhint: say where it is now: `--file FILE:FLOW`\n",
    )
    assert penstock("flow-run", "resume", mended, "--file", "new/again.py", "-q").code == 0


def test_rerun_begins_with_a_task(penstock: Call, mended: Any, capsys: pytest.CaptureFixture[str]):
    penstock("flow-run", "resume", mended, "-q")
    capsys.readouterr()

    assert penstock("flow-run", "rerun", mended, "--from", "load", "-q") == (0, "", "")
    assert capsys.readouterr().out == "loading 1\nchecking 10\nsum 10\n"
    assert runs(penstock) == [("Completed", 3)]


def test_rerun_names_a_task_that_exists(penstock: Call, mended: Any):
    ran = penstock("flow-run", "rerun", mended, "--from", "laod", "-q")

    assert ran.code == 3
    assert ran.err.startswith("error: The run has no task run named: `laod`\n")


def test_rerun_needs_a_task(penstock: Call, mended: Any):
    assert penstock("flow-run", "rerun", mended) == (
        2,
        "",
        "error: Missing: `--from`\nhint: `penstock flow-run rerun --help` shows what it takes\n",
    )


def test_fork_begins_a_run_with_other_parameters(penstock: Call, mended: Any, capsys: pytest.CaptureFixture[str]):
    assert penstock("flow-run", "fork", mended, "-p", "number=2", "-q") == (0, "", "")
    assert capsys.readouterr().out == "loading 2\nchecking 20\nsum 20\n"
    assert sorted(runs(penstock)) == [("Completed", 1), ("Failed", 1)]


def test_fork_with_the_same_parameters_uses_what_was_finished(
    penstock: Call, mended: Any, capsys: pytest.CaptureFixture[str]
):
    assert penstock("flow-run", "fork", mended, "-q").code == 0
    assert capsys.readouterr().out == "checking 10\nsum 10\n"


def test_rerun_and_fork_can_be_rehearsed(penstock: Call, mended: Any):
    assert penstock("flow-run", "rerun", mended, "--from", "load", "--dry-run").code == 0
    assert penstock("flow-run", "fork", mended, "-p", "number=2", "--dry-run").err == (
        f"Flow run `{mended}` would be forked, with number changed\n"
    )
    assert penstock("flow-run", "fork", mended, "-p", "number=x", "--dry-run").code == 2
    assert runs(penstock) == [("Failed", 1)]


@pytest.mark.parametrize("month", [1, 2])
def test_a_subflow_run_leads_to_the_run_that_can_be_resumed(penstock: Call, tmp_path: Path, month: int):
    (tmp_path / "nested.py").write_text(NESTED)
    penstock("run", f"{tmp_path}/nested.py:months", "-q")
    root = json.loads(penstock("flow-run", "ls", "--roots", "--json", "id").out)[0]["id"]

    ran = penstock("flow-run", "inspect", f"month-{month}")

    hint = f"it ran as a part of another run, which can be run again: `penstock flow-run inspect {root}`"
    assert ran.err == f"hint: {hint}\n"
