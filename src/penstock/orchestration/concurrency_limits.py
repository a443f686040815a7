"""Concurrency and rate limits: made and looked at by people, asked for by runs.

Who holds a slot follows from who lives: a booking ends with the attempt of the worker's run that it belongs to, or
when its process was not heard of for too long. So slots cannot leak, whatever dies and whenever.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from penstock import errors
from penstock.core import concurrency
from penstock.core.concurrency import TAG, Bucket, ConcurrencyLimit, Obstacle, Place, SlotHolder, Standing
from penstock.core.operations import concurrency_limits as ask
from penstock.core.suggestions import did_you_mean
from penstock.core.work import LEASE_SECONDS
from penstock.store.concurrency_limits import BookingRow, LimitRow
from penstock.store.interface import Store, Transaction

MAX_TOLD = 200
"""So many holders of a limit are told, and so many who wait."""
NAMED = 5
"""So many holders are told to those who wait."""
BATCH = 100


# ── people make limits, and look at them ─────────────────────────────────────────────────────────────────────────────


def create_concurrency_limit(tx: Transaction, given: ask.CreateConcurrencyLimit) -> ConcurrencyLimit:
    """Raises `AlreadyExists` for a name that is taken."""
    concurrency.check_limit(given.name, given.limit, given.slot_decay_per_second)
    known = tx.concurrency_limits.limit(given.name)
    if known is not None and not given.overwrite:
        raise errors.AlreadyExists(
            f"There is a concurrency limit of that name already: `{given.name}`",
            hint=f"`penstock concurrency-limit update {given.name}` changes it",
        )
    row = LimitRow(
        name=given.name,
        slots=given.limit,
        slots_per_second=given.slot_decay_per_second,
        active=int(given.active),
        created_at=known.created_at if known else tx.now,
    )
    return _saved(tx, row)


def list_concurrency_limits(tx: Transaction, given: ask.ListConcurrencyLimits) -> list[ConcurrencyLimit]:  # noqa: ARG001  there is nothing to say
    counts = tx.concurrency_limits.counts()
    return [_view(row, counts) for row in tx.concurrency_limits.limits()]


def get_concurrency_limit(tx: Transaction, given: ask.GetConcurrencyLimit) -> ask.LimitInUse:
    row = limit_of(tx, given.name)
    return ask.LimitInUse(
        limit=_view(row, tx.concurrency_limits.counts()),
        holders=tx.concurrency_limits.holders(row.name, "held", limit=MAX_TOLD),
        waiting=tx.concurrency_limits.holders(row.name, "waiting", limit=MAX_TOLD),
    )


def update_concurrency_limit(tx: Transaction, given: ask.UpdateConcurrencyLimit) -> ConcurrencyLimit:
    row = limit_of(tx, given.name)
    if given.limit is not None:
        row.slots = given.limit
    if given.slot_decay_per_second is not None:
        row.slots_per_second = given.slot_decay_per_second
    if given.active is not None:
        row.active = int(given.active)
    concurrency.check_limit(row.name, row.slots, row.slots_per_second)
    return _saved(tx, row)


def delete_concurrency_limit(tx: Transaction, given: ask.DeleteConcurrencyLimit) -> None:
    row = limit_of(tx, given.name)
    _lock(tx, [row.name])
    waiting = tx.concurrency_limits.waiting(row.name)
    tx.concurrency_limits.forget_bookings(row.name)
    tx.concurrency_limits.forget_buckets(row.name)
    tx.concurrency_limits.forget_limit(row.name)
    for booking, owner in waiting:
        # Of one that wanted more, the rest still waits; whoever wanted only this finds it gone, and goes on.
        _let_in(tx, [each.place for each in tx.concurrency_limits.booking(booking)])
        tx.wake(f"slots:{owner}")


def reset_concurrency_limit(tx: Transaction, given: ask.ResetConcurrencyLimit) -> ConcurrencyLimit:
    row = limit_of(tx, given.name)
    _lock(tx, [row.name])
    places = tx.concurrency_limits.places(row.name)
    tx.concurrency_limits.forget_bookings(row.name, "held")
    tx.concurrency_limits.forget_buckets(row.name)
    _let_in(tx, places)
    return _view(row, tx.concurrency_limits.counts())


def limit_of(tx: Transaction, name: str) -> LimitRow:
    """The limit of that name, or else the one of the tag of that name. Raises `NotFound`."""
    row = tx.concurrency_limits.limit(name) or tx.concurrency_limits.limit(f"{TAG}{name}")
    if row is None:
        raise _not_found(tx, name)
    return row


# ── runs ask for slots ───────────────────────────────────────────────────────────────────────────────────────────────


def limits_in_force(tx: Transaction, given: ask.LimitsInForce) -> list[ConcurrencyLimit]:  # noqa: ARG001  as above
    return [row.view() for row in tx.concurrency_limits.limits(active=True)]


def book_slots(tx: Transaction, given: ask.BookSlots) -> ask.Booked:
    rows = tx.concurrency_limits.booking(given.booking)
    if given.run_id is not None and any(row.run_id != given.run_id for row in rows):
        raise errors.AlreadyExists(f"The booking is another run's: `{given.booking}`")
    unknown: tuple[str, ...] = ()
    if not rows:
        found = tx.concurrency_limits.limits(set(given.limits))
        unknown = tuple(sorted(set(given.limits) - {row.name for row in found}))
        if unknown and given.strict:
            raise _not_found(tx, unknown[0])
        rows = _book(tx, given, [row for row in found if row.active])
    return ask.Booked(standing=_standing(rows), unknown=unknown, obstacles=_obstacles(tx, rows))


def renew_slots(tx: Transaction, given: ask.RenewSlots) -> list[ask.Stand]:
    tx.concurrency_limits.renew(given.owner, tx.now, tx.now + _LEASE)
    known = tx.concurrency_limits.of_owner(given.owner, given.run_id)
    thought = {**dict.fromkeys(given.held, "held"), **dict.fromkeys(given.waiting, "waiting")}
    changed = [booking for booking, standing in thought.items() if known.get(booking) != standing]
    # What the owner has not told of is news to it, or to the answer that it waits for.
    changed += [booking for booking in known if booking not in thought]
    return [ask.Stand(booking=booking, standing=_word(known.get(booking))) for booking in changed]


def release_slots(tx: Transaction, given: ask.ReleaseSlots) -> None:
    rows = tx.concurrency_limits.booking(given.booking)
    if given.run_id is None or all(row.run_id == given.run_id for row in rows):
        _end(tx, rows)


def take_tokens(tx: Transaction, given: ask.TakeTokens) -> ask.TokensTaken:
    concurrency.check_slots(given.occupy)
    row = tx.concurrency_limits.limit(given.name)
    if row is None and given.strict:
        raise _not_found(tx, given.name)
    if row is None or not row.active:
        return ask.TokensTaken(is_taken=False, is_known=False)
    place = Place(row.name, given.key)
    per_second = concurrency.rate_of(row.view(), given.occupy)
    _lock(tx, [row.name])
    taken = concurrency.take_tokens(
        tx.concurrency_limits.bucket(place),
        now=tx.now,
        tokens=given.occupy,
        capacity=row.slots,
        per_second=per_second,
    )
    wait_seconds = taken.wait / 1e6
    if given.at_most_seconds is not None and wait_seconds > given.at_most_seconds:
        return ask.TokensTaken(wait_seconds=wait_seconds, is_taken=False)
    tx.concurrency_limits.save_bucket(place, Bucket(*taken.bucket))
    return ask.TokensTaken(wait_seconds=wait_seconds)


def _book(tx: Transaction, given: ask.BookSlots, limits: list[LimitRow]) -> list[BookingRow]:
    occupy = concurrency.check_slots(given.occupy)
    wants = concurrency.wants_of([row.view() for row in limits], given.key, occupy)
    if not wants:
        return []
    is_directed, priority = _whose(tx, given)
    _lock(tx, [want.place.limit for want in wants])
    rows = [
        BookingRow(
            booking_id=given.booking,
            limit_name=want.place.limit,
            key=want.place.key,
            slots=want.slots,
            status="waiting",
            priority=priority,
            arrived_at=tx.now,
            held_since=None,
            owner=given.owner,
            run_id=given.run_id,
            attempt=given.attempt,
            task_run_id=given.task_run_id,
            task_run_name=given.task_run_name,
            who=given.who,
            renewed_at=None if is_directed else tx.now,
            lease_ends_at=None if is_directed else tx.now + _LEASE,
        )
        for want in wants
    ]
    tx.concurrency_limits.add_booking(rows)
    _let_in(tx, [want.place for want in wants])
    rows = tx.concurrency_limits.booking(given.booking)
    if rows and rows[0].status == "waiting":
        tx.wake(f"slots:{given.owner}")  # an answer that the owner waits for should tell of this one, too
    return rows


def _whose(tx: Transaction, given: ask.BookSlots) -> tuple[bool, int]:
    """Whether it ends with a worker's run, and its priority. Raises `AlreadyEnded` when the attempt is over."""
    work = None if given.run_id is None else tx.work.look(given.run_id)
    priority = given.priority if given.priority is not None else 0 if work is None else work.priority
    if work is None or work.status == "done":
        return False, priority
    if work.status != "claimed" or work.attempt != given.attempt:
        raise errors.AlreadyEnded(f"Attempt {given.attempt} of the run is over: `{given.run_id}`")
    return True, priority


