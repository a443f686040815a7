"""Runs that were started by hand on this machine, and are cancelled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.orchestration.plant import Plant

from penstock import clock, errors, settings
from penstock.core import records
from penstock.core.operations.flow_runs import CancelFlowRun, GetFlowRun, ListFlowRuns
from penstock.core.runs import FlowRun
from penstock.core.states import StateType
from penstock.journal import writers
from penstock.orchestration.catch_up import catch_up
from penstock.orchestration.ending import Ender
from penstock.orchestration.local import Home
from penstock.orchestration.local_orchestrator import LocalOrchestrator
from penstock.store.sqlite import SqliteStore

RUN = "01920001-0000-7000-8000-000000000001"
CHILD = "01920001-0000-7000-8000-00000000000f"


# ── what becomes of the run ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def plant() -> Iterator[Plant]:
    with SqliteStore.in_memory() as store:
        yield Plant(store)


def begin(plant: Plant, *, boot_id: str | None = None) -> None:
    """A run of this machine, with a subflow run, as its process records it."""
    at = plant.now()
    boot = clock.boot_id() if boot_id is None else boot_id
    plant.tell(
        RUN,
        1,
        records.JournalOpened(1, RUN, 1, "main", "host", boot, 4242, at, "0"),
        records.FlowRunBegan(at, RUN, 1, "quiet-otter", "etl", "1", "etl.py:etl", {}),
        records.FlowRunBegan(at, CHILD, 1, "child", "part", "1", "", {}, parent_flow_run_id=RUN),
    )


def interrupt(plant: Plant, run_id: str) -> None:
    plant.tell(RUN, 1, records.FlowRunEnded(plant.now(), run_id, "CRASHED", "Interrupted", "told to end"))


def test_a_run_is_cancelling_until_its_process_has_ended_it(plant: Plant):
    begin(plant)
    woken: list[frozenset[str]] = []
    plant.store.subscribe(woken.append)

    asked = plant.ask(CancelFlowRun(run="quiet-otter", by="ada"))
    again = plant.ask(CancelFlowRun(run="quiet-otter", by="bob"))
    interrupt(plant, CHILD)
    child = plant.run(CHILD)
    interrupt(plant, RUN)
    ended = plant.run(RUN)

    assert (asked.state_name, asked.state_message, again.state_message) == (
        "Cancelling",
        "Cancelled by ada",
        "Cancelled by ada",
    )
    assert "cancelled_by_hand" in frozenset().union(*woken)
    for run in (child, ended):
        assert (run.state_type, run.state_name, run.state_message) == (
            StateType.CANCELLED,
            "Cancelled",
            "Cancelled by ada",
        )
    assert plant.events(RUN) == ["flow_run.began", "flow_run.cancel", "flow_run.cancelled"]


def test_a_run_that_ends_by_itself_meanwhile_has_ended_so(plant: Plant):
    begin(plant)
    plant.ask(CancelFlowRun(run=RUN))
    plant.end(RUN, 1)

    assert plant.state(RUN) == "Completed"
    with pytest.raises(errors.AlreadyEnded):
        plant.ask(CancelFlowRun(run=RUN))


def test_a_run_whose_process_is_found_dead_is_cancelled_and_has_not_crashed(plant: Plant):
    from penstock.orchestration.fold import record

    begin(plant)
    plant.ask(CancelFlowRun(run=RUN))
    lost = records.ProcessLost(plant.now(), RUN, 1, "Process 4242 on host died")
    plant.store.run(lambda tx: record(tx, RUN, lost, attempt=1))

    run = plant.run(RUN)
    assert (run.state_name, run.state_message, run.crashes) == ("Cancelled", "Cancelled by a user", 0)
    assert plant.state(CHILD) == "Cancelled"


def test_a_run_of_another_machine_is_refused(plant: Plant):
    begin(plant, boot_id="another")

    with pytest.raises(errors.RunsElsewhere, match="started by hand on `host`"):
        plant.ask(CancelFlowRun(run=RUN))


# ── its process ──────────────────────────────────────────────────────────────────────────────────────────────────────

WAITS = """
import subprocess, sys, time
from penstock import flow

@flow
def main():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
    print("ready", child.pid, flush=True)
    time.sleep(300)

