"""Concurrency and rate limits: what is limited, who may go on now, and what the others wait for.

A limit has slots. Whoever wants some makes a booking: it waits until they are free, then holds them, then releases
them. A booking may want slots of several limits; it gets all of them or none. Within a limit each key has slots of its
own. At each limit, bookings are let in by priority (a lower number comes first), then in the order of their arrival.

All times are microseconds since 1970 UTC.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple

import msgspec

from penstock import errors
from penstock.core.wording import counted

TAG = "tag:"
"""A limit whose name begins so holds the task runs that have the tag of the rest of its name."""

MAX_SLOTS = 1_000_000
LONGEST_NAME = 200

_NAMED = 3
"""So many holders are told by name, the others by number."""


class ConcurrencyLimit(msgspec.Struct, frozen=True, kw_only=True):
    """How many may go on at once; with ``slot_decay_per_second``, also how many may begin in a time."""

    name: str
    limit: int
    slot_decay_per_second: float = 0
    """Above 0, `rate_limit` may take ``limit`` slots at once, of which so many a second become free again."""
    active: bool = True
    """If not, nobody is held up by it."""
    created_at: int = 0
    held: int = 0
    """Slots that are taken now, of all keys."""
    waiting: int = 0
    """Bookings that wait."""

    @property
    def tag(self) -> str | None:
        """The tag whose task runs it holds."""
        return self.name.removeprefix(TAG) if self.name.startswith(TAG) else None


def limited_tags(limits: Iterable[ConcurrencyLimit]) -> frozenset[str]:
    """The tags that one of these limits, being active, limits."""
    return frozenset(each.tag for each in limits if each.tag and each.active)


class Place(NamedTuple):
    """A limit and a key of it: what has slots."""

    limit: str
    key: str = ""

    def __str__(self) -> str:
        return f"`{self.limit}` for `{self.key}`" if self.key else f"`{self.limit}`"


class Want(NamedTuple):
    """So many slots of a place."""

    place: Place
    slots: int


class SlotWish(NamedTuple):
    """What code asks for: slots of all these limits."""

    limits: tuple[str, ...]
    key: str = ""
    occupy: int = 1
    strict: bool = False
    priority: int | None = None
    task_run_id: str | None = None
    task_run_name: str | None = None


class SlotHolder(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds slots of a limit, or waits for them."""

    booking: str
    limit: str
    key: str = ""
    slots: int = 1
    is_held: bool
    priority: int = 0
    arrived_at: int = 0
    held_since: int | None = None
    run_id: str | None = None
    """The flow run whose process it is; None for code outside of any run."""
    run_name: str | None = None
    task_run_id: str | None = None
    task_run_name: str | None = None
    who: str = ""
    """The process, for people."""

    @property
    def place(self) -> Place:
        return Place(self.limit, self.key)


Standing = Literal["held", "waiting", "free", "gone"]
"""Of a booking: it has its slots; it waits; it needs none, as nothing limits it; nobody knows it (any more)."""


# ── who may go on ────────────────────────────────────────────────────────────────────────────────────────────────────


def may_enter(
    booking: str, wants: Iterable[Want], *, first: Callable[[Place], str | None], room: Callable[[Place], int]
) -> bool:
    """Whether a booking that waits gets its slots now: it is the first one everywhere, and fits everywhere.

    ``first`` says who waits first at a place, ``room`` how many slots are free there. As nobody is passed by, nobody
    starves. As the first of all is the first everywhere, bookings of several limits do not block each other for good.
    """
    return all(first(want.place) == booking and want.slots <= room(want.place) for want in wants)


def wants_of(limits: Iterable[ConcurrencyLimit], key: str, occupy: int) -> list[Want]:
    """What a booking of these limits asks for. Raises `UsageError` for more slots than there ever are."""
    wants: list[Want] = []
    for limit in sorted(limits, key=lambda each: each.name):
        if occupy > limit.limit > 0:
            has = counted(limit.limit, "slot")
            raise errors.UsageError(
                f"The concurrency limit `{limit.name}` has {has}, so {occupy} can never be had",
                hint="occupy fewer slots, or raise the limit",
            )
        wants.append(Want(Place(limit.name, key), occupy))
    return wants


def check_slots(occupy: int) -> int:
    """The number of slots, if it is one. Raises `UsageError`."""
    if isinstance(occupy, bool) or not 1 <= occupy <= MAX_SLOTS:
        raise errors.UsageError(f"`occupy` is 1 to {MAX_SLOTS}, not: `{occupy}`")
    return occupy


