"""The worker: claims runs of a pool as there is room, has each supervised, and leaves nothing behind when it stops."""

from __future__ import annotations

import os
import platform
import signal
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from msgspec.structs import replace

from penstock import clock, errors, processes
from penstock.client import connection
from penstock.client.server import PASSING, Server
from penstock.client.shipping import Shipper
from penstock.core import plain_text
from penstock.core.operations.work import ClaimFlowRuns, Registered, RegisterWorker, ReportExit, RetireWorker
from penstock.core.work import POLL_SECONDS, Claim, ExitReason
from penstock.settings import Settings
from penstock.version import __version__
from penstock.worker import leftovers, surroundings
from penstock.worker.code import CodeStore
from penstock.worker.heartbeats import Heartbeats, Orders, Pauses
from penstock.worker.lacking import Lacking
from penstock.worker.launcher import Launcher
from penstock.worker.output import Reader
from penstock.worker.supervisor import Stop, Supervisor, Workplace

AT_ONCE = 10
"""So many runs are claimed at once, so that other workers get some."""
STOP_MARGIN_SECONDS = 5.0
"""Of the time that a worker has to stop: for telling the server, once its processes are gone."""
SHORT_SECONDS = 5.0
"""A worker that is told twice to stop still tells the server, for at most so long."""
PAUSES = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Between tries to claim while the server is away; the last one again and again."""

MAX_OPEN_FILES = 1 << 16
"""A worker has several open for each run: with the usual 1,024, some hundred runs would be the end of it."""

UNABLE_SECONDS = 10.0
"""No run is claimed for so long after the system has refused to make a process or a thread for one."""

LEAST_FREE_BYTES = 32 << 20
"""With less room in the home, no run is begun. What is under way has the ballast beside it."""

INFO, WARNING = "INFO", "WARNING"

PROCESS = "process"
"""The type of infrastructure that this worker is of."""


class Wanted(NamedTuple):
    """What a worker is to do."""

    pool: str
    name: str
    queues: tuple[str, ...] = ()
    queue_prefixes: tuple[str, ...] = ()
    limit: int | None = None
    run_once: bool = False
    """Claim once, see those runs through, and stop."""


class Teller(NamedTuple):
    """How whoever watches the worker is told."""

    say: Callable[[str, str, str], None]
    """What the worker does: how much it matters (``INFO``, ``WARNING``), the name of its part, and a sentence."""
    show: Callable[[str], None]
    """What its runs write."""
    started: Callable[[], None] = lambda: None


class Worker:
    """Serves one pool. `run` returns when it was told to stop, or has done what it was to do once."""

    def __init__(
        self,
        wanted: Wanted,
        server: Server,
        settings: Settings,
        *,
        time: clock.Clock,
        teller: Teller,
        environ: Mapping[str, str] | None = None,
        part: str = "penstock.worker",
    ) -> None:
        self.id = time.new_id()
        self._wanted = wanted
        self._server = server
        self._settings = settings
        self._clock = time
        self._teller = teller
        self._environ = dict(os.environ if environ is None else environ)
        self._part = part
        self._changed = threading.Condition()
        self._supervisors: dict[Supervisor, threading.Thread] = {}
        self._stops = 0
        self._is_away = False
        self._is_full = False
        self._is_unable = False
        self._unable_until = 0.0
        self._fault: BaseException | None = None
        self._lacking = Lacking(clock.boottime)
        self._unanswered: tuple[str, ClaimFlowRuns] | None = None
        """The claim that may have been carried out, and its key."""

    # ── its life ────────────────────────────────────────────────────────────────────────────────────────────────────

    def run(self) -> None:
        """Register, and work until `stop`. Raises what the server has against the worker, and what `fail` was given."""
        registered = self._registered()
        if registered is None:
            return
        self._equip(registered)
        left = leftovers.found(self._settings)
        self._teller.started()
        self._heartbeats.start()
        self._orders.start()
        threading.Thread(target=self._finish, args=(left,), name="penstock-leftovers", daemon=True).start()
        # The question for work may wait for long: whoever stops the worker does not wait for its answer.
        threading.Thread(target=self._claim_on, name="penstock-claims", daemon=True).start()
        with self._changed:
            self._changed.wait_for(lambda: self._stops or self._fault or (self._has_claimed and not self._supervisors))
        self._drain()
        if self._fault is not None:
            raise self._fault

    def stop(self) -> None:
        """Let the worker stop: its runs are interrupted, to go on elsewhere. Again: at once."""
        # Called from the handler of a signal: a lock might be held by the thread that it interrupts.
        self._stops += 1
        threading.Thread(target=self._wake, name="penstock-stop", daemon=True).start()

    def fail(self, error: BaseException) -> None:
        """Let the worker stop as it cannot do its work any more."""
        with self._changed:
            self._fault = self._fault or error
            self._changed.notify_all()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _say(self, text: str, level: str = INFO) -> None:
        self._teller.say(level, self._part, text)

    def _registered(self) -> Registered | None:
        """What the server has to say; None when the worker was stopped before it said so."""
        tries = 0
        while not self._stops:
            try:
                return self._register()
            except PASSING as error:
                if self._wanted.run_once:
                    raise
                self._notice_absence(error)
                self._pause(tries)
                tries += 1
        return None

    def _register(self) -> Registered:
        wanted = self._wanted
        registered = self._server.ask(
            RegisterWorker(
                id=self.id,
                name=wanted.name,
                pool=wanted.pool,
                queues=wanted.queues,
                queue_prefixes=wanted.queue_prefixes,
                type=PROCESS,
                host=platform.node(),
                version=__version__,
                limit=wanted.limit,
            )
        )
        self._notice_presence()
        return registered

    def _equip(self, registered: Registered) -> None:
        """Start what all runs share."""
        settings, server, time = self._settings, self._server, self._clock
        self._has_claimed = False
        is_at_home = connection.is_at_home(settings, server.url)
        pauses = Pauses()
        self._heartbeats = Heartbeats(
            server,
            self.id,
            self._charges,
            pauses,
            interval_seconds=registered.heartbeat_seconds,
            lease_seconds=registered.lease_seconds,
            when_unknown=self._register_again,
        )
        self._orders = Orders(server, self.id, self._charges, pauses)
        preload = registered.job_template.get("preload")
        self._place = Workplace(
            worker_id=self.id,
            settings=settings,
            clock=time,
            server=server,
            launcher=Launcher(time, surroundings.without_keys(self._environ), preload=_names(preload)),
            shipper=Shipper(server, settings.journals, None if is_at_home else settings.results, time),
            reader=Reader(),
            code=CodeStore(settings.home, server, self._environ),
            lacking=self._lacking,
            environ=self._environ,
            is_at_home=is_at_home,
            beat=self._heartbeats.soon,
            say=self._say,
            say_of_process=lambda text: self._teller.say(INFO, "penstock.process", text),
            show=self._teller.show,
            freed=self._wake,
            unable=self._notice_inability,
        )
        processes.allow_open_files(MAX_OPEN_FILES)  # after the launcher has noted what runs are to have

    def _register_again(self) -> None:
        """The server has forgotten the worker: its database is another one, or an older one."""
        if self._stops:
            return
        try:
            self._register()
        except errors.PenstockError:
            return  # the next heartbeat tries again

    def _finish(self, left: list[leftovers.Leftover]) -> None:
        """Finish what dead workers have begun, and make room."""
        for each in left:
            self._say(f"Finishing flow run '{each.run_id}', whose worker has died")
            leftovers.finish(each, self._place)
        if not self._place.is_at_home:
            leftovers.forget_results(self._settings, self._clock.now())

    # ── claiming ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _claim_on(self) -> None:
        tries = 0
        try:
            while not self._stops:
                if self._claim_some():
                    tries = 0
                else:
                    self._pause(tries)
                    tries += 1
                if self._has_claimed:
                    return
        except errors.PenstockError as error:
            self.fail(error)
        finally:
            self._server.close()

    def _claim_some(self) -> bool:
        """Claim as much as there is room for; says whether the server was there to be asked."""
        room = self._wait_for_room()
        if not room:
            return True
        try:
            claims = self._claim(room)
        except errors.NotFound:
            self._register_again()
            return False
        except PASSING as error:
            if self._wanted.run_once:
                raise
            self._notice_absence(error)
            return False
        except OSError as error:
            if not processes.is_scarcity(error):
                raise
            self._notice_inability(str(error))
            return False
        self._notice_presence()
        for claim in claims:
            self._begin(claim)
        if self._wanted.run_once:
            with self._changed:
                self._has_claimed = True
                self._changed.notify_all()
        return True

    def _claim(self, room: int) -> list[Claim]:
        # What the answer to a claim gave that was lost is nobody else's: it is asked for again, by its key.
        key, claim = self._unanswered or (self._clock.new_id(), self._wish(room))
        self._unanswered = key, claim
        # After an absence, the first thing to know is whether the server is there.
        is_short = self._wanted.run_once or self._is_away
        seconds = 0 if is_short else min(POLL_SECONDS, max(self._lacking.seconds(), 0))
        claims = self._server.ask(replace(claim, wait_seconds=seconds), key=key)
        self._unanswered = None
        return claims

    def _wish(self, room: int) -> ClaimFlowRuns:
        return ClaimFlowRuns(
            worker_id=self.id,
            pool=self._wanted.pool,
            limit=room,
            except_deployments=tuple(self._lacking.deployments()),
        )

    def _wait_for_room(self) -> int:
        """How many more runs there is room for; 0 when the worker stops."""
        limit = self._wanted.limit
        if not (self._has_disk() and self._is_able()):
            return 0
        with self._changed:
            if limit is None:
                return AT_ONCE
            self._changed.wait_for(lambda: self._stops or limit > self._taken)
            return 0 if self._stops else min(limit - self._taken, AT_ONCE)

    def _has_disk(self) -> bool:
        """Whether there is room for journals: runs that could record nothing are better left to others."""
        with suppress(OSError):
            found = os.statvfs(self._settings.home)
            is_full = found.f_bavail * found.f_frsize < LEAST_FREE_BYTES
            if is_full != self._is_full:
                self._is_full = is_full
                home = self._settings.home
                level = WARNING if is_full else INFO
                told = "no more runs are claimed until there is room" if is_full else "runs are claimed again"
                self._say(f"The disk is {'' if is_full else 'no longer '}full, so {told}: `{home}`", level)
            if is_full:
                self._pause(len(PAUSES))
                return False
        return True

    def _is_able(self) -> bool:
        """Whether runs can be begun, as far as is known; if not, they are better left to others for a while."""
        with self._changed:
            if not self._is_unable:
                return True
            self._changed.wait_for(lambda: self._stops, self._unable_until - clock.boottime())
            if self._stops or clock.boottime() < self._unable_until:
                return False
            self._is_unable = False
        self._say("Runs are claimed again")
        return True

    def _notice_inability(self, why: str) -> None:
        """The system has refused what a run needs, or what asking for runs does."""
        with self._changed:
            is_news, self._is_unable = not self._is_unable, True
            self._unable_until = clock.boottime() + UNABLE_SECONDS
        if is_news:
            told = f"Runs cannot be begun ({why}), so no more are claimed for {UNABLE_SECONDS:g} seconds"
            self._say(told, WARNING)

    @property
    def _taken(self) -> int:
        return sum(each.takes_a_place for each in self._supervisors)

    def _begin(self, claim: Claim) -> None:
        """Have a run executed."""
        lacked = self._lacking.deployments().get(claim.deployment_id or "")
        if lacked is not None:  # found out while the claim waited for its answer
            self._give_back(claim, lacked)
            return
        supervisor = Supervisor(claim, self._place)
        thread = threading.Thread(
            target=self._supervise, args=(supervisor,), name=f"penstock-run-{claim.name}", daemon=True
        )
        with self._changed:
            if self._stops:
                return  # it is let go with all else that the worker holds
            self._supervisors[supervisor] = thread
        self._say(f"Submitting flow run '{claim.run_id}'")
        try:
            thread.start()
        except RuntimeError as error:  # the system makes no more threads
            with self._changed:
                del self._supervisors[supervisor]
            self._notice_inability(str(error))
            self._give_back(claim, f"The worker could not begin it: {error}")

    def _give_back(self, claim: Claim, message: str) -> None:
        report = ReportExit(
            run_id=claim.run_id,
            worker_id=self.id,
            attempt=claim.attempt,
            reason=ExitReason.DRAINED,
            message=plain_text.storable(message),
        )
        with suppress(errors.PenstockError):  # it is missed when its lease is over
            self._server.ask(report)

    def _supervise(self, supervisor: Supervisor) -> None:
        try:
            supervisor.supervise()
        finally:
            with self._changed:
                del self._supervisors[supervisor]
                self._changed.notify_all()

    def _charges(self) -> list[Supervisor]:
        with self._changed:
            return list(self._supervisors)

    # ── stopping ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _drain(self) -> None:
        """Interrupt what runs, tell the server, let go of everything."""
        self._heartbeats.is_draining = True
        self._heartbeats.soon()
        begun_at = clock.boottime()
        grace = self._settings.worker_grace_seconds
        ends_at = begun_at + max(grace - STOP_MARGIN_SECONDS, 0)
        gives_up_at = begun_at + max(grace, SHORT_SECONDS)
        for supervisor in self._charges():
            supervisor.hurry(grace_ends_at=ends_at, gives_up_at=gives_up_at)
            supervisor.stop(Stop.DRAIN, "The worker was stopped")
        with self._changed:
            self._changed.wait_for(lambda: not self._supervisors or self._stops > 1)
        for supervisor in self._charges():
            now = clock.boottime()
            supervisor.hurry(grace_ends_at=now, gives_up_at=now + SHORT_SECONDS)
        with self._changed:
            self._changed.wait_for(lambda: not self._supervisors, gives_up_at + SHORT_SECONDS - clock.boottime())
        self._orders.close()
        self._heartbeats.close()
        try:
            self._server.ask(RetireWorker(worker_id=self.id))
        except errors.PenstockError:
            pass  # the server will miss it soon enough
        self._place.shipper.close()
        self._place.launcher.close()
        self._place.reader.close()
        self._server.end()

    # ── the server's absence ────────────────────────────────────────────────────────────────────────────────────────

    def _notice_absence(self, error: errors.PenstockError) -> None:
        if not self._is_away and not self._stops:
            self._is_away = True
            runs = "Runs under way go on, and their records wait. " if self._charges() else ""
            self._say(f"{error.message}. {runs}Trying again until it answers", WARNING)

    def _notice_presence(self) -> None:
        if self._is_away:
            self._is_away = False
            self._say(f"The server answers: `{self._server.url}`")

    def _pause(self, tries: int) -> None:
        seconds = PAUSES[min(tries, len(PAUSES) - 1)] * (0.75 + self._clock.chance() / 2)
        with self._changed:
            self._changed.wait_for(lambda: self._stops, seconds)


@contextmanager
def attended(worker: Worker) -> Generator[None]:
    """While in force, SIGTERM and SIGINT stop the worker and do nothing else.

    A thread of ours that ends by an error that nobody expected has the worker fail: one that claims runs and does not
    tell that it lives, say, would only keep them from others.
    """
    hook = threading.excepthook

    def take(thrown: threading.ExceptHookArgs) -> None:
        if thrown.thread is not None and thrown.thread.name.startswith("penstock-"):
            worker.fail(thrown.exc_value or SystemExit())
        else:
            hook(thrown)

    threading.excepthook = take
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, lambda *_: worker.stop()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        threading.excepthook = hook
        for number, handler in before.items():
            signal.signal(number, handler)


def _names(given: object) -> tuple[str, ...]:
    """The modules to preload that a pool's template names."""
    return tuple(str(each) for each in given) if isinstance(given, list | tuple) else ()
