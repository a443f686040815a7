"""What routes share: the store, the threads in which it is used, who is woken, and when it is time to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from penstock.api.counts import Counts
from penstock.api.sessions import Sessions
from penstock.api.waiting import Wakes
from penstock.clock import Clock
from penstock.orchestration.local import Home
from penstock.services.loop import Loop
from penstock.settings import Settings
from penstock.store.interface import Store

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 16
"""So many questions are put to the store at once."""


class Context:
    """Made within the event loop that serves; ``close`` it there as well."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        clock: Clock,
        *,
        token: str,
        loops: Sequence[Loop] = (),
        is_encrypted: bool = False,
    ) -> None:
        self.store = store
        self.settings = settings
        self.home = Home(settings, clock)
        """The server's own: only for its settings and files. Its store is `store`, which is open already."""
        self.clock = clock
        self.token = token
        """The key of the home's owner."""
        self.loops = loops
        """What this server does by itself; none, if it only answers."""
        self.sessions = Sessions(token, clock, is_encrypted=is_encrypted)
        self.counts = Counts()
        self.wakes = Wakes(asyncio.get_running_loop(), store)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="penstock-api")

    async def in_thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call what blocks, in a thread, while the loop goes on."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(work, *args, **kwargs))

    def close(self) -> None:
        """Let go of threads and subscriptions, once no request is left."""
        self.counts.close()
        self.wakes.close()
        self._threads.shutdown(wait=True, cancel_futures=True)