# ── who goes on ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _let_in(tx: Transaction, places: Iterable[Place]) -> None:
    """Whoever waits first at these places, and fits, has its slots; and so on, until nobody fits."""
    pending = list(dict.fromkeys(places))
    while pending:
        first = tx.concurrency_limits.first_waiting(pending.pop())
        if first is None:
            continue
        rows = tx.concurrency_limits.booking(first)
        # Locked already, unless it came just now: then two may wait for each other, and the database undoes one,
        # which is done again.
        _lock(tx, [row.limit_name for row in rows])
        wants = [row.want for row in rows]
        if concurrency.may_enter(
            first, wants, first=tx.concurrency_limits.first_waiting, room=lambda place: _room(tx, place)
        ):
            tx.concurrency_limits.hold(first, tx.now)
            tx.wake(f"slots:{rows[0].owner}")
            pending += [want.place for want in wants]


def _room(tx: Transaction, place: Place) -> int:
    row = tx.concurrency_limits.limit(place.limit)
    if row is None or not row.active:
        return concurrency.MAX_SLOTS
    return row.slots - tx.concurrency_limits.held(place)


def _end(tx: Transaction, rows: list[BookingRow]) -> None:
    """Bookings are over."""
    if not rows:
        return
    _lock(tx, [row.limit_name for row in rows])
    for booking in sorted({row.booking_id for row in rows}):
        tx.concurrency_limits.forget_booking(booking)
    _let_in(tx, [row.place for row in rows])


