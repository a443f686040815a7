"""Processes that fork in the middle of a run."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from penstock import errors, flow, task
from penstock.core import records
from penstock.journal import reader
from penstock.journal.folder import JournalFolder

pytestmark = [
    pytest.mark.fault("R-37"),
    pytest.mark.filterwarnings("ignore:This process:DeprecationWarning"),  # that it forks is the point
]


@pytest.fixture(autouse=True)
def _silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_PROGRESS", "off")


def in_child(work: Callable[[], object]) -> int:
    """Do it in a forked process; gives the exit code: 0, or 1 when it raises. One that hangs is killed."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            signal.alarm(20)
            work()
            code = 0
        except BaseException:  # noqa: BLE001  told by the exit code
            import traceback

            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@task
def work(number: int) -> int:
    return number


@flow
def small(number: int) -> int:
    return work(number) + work.submit(number).result()


def names_of_flows(home: Path) -> list[str]:
    folder = JournalFolder(home / "journals")
    return sorted(
        each.flow_name
        for run in folder.run_ids()
        for journal in folder.journals(run)
        for each in reader.read_all(journal.path)
        if isinstance(each, records.FlowRunBegan)
    )


def test_a_task_may_fork_and_its_run_goes_on_unharmed(home: Path):
    @task
    def forks() -> int:
        return in_child(lambda: None)

    @flow
    def main() -> list[int]:
        return [forks(), forks.submit().result(), work(3)]

    assert main() == [0, 0, 3]


def test_a_flow_called_in_a_forked_child_is_a_run_of_its_own(home: Path):
    @task
    def forks() -> int:
        return in_child(lambda: small(2) == 4 or os._exit(3))

    @flow
    def main() -> int:
        return forks() + work(1)

    assert main() == 1
    assert names_of_flows(home) == ["main", "small"]


def test_a_task_called_in_a_forked_child_cannot_be_recorded_and_that_is_said():
    def try_it() -> None:
        with pytest.raises(errors.JournalError, match="forked process"):
            work(1)

    @flow
    def main() -> int:
        return in_child(try_it)

    assert main() == 0


def test_a_process_pool_of_the_users_own_does_not_disturb_a_run():
    @task
    def pools() -> list[int]:
        with (
            warnings.catch_warnings(),
            concurrent.futures.ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool,
        ):
            warnings.simplefilter("ignore", DeprecationWarning)
            return list(pool.map(abs, [-1, -2]))

    @flow
    def main() -> list[int]:
        return [*pools(), work(3)]

    assert main() == [1, 2, 3]


@pytest.mark.slow
def test_forking_while_other_threads_record_never_hangs(home: Path):
    stop = threading.Event()

    @task
    def busy() -> int:
        count = 0
        while not stop.is_set():
            count += work(1)
        return count

    @flow
    def main() -> list[int]:
        running = [busy.submit() for _ in range(3)]
        codes = [in_child(lambda: small(1)) for _ in range(100)]
        stop.set()
        for each in running:
            each.result()
        return codes

    assert main() == [0] * 100
    assert names_of_flows(home) == ["main", *["small"] * 100]


@pytest.mark.slow
def test_a_child_that_outlives_a_killed_run_does_not_keep_it_from_being_resumed(home: Path, tmp_path: Path):
    script = tmp_path / "script.py"
    script.write_text(
        "import os, signal, sys\nfrom penstock import flow, task\n"
        "@task\ndef forks():\n"
        "    if os.fork() == 0:\n"
        "        sys.stdin.read()\n"
        "        os._exit(0)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "@flow\ndef main():\n    forks()\n"
        "main()\n"
    )
    process: Any = subprocess.Popen([sys.executable, script], stdin=subprocess.PIPE)
    process.wait(60)
    (run_id,) = JournalFolder(home / "journals").run_ids()
    (journal,) = JournalFolder(home / "journals").journals(run_id)
    locked = journal.is_locked
    process.stdin.close()

    assert process.returncode == -signal.SIGKILL
    assert not locked
