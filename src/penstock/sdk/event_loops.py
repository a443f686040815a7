"""Code that may be called by coroutines as well as by plain functions."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def is_in_event_loop() -> bool:
    """Whether this thread executes a coroutine: then what blocks has to be awaited."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def in_thread(call: Callable[..., T], *args: object) -> T:
    """Call what blocks in a thread of its own, so that the event loop goes on."""
    import asyncio  # noqa: PLC0415  keeps asyncio off the import path

    return await asyncio.to_thread(call, *args)