def end_of_attempt(tx: Transaction, run_id: str, attempt: int) -> None:
    """The processes of a run's attempts up to this one are gone, and so are their bookings."""
    _end(tx, tx.concurrency_limits.of_run(run_id, attempt))


def hold_elsewhere(tx: Transaction, owner: str, holders: list[SlotHolder]) -> None:
    """These hold slots that were not asked for here, and nobody else does of whom ``owner`` told before."""
    slots = Counter((each.booking, each.limit, each.key) for each in holders)
    told = {each.booking: each for each in holders}
    rows = [
        BookingRow(
            booking_id=booking,
            limit_name=limit,
            key=key,
            slots=count,
            status="held",
            priority=told[booking].priority,
            arrived_at=told[booking].arrived_at,
            held_since=told[booking].held_since,
            owner=owner,
            run_id=told[booking].run_id,
            attempt=0,
            task_run_id=told[booking].task_run_id,
            task_run_name=told[booking].task_run_name,
            who=told[booking].run_name or told[booking].who,
            renewed_at=tx.now,
            lease_ends_at=tx.now + _LEASE,
        )
        for (booking, limit, key), count in sorted(slots.items())
    ]
    _lock(tx, [row.limit_name for row in rows])
    tx.concurrency_limits.add_booking(rows)
    tx.concurrency_limits.renew(owner, tx.now, tx.now + _LEASE)
    gone = [each for each in tx.concurrency_limits.of_owner(owner, None) if each not in told]
    _end(tx, [row for booking in gone for row in tx.concurrency_limits.booking(booking)])


