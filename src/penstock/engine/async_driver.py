"""Performs the effects of a run's life in a coroutine."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Coroutine
from typing import Any

from penstock.clock import Clock
from penstock.core.states import State
from penstock.engine import limits, sync_driver
from penstock.engine.context import enter, leave
from penstock.engine.effects import Call, Effect, Life, Sleep, WaitFor


async def drive(life: Life, clock: Clock) -> State:
    """Run a life to its end; returns the final state."""
    try:
        effect = next(life)
        while True:
            try:
                outcome = await perform(effect, clock)
            except GeneratorExit:
                raise
            except BaseException as error:  # noqa: BLE001  the life decides what it means
                effect = life.throw(error)
            else:
                effect = life.send(outcome)
    except StopIteration as end:
        return end.value


async def drive_generator(life: Life, clock: Clock, ended: list[State]) -> AsyncGenerator[Any, None]:
    """As `drive`, for an async generator: yields its items; the final state is put into ``ended``."""
    try:
        effect = next(life)
        while True:
            try:
                if isinstance(effect, Call) and effect.kind == "async generator":
                    outcome: Any = []
                    items = effect.fn(*effect.args, **effect.kwargs)
                    try:
                        while True:
                            token = enter(effect.context)
                            try:
                                item = await anext(items)
                            except StopAsyncIteration:
                                break
                            finally:
                                leave(token)
                            outcome.append(item)
                            yield item
                    finally:
                        await items.aclose()
                else:
                    outcome = await perform(effect, clock)
            except GeneratorExit:
                raise
            except BaseException as error:  # noqa: BLE001  as above
                effect = life.throw(error)
            else:
                effect = life.send(outcome)
    except StopIteration as end:
        ended.append(end.value)


async def perform(effect: Effect, clock: Clock) -> Any:
    """Do what the effect asks for."""
    if isinstance(effect, Call):
        if effect.kind == "hook":
            token = enter(effect.context)
            try:
                outcome = effect.fn(*effect.args, **effect.kwargs)
                return await outcome if isinstance(outcome, Coroutine) else outcome
            finally:
                leave(token)
        if effect.kind not in ("async", "async generator"):
            return sync_driver.perform_here(effect, clock)
        token = enter(effect.context)
        try:
            is_generator = effect.kind == "async generator"
            coroutine = _collect(effect) if is_generator else effect.fn(*effect.args, **effect.kwargs)
            if effect.timeout_seconds is None:
                return await coroutine
            return await _within(effect.timeout_seconds, coroutine)
        finally:
            leave(token)
    if isinstance(effect, WaitFor):
        return await effect.waitable.wait_async()
    assert isinstance(effect, Sleep)
    return await clock.sleep_async(effect.seconds)


async def _collect(call: Call) -> list[Any]:
    return [item async for item in call.fn(*call.args, **call.kwargs)]


async def _within(seconds: float, coroutine: Any) -> Any:
    import asyncio  # noqa: PLC0415  keeps asyncio off the import path

    scope = asyncio.timeout(seconds)
    try:
        async with scope:
            value = await coroutine
    except TimeoutError:
        if scope.expired():
            raise limits.timed_out(seconds) from None
        raise
    if scope.expired():  # the code swallowed its cancellation
        raise limits.timed_out(seconds)
    return value