def check_limit(name: str, limit: int, slot_decay_per_second: float) -> None:
    """Raise `UsageError` for what cannot be a limit."""
    if not 1 <= len(name) <= LONGEST_NAME or name != name.strip() or not name.isprintable() or name == TAG:
        raise errors.UsageError(f"The name of a limit is 1 to {LONGEST_NAME} printable characters: `{name}`")
    if not 0 <= limit <= MAX_SLOTS:
        raise errors.UsageError(f"A concurrency limit is 0 to {MAX_SLOTS}, not: `{limit}`")
    if not 0 <= slot_decay_per_second <= MAX_SLOTS:
        raise errors.UsageError(f"`slot_decay_per_second` is 0 to {MAX_SLOTS}, not: `{slot_decay_per_second}`")


# ── rates ────────────────────────────────────────────────────────────────────────────────────────────────────────────


class Bucket(NamedTuple):
    """Tokens of a rate limit, of which each that is taken comes back after a while."""

    full_at: int
    """When all of them are there again, if nobody takes any more."""
    taken_at: int
    """When some were taken last."""


class Taken(NamedTuple):
    """Tokens were taken: they may be used after so many microseconds."""

    bucket: Bucket
    wait: int


def take_tokens(bucket: Bucket | None, *, now: int, tokens: int, capacity: int, per_second: float) -> Taken:
    """Take tokens, of which those that are not there yet are waited for. Whoever comes later waits for later ones."""
    full_at, taken_at = bucket or Bucket(now, now)
    if now < taken_at:  # the clock was put back: what was to come is as far ahead as it was
        full_at -= taken_at - now
    full_at = max(full_at, now) + _micros(tokens, per_second)
    return Taken(Bucket(full_at, now), max(0, full_at - now - _micros(capacity, per_second)))


def rate_of(limit: ConcurrencyLimit, occupy: int) -> float:
    """Tokens a second. Raises `UsageError` for a limit that has no rate, or never so many tokens."""
    if limit.slot_decay_per_second <= 0:
        raise errors.UsageError(
            f"The concurrency limit `{limit.name}` is no rate limit: its slots do not become free by themselves",
            hint=f"`penstock concurrency-limit update {limit.name} --slot-decay-per-second 1`, or use `concurrency`",
        )
    if occupy > limit.limit:
        raise errors.UsageError(
            f"The rate limit `{limit.name}` has {counted(limit.limit, 'slot')}, so {occupy} can never be had at once",
            hint="occupy fewer slots, or raise the limit",
        )
    return limit.slot_decay_per_second


def _micros(tokens: int, per_second: float) -> int:
    return round(tokens * 1e6 / per_second)


# ── what is told of it ───────────────────────────────────────────────────────────────────────────────────────────────


class Obstacle(msgspec.Struct, frozen=True, kw_only=True):
    """What keeps a booking waiting, at one of its places."""

    limit: str
    key: str = ""
    slots: int = 1
    """As many as it wants."""
    free: int = 0
    of: int = 1
    """The limit."""
    ahead: int = 0
    """Bookings that come before it."""
    holders: tuple[SlotHolder, ...] = ()
    """Some of those who hold slots, the longest first."""
    others: int = 0
    """So many more hold slots."""

    @property
    def is_in_the_way(self) -> bool:
        return self.ahead > 0 or self.free < self.slots


def about_waiting(obstacles: Sequence[Obstacle]) -> str:
    """What a booking waits for, in a sentence without its point."""
    in_the_way = [each for each in obstacles if each.is_in_the_way] or list(obstacles)
    return "; ".join(_about(each) for each in in_the_way)


def _about(obstacle: Obstacle) -> str:
    place = Place(obstacle.limit, obstacle.key)
    what = "a slot" if obstacle.slots == 1 else f"{obstacle.slots} slots"
    text = f"Waits for {what} of {place}"
    if obstacle.of == 0:
        text += ", which has none"
    elif obstacle.holders:
        text += f", held by {_all(obstacle)}"
    if obstacle.ahead:
        text += f", after {counted(obstacle.ahead, 'other')}"
    return text


def _all(obstacle: Obstacle) -> str:
    told = [about_holder(each) for each in obstacle.holders[:_NAMED]]
    rest = len(obstacle.holders) - len(told) + obstacle.others
    if rest:
        told.append(counted(rest, "other"))
    return told[0] if len(told) == 1 else f"{', '.join(told[:-1])} and {told[-1]}"


def about_holder(holder: SlotHolder) -> str:
    """Who holds slots, and since when."""
    if holder.run_id is not None:
        who = f"run `{holder.run_name or holder.run_id}`"
        if holder.task_run_name or holder.task_run_id:
            who += f" (task `{holder.task_run_name or holder.task_run_id}`)"
    else:
        who = holder.who or "a process"
    return who if holder.held_since is None else f"{who} since {clock_time(holder.held_since)}"


def clock_time(at: int) -> str:
    """A time of the day, in UTC."""
    seconds = at // 1_000_000 % 86400
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02} UTC"
