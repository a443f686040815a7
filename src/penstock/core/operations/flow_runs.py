"""Flow runs: look at them, and act on them."""

from __future__ import annotations

import msgspec

from penstock.core.operations import Page, Permission, Request, operation
from penstock.core.runs import Event, Explanation, FlowRun, LogEntry, StateChange
from penstock.core.states import StateType


@operation("GET", "/flow-runs", Permission.READ)
class ListFlowRuns(Request[Page[FlowRun]], frozen=True, kw_only=True):
    """Flow runs that meet every condition given, newest first."""

    flow: str | None = None
    deployment: str | None = None
    state: tuple[StateType, ...] = ()
    """Any of these."""
    state_name: tuple[str, ...] = ()
    """Or any of these, as `Late` or `TimedOut`."""
    tag: tuple[str, ...] = ()
    """All of these."""
    name: str | None = None
    """How names begin."""
    pool: str | None = None
    queue: str | None = None
    since: int | None = None
    parent: str | None = None
    roots: bool = False
    """Only runs without a parent."""
    limit: int = 50
    after: str | None = None


@operation("GET", "/due-flow-runs", Permission.READ)
class ListDueFlowRuns(Request[Page[FlowRun]], frozen=True, kw_only=True):
    """Runs that wait for their time or for a worker, soonest first."""

    deployment: str | None = None
    pool: str | None = None
    queue: str | None = None
    until: int | None = None
    """Only those that are due before then."""
    limit: int = 50
    after: str | None = None


