"""What the engine asks of others, in its own words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol, TypeVar

from penstock.core.operations import Request
from penstock.core.records import AnyRecord

if TYPE_CHECKING:
    from penstock.core.concurrency import SlotWish

R = TypeVar("R")


class Past(Protocol):
    """What is kept of a run's earlier attempts."""

    def attempts(self, run_id: str) -> int:
        """The number of the latest attempt that is known; 0 for a run that never began."""
        ...

    def records(self, run_id: str) -> Iterable[AnyRecord]:
        """All records of the run's attempts, in order; nothing for a run that never began.

        Records of journals that are still on this machine come from there, others from the store.
        """
        ...


class Orchestrator(Protocol):
    """Whoever keeps deployments, schedules and runs: a server, or this process with its own store."""

    def ask(self, request: Request[R]) -> R:
        """The answer to a request. Raises the `PenstockError` that answering it raised, wherever that was."""
        ...

    def keep_bundle(self, digest: str, archive: bytes) -> None:
        """Keep an archive of code for workers to fetch. ``digest`` is its BLAKE2b-256, in hex."""
        ...

    def close(self) -> None:
        """Let go of what is held open. It may ask again, which opens it anew."""
        ...


class Booking(Protocol):
    """Slots of concurrency limits that are held, or waited for."""

    @property
    def is_held(self) -> bool: ...

    def about(self) -> str:
        """What it waits for, in a sentence without its point."""
        ...

    def wait(self, timeout: float | None = None) -> bool:
        """Block until the slots are held, at most so many seconds; says whether they are."""
        ...

    async def wait_async(self, timeout: float | None = None) -> bool:
        """As `wait`, letting other coroutines run."""
        ...

    def release(self) -> None:
        """Give the slots back, or the place among those who wait. Doing so twice does nothing."""
        ...

    async def release_async(self) -> None:
        """As `release`, letting other coroutines run."""
        ...


class Slots(Protocol):
    """Who grants slots to the code of a process: a server, or the home of this machine."""

    def of_tags(self, tags: frozenset[str]) -> tuple[str, ...]:
        """The limits that hold task runs with these tags, as far as they were known a short while ago."""
        ...

    def book(self, wish: SlotWish, timeout: float | None = None) -> Booking:
        """Ask for slots. They may have to be waited for; ``timeout`` is for how long an absent server is."""
        ...

    async def book_async(self, wish: SlotWish, timeout: float | None = None) -> Booking:
        """As `book`, letting other coroutines run."""
        ...

    def close(self) -> None:
        """Nobody asks any more, and nobody holds any."""
        ...