main()
"""

LEAVES_ONE_THAT_IGNORES = WAITS.replace(
    "import time; time.sleep(300)",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(300)",
).replace("])\n", "], stdout=subprocess.PIPE)\n    child.stdout.readline()\n")

GOES_ON = WAITS.replace("\nmain()\n", "\ntry:\n    main()\nexcept SystemExit:\n    time.sleep(300)\n")

IGNORES = f"import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n{WAITS}"


told_to_end = pytest.mark.skipif("COVERAGE_PROCESS_CONFIG" in os.environ, reason="coverage handles SIGTERM itself")


class Started:
    """A run that somebody has started by hand."""

    def __init__(self, process: subprocess.Popen[str], child: int) -> None:
        self.process = process
        self.child = child
        self.home = Home(settings.load(), clock.SYSTEM)
        self.orchestrator = LocalOrchestrator(self.home.settings, clock.SYSTEM)
        self.id = self.orchestrator.ask(ListFlowRuns()).items[0].id

    def run(self) -> FlowRun:
        return self.orchestrator.ask(GetFlowRun(run=self.id))

    def end(self, ender: Ender, *, tailed: bool = False) -> list[str]:
        """Look until it is gone; what was done on the way. ``tailed``: while others fold what is recorded."""
        done: list[str] = []
        deadline = clock.SYSTEM.elapsed() + 30
        while True:
            with self.home.writing() as store:
                ended = ender.run_once(store)
                if tailed:
                    catch_up(self.home.settings, store, self.home.clock)
            done += [what for what in ("told", "killed", "gone") if getattr(ended, what)]
            if not ended.left:
                return list(dict.fromkeys(done))
            assert clock.SYSTEM.elapsed() < deadline
            self.process.poll()
            clock.SYSTEM.sleep(0.02)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], Started]]:
    started: list[Started] = []

    def start(text: str) -> Started:
        script = tmp_path / "waits.py"
        script.write_text(text)
        process = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True, env=dict(os.environ))
        assert process.stdout is not None
        child = int(process.stdout.readline().split()[1])
        started.append(Started(process, child))
        return started[-1]

    yield start
    for each in started:
        for pid in (each.process.pid, each.child):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        each.process.wait()
        assert each.process.stdout is not None
        each.process.stdout.close()
        each.home.close()


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


@told_to_end
@pytest.mark.slow
def test_the_process_is_told_to_end_and_what_it_leaves_is_killed(start: Any):
    started = start(WAITS)
    started.orchestrator.ask(CancelFlowRun(run=started.id, by="ada"))

    done = started.end(Ender(started.home, grace_seconds=1))

    assert done == ["told", "killed", "gone"]
    assert started.process.wait(30) == 143
    assert not lives(started.child)
    assert started.run().state_name == "Cancelled"


@pytest.mark.slow
def test_a_process_that_does_not_listen_is_killed(start: Any):
    started = start(IGNORES)
    started.orchestrator.ask(CancelFlowRun(run=started.id, by="ada"))

    done = started.end(Ender(started.home, grace_seconds=0.2))

    assert done == ["told", "killed", "gone"]
    assert started.process.wait(30) == -signal.SIGKILL
    assert not lives(started.child)
    assert (started.run().state_name, started.run().state_message) == ("Cancelled", "Cancelled by ada")


@told_to_end
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
@pytest.mark.slow
def test_what_a_run_has_left_behind_is_killed_though_its_own_end_is_folded_before(start: Any):
    started = start(LEAVES_ONE_THAT_IGNORES)
    started.orchestrator.ask(CancelFlowRun(run=started.id, by="ada"))

    done = started.end(Ender(started.home, grace_seconds=1), tailed=True)

    assert done == ["told", "killed", "gone"]
    assert started.process.wait(30) == 143
    assert not lives(started.child)
    assert started.run().state_name == "Cancelled"


@told_to_end
@pytest.mark.parametrize("tailed", [False, True])
@pytest.mark.slow
def test_a_process_that_goes_on_after_its_flow_has_ended_as_a_notebook_does_is_let_be(start: Any, tailed: bool):
    started = start(GOES_ON)
    started.orchestrator.ask(CancelFlowRun(run=started.id, by="ada"))

    done = started.end(Ender(started.home, grace_seconds=0.5), tailed=tailed)

    assert done == ["told", "gone"]
    assert started.process.poll() is None
    assert lives(started.child)
    assert started.run().state_name == "Cancelled"


@pytest.mark.slow
def test_a_run_whose_process_died_meanwhile_is_concluded(start: Any):
    started = start(WAITS)
    started.orchestrator.ask(CancelFlowRun(run=started.id))
    started.process.kill()
    started.process.wait()

    assert started.end(Ender(started.home)) == ["gone"]
    assert started.run().state_name == "Cancelled"


@pytest.mark.slow
def test_a_process_that_got_the_number_of_another_is_left_alone(start: Any):
    started = start(WAITS)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"]) as stranger:
        writer = writers.Writer(started.id, 1, "main", started.process.pid)
        assert writers.writes(writer, has_lock=True)
        if sys.platform.startswith("linux"):
            assert not writers.writes(writer._replace(pid=stranger.pid), has_lock=True)
        stranger.kill()


def test_runs_of_workers_that_are_being_cancelled_hide_none_that_was_started_by_hand(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("penstock.orchestration.ending.MAX_RUNS", 2)
    begin(plant)
    plant.ask(CancelFlowRun(run=RUN))
    plant.deploy()
    plant.start_worker()
    for _ in range(3):
        run = plant.create()
        plant.claim()
        plant.begin(run, 1)
        assert plant.cancel(run).state_name == "Cancelling"

    assert Ender(plant.home).run_once(plant.store).gone == (RUN,)


def test_runs_of_other_machines_are_not_looked_at(plant: Plant):
    begin(plant)
    plant.ask(CancelFlowRun(run=RUN))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("penstock.orchestration.flow_runs.boot_id", lambda: "another")
        ended = Ender(plant.home).run_once(plant.store)

    assert ended == ((), (), (), 0)
    assert plant.state(RUN) == "Cancelling"
