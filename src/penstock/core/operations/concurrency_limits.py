"""Concurrency and rate limits, and the slots of them that runs ask for."""

from __future__ import annotations

import msgspec

from penstock.core.concurrency import ConcurrencyLimit, Obstacle, SlotHolder, Standing
from penstock.core.operations import Permission, Request, operation


@operation("POST", "/concurrency-limits", Permission.OPERATE)
class CreateConcurrencyLimit(Request[ConcurrencyLimit], frozen=True, kw_only=True):
    """Add a limit. One of that name is refused, unless ``overwrite`` is set: then it takes these values.

    A limit named ``tag:NAME`` holds the task runs that have the tag ``NAME``; others hold the code that names them.
    """

    name: str
    limit: int
    slot_decay_per_second: float = 0
    active: bool = True
    overwrite: bool = False


@operation("GET", "/concurrency-limits", Permission.READ)
class ListConcurrencyLimits(Request[list[ConcurrencyLimit]], frozen=True, kw_only=True):
    """All limits by name, with how many slots are taken, and how many wait."""


class LimitInUse(msgspec.Struct, frozen=True, kw_only=True):
    """A limit, who holds its slots, and who waits for some."""

    limit: ConcurrencyLimit
    holders: list[SlotHolder] = []
    """The longest first, at most some hundreds."""
    waiting: list[SlotHolder] = []
    """In the order of their turn, at most some hundreds."""


@operation("GET", "/concurrency-limits/{name}", Permission.READ)
class GetConcurrencyLimit(Request[LimitInUse], frozen=True, kw_only=True):
    """The limit of that name; or, if there is none, the one of the tag of that name."""

    name: str


@operation("PATCH", "/concurrency-limits/{name}", Permission.OPERATE, is_idempotent=True)
class UpdateConcurrencyLimit(Request[ConcurrencyLimit], frozen=True, kw_only=True):
    """Change what is given. Nobody who holds slots loses them; whoever fits now gets in."""

    name: str
    limit: int | None = None
    slot_decay_per_second: float | None = None
    active: bool | None = None


@operation("DELETE", "/concurrency-limits/{name}", Permission.OPERATE)
class DeleteConcurrencyLimit(Request[None], frozen=True, kw_only=True):
    """Forget a limit. Whoever waits for its slots goes on."""

    name: str


@operation("POST", "/concurrency-limits/{name}/reset", Permission.OPERATE, is_idempotent=True)
class ResetConcurrencyLimit(Request[ConcurrencyLimit], frozen=True, kw_only=True):
    """Take all slots from their holders, who are not told, and let in who waits."""

    name: str


# ── what runs ask for ────────────────────────────────────────────────────────────────────────────────────────────────


@operation("GET", "/limits-in-force", Permission.RUN)
class LimitsInForce(Request[list[ConcurrencyLimit]], frozen=True, kw_only=True):
    """The limits that are active: what a run has to know, so as not to ask for slots of what nobody limits."""

    run_id: str | None = None
    attempt: int = 0


class Booked(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a booking."""

    standing: Standing
    unknown: tuple[str, ...] = ()
    """The limits asked for that do not exist."""
    obstacles: tuple[Obstacle, ...] = ()
    """While it waits: what for."""


@operation("PUT", "/slots/{booking}", Permission.RUN)
class BookSlots(Request[Booked], frozen=True, kw_only=True):
    """Ask for slots of all these limits at once; asked again, it says how the booking stands now.

    It belongs to the attempt of a run, and ends with that; outside of a worker's run it has to be renewed.
    Limits that do not exist limit nothing, unless ``strict``: then they are refused.
    """

    booking: str
    """An id that the asker has made, as UUID."""
    owner: str
    """The process that asks: it renews its bookings together."""
    limits: tuple[str, ...]
    key: str = ""
    """Each key has slots of its own."""
    occupy: int = 1
    strict: bool = False
    priority: int | None = None
    """A lower number comes first. None: the priority of the run."""
    run_id: str | None = None
    """The outermost flow run of the process."""
    attempt: int = 0
    task_run_id: str | None = None
    task_run_name: str | None = None
    who: str = ""
    """What people are told: the name of the run, or else of the process."""


class Stand(msgspec.Struct, frozen=True, kw_only=True):
    """How a booking stands."""

    booking: str
    standing: Standing


@operation("POST", "/slots/renew", Permission.RUN, is_idempotent=True)
class RenewSlots(Request[list[Stand]], frozen=True, kw_only=True):
    """The owner lives, and so do its bookings. Says which of them are not as it thinks: ``held``, or ``waiting``.

    If all are, the answer waits for up to ``wait_seconds`` for that to change.
    """

    owner: str
    held: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    wait_seconds: float = 0
    run_id: str | None = None
    attempt: int = 0

    def topic(self) -> str:
        return f"slots:{self.owner}"


@operation("DELETE", "/slots/{booking}", Permission.RUN)
class ReleaseSlots(Request[None], frozen=True, kw_only=True):
    """Give back the slots of a booking, or its place among those who wait. Doing so twice is no fault."""

    booking: str
    run_id: str | None = None
    attempt: int = 0


class TokensTaken(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a wish for tokens of a rate limit."""

    wait_seconds: float = 0
    """They may be used after this time."""
    is_taken: bool = True
    """If not, they would come too late, and nothing was taken."""
    is_known: bool = True
    """If not, there is no such limit, or it is not active: go on."""


@operation("POST", "/rate-limits/{name}/take", Permission.RUN)
class TakeTokens(Request[TokensTaken], frozen=True, kw_only=True):
    """Take slots of a rate limit, which become free again by themselves. Whoever comes first uses them first."""

    name: str
    key: str = ""
    occupy: int = 1
    strict: bool = False
    at_most_seconds: float | None = None
    """Take nothing if it would have to be waited for longer."""
    run_id: str | None = None
    attempt: int = 0
