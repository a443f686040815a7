"""Watches over one attempt of a run: from its claim to the report of how its process ended."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple, TypeVar

from penstock import clock, errors, processes
from penstock.client import home_server, past
from penstock.client.server import PASSING, Server
from penstock.client.shipping import Shipment, Shipper
from penstock.core import plain_text
from penstock.core.deployments import GitRepository
from penstock.core.infrastructure import ProcessJob, process_job
from penstock.core.operations.work import PinCommit, ReportExit
from penstock.core.states import StateType
from penstock.core.work import Claim, ExitReason, Verdict
from penstock.engine.attempt import make_home
from penstock.journal.folder import FolderLock, JournalFolder
from penstock.journal.lease import Lease, Wish
from penstock.processes import Mark
from penstock.settings import Settings
from penstock.worker import surroundings
from penstock.worker.checkouts import Checkout
from penstock.worker.code import CodeStore
from penstock.worker.lacking import Lacking
from penstock.worker.launcher import Child, Launcher, NoProcess
from penstock.worker.output import STDERR, STDOUT, Allowance, Reader, Stream
from penstock.worker.run_log import RunLog

T = TypeVar("T")

ENDED_SECONDS = 30.0
"""A process that is gone has been waited for after this time, or the fork server is gone as well."""
SHOWN_SECONDS = 1.0
"""What the run has logged is shown before how its process ended, unless the server keeps us waiting for longer."""
OUTPUT_SECONDS = 2.0
"""How long output may still come once all processes are gone."""
LOOK_SECONDS = 5.0
"""How often limits are looked at that have not been reached."""
KILL_PAUSES = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25)
"""Between looks whether the processes that were killed are gone; the last one again and again."""
MANY_LOOKS = 40
"""After so many, it is told that processes do not go away: the system may be waiting for a disk."""
PAUSES = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0)
"""Between tries to tell a server that is away; the last one again and again."""


class Stop(IntEnum):
    """Why an attempt is ended from outside. A later one of these overrides those before it."""

    NO = 0
    DRAIN = 1
    """The worker stops."""
    OFFLINE = 2
    """Nobody has heard of the server for too long."""
    SUSPEND = 3
    """Somebody wants it to wait without a process."""
    TIME_LIMIT = 4
    CANCEL = 5
    SUPERSEDED = 6
    """It is not the run's attempt any more."""


_REASONS = {
    Stop.DRAIN: ExitReason.DRAINED,
    Stop.OFFLINE: ExitReason.DRAINED,
    Stop.SUSPEND: ExitReason.DRAINED,
    Stop.TIME_LIMIT: ExitReason.TIMED_OUT,
    Stop.CANCEL: ExitReason.CANCELLED,
}


_STOPS = {Verdict.CANCEL: Stop.CANCEL, Verdict.SUSPEND: Stop.SUSPEND}

_WISHES: dict[Stop, Wish] = {Stop.CANCEL: "cancel", Stop.TIME_LIMIT: "time out"}


class Ending(NamedTuple):
    """How the process of an attempt ended."""

    reason: ExitReason
    message: str = ""
    exit_code: int | None = None


class Workplace(NamedTuple):
    """What the supervisors of a worker share."""

    worker_id: str
    settings: Settings
    clock: clock.Clock
    server: Server
    launcher: Launcher
    shipper: Shipper
    reader: Reader
    code: CodeStore
    lacking: Lacking
    environ: Mapping[str, str]
    is_at_home: bool
    """Whether the server keeps this very home, and so has its results."""
    beat: Callable[[], None]
    """Have the next heartbeat sent at once."""
    say: Callable[[str], None]
    """Tell whoever watches the worker what it does."""
    say_of_process: Callable[[str], None]
    """The same, about a process."""
    show: Callable[[str], None]
    """Show whoever watches the worker a line that a run wrote."""
    freed: Callable[[], None]
    """A place is free again."""
    unable: Callable[[str], None]
    """The system has no process, thread or file for a run, and says why: so none can begin here for now."""


