"""A task that was called outside of any flow, and failed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import pathlib, sys
from penstock import task

here = pathlib.Path(__file__).parent

@task
def inner(number: int) -> int:
    with open(here / "ledger", "a") as ledger:
        ledger.write("executed ")
    return number

@task
def outer(number: int) -> int:
    number = inner(number)
    if not (here / "mended").exists():
        raise ValueError("not yet")
    return number

if __name__ == "__main__":
    outer(3)
"""


@pytest.mark.slow
def test_a_task_that_failed_alone_is_resumed_with_what_it_had_finished(tmp_path: Path, home: Path):
    script = tmp_path / "lone.py"
    script.write_text(SCRIPT)
    assert subprocess.run([sys.executable, script], capture_output=True, timeout=60, check=False).returncode == 1
    (tmp_path / "mended").touch()

    again = [sys.executable, "-m", "penstock", "flow-run", "resume", "--last"]
    assert subprocess.run(again, capture_output=True, timeout=60, check=False).returncode == 0
    assert (tmp_path / "ledger").read_text() == "executed "
