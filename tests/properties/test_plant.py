"""Everything at once, in any order: no run is lost, none is executed twice at a time, and each one ends."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.orchestration.plant import Plant

from penstock import errors
from penstock.core.operations import flow_runs as of_runs
from penstock.core.operations import work_pools as of_pools
from penstock.core.states import FINAL
from penstock.core.work import LEASE_SECONDS, ExitReason
from penstock.orchestration.fold import Outcome
from penstock.orchestration.fsck import check_rows
from penstock.store.sqlite import SqliteStore
from penstock.testing import FakeClock

WORKERS = ("w1", "w2", "w3")
GONE = (
    ExitReason.CRASHED,
    ExitReason.LOST,
    ExitReason.DRAINED,
    ExitReason.TIMED_OUT,
    ExitReason.CANCELLED,
    ExitReason.NOT_STARTED,
    ExitReason.LACKING,
)
ENDS = ("completed", "failed", "crashed", "cancelled", "timed_out", "poison")


class Process:
    """An attempt of a run on a worker, as its machine sees it: it does not know what the server has decided."""

    def __init__(self, run_id: str, attempt: int, worker: str) -> None:
        self.run_id = run_id
        self.attempt = attempt
        self.worker = worker
        self.tasks = 0
        self.has_begun = False
        self.has_ended = False
        self.is_frozen = False
        self.acknowledged: list[str] = []


class TheWholePlant(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.store = SqliteStore.in_memory(self.clock)
        self.plant = Plant(self.store)
        self.processes: list[Process] = []
        self.runs: dict[str, int] = {}
        """The highest attempt that was handed out, by run."""
        self.finals: dict[str, str] = {}
        self.reopened: dict[str, int] = {}

    def teardown(self) -> None:
        self.faults_stop_and_every_run_ends()
        self.store.close()

    @initialize()
    def begin(self) -> None:
        self.plant.deploy()
        self.plant.deploy("once", on_crash="fail")
        self.plant.deploy("limited", concurrency_limit=1)
        for worker in WORKERS:
            self.plant.start_worker(worker)
        self.plant.rescue()

    # What people do.

    @rule(name=st.sampled_from(["nightly", "once", "limited"]), delay=st.sampled_from([0, 0, 30]))
    def create(self, name: str, delay: float) -> None:
        if len(self.runs) < 12:
            self.runs[self.plant.create(f"etl/{name}", in_seconds=delay)] = 0

    @rule(data=st.data())
    @precondition(lambda self: self.runs)
    def cancel(self, data: Any) -> None:
        run = data.draw(st.sampled_from(sorted(self.runs)))
        try:
            self.plant.cancel(run)
        except errors.AlreadyEnded:
            assert self.plant.run(run).is_final

    @rule(data=st.data())
    @precondition(lambda self: self.runs)
    def retry(self, data: Any) -> None:
        run = data.draw(st.sampled_from(sorted(self.runs)))
        try:
            self.plant.ask(of_runs.RetryFlowRun(run=run))
        except (errors.AlreadyEnded, errors.AlreadyRunning):
            return
        self.reopened[run] = self.reopened.get(run, 0) + 1
        self.finals.pop(run, None)

    @rule(paused=st.booleans())
    def pause(self, paused: bool) -> None:
        self.plant.ask(of_pools.UpdateWorkPool(pool="default", paused=paused))

    # What workers and processes do.

    @rule(worker=st.sampled_from(WORKERS), limit=st.integers(1, 3))
    def claim(self, worker: str, limit: int) -> None:
        for each in self.plant.claim(worker, limit):
            assert each.attempt > self.runs[each.run_id], "an attempt is handed out once, and never an older one"
            self.runs[each.run_id] = each.attempt
            self.processes.append(Process(each.run_id, each.attempt, worker))

    @rule(worker=st.sampled_from(WORKERS))
    def heartbeat(self, worker: str) -> None:
        mine = [each for each in self.processes if each.worker == worker and not each.is_frozen]
        verdicts = self.plant.heartbeat(worker, *((each.run_id, each.attempt) for each in mine))
        for each, verdict in zip(mine, verdicts, strict=True):
            if verdict == "superseded":
                self.processes.remove(each)

    @rule(data=st.data(), step=st.sampled_from(["begin", "task", "task", "end", "fail", "interrupt"]))
    @precondition(lambda self: self.processes)
    def work(self, data: Any, step: str) -> None:
        process = data.draw(st.sampled_from(self.processes))
        if process.has_ended:
            return
        if not process.has_begun:
            folded = self.plant.begin(process.run_id, process.attempt)
            process.has_begun = True
        elif step == "task":
            process.tasks += 1
            task = f"{process.attempt}-{process.tasks}"
            folded = self.plant.finish_task(process.run_id, process.attempt, task)
            if folded.outcome is Outcome.FOLDED:
                process.acknowledged.append(f"{process.run_id}/{task}")
        else:
            kind = {"end": ("COMPLETED", "Completed"), "interrupt": ("CRASHED", "Interrupted")}.get(step)
            folded = self.plant.end(process.run_id, process.attempt, *(kind or ("FAILED", "Failed")))
            process.has_ended = True
        if self.runs[process.run_id] > process.attempt:
            assert folded.outcome is Outcome.SUPERSEDED, "a superseded attempt records nothing"

    @rule(data=st.data(), reason=st.sampled_from(GONE), told_twice=st.booleans())
    @precondition(lambda self: self.processes)
    def die(self, data: Any, reason: ExitReason, told_twice: bool) -> None:
        process = data.draw(st.sampled_from(self.processes))
        self.processes.remove(process)
        for _ in range(1 + told_twice):
            self.plant.exit(process.run_id, process.attempt, reason, process.worker)

    @rule(data=st.data())
    @precondition(lambda self: self.processes)
    def freeze(self, data: Any) -> None:
        process = data.draw(st.sampled_from(self.processes))
        process.is_frozen = not process.is_frozen

    # What time does.

    @rule(seconds=st.sampled_from([1, 2, 2, 2, 7, 40, 700]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.plant.rescue()

    @rule(hours=st.sampled_from([-72, 2]))
    def jump(self, hours: int) -> None:
        self.clock._now += hours * 3_600_000_000
        self.plant.rescue()

    @invariant()
    def what_has_ended_stays_ended_and_is_told_once(self) -> None:
        for run in self.runs:
            row = self.plant.run(run)
            if row.is_final:
                known = self.finals.setdefault(run, row.state_name)
                assert row.state_name == known
            else:
                assert run not in self.finals
            ends = [each for each in self.plant.events(run) if each.removeprefix("flow_run.") in ENDS]
            assert len(ends) == self.reopened.get(run, 0) + (run in self.finals)

    @invariant()
    def what_was_acknowledged_is_kept(self) -> None:
        with self.store.reading() as tx:
            for process in self.processes:
                rows = tx.task_runs.rows(process.acknowledged)
                assert {row.id for row in rows if row.state_type == "COMPLETED"} == set(process.acknowledged)

    @invariant()
    def claims_have_leases_that_end(self) -> None:
        with self.store.reading() as tx:
            now = tx.now
            for row in tx.work.rows(self.runs).values():
                if row.status == "claimed":
                    assert row.lease_ends_at is not None
                    assert row.attempt == self.runs[row.run_id]
                    assert row.lease_ends_at <= now + LEASE_SECONDS * 1e6
                assert (row.status == "done") == (self.plant.run(row.run_id).state_type in FINAL) or (
                    row.status == "claimed"
                )

    def faults_stop_and_every_run_ends(self) -> None:
        self.processes.clear()
        self.clock.advance(days=400)  # runs that were to start at a time of a clock that was put back
        self.plant.ask(of_pools.UpdateWorkPool(pool="default", paused=False))
        for _ in range(200):
            self.clock.advance(2)
            self.plant.rescue()
            self.plant.work_off("w1")
            if all(self.plant.run(run).is_final for run in self.runs):
                break
        assert [run for run in self.runs if not self.plant.run(run).is_final] == []
        with self.store.reading() as tx:
            assert check_rows(tx).problems == []


TestTheWholePlant = TheWholePlant.TestCase
TestTheWholePlant.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
