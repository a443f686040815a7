"""Workers: from a run that is due to its end."""

from __future__ import annotations

import errno
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.worker.factory import DEADLINE, Factory, until

from penstock import errors
from penstock.core.deployments import LocalFolder
from penstock.core.operations.work import ClaimFlowRuns
from penstock.core.operations.work_pools import UpdateWorkPool
from penstock.worker import lacking, supervisor
from penstock.worker import worker as worker_module
from penstock.worker.code import CodeStore
from penstock.worker.heartbeats import Heartbeats
from penstock.worker.output import Stream
from penstock.worker.worker import attended

HELLO = """
from penstock import flow, task

@task
def double(number: int) -> int:
    return 2 * number

@flow(log_prints=True)
def main(number: int = 1) -> int:
    print("number", number)
    return double(number)
"""

REFUSING = """
import errno, os, pathlib

fork = os.fork

def refusing():
    if pathlib.Path(__file__).with_name("refused").exists():
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")
    return fork()

os.fork = refusing
"""


def test_a_run_that_is_due_is_executed_by_a_worker(factory: Factory):
    run = factory.create(factory.deploy(HELLO), parameters={"number": 21})
    factory.work()

    ended = factory.ended(run)
    assert (ended.state_name, ended.attempt, ended.parameters) == ("Completed", 1, {"number": 21})
    assert "number 21" in factory.logs(run)


def test_a_claim_whose_answer_was_lost_is_asked_for_again_and_its_run_begins_at_once(factory: Factory):
    factory.server.loses_answer_to.add(ClaimFlowRuns)
    run = factory.create(factory.deploy(HELLO))
    factory.work()

    ended = factory.ended(run)
    assert (ended.state_name, ended.attempt) == ("Completed", 1)
    assert not factory.server.loses_answer_to


@pytest.mark.slow
def test_a_worker_whose_disk_is_full_claims_nothing_until_there_is_room(
    factory: Factory, monkeypatch: pytest.MonkeyPatch
):
    (factory.root / "w").mkdir()
    monkeypatch.setattr(worker_module, "LEAST_FREE_BYTES", 1 << 62)
    monkeypatch.setattr(worker_module, "PAUSES", (0.01,))
    run = factory.create(factory.deploy(HELLO))
    worker = factory.work()
    until(lambda: worker.warned)
    state = factory.state(run)
    monkeypatch.setattr(worker_module, "LEAST_FREE_BYTES", 0)

    assert "The disk is full, so no more runs are claimed" in worker.warned[0]
    assert state == "Scheduled"
    assert factory.ended(run).state_name == "Completed"
    assert "runs are claimed again" in worker.said[0]


def test_a_worker_that_finds_no_server_waits_for_it_and_does_not_speak_of_runs(factory: Factory):
    factory.server.is_away = True
    worker = factory.work()
    until(lambda: worker.warned)
    had_started = worker.started.is_set()
    factory.server.is_away = False

    assert worker.started.wait(DEADLINE)
    assert not had_started
    assert worker.warned == [
        "The server cannot be reached (away): `http://server.test/api`. Trying again until it answers"
    ]


def test_a_worker_of_a_pool_that_is_not_there_is_refused(factory: Factory):
    worker = factory.work(pool="nowhere")
    worker.join()

    assert "nowhere" in str(worker.trouble[0])


@pytest.mark.slow
def test_a_worker_that_can_make_no_process_gives_runs_back_and_claims_none_for_a_while(
    factory: Factory, monkeypatch: pytest.MonkeyPatch
):
    # What a limit of processes does, which the tests' own processes would meet as well.
    (factory.code / "refusing.py").write_text(REFUSING)
    refusing = factory.code / "refused"
    refusing.touch()
    factory.environ["PYTHONPATH"] = str(factory.code)
    factory.ask(UpdateWorkPool(pool="default", job_template={"preload": ["refusing"]}))
    monkeypatch.setattr(worker_module, "UNABLE_SECONDS", 0.05)
    run = factory.create(factory.deploy(HELLO))
    worker = factory.work()
    until(lambda: factory.run(run).attempt > 4, "more attempts than a run may crash")
    refusing.unlink()

    ended = factory.ended(run)
    assert ended.state_name == "Completed"
    assert any(each.startswith("Runs cannot be begun (No process could be made") for each in worker.warned)