def run_once(store: Store) -> int:
    """End the bookings of processes that were not heard of for too long; says how many."""
    ended = 0
    while True:
        batch = store.run(_end_some)
        ended += batch
        if batch < BATCH:
            break
    store.run(lambda tx: tx.concurrency_limits.forget_full_buckets(tx.now))
    return ended


def _end_some(tx: Transaction) -> int:
    found = tx.concurrency_limits.expired(tx.now, BATCH) or tx.concurrency_limits.orphaned(BATCH)
    _end(tx, [row for booking in found for row in tx.concurrency_limits.booking(booking)])
    return len(found)


# ── what is told ─────────────────────────────────────────────────────────────────────────────────────────────────────


def obstacles_of(tx: Transaction, run_id: str) -> list[tuple[BookingRow, tuple[Obstacle, ...]]]:
    """What a run's bookings wait for: one row of each, and what is in its way."""
    waiting: dict[str, list[BookingRow]] = {}
    for row in tx.concurrency_limits.of_run(run_id):
        if row.status == "waiting":
            waiting.setdefault(row.booking_id, []).append(row)
    return [(rows[0], _obstacles(tx, rows)) for rows in waiting.values()]


def _obstacles(tx: Transaction, rows: list[BookingRow]) -> tuple[Obstacle, ...]:
    return tuple(_obstacle(tx, row) for row in rows if row.status == "waiting")


def _obstacle(tx: Transaction, row: BookingRow) -> Obstacle:
    limit = tx.concurrency_limits.limit(row.limit_name)
    held = tx.concurrency_limits.held(row.place)
    holders = tx.concurrency_limits.holders(row.limit_name, "held", key=row.key, limit=NAMED)
    slots = 0 if limit is None else limit.slots
    return Obstacle(
        limit=row.limit_name,
        key=row.key,
        slots=row.slots,
        free=max(0, slots - held),
        of=slots,
        ahead=tx.concurrency_limits.ahead_of(row),
        holders=tuple(holders),
        others=max(0, held - sum(each.slots for each in holders)),
    )


def _standing(rows: list[BookingRow]) -> Standing:
    return "free" if not rows else _word(rows[0].status)


def _word(status: str | None) -> Standing:
    return "gone" if status is None else "held" if status == "held" else "waiting"


def _saved(tx: Transaction, row: LimitRow) -> ConcurrencyLimit:
    _lock(tx, [row.name])
    tx.concurrency_limits.save_limit(row)
    if row.slots > 0:
        tx.concurrency_limits.want_at_most(row.name, row.slots)
    _let_in(tx, tx.concurrency_limits.places(row.name))
    return _view(row, tx.concurrency_limits.counts())


def _view(row: LimitRow, counts: dict[tuple[str, str], tuple[int, int]]) -> ConcurrencyLimit:
    held, _ = counts.get((row.name, "held"), (0, 0))
    _, waiting = counts.get((row.name, "waiting"), (0, 0))
    return row.view(held, waiting)


def _lock(tx: Transaction, names: Iterable[str]) -> None:
    """Decide about these limits alone: also about those of which slots are wanted together with theirs."""
    for name in sorted(tx.concurrency_limits.wanted_together(names)):
        tx.lock(f"limit:{name}")


def _not_found(tx: Transaction, name: str) -> errors.NotFound:
    near = did_you_mean(name, (row.name for row in tx.concurrency_limits.limits()))
    hint = near or f"make it with `penstock concurrency-limit create {name} --limit 1`"
    return errors.NotFound(f"There is no concurrency limit: `{name}`", hint=hint)


_LEASE = int(LEASE_SECONDS * 1e6)
