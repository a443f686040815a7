"""Performs the effects of a run's life in this thread."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from penstock.clock import Clock
from penstock.core.states import State
from penstock.engine import limits
from penstock.engine.context import enter, leave
from penstock.engine.effects import Call, Effect, Life, Sleep, WaitFor, aside

Perform = Callable[[Effect, Clock], Any]


def drive(life: Life, clock: Clock, perform: Perform | None = None) -> State:
    """Run a life to its end; returns the final state. ``perform`` may do effects in its own way."""
    perform = perform or perform_here
    try:
        effect = next(life)
        while True:
            try:
                outcome = perform(effect, clock)
            except GeneratorExit:
                raise
            except BaseException as error:  # noqa: BLE001  the life decides what it means
                effect = life.throw(error)
            else:
                effect = life.send(outcome)
    except StopIteration as end:
        return end.value


def drive_generator(life: Life, clock: Clock) -> Generator[Any, Any, State]:
    """As `drive`, for a function that is a generator: yields its items, which become its result."""
    try:
        effect = next(life)
        while True:
            try:
                if isinstance(effect, Call) and effect.kind == "generator":
                    outcome = yield from _items(effect)
                else:
                    outcome = perform_here(effect, clock)
            except GeneratorExit:
                raise
            except BaseException as error:  # noqa: BLE001  as above
                effect = life.throw(error)
            else:
                effect = life.send(outcome)
    except StopIteration as end:
        return end.value


def _items(call: Call) -> Generator[Any, Any, list[Any]]:
    """The items of a user's generator, each made in the context of the run, given out outside of it."""
    items: list[Any] = []
    generator = call.fn(*call.args, **call.kwargs)
    try:
        while True:
            token = enter(call.context)
            try:
                item = next(generator)
            except StopIteration:
                return items
            finally:
                leave(token)
            items.append(item)
            yield item
    finally:
        generator.close()


def perform_here(effect: Effect, clock: Clock) -> Any:
    """Do what the effect asks for."""
    if type(effect) is Call:
        token = enter(effect.context)
        try:
            if effect.kind == "sync":
                if effect.timeout_seconds is None:
                    return effect.fn(*effect.args, **effect.kwargs)
                return limits.call_within(effect.timeout_seconds, effect.fn, effect.args, effect.kwargs)
            if effect.timeout_seconds is None:
                return _exhaust(effect)
            return limits.call_within(effect.timeout_seconds, _exhaust, (effect,), {})
        finally:
            leave(token)
    if type(effect) is WaitFor:
        return effect.waitable.wait()
    assert type(effect) is Sleep
    with aside():
        return clock.sleep(effect.seconds)


def _exhaust(call: Call) -> Any:
    """Call a function of another colour from a thread that has no event loop."""
    outcome = call.fn(*call.args, **call.kwargs)
    if call.kind == "generator":
        return list(outcome)
    import asyncio  # noqa: PLC0415  keeps asyncio off the import path

    if call.kind == "async generator":

        async def collect() -> list[Any]:
            return [item async for item in outcome]

        return asyncio.run(collect())
    return asyncio.run(outcome) if asyncio.iscoroutine(outcome) else outcome
