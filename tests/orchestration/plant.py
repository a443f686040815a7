"""A small plant for tests: a store, workers without processes, and journals without an engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from penstock import clock, settings
from penstock.core import records
from penstock.core.deployments import DeploymentSpec, LocalFolder, ScheduleSpec
from penstock.core.operations import Request
from penstock.core.operations import deployments as of_deployments
from penstock.core.operations import flow_runs as of_runs
from penstock.core.operations import work as of_work
from penstock.core.records import Record
from penstock.core.runs import FlowRun
from penstock.core.work import Claim, ExitReason
from penstock.journal import frames
from penstock.orchestration import rescue, scheduling
from penstock.orchestration.fold import START, Folded, JournalKey, as_piece, fold
from penstock.orchestration.handlers import answer
from penstock.orchestration.local import Home
from penstock.orchestration.rescue import Rescued
from penstock.orchestration.scheduling import Looking, Scheduled
from penstock.store.interface import Store
from penstock.testing import FakeClock

R = TypeVar("R")


class Plant:
    """Everything that keeps a store, without processes around it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.home = Home(settings.load(), clock.SYSTEM)
        self.looking: Looking | None = None
        self._ends: dict[JournalKey, int] = {}

    def ask(self, request: Request[R]) -> R:
        return answer(self.store, request, self.home)

    def now(self) -> int:
        with self.store.reading() as tx:
            return tx.now

    # Deployments and runs.

    def deploy(self, name: str = "nightly", *schedules: ScheduleSpec, **options: Any) -> str:
        """A deployment of the flow `etl`; its full name."""
        code = options.pop("code", LocalFolder("/flows"))
        spec = DeploymentSpec(
            name=name,
            flow_name="etl",
            entrypoint="etl.py:etl",
            code=code,
            schedules=schedules,
            **options,
        )
        return self.ask(of_deployments.ApplyDeployment(spec=spec)).deployment.full_name

    def create(self, deployment: str = "etl/nightly", **options: Any) -> str:
        """A run; its id."""
        return self.ask(of_deployments.RunDeployment(deployment=deployment, **options)).id

    def run(self, run_id: str) -> FlowRun:
        return self.ask(of_runs.GetFlowRun(run=run_id))

    def state(self, run_id: str) -> str:
        return self.run(run_id).state_name

    def cancel(self, run_id: str) -> FlowRun:
        return self.ask(of_runs.CancelFlowRun(run=run_id, by="ada"))

    def events(self, run_id: str) -> list[str]:
        with self.store.reading() as tx:
            return [each.event for each in tx.events.page(limit=1000, run_ids=(run_id,))]

    # Workers.

    def start_worker(self, worker_id: str = "w1", pool: str = "default", **options: Any) -> str:
        self.ask(of_work.RegisterWorker(id=worker_id, name=worker_id, pool=pool, **options))
        return worker_id

    def claim(self, worker_id: str = "w1", limit: int = 1, pool: str = "default") -> list[Claim]:
        return self.ask(of_work.ClaimFlowRuns(worker_id=worker_id, pool=pool, limit=limit))

    def heartbeat(self, worker_id: str, *held: tuple[str, int]) -> list[str]:
        """What the answer says of each run."""
        runs = tuple(of_work.Held(run_id=run_id, attempt=attempt) for run_id, attempt in held)
        return [each.verdict.value for each in self.ask(of_work.Heartbeat(worker_id=worker_id, runs=runs))]

    def exit(
        self, run_id: str, attempt: int, reason: ExitReason = ExitReason.ENDED, worker_id: str = "w1", message: str = ""
    ) -> str:
        """A worker tells that the attempt's process is gone; the state of the run after that."""
        told = of_work.ReportExit(run_id=run_id, worker_id=worker_id, attempt=attempt, reason=reason, message=message)
        return self.ask(told).state_name

    # Processes of runs.

    def tell(self, run_id: str, attempt: int, *said: Record, writer: str = "main") -> Folded:
        """The attempt's process has recorded this, and it arrives."""
        key = JournalKey(run_id, attempt, writer)
        start = self._ends.get(key, START)
        data = b"".join(frames.frame(records.encode(each)) for each in said)

        folded = self.store.run(lambda tx: fold(tx, key, as_piece(data, start)))
        self._ends[key] = folded.end
        return folded

    def begin(self, run_id: str, attempt: int, at: int | None = None) -> Folded:
        """The process begins the run."""
        at = self.now() if at is None else at
        opened = records.JournalOpened(1, run_id, attempt, "main", "host", "boot", 4242, at, "0")
        began = records.FlowRunBegan(at, run_id, attempt, "as-it-likes", "etl", "1", "etl.py:etl", {})
        return self.tell(run_id, attempt, opened, began)

    def finish_task(self, run_id: str, attempt: int, task: str) -> Folded:
        """A task is executed, and completes."""
        at = self.now()
        return self.tell(
            run_id,
            attempt,
            records.TaskDefined(0, "etl.load", "load"),
            records.TaskRunBegan(at, f"{run_id}/{task}", run_id, run_id, 0, task),
            records.TaskRunEnded(at + 1, f"{run_id}/{task}"),
        )

    def end(self, run_id: str, attempt: int, kind: str = "COMPLETED", name: str = "Completed") -> Folded:
        """The process records how the run ended."""
        return self.tell(run_id, attempt, records.FlowRunEnded(self.now(), run_id, kind, name))

    def work_off(self, worker_id: str = "w1") -> list[str]:
        """Claim, execute and complete all that is due; the ids of these runs, in the order of their claims."""
        done: list[str] = []
        while claims := self.claim(worker_id):
            for each in claims:
                self.begin(each.run_id, each.attempt)
                self.end(each.run_id, each.attempt)
                self.exit(each.run_id, each.attempt, worker_id=worker_id)
                done.append(each.run_id)
        return done

    # Services.

    def rescue(self) -> Rescued:
        return rescue.run_once(self.store)

    def schedule_for(self, minutes: int, clock: FakeClock) -> None:
        """The scheduler looks now, and after each of so many minutes."""
        self.schedule()
        for _ in range(minutes):
            clock.advance(60)
            self.schedule()

    def schedule(self) -> Scheduled:
        done = scheduling.run_once(self.store, self.looking)
        self.looking = done.looking
        return done


def furnished(store: Store) -> Plant:
    """A plant with a deployment `etl/nightly`, and a worker `w1` of the default pool."""
    plant = Plant(store)
    plant.deploy()
    plant.start_worker()
    return plant


def names(claims: Sequence[Claim]) -> list[str]:
    return [each.name for each in claims]
