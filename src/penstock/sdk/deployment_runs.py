"""Runs of deployments: `run_deployment`, alone or as a subflow of the run that calls it."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Mapping
from datetime import datetime
from functools import partial
from hashlib import blake2b
from typing import Any, cast

import msgspec

from penstock import errors
from penstock.clock import Clock
from penstock.core import log_levels, names, outcomes, runs, states
from penstock.core.operations import Request
from penstock.core.operations.deployments import RunDeployment
from penstock.core.operations.flow_runs import GetFlowRun, RetryFlowRun
from penstock.core.parameters import Signature
from penstock.core.specs import TaskSpec
from penstock.core.states import State, StateType
from penstock.core.timestamps import as_microseconds
from penstock.engine import calls, leases, run_logs, task_run
from penstock.engine.context import RunContext, current, is_own_process
from penstock.engine.effects import Call, Life, Sleep
from penstock.engine.results import ResultStore
from penstock.engine.runs import TaskRun
from penstock.sdk import plain_json, visualize
from penstock.sdk.event_loops import in_thread, is_in_event_loop
from penstock.sdk.runs import environment
from penstock.settings import Settings

MAX_BYTES = 8 << 20
"""Parameters may be that long, as JSON."""
FIRST_PAUSE_SECONDS = 0.1


class DeploymentRun(runs.FlowRun, frozen=True):
    """A run of a deployment, as it was when it was looked at last. ``state`` is its state."""

    @property
    def state(self) -> State:
        """Where the run is; ``state.result()`` is what it returned, where that can be read from here."""
        data = _Result(self) if self.is_final else None
        at = self.ended_at or self.started_at or self.created_at
        return State(type=self.state_type, name=self.state_name, message=self.state_message, data=data, at=at)

    def __await__(self) -> Generator[Any, None, DeploymentRun]:
        return self
        yield  # a generator that awaits nothing


class _Result(states.Unloaded):
    """What a run returned, read back when somebody asks."""

    __slots__ = ("_run",)

    def __init__(self, run: DeploymentRun) -> None:
        self._run = run

    def load(self) -> Any:
        record = self._run.result
        if record is None or not record.kept:
            raise errors.MissingResult(f"Flow run `{self._run.name}` kept no result that can be read from here")
        chosen = environment().settings
        kept = ResultStore(chosen.results, inline_max_bytes=chosen.results_inline_max_bytes, persist=True)
        return kept.load(record)


def run_deployment(
    name: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    scheduled_time: datetime | None = None,
    flow_run_name: str | None = None,
    timeout: float | None = None,
    poll_interval: float = 5,
    tags: Iterable[str] | None = None,
    idempotency_key: str | None = None,
    work_queue_name: str | None = None,
    as_subflow: bool = True,
    job_variables: Mapping[str, Any] | None = None,
) -> DeploymentRun:
    """Create a run of the deployment ``flow/name``, and wait until it has ended; its state is returned, not raised.

    ``timeout`` seconds are waited at most, for ever without; with 0 it is only created. In async code the call is
    awaited.

    Inside of a flow it is a subflow: a task run stands for it, and has its state. When the flow is resumed, a run
    that completed is not asked for again, one that is under way is waited for, and one that failed is retried.
    With ``as_subflow=False`` the two know nothing of each other.

    Raises `NotFound` for a deployment that does not exist, `ParameterError` when the parameters do not fit its flow.
    """
    wanted = _Wanted(
        RunDeployment(
            deployment=name,
            parameters={},
            name=flow_run_name,
            tags=tuple(dict.fromkeys([*(tags or ()), *sorted(calls.added_tags.get())])),
            due_at=None if scheduled_time is None else as_microseconds(scheduled_time),
            idempotency_key=idempotency_key,
            work_queue=work_queue_name,
            job_variables=dict(job_variables or {}),
        ),
        timeout,
        poll_interval,
    )
    parent = current() if as_subflow else None
    if parent is not None and is_own_process(parent):
        stand_in = _StandIn(wanted, parent, dict(parameters or {}), is_async=is_in_event_loop())
        # What is returned to a coroutine is to be awaited, as `DeploymentRun.__await__` says.
        return cast("DeploymentRun", stand_in.run_async()) if stand_in.is_async else stand_in.run()
    if as_subflow and visualize.is_drawing():
        raise errors.UsageError(
            f"A flow that runs a deployment cannot be drawn: it has to know what that does: `{name}`"
        )
    here = environment()
    asker = _Asker(here.settings, here.clock)
    steps = wanted.steps(wanted.request_with(dict(parameters or {})), here.clock)
    if is_in_event_loop():
        return cast("DeploymentRun", _drive_async(steps, asker, here.clock))
    return _drive(steps, asker, here.clock)


Steps = Generator[Request[runs.FlowRun] | float, Any, DeploymentRun]
"""What is to be done, in either colour: requests to be asked, whose answers are sent in, and seconds to be waited."""


class _Wanted:
    """A run that is wanted, and how long to wait for it."""

    def __init__(self, request: RunDeployment, timeout: float | None, poll_interval: float) -> None:
        if timeout is not None and not timeout >= 0:
            raise errors.UsageError(f"`timeout` is a number of seconds, or None, not: `{timeout!r}`")
        if not poll_interval > 0:
            raise errors.UsageError(f"`poll_interval` is a number of seconds above 0, not: `{poll_interval!r}`")
        self.request = request
        self.timeout = timeout
        self.poll_interval = poll_interval

    def request_with(self, parameters: dict[str, Any], **given: Any) -> RunDeployment:
        plain = plain_json.of(parameters, "The parameters of a deployment's run", MAX_BYTES)
        return msgspec.structs.replace(self.request, parameters=plain, **given)

    def steps(self, request: RunDeployment, clock: Clock, *, retried_by: str | None = None) -> Steps:
        """Have the run made, and look at it until it has ended or the time is up.

        ``retried_by``: whoever asks for it again, so that one that has failed is to be tried again.
        """
        made = yield from self._answer(request)
        if retried_by is not None and made.is_final and made.state_type is not StateType.COMPLETED:
            made = yield from self._answer(RetryFlowRun(run=made.id, by=retried_by))
        for pause in self._pauses(clock):
            if made.is_final:
                break
            yield pause
            made = (yield GetFlowRun(run=made.id)) or made
        return DeploymentRun(**{name: getattr(made, name) for name in made.__struct_fields__})

    def _answer(self, request: Request[runs.FlowRun]) -> Generator[Request[runs.FlowRun] | float, Any, runs.FlowRun]:
        while (answer := (yield request)) is None:
            yield self.poll_interval
        return answer

    def _pauses(self, clock: Clock) -> Generator[float]:
        """How long to wait before each look, until the time is up. The ends of short runs are seen early."""
        deadline = math.inf if self.timeout is None else clock.elapsed() + self.timeout
        pause = FIRST_PAUSE_SECONDS
        while (left := deadline - clock.elapsed()) > 0:
            yield min(pause, self.poll_interval, left)
            pause *= 1.5


class _Asker:
    """Asks an orchestrator that may be away for a while: then the answer is None.

    ``say`` is told when it is; without anybody to tell, the run is not waited for to be made.
    """

    def __init__(self, settings: Settings, clock: Clock, say: Callable[[str], None] | None = None) -> None:
        from penstock.sdk import connect  # noqa: PLC0415  flows that run no deployment ask nobody

        self._orchestrator = connect.orchestrator(settings, clock)
        self._again = partial(connect.again, settings, clock)
        self._say = say
        self._was_away = False

    def ask(self, request: Request[runs.FlowRun]) -> runs.FlowRun | None:
        try:
            answer = self._orchestrator.ask(request)
        except (errors.ServerUnreachable, errors.StoreBusy, errors.StoreBehind) as error:
            if self._say is None and not isinstance(request, GetFlowRun):
                raise
            if self._say is not None and not self._was_away:
                self._say(f"Waiting: {error.message}")
            self._was_away = True
            self._orchestrator = self._again(self._orchestrator)
            return None
        self._was_away = False
        return answer

    async def ask_aside(self, request: Request[runs.FlowRun]) -> runs.FlowRun | None:
        """As `ask`, in a thread, so that the event loop goes on."""
        return await in_thread(self._ask_and_close, request)

    def _ask_and_close(self, request: Request[runs.FlowRun]) -> runs.FlowRun | None:
        """In a thread that may never come here again."""
        try:
            return self.ask(request)
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the connection."""
        self._orchestrator.close()