def release(folder: JournalFolder, lease: Lease, *, is_at_home: bool) -> None:
    """An attempt is over, and the server has all of it: remove what nobody needs any more."""
    path = lease.path.parent
    with closing(lease), suppress(OSError), FolderLock(path):
        lease.close()
        # What a later attempt was begun with, it removes itself; a server at home removes what it has folded.
        if not is_at_home and not folder.leases(path.name):
            folder.remove(path.name)


class Supervisor:
    """One attempt. `supervise` is its whole life; `stop` may be called from any thread."""

    def __init__(self, claim: Claim, place: Workplace) -> None:
        self.claim = claim
        self.run_id = claim.run_id
        self.attempt = claim.attempt
        self.takes_a_place = True
        """Whether its processes are not gone yet."""
        self._mark = Mark(claim.run_id, claim.attempt)
        self._place = place
        self._folder = JournalFolder(place.settings.journals)
        self._changed = threading.Condition()
        self._stop = Stop.NO
        self._stop_message = ""
        self._grace_ends_at = float("inf")
        self._gives_up_at = float("inf")
        self._job = ProcessJob()
        self._checkout: Checkout | None = None
        self._lease: Lease | None = None
        self._child: Child | None = None
        self._streams: list[Stream] = []
        self._lacks_code = False
        self._memory_kills = 0
        self._was_killed = False
        self._log = RunLog(place.settings, place.clock, claim, place.show)
        self._shipment = Shipment(
            claim.run_id, claim.attempt, seen=self._log.seen, when_over=lambda: self.stop(Stop.SUPERSEDED)
        )

    # ── its life ────────────────────────────────────────────────────────────────────────────────────────────────────

    def supervise(self) -> None:
        """Execute the attempt, and tell the server how it ended."""
        trouble: errors.PenstockError | None = None
        try:
            self._open()
            self._prepare()
            self._launch()
            self._watch()
        except errors.PenstockError as error:
            trouble = error
        except OSError as error:
            kind = NoProcess if processes.is_scarcity(error) else errors.CrashedRun
            trouble = kind(f"The worker could not begin it: {error}")
        except Exception as error:  # noqa: BLE001  a fault of the worker's own must not lose the run
            trouble = errors.CrashedRun(f"The worker failed, with {type(error).__name__}: {error}")
        finally:
            self._end_processes()
        if isinstance(trouble, NoProcess):
            self._place.unable(trouble.message)
        elif trouble is not None and self._stop is Stop.NO:
            self._log.complain(trouble)
        self._let_go_of_output()
        self.takes_a_place = False
        self._place.freed()
        is_shipped = self._ship_for(SHOWN_SECONDS)
        self._tell_how_it_ended()
        is_shipped = is_shipped or self._ship_for(float("inf"))
        if self._report(self._ending(trouble)) and (is_shipped or self._shipment.is_over):
            self._leave_tidy()
        self._place.server.close()

    def _open(self) -> None:
        """Take the run's folder in care, so that nobody else on this machine tells the server about it."""
        path = self._folder.run_path(self.run_id)
        owner = {"worker_id": self._place.worker_id, "pid": os.getpid()}
        while self._lease is None:
            make_home(self._place.settings, path)
            with suppress(FileNotFoundError), FolderLock(path):
                self._lease = Lease.begin(self._folder.lease_path(self.run_id, self.attempt), owner)
        self._place.shipper.add(self._shipment)
        self._place.beat()

    def _prepare(self) -> None:
        """Have everything in place: no process of an older attempt, the code, what was recorded elsewhere."""
        claim, place = self.claim, self._place
        self._job = process_job(claim.job_template, claim.job.infrastructure)
        self._log.shows = self._job.stream_output
        if self.attempt > 1:
            self._kill(lambda: processes.of_attempt(Mark(self.run_id, self.attempt - 1), older=True))
        self._checkout = self._patiently(lambda: self._code(claim.job.code_commit))
        if isinstance(claim.job.code, GitRepository) and self._checkout.commit != claim.job.code_commit:
            self._pin(self._checkout.commit or "")
        if self.attempt > 1:
            results = None if place.is_at_home else place.settings.results
            self._patiently(
                lambda: past.fetch(place.server, place.settings.journals, results, self.run_id, before=self.attempt)
            )

    def _code(self, commit: str | None) -> Checkout:
        try:
            return self._place.code.get(self.claim.job.code, commit, lambda: not self._is_stopped())
        except errors.FlowFileError as error:
            self._lacks_code = not self._is_stopped()
            if self._lacks_code and self.claim.deployment_id is not None:
                self._place.lacking.note(self.claim.deployment_id, error.sentence)
            raise

    def _pin(self, commit: str) -> None:
        """Have the run use this commit ever after; or the one that another attempt has pinned."""
        place = self._place
        request = PinCommit(run_id=self.run_id, attempt=self.attempt, commit=commit)
        pinned = self._patiently(lambda: place.server.ask(request))
        if pinned != commit:
            assert self._checkout is not None
            self._checkout.close()
            self._checkout = self._code(pinned)
        self._log.say(f"The code is that of commit {pinned}")

    def _launch(self) -> None:
        """Start the process of the attempt."""
        place, claim, job = self._place, self.claim, self._job
        assert self._checkout is not None
        assert self._lease is not None
        folder = Path(job.working_dir).expanduser() if job.working_dir else self._checkout.folder
        if not folder.is_dir():
            raise errors.FlowFileError(f"There is no such working directory: `{folder}`")
        told = surroundings.assignment(claim, self._checkout.folder, self._named_url(), self._lease.path)
        surroundings.write(self._job_file, told)
        env = surroundings.environment(place.environ, job, claim, place.settings, place.server.url, self._job_file)
        allowance = Allowance(place.clock)
        self._memory_kills = processes.out_of_memory_kills()
        try:
            for logger in (STDOUT, STDERR):
                self._streams.append(Stream(logger, self._log.take, allowance))
            out, err = self._streams
            with self._changed:
                if self._stop is not Stop.NO:
                    return
            child = place.launcher.start(
                env, str(folder), surroundings.argv(job), (out.writing, err.writing), self._wake
            )
            with self._changed:
                self._child = child
            place.say(f"Completed submission of flow run '{self.run_id}'")
        finally:
            for stream in self._streams:
                os.close(stream.writing)
                place.reader.add(stream)

    def _named_url(self) -> str | None:
        """Where the run finds the server. That of this home it finds by itself, as the worker does: it may come back at
        another port.
        """
        place = self._place
        is_found = place.settings.api_url is None and place.is_at_home and home_server.is_loopback(place.server.url)
        return None if is_found else place.server.url

    def _watch(self) -> None:
        """Return when the process has ended, or is to be ended."""
        began_at = clock.boottime()
        with self._changed:
            while self._stop is Stop.NO and self._child is not None and not self._child.ended.is_set():
                self._changed.wait(min(self._check_limits(began_at), LOOK_SECONDS))

    def _check_limits(self, began_at: float) -> float:
        """Stop the attempt if a limit is reached; says in how many seconds the next one is."""
        now = clock.boottime()
        limit = self.claim.job.timeout_seconds
        time_left = float("inf") if limit is None else began_at + limit - now
        if limit is not None and time_left <= 0:
            self._decide(Stop.TIME_LIMIT, f"Flow run exceeded its time limit of {limit:g} seconds")
            return 0
        assert self._lease is not None
        trusted_until = self._lease.deadline or began_at
        online_left = trusted_until + self._place.settings.offline_grace_seconds - now
        if online_left <= 0:
            self._decide(Stop.OFFLINE, "The server was away for too long, so the attempt was stopped")
            return 0
        return min(time_left, online_left)

    def _end_processes(self) -> None:
        """Return when no process of the attempt is left: told to end, given time, then killed."""
        child = self._child
        if child is not None and not child.ended.is_set():
            self._tell_to_end(child)
        if child is None or not child.left_nothing:
            leader = None if child is None else child.pid
            self._kill(
                lambda: processes.of_attempt(self._mark, leader, is_led=child is not None and not child.ended.is_set())
            )
        if child is not None:
            child.ended.wait(ENDED_SECONDS)  # it has: whoever waited for it says how
        self._job_file.unlink(missing_ok=True)

    def _tell_to_end(self, child: Child) -> None:
        with self._changed:
            if self._is_superseded or self._lease is None:
                return
            self._lease.wish(_WISHES.get(self._stop, "yield"))
            ends_at = min(clock.boottime() + self._place.settings.worker_grace_seconds, self._grace_ends_at)
            processes.tell_to_end(child.pid)
            while not child.ended.is_set() and not self._is_superseded:
                left = min(ends_at, self._grace_ends_at) - clock.boottime()
                if left <= 0:
                    self._was_killed = True
                    return
                self._changed.wait(min(left, LOOK_SECONDS))

    def _kill(self, living: Callable[[], list[int]]) -> None:
        """Kill these processes until there are none."""

        def wait(looks: int) -> None:
            self._place.clock.sleep(KILL_PAUSES[min(looks, len(KILL_PAUSES) - 1)])
            if looks == MANY_LOOKS:
                self._log.say("Processes that were killed are not gone yet", is_trouble=True)

        processes.kill_all(living, wait)

    def _ship_for(self, seconds: float) -> bool:
        """Whether the server has all that the attempt recorded, at the latest after this time."""
        ends_at = clock.boottime() + seconds
        return self._place.shipper.finish(self._shipment, lambda: clock.boottime() >= ends_at or self._is_time_up())

    def _tell_how_it_ended(self) -> None:
        status = None if self._child is None else self._child.status
        if status is None:
            self._place.say(f"Flow run '{self.run_id}' could not be started")
        elif status == 0:
            self._place.say_of_process(f"Process '{self.claim.name}' exited cleanly.")
        else:
            how = processes.how_it_ended(status)
            why = f"; {how[0].lower()}{how[1:]}" if status < 0 else ""
            self._place.say_of_process(f"Process '{self.claim.name}' exited with status code: {status}{why}")

    def _let_go_of_output(self) -> None:
        for stream in self._streams:
            self._place.reader.finish(stream, OUTPUT_SECONDS)
        self._log.close()

    def _ending(self, trouble: errors.PenstockError | None) -> Ending:
        """How it ended, of what the worker did, the system says, and the journal tells."""
        ended, moved, child = self._shipment.ended, self._shipment.moved, self._child
        status = None if child is None else child.status
        code = status if status is not None and status >= 0 else None
        if ended is not None and ended.name != "Interrupted":
            return Ending(ExitReason.ENDED, exit_code=code)
        reason = _REASONS.get(self._stop)
        if reason is not None:
            killed = "; it did not end when it was told to, and was killed" if self._was_killed else ""
            return Ending(reason, self._stop_message + killed, code)
        if isinstance(trouble, NoProcess):  # no fault of the run's, which another worker may begin at once
            return Ending(ExitReason.DRAINED, trouble.message)
        if trouble is not None and status is None:
            return Ending(self._why_not_begun(trouble), trouble.sentence)
        if child is not None and child.is_lost:
            return Ending(ExitReason.LOST, "The process of the worker that starts runs died, and the run's with it")
        if self._shipment.trouble is not None:
            return Ending(ExitReason.CRASHED, self._shipment.trouble, code)
        if moved is not None and moved.type == StateType.PAUSED and status == 0:
            return Ending(ExitReason.ENDED, exit_code=code)
        out_of_memory = processes.out_of_memory_kills() > self._memory_kills
        how = processes.how_it_ended(status or 0, out_of_memory=out_of_memory)
        return Ending(ExitReason.CRASHED, how if ended is not None else f"{how}, before the run had ended", code)

    def _why_not_begun(self, trouble: errors.PenstockError) -> ExitReason:
        if self._lacks_code:
            return ExitReason.LACKING
        return ExitReason.LOST if isinstance(trouble, errors.CrashedRun) else ExitReason.NOT_STARTED

    def _report(self, ending: Ending) -> bool:
        """Tell the server, however long it is away. Says whether there is nothing left to tell."""
        if self._shipment.is_superseded:
            return True
        report = ReportExit(
            run_id=self.run_id,
            worker_id=self._place.worker_id,
            attempt=self.attempt,
            reason=ending.reason,
            message=plain_text.storable(ending.message),
            exit_code=ending.exit_code,
            draining=self._stop is Stop.DRAIN,
        )
        try:
            self._patiently(lambda: self._place.server.ask(report), self._is_time_up)
        except PASSING:
            return False
        except errors.PenstockError as error:
            self._place.say(f"The end of flow run '{self.run_id}' was not taken by the server: {error.message}")
        return True

    def _patiently(self, ask: Callable[[], T], give_up: Callable[[], bool] | None = None) -> T:
        """Ask the server, again and again while it is away. Raises what it raised last when that is of no use."""
        tries = 0
        while True:
            try:
                return ask()
            except PASSING:
                if (give_up or self._is_stopped)():
                    raise
                pause = PAUSES[min(tries, len(PAUSES) - 1)]
                with self._changed:
                    self._changed.wait_for(give_up or self._is_stopped, pause)
                tries += 1

    def _leave_tidy(self) -> None:
        """The server has all of it: nothing here is needed any more."""
        with self._changed:
            lease, self._lease = self._lease, None
        if self._checkout is not None:
            self._checkout.close()
        if lease is not None:
            release(self._folder, lease, is_at_home=self._place.is_at_home)

    # ── what others ask of it ───────────────────────────────────────────────────────────────────────────────────────

    def extend_lease(self, deadline: float) -> None:
        """See `heartbeats.Charge`."""
        with self._changed:
            if self._lease is not None:
                self._lease.extend(deadline)

    def judge(self, verdict: Verdict, reason: str) -> None:
        """See `heartbeats.Charge`."""
        if verdict in (Verdict.GO_ON, Verdict.PAUSE):
            with self._changed:
                if self._lease is not None:
                    self._lease.pause(verdict is Verdict.PAUSE)
            return
        if verdict is Verdict.SUPERSEDED:
            self._shipment.is_superseded = True
        self.stop(_STOPS.get(verdict, Stop.SUPERSEDED), reason)

    def stop(self, why: Stop, message: str = "") -> None:
        """End the attempt."""
        with self._changed:
            self._decide(why, message)

    def hurry(self, *, grace_ends_at: float, gives_up_at: float) -> None:
        """The worker has only so much time, on the clock `boottime`: to wait for processes, and for the server."""
        with self._changed:
            self._grace_ends_at = grace_ends_at
            self._gives_up_at = gives_up_at
            self._changed.notify_all()

    def _decide(self, why: Stop, message: str) -> None:
        if why > self._stop:
            self._stop, self._stop_message = why, message
            self._changed.notify_all()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    @property
    def _is_superseded(self) -> bool:
        return self._stop is Stop.SUPERSEDED

    def _is_stopped(self) -> bool:
        return self._stop is not Stop.NO

    def _is_time_up(self) -> bool:
        return clock.boottime() >= self._gives_up_at or self._shipment.is_superseded

    @property
    def _job_file(self) -> Path:
        return self._folder.run_path(self.run_id) / f"{self.attempt}.job"
