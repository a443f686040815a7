"""Flow runs that wait for somebody: `pause_flow_run`, `suspend_flow_run`, `resume_flow_run`."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from penstock import errors
from penstock.clock import Clock
from penstock.core.operations.pauses import AwaitRunInput, PauseFlowRun, ResumeFlowRun, SuspendFlowRun
from penstock.core.parameters import Signature
from penstock.core.records import InputAwaited
from penstock.core.specs import TaskSpec
from penstock.engine import calls, pauses
from penstock.engine.context import current, is_own_process
from penstock.engine.futures import Waitable
from penstock.engine.pauses import Given, Wanted
from penstock.engine.runs import FlowRun
from penstock.sdk import connect, plain_json, visualize
from penstock.sdk.event_loops import in_thread, is_in_event_loop
from penstock.sdk.runs import environment
from penstock.settings import Settings

if TYPE_CHECKING:
    from penstock.core.ports import Orchestrator
    from penstock.core.runs import FlowRun as FlowRunView

POLL_SECONDS = 20.0
"""How long a server is asked to wait for an input."""
LOOK_SECONDS = 0.25
"""How often the home is looked at, where there is no server."""
PAUSE_SECONDS = 0.5
"""Between two tries to reach a server."""
MAX_BYTES = 1 << 20
"""An input may be that long, as JSON."""


def pause_flow_run(
    wait_for_input: Any = None,
    *,
    timeout: float | None = 3600,
    key: str | None = None,
    flow_run_id: str | None = None,
) -> Any:
    """Have the flow run wait until somebody resumes it, while its process waits, and return the input.

    ``wait_for_input`` says what the input is to be: a pydantic model, such as a `RunInput`, or any type that can be
    written as JSON; it is checked before the run goes on. Without it, None is returned. In async code the call is
    awaited. Raises `TimedOut` when nobody has resumed the run after ``timeout`` seconds (None: it waits for ever).

    A pause that was resumed is not repeated when the run is resumed after a crash: its input was recorded. Pauses are
    told apart by their order, or by a ``key``.

    With ``flow_run_id``, another run, of a deployment, starts no new tasks until it is resumed.
    """
    if flow_run_id is not None:
        return _ask(PauseFlowRun(run=flow_run_id))
    return _wait("pause_flow_run()", wait_for_input, timeout, key, suspends=False)


def suspend_flow_run(
    wait_for_input: Any = None,
    *,
    timeout: float | None = 3600,
    key: str | None = None,
    flow_run_id: str | None = None,
) -> Any:
    """As `pause_flow_run`, but the process ends, and the run goes on in a new one when somebody resumes it.

    The flow's functions are called again then, what was finished returns what was recorded, and this call returns the
    input. A run of a deployment goes on with any worker; another one when `penstock flow-run resume` is called.

    With ``flow_run_id``, the process of another run, of a deployment, is ended.
    """
    if flow_run_id is not None:
        return _ask(SuspendFlowRun(run=flow_run_id))
    return _wait("suspend_flow_run()", wait_for_input, timeout, key, suspends=True)


def resume_flow_run(flow_run_id: str, run_input: Any = None, *, key: str | None = None) -> Any:
    """Let a run go on that is paused or suspended, with the input that it waits for: a dict, or a pydantic model.

    ``flow_run_id`` may be the run's name as well. Raises `ParameterError` for an input that does not fit, `UsageError`
    for a run that does not wait. In async code the call is awaited.
    """
    return _ask(ResumeFlowRun(run=flow_run_id, input=_plain(run_input), key=key))


def _plain(run_input: Any) -> dict[str, Any] | None:
    if run_input is None:
        return None
    dump = getattr(run_input, "model_dump", None)
    value = dump(mode="json") if callable(dump) else run_input
    if not isinstance(value, Mapping):
        value = {"value": value}
    return plain_json.of(value, "An input", MAX_BYTES)


def _ask(request: Any) -> Any:
    here = environment()

    def ask() -> FlowRunView:
        with connect.asking(here.settings, here.clock) as orchestrator:
            return orchestrator.ask(request)

    return in_thread(ask) if is_in_event_loop() else ask()


# ── within a flow ────────────────────────────────────────────────────────────────────────────────────────────────────


def _wait(what: str, wait_for_input: Any, timeout: float | None, key: str | None, *, suspends: bool) -> Any:
    if timeout is not None and not timeout > 0:
        raise errors.UsageError(f"`timeout` is a number of seconds above 0, or None, not: `{timeout!r}`")
    run = current()
    if run is None and visualize.is_drawing():
        return None
    if not isinstance(run, FlowRun) or not is_own_process(run) or (suspends and not _is_called_by_flows(run)):
        raise errors.MissingContext(
            f"A run cannot be made to wait here by {what}",
            hint="call it in the code of a flow, outside of its tasks, while that is run",
        )
    from penstock.sdk import run_input  # noqa: PLC0415  loads pydantic where there is a type

    form = run_input.form_of(wait_for_input)
    until = "" if timeout is None else f", for {timeout:g} seconds at most"
    told = f"{form.told}{until}" + (f". {form.description}" if form.description else "")
    wanted = Wanted(form.schema, told, timeout, suspends, form.parse)
    inputs = Inputs(run.attempt.settings, run.attempt.clock, run.attempt.run_id)
    arguments = {} if key is None else {"key": key}
    prepared = calls.prepare(_STAND_IN, run, arguments, (), lambda stand_in: pauses.life(stand_in, wanted, inputs))
    if is_in_event_loop():
        return _waited_async(prepared)
    return calls.run_prepared(prepared).result()


async def _waited_async(prepared: calls.Prepared) -> Any:
    state = await calls.run_prepared_async(prepared)
    return state.result()


def _is_called_by_flows(run: FlowRun) -> bool:
    """Whether no task is under way that would have to be left in its middle."""
    while run.parent is not None:
        caller = run.parent.parent
        if not isinstance(caller, FlowRun):
            return False
        run = caller
    return True


def _pause(key: str | None = None) -> None:
    """By this signature pauses are told apart."""


_STAND_IN = TaskSpec(
    fn=_pause,
    kind="sync",
    signature=Signature.of(_pause),
    name="pause",
    key="penstock.pause",
    digest=blake2b(b"penstock.pause", digest_size=16).digest(),
    persist_result=True,
)


class Inputs:
    """Asks the server for inputs, or looks into the home of this machine. See `engine.pauses.Inputs`."""

    def __init__(self, settings: Settings, clock: Clock, run_id: str) -> None:
        self._settings = settings
        self._clock = clock
        self._run_id = run_id

    def wait_for(self, question: InputAwaited) -> _Asked:
        return _Asked(lambda: self._given(question))

    def _given(self, question: InputAwaited) -> Given | None:
        request = AwaitRunInput(run_id=self._run_id, key=question.key, round=question.round)
        deadline = question.deadline
        while True:
            left = POLL_SECONDS if deadline is None else (deadline - self._clock.now()) / 1e6
            found = self._ask(request, min(POLL_SECONDS, left))
            if found is not None or left <= 0:
                return found

    def _ask(self, request: AwaitRunInput, wait_seconds: float) -> Given | None:
        """One question, which waits for a while: not for longer, as a server may come or go meanwhile."""
        if connect.server(self._settings) is None:
            return self._look_here(request, wait_seconds)
        import msgspec  # noqa: PLC0415  a name of one line

        request = msgspec.structs.replace(request, wait_seconds=max(wait_seconds, 0.0))
        orchestrator: Orchestrator
        try:
            with connect.asking(self._settings, self._clock) as orchestrator:
                found = orchestrator.ask(request)
        except (errors.ServerUnreachable, errors.StoreError):
            self._clock.sleep(PAUSE_SECONDS)
            return None
        return Given(found[0].value, found[0].by) if found else None

    def _look_here(self, request: AwaitRunInput, wait_seconds: float) -> Given | None:
        from penstock.orchestration.local_inputs import given_here  # noqa: PLC0415  loads sqlite3

        ends_at = self._clock.elapsed() + min(wait_seconds, LOOK_SECONDS * 8)
        while True:
            found = given_here(self._settings.store, request.run_id, request.key, request.round)
            if found is not None:
                return Given(*found)
            if self._clock.elapsed() >= ends_at:
                return None
            self._clock.sleep(LOOK_SECONDS)


class _Asked:
    """A question that is asked in a thread of its own, which keeps no process and no event loop from ending."""

    def __init__(self, ask: Any) -> None:
        self.given: Given | None = None
        self._error: BaseException | None = None
        self._done = Waitable()
        self._ask = ask

    def wait(self) -> None:
        self._start()
        self._done.wait()
        self._check()

    async def wait_async(self) -> None:
        self._start()
        await self._done.wait_async()
        self._check()

    def _start(self) -> None:
        threading.Thread(target=self._run, name="penstock-pause", daemon=True).start()

    def _run(self) -> None:
        try:
            self.given = self._ask()
        except BaseException as error:  # noqa: BLE001  raised in the thread that waits
            self._error = error
        finally:
            self._done.finish()

    def _check(self) -> None:
        if self._error is not None:
            raise self._error
