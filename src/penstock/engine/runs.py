"""Runs under way in this process: what a task run and a flow run know while they are executed."""

from __future__ import annotations

from typing import Any

from penstock.core import addresses, outcomes
from penstock.core.specs import FlowSpec, TaskSpec
from penstock.core.states import State
from penstock.engine.attempt import Attempt
from penstock.engine.context import RunContext
from penstock.engine.futures import Future, Waitable
from penstock.engine.task_runners import Crew


class TaskRun(RunContext):
    """One task run: what is to be called, and with what. User code sees it as ``runtime.task_run``."""

    __slots__ = ("address", "arguments", "future", "inputs", "parent", "run_count", "spec", "state", "upstream")

    def __init__(
        self,
        spec: TaskSpec,
        parent: RunContext,
        arguments: dict[str, Any],
        address: bytes,
        upstream: list[str],
        tags: frozenset[str],
    ) -> None:
        super().__init__(addresses.task_run_id(parent.key, address), parent.source_run_id(address))
        self.spec = spec
        self.parent = parent
        self.attempt = parent.attempt
        self.flow = parent.flow
        self.depth = parent.depth + 1
        self.arguments = arguments
        self.address = address
        self.upstream = upstream
        self.tags = tags
        self.log_prints = parent.log_prints if spec.log_prints is None else spec.log_prints
        self.name = ""
        self.inputs = ""
        self.run_count = 1
        self.state: State | None = None
        self.future: Future | None = None

    @property
    def parameters(self) -> dict[str, Any]:
        return self.arguments

    @property
    def task_name(self) -> str:
        return self.spec.name

    @property
    def idempotency_key(self) -> str:
        """The same in every attempt and every retry: hand it to systems that act once for each key."""
        return f"{self.flow.id}/{self.id}"


class Tally:
    """What a flow run has started: how its task runs ended, and how many submitted ones have not yet."""

    def __init__(self) -> None:
        self.counts = outcomes.StateCounts()
        self.began = 0
        self._pending = 0
        self._idle: Waitable | None = None

    def expect(self, run: RunContext, number: int = 1) -> None:
        """So many task runs have been submitted."""
        with run.attempt.lock:
            self._pending += number

    def arrived(self, run: RunContext) -> None:
        """One that was expected has ended."""
        idle = None
        with run.attempt.lock:
            self._pending -= 1
            if self._pending == 0:
                idle, self._idle = self._idle, None
        if idle is not None:
            idle.finish()

    def count(self, run: RunContext, state: State) -> None:
        """A task run that the flow itself called has ended."""
        with run.attempt.lock:
            self.counts.add(state)

    def idle(self, run: RunContext) -> Waitable:
        """Done when no submitted task run is under way any more."""
        with run.attempt.lock:
            if self._idle is None:
                self._idle = Waitable()
                if self._pending == 0:
                    idle, self._idle = self._idle, None
                    idle.finish()
                    return idle
            return self._idle

    @property
    def pending(self) -> int:
        return self._pending


class FlowRun(RunContext):
    """One flow run. User code sees it as ``runtime.flow_run``."""

    __slots__ = (
        "arguments",
        "called_by",
        "crew",
        "parameters",
        "parent",
        "replay",
        "run_count",
        "source",
        "spec",
        "started_at",
        "state",
        "tally",
    )

    def __init__(
        self,
        spec: FlowSpec,
        attempt: Attempt,
        run_id: str,
        name: str,
        arguments: dict[str, Any],
        *,
        parent: TaskRun | None = None,
        source: str = "call",
        source_id: str | None = None,
        called_by: str | None = None,
        tags: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__(run_id, source_id)
        self.spec = spec
        self.attempt = attempt
        self.flow = self
        self.called_by = called_by if parent is None else parent.flow.id
        self.depth = 0 if parent is None else parent.depth + 1
        self.name = name
        self.arguments = arguments
        self.parameters = arguments
        self.parent = parent
        self.source = source
        self.tags = tags
        inherited = parent is not None and parent.log_prints
        self.log_prints = inherited if spec.log_prints is None else spec.log_prints
        self.replay = spec.replay or (parent.flow.replay if parent is not None else attempt.settings.replay)
        self.tally = Tally()
        self.crew: Crew | None = None
        self.run_count = 1
        self.started_at = 0
        self.state: State | None = None

    called_by: str | None
    """The flow run that asked for this one, here or as a run of a deployment."""

    @property
    def flow_name(self) -> str:
        return self.spec.name

    @property
    def flow_version(self) -> str:
        return self.spec.version

    @property
    def idempotency_key(self) -> str:
        """The same in every attempt and every retry."""
        return self.id
