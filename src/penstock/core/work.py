"""Work: pools and queues of runs that are to start, the workers that claim them, and what follows from their ends.

All times are microseconds since 1970 UTC, by the clock of the database.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

import msgspec

from penstock.core.deployments import Job, OnCrash

HEARTBEAT_SECONDS = 5.0
SILENT_SECONDS = 3 * HEARTBEAT_SECONDS
"""A worker that was not heard of for longer is told to be silent: nobody knows whether it lives."""
LEASE_SECONDS = 30.0
LEASE_MARGIN_SECONDS = 5.0
"""A worker trusts its lease for so much less than the server grants it."""
RESCUE_SECONDS = 2.0
"""How often leases are looked at."""
HOLIDAY_SECONDS = 5.0
"""When nobody has looked at leases for longer than this, the time does not count for them: no server was there."""
GRACE_SECONDS = 30.0
"""Between SIGTERM and SIGKILL."""
LATE_SECONDS = 5.0
"""A run that is due for longer, and not claimed, is Late."""
MAX_CRASHES = 3
"""So many attempts whose process died, without a newly finished task, and a run is set aside as poison."""
MAX_LOSSES = 10
"""The same for attempts that ended with what was around them: it may be the run that takes its worker down. So many as
well when workers lack the code, and others of the queue are there, which may have it and be busy."""
MAX_LACKING = 3
"""So many attempts when the only worker of the queue lacks the code."""
POLL_SECONDS = 30.0
"""How long a question for work waits for an answer."""
MAX_EXCEPTED = 100
"""A worker leaves runs of so many deployments to others."""


class WorkPool(msgspec.Struct, frozen=True, kw_only=True):
    """Where runs wait for a kind of infrastructure."""

    name: str
    type: str = "process"
    description: str = ""
    job_template: dict[str, Any] = {}
    """What deployments' ``infrastructure`` is laid over: ``env``, ``working_dir``, ``preload`` …"""
    concurrency_limit: int | None = None
    paused: bool = False
    created_at: int = 0


class WorkQueue(msgspec.Struct, frozen=True, kw_only=True):
    """A lane of a pool. Runs of a queue with a lower number of priority are claimed first."""

    pool: str
    name: str
    priority: int = 1
    concurrency_limit: int | None = None
    paused: bool = False
    description: str = ""
    waiting: int = 0
    """Runs that are due and not claimed."""
    running: int = 0


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """A process that claims runs of a pool."""

    id: str
    name: str
    pool: str
    queues: tuple[str, ...] = ()
    """Only of these; none: of all."""
    type: str = "process"
    host: str = ""
    version: str = ""
    limit: int | None = None
    started_at: int = 0
    seen_at: int = 0
    """When it was heard of last."""
    status: Literal["online", "draining", "silent", "offline"] = "online"
    """``silent`` was not heard of since some heartbeats; in time it is ``offline``."""


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A run that a worker is to execute now. ``attempt`` is the fencing token: whoever has a lower one is too late."""

    run_id: str
    attempt: int
    name: str
    job: Job
    job_template: dict[str, Any] = {}
    deployment_id: str | None = None
    deployment: str | None = None
    """Its full name, ``flow/name``."""
    tags: tuple[str, ...] = ()
    parent_flow_run_id: str | None = None
    due_at: int = 0
    lease_seconds: float = LEASE_SECONDS
    key: str = ""
    """What the run shows when it asks for something; good for this attempt."""


class Verdict(StrEnum):
    """What a heartbeat's answer says of a run."""

    GO_ON = "go_on"
    PAUSE = "pause"
    """Somebody wants no new task to start; later ``go_on`` says that they may."""
    SUSPEND = "suspend"
    """Somebody wants it to wait without a process: end its processes, then report."""
    CANCEL = "cancel"
    """Somebody wants it gone: end its processes, then report."""
    SUPERSEDED = "superseded"
    """The run is another's now, or over: end its processes, record nothing more."""


class ExitReason(StrEnum):
    """Why an attempt's process is gone."""

    ENDED = "ended"
    """It recorded how its run ended; or it was to suspend."""
    CRASHED = "crashed"
    """It died by itself."""
    LOST = "lost"
    """What was around it died: the process that had started it, its worker, or its machine."""
    CANCELLED = "cancelled"
    """Ended by the worker because somebody wanted so."""
    TIMED_OUT = "timed_out"
    DRAINED = "drained"
    """Interrupted because the worker stops: another one may go on at once, and no retry is used up."""
    NOT_STARTED = "not_started"
    """Its infrastructure could not be had."""
    LACKING = "lacking"
    """The worker could not get its code; another one may have it."""


class Sequel(StrEnum):
    """What becomes of a run whose process is gone before the run had ended."""

    RESUME = "resume"
    CRASH = "crash"
    POISON = "poison"
    CANCEL = "cancel"
    TIME_OUT = "time_out"


def sequel(
    *,
    reason: ExitReason,
    is_cancelling: bool,
    on_crash: OnCrash,
    crashes: int,
    losses: int,
    is_alone: bool = False,
) -> Sequel:
    """Decide. ``crashes`` and ``losses`` are since a task was last finished anew, this attempt included.

    ``is_alone`` says that no other worker is there that may have the code.
    """
    if is_cancelling or reason is ExitReason.CANCELLED:
        return Sequel.CANCEL
    if reason is ExitReason.TIMED_OUT:
        return Sequel.TIME_OUT
    if reason is ExitReason.DRAINED:
        return Sequel.RESUME
    if reason is ExitReason.LACKING:
        return Sequel.POISON if losses >= (MAX_LACKING if is_alone else MAX_LOSSES) else Sequel.RESUME
    if on_crash == "fail":
        return Sequel.CRASH
    is_poison = losses >= MAX_LOSSES if reason is ExitReason.LOST else crashes >= MAX_CRASHES
    return Sequel.POISON if is_poison else Sequel.RESUME


class Candidate(msgspec.Struct, frozen=True, array_like=True):
    """A run that is due, as the choice of claims looks at it; they come in the order of their turn."""

    run_id: str
    queue: str
    deployment_id: str | None


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """How many more may be under way; what is not named has no limit."""

    limit: int | None = None
    """In the pool."""
    queues: dict[str, int] = {}
    deployments: dict[str, int] = {}

    def less(self, taken: list[Candidate]) -> Room:
        """What is left once these are under way."""
        queues, deployments = dict(self.queues), dict(self.deployments)
        for each in taken:
            if each.queue in queues:
                queues[each.queue] -= 1
            if each.deployment_id in deployments:
                deployments[each.deployment_id] -= 1
        limit = None if self.limit is None else self.limit - len(taken)
        return Room(limit=limit, queues=queues, deployments=deployments)


def chosen(candidates: list[Candidate], room: Room, wanted: int) -> list[Candidate]:
    """The candidates that fit, first come first served, as many as are wanted."""
    queues, deployments = dict(room.queues), dict(room.deployments)
    most = wanted if room.limit is None else min(wanted, room.limit)
    taken: list[Candidate] = []
    for each in candidates:
        if len(taken) >= most:
            break
        if queues.get(each.queue, 1) <= 0 or deployments.get(each.deployment_id or "", 1) <= 0:
            continue
        taken.append(each)
        if each.queue in queues:
            queues[each.queue] -= 1
        if each.deployment_id in deployments:
            deployments[each.deployment_id] -= 1
    return taken
