from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock import clock, settings
from penstock.core.states import StateType
from penstock.journal.folder import JournalFolder
from penstock.orchestration import local, overview

SCRIPT = Path(__file__).with_name("crashing.py")
PARTS = 2
pytestmark = pytest.mark.slow


@pytest.fixture
def fast_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory, if there is such a thing: these tests die by kill -9, not by power failure."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    folder = Path(tempfile.mkdtemp(prefix="penstock-crash-", dir=memory))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def start(*arguments: object, **environ: str) -> subprocess.Popen[str]:
    """Run the script in a process of its own."""
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    given = {**os.environ, "PENSTOCK_PROGRESS": "off", "PENSTOCK_LOGGING_LEVEL": "CRITICAL", **environ}
    return subprocess.Popen(
        command, env=given, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def in_parts(*arguments: object, more: tuple[object, ...] = ()) -> tuple[list[str], int]:
    """Run the script in several processes at once, each with its part; what they found, and their count."""
    processes = [start(*arguments, part, PARTS, *more) for part in range(PARTS)]
    wrong: list[str] = []
    count = 0
    for process in processes:
        out, err = process.communicate(timeout=900)
        lines = out.splitlines()
        wrong += lines[:-1] if process.returncode == 0 else [*lines, err]
        if process.returncode == 0:
            (number,) = json.loads(lines[-1]).values()
            count += number
    return wrong, count


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "ledger"
    monkeypatch.setenv("LEDGER", str(path))
    return path


def test_a_run_killed_at_any_write_of_its_journal_goes_on_and_repeats_nothing_that_was_finished(fast_folder: Path):
    wrong, killed = in_parts("enumerate", fast_folder)

    assert wrong == []
    assert killed > 150


def test_a_run_whose_journal_was_cut_off_anywhere_goes_on_and_repeats_nothing_that_was_finished(fast_folder: Path):
    wrong, cuts = in_parts("cut", fast_folder, more=(60,))

    assert wrong == []
    assert cuts == 60


def test_of_two_processes_that_resume_a_run_at_once_the_second_is_refused(home: Path, ledger: Path):
    killed = start("killed", 40)
    killed.communicate(timeout=60)
    (run_id,) = JournalFolder(home / "journals").run_ids()

    first = start("resume", run_id, STOP_INSIDE="yes")
    assert first.stdout is not None
    assert first.stdout.readline() == "inside\n"
    second = start("resume", run_id)
    _, told = second.communicate(timeout=60)
    out, err = first.communicate("go on\ngo on\n", timeout=60)

    assert killed.returncode == -signal.SIGKILL
    assert second.returncode == 1
    assert "AlreadyRunning: Another process is executing this run" in told
    assert first.returncode == 0, err
    assert int(out.split()[-1]) > 0
    assert start("check").communicate(timeout=60) == ("", "")
    with local.open_home(settings.load(), clock.SYSTEM) as opened, opened.reading() as tx:
        run = overview.flow_run(tx, run_id)
    assert (run.state_name, run.attempt) == ("Completed", 2)


@pytest.mark.fault("R-36")
def test_eight_processes_on_one_fresh_home_lose_nothing_and_never_wait_for_a_lock(home: Path, ledger: Path):
    processes = [start("many", 200) for _ in range(8)]
    ended = [(process.communicate(timeout=900)[1], process.returncode) for process in processes]

    assert ended == [("", 0)] * 8
    assert ledger.read_text().split() == ["200"] * 8
    with local.open_home(settings.load(), clock.SYSTEM) as opened, opened.reading() as tx:
        runs = tx.flow_runs.page(limit=2000, state=StateType.COMPLETED)
        steps = [count for run in runs for count in overview.state_counts(tx, run.id)]
    assert len(runs) == 1600
    assert [(count.state_name, count.task_runs) for count in steps] == [("Completed", 1)] * 1600
    assert start("check").communicate(timeout=60) == ("", "")