def _drive(steps: Steps, asker: _Asker, clock: Clock) -> DeploymentRun:
    answer: Any = None
    try:
        while True:
            step = steps.send(answer)
            answer = asker.ask(step) if isinstance(step, Request) else clock.sleep(step)
    except StopIteration as end:
        return end.value
    finally:
        asker.close()


async def _drive_async(steps: Steps, asker: _Asker, clock: Clock) -> DeploymentRun:
    answer: Any = None
    while True:
        try:
            step = steps.send(answer)
        except StopIteration as end:
            return end.value
        answer = await (asker.ask_aside(step) if isinstance(step, Request) else clock.sleep_async(step))


# ── a subflow ────────────────────────────────────────────────────────────────────────────────────────────────────────


class _StandIn:
    """The task run that stands for the deployment's run among the task runs of its caller."""

    def __init__(self, wanted: _Wanted, parent: RunContext, parameters: dict[str, Any], *, is_async: bool) -> None:
        self.is_async = is_async
        self._wanted = wanted
        self._found: DeploymentRun | None = None
        name = wanted.request.deployment
        spec = TaskSpec(
            fn=_inputs,
            kind="sync",
            signature=Signature.of(_inputs),
            name=name,
            key=f"deployment:{name}",
            digest=blake2b(name.encode("utf-8", "replace"), digest_size=16, key=b"deployment").digest(),
            persist_result=True,
        )
        arguments = {"deployment": name, "parameters": parameters}
        self._prepared = calls.prepare(spec, parent, arguments, (), self._life)

    def run(self) -> DeploymentRun:
        return self._outcome(calls.run_prepared(self._prepared))

    async def run_async(self) -> DeploymentRun:
        return self._outcome(await calls.run_prepared_async(self._prepared))

    def _life(self, run: TaskRun) -> Life:
        recorded = task_run.recorded(run)
        if recorded is not None:
            return recorded
        history = run.attempt.history
        was_asked = history is not None and run.id in history.began
        run.name = self._wanted.request.name or names.name_of(run.id)
        lease = run.attempt.lease
        if lease is not None and not lease.holds():
            yield from leases.wait(run, lease)
        task_run.begin(run, "subflow")
        try:
            yield from self._ask(run, retried_by=f"flow run {run.flow.name}" if was_asked else None)
        except (errors.JournalError, GeneratorExit):
            raise  # it could not be recorded, or nobody wants to know
        except BaseException as error:  # noqa: BLE001  as of any task
            return task_run.end(run, outcomes.of_exception(error, "Task"))
        assert self._found is not None
        return task_run.end(run, _state_of_stand_in(self._found), told=True)

    def _ask(self, run: TaskRun, *, retried_by: str | None) -> Generator[Any, Any, None]:
        clock = run.attempt.clock
        asker = _Asker(
            run.attempt.settings,
            clock,
            lambda text: run_logs.say(run, log_levels.WARNING, run_logs.TASK_RUNS, text),
        )
        request = self._wanted.request_with(
            run.arguments["parameters"],
            name=run.name,
            idempotency_key=self._wanted.request.idempotency_key or run.idempotency_key,
            parent_flow_run_id=run.flow.id,
            parent_task_run_id=run.id,
        )
        steps = self._wanted.steps(request, clock, retried_by=retried_by)
        ask, kind = (asker.ask_aside, "async") if self.is_async else (asker.ask, "sync")
        answer: Any = None
        try:
            while True:
                step = steps.send(answer)
                answer = yield Call(ask, (step,), {}, run, kind) if isinstance(step, Request) else Sleep(step)
        except StopIteration as end:
            self._found = end.value
        finally:
            asker.close()

    def _outcome(self, state: State) -> DeploymentRun:
        """The run, however it has ended; what kept it from being made or waited for is raised."""
        return state.result() if self._found is None else self._found


def _inputs(deployment: str, parameters: dict[str, Any]) -> None:
    """By this signature the inputs of stand-ins are told apart."""


def _state_of_stand_in(run: DeploymentRun) -> State:
    """The run's own state. What it gives is the run; of one that failed, the error that tells of it."""
    if not run.is_final:
        return states.Completed(f"Not waited for any longer: flow run `{run.name}` is {run.state_name}", run)
    data = run if run.state_type is StateType.COMPLETED else run.state.error()
    return State(type=run.state_type, name=run.state_name, message=run.state_message, data=data)
