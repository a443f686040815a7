"""Waiting for something to happen in the store: what the event loop hears of its wakes, and long polls on them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager, suppress
from typing import TypeVar

from litestar.types import Receive

from penstock.store.interface import Store
from penstock.store.wakes import EVERYTHING

T = TypeVar("T")

LONGEST_SECONDS = 60.0
"""For longer no answer is waited for."""


class ClientGone(Exception):
    """Nobody is there any more to take the answer."""


class Followed:
    """What somebody follows: ``woken`` is set when there is news, and ``heard`` says of which topics."""

    def __init__(self) -> None:
        self.woken = asyncio.Event()
        self.heard: set[str] = set()

    def take(self) -> set[str]:
        """The topics of which there was news since this was asked last."""
        self.woken.clear()
        heard, self.heard = self.heard, set()
        return heard


class Wakes:
    """Tells waiting coroutines what the store's commits wake. Belongs to one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, store: Store) -> None:
        self.is_stopping = False
        """Whoever waits is to answer now."""
        self._loop = loop
        self._following: dict[str, set[Followed]] = {}
        self._waiting: set[Followed] = set()
        self._unsubscribe = store.subscribe(self._hear)

    @contextmanager
    def following(self, *topics: str) -> Generator[Followed]:
        """``with wakes.following("work:default") as followed:`` hears of these topics until the end of the block."""
        followed = Followed()
        self._waiting.add(followed)
        for topic in topics:
            self._following.setdefault(topic, set()).add(followed)
        try:
            yield followed
        finally:
            self._waiting.discard(followed)
            for topic in topics:
                others = self._following[topic]
                others.discard(followed)
                if not others:
                    del self._following[topic]

    def stop(self) -> None:
        """Let everybody answer now."""
        self.is_stopping = True
        for followed in self._waiting:
            followed.woken.set()

    def close(self) -> None:
        self._unsubscribe()

    def _hear(self, topics: frozenset[str]) -> None:
        """Called in any thread."""
        with suppress(RuntimeError):  # the loop has ended: nobody waits
            self._loop.call_soon_threadsafe(self._tell, topics)

    def _tell(self, topics: frozenset[str]) -> None:
        for topic in self._following if EVERYTHING in topics else topics & self._following.keys():
            for followed in self._following[topic]:
                followed.heard.add(topic)
                followed.woken.set()


async def until_not_empty(
    ask: Callable[[], Awaitable[T]], *, wakes: Wakes, topic: str, seconds: float, receive: Receive
) -> T:
    """Ask, and as long as the answer is empty, again whenever the topic is woken; the last answer when time is over.

    Raises `ClientGone` instead of asking again for a client that has gone away: what would be handed to it
    were lost. ``receive`` must be that of a request whose body has been read.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + min(seconds, LONGEST_SECONDS)
    gone = asyncio.ensure_future(_disconnected(receive))
    try:
        with wakes.following(topic) as followed:
            gone.add_done_callback(lambda _: followed.woken.set())
            while True:
                followed.take()
                answer = await ask()
                if answer or loop.time() >= deadline or wakes.is_stopping:
                    return answer
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(deadline):
                        await followed.woken.wait()
                if gone.done():
                    raise ClientGone
    finally:
        gone.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
