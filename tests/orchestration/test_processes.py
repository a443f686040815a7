"""Real processes on one home: nothing is lost, and nobody meets a lock."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.orchestration.written import SteppingClock, WrittenRun

from penstock.orchestration import overview
from penstock.orchestration.fsck import fsck
from penstock.orchestration.local import open_home
from penstock.settings import Settings

RECORD_AND_ASK = """
    import sys
    from pathlib import Path
    from penstock.clock import SYSTEM
    from penstock.core import records
    from penstock.journal.writer import JournalWriter
    from penstock.orchestration import overview
    from penstock.orchestration.local import open_home
    from penstock.settings import Settings

    settings = Settings(home=Path(sys.argv[1]))
    for number in range(int(sys.argv[2])):
        run_id = SYSTEM.new_id()
        path = settings.journals / run_id / "1.main.journal"
        path.parent.mkdir(parents=True)
        now = SYSTEM.now()
        journal = JournalWriter(path, records.JournalOpened(1, run_id, 1, "main", "here", "", 7, now, "0.1.0"))
        name = f"{sys.argv[3]}-{number}"
        journal.append(records.FlowRunBegan(now, run_id, 1, name, "etl", "", "", {}))
        for task in range(3):
            task_run_id = f"{run_id}-{task}"
            journal.append(records.TaskRunBegan(now, task_run_id, run_id, run_id, 0, "load"))
            journal.append(records.TaskRunEnded(now, task_run_id))
        journal.append(records.FlowRunEnded(now, run_id, "COMPLETED", "Completed"))
        journal.close()
        with open_home(settings, SYSTEM) as home:
            # On a busy machine, the others may keep the store for longer than is waited for at once.
            caught_up = home.caught_up or home.refresh(wait_seconds=60)
            assert caught_up is not None, "somebody kept the store for long"
            with home.reading() as tx:
                assert overview.flow_run(tx, run_id).state_name == "Completed", "my own run is not there"
                assert overview.state_counts(tx, run_id)[0].task_runs == 3
"""


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    program = [sys.executable, "-c", textwrap.dedent(script), *(str(each) for each in arguments)]
    return subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_eight_processes_that_record_and_ask_at_once_lose_nothing_and_meet_no_lock(
    settings: Settings, time: SteppingClock
):
    processes = [start(RECORD_AND_ASK, settings.home, 12, f"process-{number}") for number in range(8)]
    told = [process.communicate(timeout=120)[1] for process in processes]

    assert told == [""] * 8
    with open_home(settings, time) as home, home.reading() as tx:
        names = {run.name for run in overview.flow_runs(tx, limit=500).items}
        assert fsck(home).is_clean
    assert names == {f"process-{number}-{run}" for number in range(8) for run in range(12)}
    assert list(settings.journals.iterdir()) == []


KILLED_WHILE_FOLDING = """
    import os, signal, sys
    from pathlib import Path
    from penstock.clock import SYSTEM
    from penstock.orchestration.local import open_home
    from penstock.settings import Settings
    from penstock.store import sqlite

    writes = 0
    run_many = sqlite._Connection.run_many

    def deadly(self, statement, rows):
        global writes
        writes += 1
        if writes == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        run_many(self, statement, rows)

    sqlite._Connection.run_many = deadly
    open_home(Settings(home=Path(sys.argv[1])), SYSTEM).close()
"""


@pytest.mark.slow
@pytest.mark.parametrize("write", [1, 4, 9, 17, 28])
def test_a_process_that_is_killed_while_it_folds_loses_nothing(
    settings: Settings, time: SteppingClock, complete: Callable[..., WrittenRun], write: int
):
    runs = [complete(tasks=3).id for _ in range(3)]

    killed = start(KILLED_WHILE_FOLDING, settings.home, write)
    killed.communicate(timeout=60)

    assert killed.returncode == -signal.SIGKILL
    with open_home(settings, time) as home, home.reading() as tx:
        assert [overview.flow_run(tx, run).state_name for run in runs] == ["Completed"] * 3
        assert fsck(home).is_clean
    assert list(settings.journals.iterdir()) == []


def test_a_process_that_dies_between_the_fold_and_the_deletion_of_journals_leaves_that_to_the_next(
    settings: Settings, time: SteppingClock, complete: Callable[..., WrittenRun], monkeypatch: pytest.MonkeyPatch
):
    from penstock.orchestration import catch_up

    run = complete()
    with monkeypatch.context() as patch:

        def die(*_: Any) -> bool:
            raise KeyboardInterrupt

        patch.setattr(catch_up._CatchUp, "_delete_journals", die)
        with pytest.raises(KeyboardInterrupt):
            open_home(settings, time)
    assert (settings.journals / run.id).exists()

    with open_home(settings, time) as home:
        assert home.caught_up is not None
        assert (home.caught_up.records, home.caught_up.removed) == (0, 1)


def test_a_forked_child_does_not_keep_the_store_from_others(settings: Settings, time: SteppingClock):
    read, write = os.pipe()
    with open_home(settings, time) as home, home.writing():
        child = os.fork()
        if child == 0:  # pragma: no cover  the child only waits for the end of the test
            os.close(write)
            os.read(read, 1)
            os._exit(0)
    try:
        with open_home(settings, time) as home, home.writing(wait_seconds=0) as store:
            assert store.is_writer
    finally:
        os.close(write)
        os.waitpid(child, 0)
        os.close(read)


def test_no_part_of_the_journal_folder_is_the_stores(settings: Settings, time: SteppingClock, tmp_path: Path):
    open_home(settings, time).close()

    assert {path.name for path in settings.home.iterdir()} <= {
        "penstock.db",
        "penstock.db.lock",
        "penstock.db-wal",
        "penstock.db-shm",
    }