class Bucket(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a time, and how many runs were created in it, by type of state."""

    start: int
    counts: dict[StateType, int]


class FlowRunCounts(msgspec.Struct, frozen=True, kw_only=True):
    """How many runs there are, by the type of the state in which they are now."""

    total: int
    counts: dict[StateType, int]
    buckets: list[Bucket]
    """All of them, oldest first; each lasts until the next begins, the last one until the end of the time."""


@operation("GET", "/flow-run-counts", Permission.READ)
class CountFlowRuns(Request[FlowRunCounts], frozen=True, kw_only=True):
    """Count the runs that were created within a time, by state, and in so many parts of that time."""

    since: int
    until: int
    buckets: int = 1
    """1 to 366."""
    flow: str | None = None
    deployment: str | None = None
    roots: bool = False
    """Only runs without a parent."""


@operation("GET", "/flow-runs/{run}", Permission.READ)
class GetFlowRun(Request[FlowRun], frozen=True, kw_only=True):
    """The run of that id, beginning of an id, or name (the newest of several)."""

    run: str


class Logs(msgspec.Struct, frozen=True, kw_only=True):
    """Lines of a log, and who says them."""

    items: list[LogEntry]
    names: dict[str, str]
    """The names of the flow runs and task runs that speak, by their ids."""
    next: str | None = None
    """Hand it in as ``after`` for what follows; None when nothing does by now."""


@operation("GET", "/flow-runs/{run}/logs", Permission.READ)
class ListLogs(Request[Logs], frozen=True, kw_only=True):
    """Lines of a run's log and of its subflow runs', oldest first. To follow them, ask for the run's ``progress``."""

    run: str
    level: int | None = None
    """Only lines of this level and above: 20 is INFO, 30 WARNING, 40 ERROR."""
    task: str | None = None
    """Only lines of this task run (id, beginning of an id, or name), or of the task of this name."""
    since: int | None = None
    tail: bool = False
    """The last ``limit`` lines, not the first."""
    subflows: bool = True
    limit: int = 200
    after: str | None = None
    """The sequence of the last line seen, as text."""


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """What is new of a run."""

    run: FlowRun
    events: list[Event]
    """What happened to the run itself."""
    logs: list[LogEntry]
    """What it and its subflow runs said."""
    names: dict[str, str]
    """The names of the flow runs and task runs that speak, by their ids."""
    next: str
    """Hand it in as ``after`` for what follows."""

    def __bool__(self) -> bool:
        return bool(self.events or self.logs) or self.run.is_final


@operation("GET", "/flow-runs/{run}/progress", Permission.READ)
class FollowFlowRun(Request[Progress], frozen=True, kw_only=True):
    """What happened to a run, and what it said, since ``after``.

    When that is nothing, and the run has not ended, the answer waits for up to ``wait_seconds``. Name the run by its
    id, so that it comes as soon as there is something. A run that has ended may have more to tell: go on until there
    are neither events nor lines.
    """

    run: str
    root: str | None = None
    """Of a subflow run: the id of its root run, in whose journal it is written."""
    level: int | None = None
    task: str | None = None
    since: int | None = None
    """Lines as with ``ListLogs``."""
    after: str | None = None
    wait_seconds: float = 0

    def topic(self) -> str:
        return f"run:{self.root or self.run}"


@operation("GET", "/flow-runs/{run}/why", Permission.READ)
class ExplainFlowRun(Request[Explanation], frozen=True, kw_only=True):
    """Why a run is in its state: what failed first, what waits for what, what a resume would do."""

    run: str


@operation("GET", "/flow-runs/{run}/states", Permission.READ)
class ListFlowRunStates(Request[list[StateChange]], frozen=True, kw_only=True):
    """The states that a run was in, oldest first. Takes a while for a run of many thousand tasks."""

    run: str


class RunNode(msgspec.Struct, frozen=True, kw_only=True):
    """A task run, or the subflow run that it stands for."""

    id: str
    name: str
    task_name: str
    kind: str
    state_type: StateType
    state_name: str
    started_at: int
    ended_at: int | None
    upstream: tuple[str, ...]
    """Whose results it took, or for whom it waited."""
    flow_run_id: str | None = None
    """The subflow run."""


class RunGraph(msgspec.Struct, frozen=True, kw_only=True):
    """Who waited for whom in a run."""

    nodes: list[RunNode]
    is_whole: bool
    """False when the run has more task runs than ``limit``: the first are here."""


@operation("GET", "/flow-runs/{run}/graph", Permission.READ)
class GetFlowRunGraph(Request[RunGraph], frozen=True, kw_only=True):
    """The task runs of a flow run and what each depended on, in the order in which they began."""

    run: str
    limit: int = 2000
    """1 to 10,000."""


@operation("POST", "/flow-runs/{run}/cancel", Permission.OPERATE, is_idempotent=True)
class CancelFlowRun(Request[FlowRun], frozen=True, kw_only=True):
    """End a run. One that waits is Cancelled at once; one under way is Cancelling until all its processes are gone."""

    run: str
    by: str = ""
    message: str | None = None


@operation("POST", "/flow-runs/{run}/retry", Permission.OPERATE)
class RetryFlowRun(Request[FlowRun], frozen=True, kw_only=True):
    """Let a deployment's run that has ended, and not completed, go on where it stopped, on any worker."""

    run: str
    by: str = ""


@operation("POST", "/flow-runs/{run}/state", Permission.OPERATE)
class SetFlowRunState(Request[FlowRun], frozen=True, kw_only=True):
    """Give a run that nobody executes another final state; that this was done is recorded."""

    run: str
    type: StateType
    name: str | None = None
    message: str | None = None
    by: str = ""


@operation("DELETE", "/flow-runs/{run}", Permission.OPERATE)
class DeleteFlowRun(Request[None], frozen=True, kw_only=True):
    """Forget a run that has ended, with its subflow runs, logs, artifacts, and results that no other run uses."""

    run: str


class Pruned(msgspec.Struct, frozen=True, kw_only=True):
    """What was forgotten and deleted; with ``dry_run``, what would be."""

    runs: int
    """Top-level runs, each with its subflow runs, logs, artifacts and journals."""
    runs_kept: int
    """Top-level runs that have ended and stay."""
    result_files: int
    result_bytes: int
    cache_entries: int
    leftovers: int
    """Files that processes which died left half written."""
    dry_run: bool
    is_complete: bool = True
    """False when there were more runs to forget than ``at_most``: the files come when the last of them are gone."""


@operation("POST", "/flow-runs/prune", Permission.ADMIN, is_idempotent=True)
class PruneFlowRuns(Request[Pruned], frozen=True, kw_only=True):
    """Forget old runs, and delete result files and cache entries that nothing needs any more.

    Runs that have not ended are never touched.
    """

    older_than_days: float | None = None
    """Runs that ended longer ago than this; None: as the server's settings say."""
    keep: int | None = None
    """The newest so many stay at most; None: as the server's settings say."""
    at_most: int = 1000
    """So many runs in one go, so that it does not take too long."""
    dry_run: bool = False
