"""Calling the functions that want to know of a state."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING, Any

from penstock.core import log_levels
from penstock.core.specs import NO_HOOKS, Hooks
from penstock.core.states import State, StateType
from penstock.engine import run_logs
from penstock.engine.effects import Call

if TYPE_CHECKING:
    from penstock.core.specs import Hook
    from penstock.engine.context import RunContext


__all__ = ["NO_HOOKS", "call", "for_state"]


def for_state(hooks: Hooks, state: State) -> Iterable[Hook]:
    """The hooks that a run's final state calls for."""
    return {
        StateType.COMPLETED: hooks.completed,
        StateType.FAILED: hooks.failed,
        StateType.CRASHED: hooks.crashed,
        StateType.CANCELLED: hooks.cancelled,
    }.get(state.type, ())


def call(hooks: Iterable[Hook], owner: Any, run: RunContext, state: State) -> Generator[Any, Any, None]:
    """Call each with the flow or task, the run and the state. One that raises is logged, and no more."""
    for hook in hooks:
        try:
            yield Call(hook, (owner, run, state), {}, run, "hook")
        except Exception as error:  # noqa: BLE001  hooks watch; they do not decide
            name = getattr(hook, "__name__", repr(hook))
            run_logs.say(
                run, log_levels.ERROR, run_logs.FLOW_RUNS, f"Hook `{name}` raised {type(error).__name__}: {error}"
            )
