"""The live stream: what happens, told to whoever looks, as Server-Sent Events.

One reader follows the event log for all who listen. Each listener has a place in the log, which is the id of the last
message it got: a browser that reconnects says it, and goes on there.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from itertools import takewhile
from typing import Any

import msgspec
from litestar import Request
from litestar.handlers import HTTPRouteHandler, get
from litestar.response import Stream

from penstock import errors
from penstock.api.admission import NEEDS
from penstock.api.bodies import check_query
from penstock.api.context import Context
from penstock.api.counts import WAITS
from penstock.api.described import Raw
from penstock.core.access import Permission
from penstock.core.runs import Event
from penstock.store.interface import Store

_log = logging.getLogger("penstock.server")

HEARTBEAT_SECONDS = 15.0
LEAST_PAUSE_SECONDS = 0.1
"""Between two messages to a listener; what happens meanwhile comes together."""
LONGEST_SECONDS = 1800.0
"""After this time a listener connects again, and shows its key again."""
SAFETY_SECONDS = 5.0
"""The log is looked at so often, even if nothing was heard."""

MAX_EVENTS = 200
"""In one message."""
REMEMBERED = 5000
"""So many events are at hand. Whoever is further behind is told of the gap, and asks anew for what it shows."""
MAX_LISTENERS = 500
MAX_TOPICS = 100

PLAIN_TOPICS = frozenset({"events", "runs", "workers", "schedules"})


class Feed:
    """The latest events, for all who listen. Reads the log only while somebody does."""

    def __init__(self, context: Context) -> None:
        self.cursor = 0
        """The sequence of the last event that is known."""
        self._context = context
        self._events: deque[Event] = deque()
        self._begins_after = 0
        """All events after this one are here."""
        self._listening: set[asyncio.Event] = set()
        self._begun = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def join(self, woken: asyncio.Event) -> None:
        """Set ``woken`` whenever there are new events, until `leave`. Raises `StoreBusy` when too many listen."""
        if len(self._listening) >= MAX_LISTENERS:
            raise errors.StoreBusy(f"There are {MAX_LISTENERS} listeners already", hint="try again later")
        self._listening.add(woken)
        try:
            async with self._begun:
                if self._task is None:
                    self._events.clear()
                    self.cursor = self._begins_after = await self.latest()
                    self._task = asyncio.create_task(self._follow())
        except BaseException:
            self.leave(woken)
            raise

    def leave(self, woken: asyncio.Event) -> None:
        """Listen no more."""
        self._listening.discard(woken)
        if not self._listening and self._task is not None:
            self._task.cancel()
            self._task = None

    async def latest(self) -> int:
        """The sequence of the last event that there is."""
        return await self._context.in_thread(_latest, self._context.store)

    async def after(self, cursor: int) -> list[Event] | None:
        """Events that follow, at most `MAX_EVENTS` of them; None if more than `REMEMBERED` do."""
        if cursor >= self._begins_after:
            found = list(takewhile(lambda event: event.sequence > cursor, reversed(self._events)))
            return found[::-1][:MAX_EVENTS]
        found = await self._context.in_thread(_page, self._context.store, cursor, REMEMBERED + 1)
        return None if len(found) > REMEMBERED else found[:MAX_EVENTS]

    async def _follow(self) -> None:
        with self._context.wakes.following("events") as followed:
            while True:
                followed.take()
                found: list[Event] = []
                try:
                    found = await self._context.in_thread(_page, self._context.store, self.cursor, REMEMBERED)
                except errors.StoreError:
                    pass  # it is away, and asked again later
                except Exception as error:  # noqa: BLE001  whatever it is, those who listen are to hear again
                    _log.warning(
                        "The event log cannot be read, and is tried again: %s: %s", type(error).__name__, error
                    )
                if found:
                    self._take_in(found)
                else:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(SAFETY_SECONDS):
                            await followed.woken.wait()

    def _take_in(self, found: list[Event]) -> None:
        self._events.extend(found)
        self.cursor = found[-1].sequence
        while len(self._events) > REMEMBERED:
            self._begins_after = self._events.popleft().sequence
        for woken in self._listening:
            woken.set()


def routes(context: Context) -> list[HTTPRouteHandler]:
    """Below ``/api``."""
    feed = Feed(context)

    @get("/events/stream", name="stream_events", opt={NEEDS: frozenset({Permission.READ}), WAITS: True})
    async def stream(request: Request[Any, Any, Any]) -> Stream:
        check_query(request, "topics", "cursor")
        topics = _topics(request.query_params.get("topics", "events"))
        given = request.headers.get("last-event-id") or request.query_params.get("cursor")
        cursor = None if given is None else _cursor(given)
        roots = await context.in_thread(_roots, context.store, topics)
        return Stream(_messages(context, feed, topics, roots, cursor), media_type="text/event-stream")

    return [stream]


async def _messages(
    context: Context, feed: Feed, topics: frozenset[str], roots: dict[str, str], cursor: int | None
) -> AsyncIterator[str]:
    """What a listener is sent. ``roots`` are the topics of the store that tell of those of the listener."""
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + LONGEST_SECONDS
    with context.wakes.following(*roots) as followed:
        await feed.join(followed.woken)
        try:
            given, cursor = cursor, feed.cursor if cursor is None else cursor
            yield _message("hello", cursor, {})
            if given is not None and given > await feed.latest():  # of another store, or of this one before a restore
                cursor = feed.cursor
                yield _message("gap", cursor, {"after": given, "until": cursor})
            while not context.wakes.is_stopping and loop.time() < ends_at:
                changed = sorted(roots[topic] for topic in followed.take())
                found = await feed.after(cursor)
                text = ""
                if found is None:
                    text += _message("gap", feed.cursor, {"after": cursor, "until": feed.cursor})
                    cursor = feed.cursor
                elif found:
                    cursor = found[-1].sequence
                    wanted = [event for event in found if _is_about(event, topics)]
                    text += _message("events", cursor, wanted) if wanted else ""
                text += _message("changed", cursor, changed) if changed else ""
                if text:
                    yield text
                    await asyncio.sleep(LEAST_PAUSE_SECONDS)
                elif not found:
                    try:
                        async with asyncio.timeout(HEARTBEAT_SECONDS):
                            await followed.woken.wait()
                    except TimeoutError:
                        yield f": heartbeat\nid: {cursor}\n\n"
        finally:
            feed.leave(followed.woken)


def _topics(given: str) -> frozenset[str]:
    topics = frozenset(filter(None, given.split(",")))
    if not topics or len(topics) > MAX_TOPICS:
        raise errors.UsageError(f"`topics` are 1 to {MAX_TOPICS}, with commas between them")
    for topic in topics:
        kind, colon, what = topic.partition(":")
        if topic not in PLAIN_TOPICS and not (kind in {"run", "logs"} and colon and 0 < len(what) <= 100):
            raise errors.UsageError(
                f"There is no topic: `{topic[:100]}`", hint=f"{', '.join(sorted(PLAIN_TOPICS))}, run:<id>, logs:<id>"
            )
    return topics


def _cursor(given: str) -> int:
    if not (given.isascii() and given.isdigit() and len(given) <= 18):
        raise errors.UsageError(f"A cursor is the id of a message, not: `{given[:100]}`")
    return int(given)


def _roots(store: Store, topics: frozenset[str]) -> dict[str, str]:
    """Topics that the store wakes, and those of the listener that they tell of: a subflow run's are its root's."""
    found = {topic: topic for topic in topics & {"workers", "schedules"}}
    with store.reading() as tx:
        for topic in sorted(topics - PLAIN_TOPICS):
            kind, _, run_id = topic.partition(":")
            row = tx.flow_runs.row(run_id)
            found[f"{kind}:{row.root_run_id if row else run_id}"] = topic
    return found


def _is_about(event: Event, topics: frozenset[str]) -> bool:
    return (
        "events" in topics
        or ("runs" in topics and event.event.startswith("flow_run."))
        or (event.run_id is not None and f"run:{event.run_id}" in topics)
    )


def _message(kind: str, cursor: int, data: Any) -> str:
    # JSON as it is written here has no line ends.
    return f"id: {cursor}\nevent: {kind}\ndata: {msgspec.json.encode(data).decode()}\n\n"


def _latest(store: Store) -> int:
    with store.reading() as tx:
        return tx.events.latest()


def _page(store: Store, after: int, limit: int) -> list[Event]:
    with store.reading() as tx:
        return tx.events.page(after=after, limit=limit)


DESCRIBED = (
    Raw(
        "get",
        "/api/events/stream",
        "stream_events",
        "What happens, as Server-Sent Events: `events` (a list of them), `changed` (the topics of runs of which more "
        "has become known), and `gap`, after which a client asks anew for what it shows. The id of a message is where "
        "the stream goes on after it.",
        tag="events",
        permissions=(Permission.READ,),
        parameters=(
            {
                "name": "topics",
                "in": "query",
                "required": False,
                "schema": {"type": "string", "default": "events"},
                "description": "With commas: `events` (all), `runs`, `run:<id>`, `logs:<id>`, `workers`, `schedules`.",
            },
            {
                "name": "cursor",
                "in": "query",
                "required": False,
                "schema": {"type": "string", "pattern": "^[0-9]{1,18}$"},
                "description": "Go on after this event; without it, from now on. `Last-Event-ID` says the same.",
            },
        ),
        answer={"text/event-stream": {"schema": {"type": "string"}}},
    ),
)