def check_given_back(factory: Factory, monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    """A run that cannot begin at first completes in its second attempt, and whoever watches the worker is told."""
    monkeypatch.setattr(worker_module, "UNABLE_SECONDS", 0.05)
    run = factory.create(factory.deploy(HELLO))
    worker = factory.work()

    ended = factory.ended(run)
    assert (ended.state_name, ended.attempt) == ("Completed", 2)
    assert any(why in each for each in worker.warned)
    assert "Runs are claimed again" in worker.said


def test_a_worker_that_can_open_no_file_gives_the_run_back(factory: Factory, monkeypatch: pytest.MonkeyPatch):
    refusals = [OSError(errno.EMFILE, "Too many open files")]

    def opened(*args: Any) -> Stream:
        if refusals:
            raise refusals.pop()
        return Stream(*args)

    monkeypatch.setattr(supervisor, "Stream", opened)
    check_given_back(factory, monkeypatch, "Too many open files")


def test_why_a_run_could_not_begin_is_told_whatever_characters_that_has(
    factory: Factory, monkeypatch: pytest.MonkeyPatch
):
    def refusing(*_: Any) -> None:
        raise errors.FlowFileError("There is no such folder: `caf\udce9\0`")

    monkeypatch.setattr(supervisor, "Stream", refusing)
    run = factory.create(factory.deploy(HELLO, on_crash="fail"))
    factory.work()

    ended = factory.ended(run)
    assert (ended.state_name, ended.state_message) == ("Crashed", "There is no such folder: `caf\\udce9\\0`")


@pytest.mark.slow
def test_a_worker_that_lacks_the_code_leaves_the_run_to_one_that_has_it(
    factory: Factory, monkeypatch: pytest.MonkeyPatch
):
    class Elsewhere:
        """The code is on another machine."""

        def get(self, *_: Any) -> None:
            raise errors.FlowFileError("There is no such folder")

    def code_of(home: Path, *rest: Any) -> Any:
        return Elsewhere() if home.name == "without" else CodeStore(home, *rest)

    monkeypatch.setattr(worker_module, "CodeStore", code_of)
    without = factory.work("without")
    assert without.started.wait(DEADLINE)
    runs = [factory.create(factory.deploy(HELLO)) for _ in range(3)]
    until(lambda: factory.run(runs[0]).attempt > 1 or factory.state(runs[0]) == "Resuming")
    factory.work("with")

    assert [factory.ended(run).state_name for run in runs] == ["Completed"] * 3
    assert all(str(factory.logs(run)).count("There is no such folder") <= 1 for run in runs)


@pytest.mark.slow
def test_code_that_is_found_nowhere_is_looked_for_three_times(factory: Factory, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lacking, "LEFT_SECONDS", 0.5)
    run = factory.create(factory.deploy(HELLO, code=LocalFolder(str(factory.root / "nowhere"))))
    factory.work()

    ended = factory.ended(run)
    assert ended.state_name == "Poison"
    assert (ended.state_message or "").startswith(
        "Set aside after 3 attempts without progress. The last: There is no such folder"
    )


@pytest.mark.slow
def test_a_run_that_lacks_more_than_its_code_keeps_no_other_run_of_its_deployment_waiting(factory: Factory):
    deployment = factory.deploy(HELLO, on_crash="fail")
    worker = factory.work()
    lost = factory.create(deployment, job_variables={"working_dir": str(factory.root / "nowhere")})

    assert factory.ended(lost).state_name == "Crashed"
    assert worker.worker._lacking.deployments() == {}
    assert factory.ended(factory.create(deployment)).state_name == "Completed"


def test_a_worker_that_can_make_no_thread_gives_the_run_back(factory: Factory, monkeypatch: pytest.MonkeyPatch):
    refusals = [RuntimeError("can't start new thread")]
    start = threading.Thread.start

    def starting(thread: threading.Thread) -> None:
        if thread.name.startswith("penstock-run-") and refusals:
            raise refusals.pop()
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", starting)
    check_given_back(factory, monkeypatch, "can't start new thread")


def test_a_worker_that_cannot_tell_any_more_that_it_lives_stops_and_says_why(
    factory: Factory, monkeypatch: pytest.MonkeyPatch
):
    is_attended = threading.Event()

    def broken(_: Heartbeats) -> None:
        is_attended.wait()
        raise ValueError("this is a bug")

    monkeypatch.setattr(Heartbeats, "beat", broken)
    worker = factory.work()
    with attended(worker.worker):
        is_attended.set()
        worker.join()

    assert str(worker.trouble[0]) == "this is a bug"


def test_a_thread_of_whoever_serves_ends_as_it_does_where_nothing_is_served(
    factory: Factory, monkeypatch: pytest.MonkeyPatch
):
    told: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", told.append)
    worker = factory.work()
    with attended(worker.worker):
        theirs = threading.Thread(target=[].pop)
        theirs.start()
        theirs.join()

    assert [each.exc_type for each in told] == [IndexError]
    assert worker.worker._fault is None
