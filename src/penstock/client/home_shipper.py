"""The shipper of a home: a process that sends what runs started by hand have recorded to a server elsewhere.

Whoever starts such a run sees to it that there is one (`shipper_process`). It holds the lock of its file in the home,
says in it what keeps it from sending, and ends when there is nothing left to send. Runs go on whether it is there or
not: what is to be sent is in the outbox, and the next shipper finds it there.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import TypeVar

from penstock import clock, errors, settings
from penstock.client.connection import HttpServer
from penstock.client.server import PASSING, Server
from penstock.client.shipper_process import path_of
from penstock.client.shipping import Shipment, Shipper
from penstock.core.operations import Request
from penstock.core.operations.runs_elsewhere import ReportAlive, ReportLost
from penstock.core.operations.work import Held
from penstock.core.work import GRACE_SECONDS, HEARTBEAT_SECONDS, Verdict
from penstock.journal import folder
from penstock.journal.folder import JournalFolder
from penstock.journal.outbox import Entry, Outbox
from penstock.journal.writers import Ends, Look
from penstock.settings import Settings

R = TypeVar("R")

LOOK_SECONDS = 0.05
"""How often it is looked at what is new, and who lives."""
IDLE_SECONDS = 10.0
"""With nothing to send for so long, the process ends: runs often come one after the other."""
PAUSES = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0)
"""Between tries to reach a server that is away; the last one again and again."""
AWAY_SECONDS = 1.0
"""A server that cannot be reached for so long is away."""
MAX_AT_ONCE = 32
"""Of attempts whose process is gone, so many are sent at the same time."""


def main() -> None:
    """Send all that the settings' server is to have, and return."""
    chosen = settings.load()
    assert chosen.api_url is not None
    path = path_of(chosen, chosen.api_url)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if not folder.lock(descriptor, wait=False):
        return
    os.ftruncate(descriptor, 0)
    os.chdir(chosen.home)
    HomeShipper(chosen, HttpServer(chosen, clock.SYSTEM), clock.SYSTEM, descriptor).run()


class HomeShipper:
    """Looks after the attempts in the outbox that are for one server."""

    def __init__(self, chosen: Settings, server: Server, time: clock.Clock, descriptor: int) -> None:
        """What keeps it from sending is written into the open file."""
        self.id = time.new_id()
        self.server = server
        self.clock = time
        self.outbox = Outbox(chosen.outbox)
        self.journals = JournalFolder(chosen.journals)
        self.shipper = Shipper(server, chosen.journals, chosen.results, time)
        self.ends = Ends(self.journals, time, grace_seconds=GRACE_SECONDS)
        self._offline_grace_seconds = chosen.offline_grace_seconds
        self._descriptor = descriptor
        self._ending = threading.Lock()
        self._changed = threading.Condition()
        self._wards: dict[Entry, Ward] = {}
        self._given_up: set[Entry] = set()
        self._away_since: float | None = None
        self._is_over = False
        self._said = ""

    def run(self) -> None:
        """Return when there is nothing left to send, or the server stays away and no process is left that records."""
        threading.Thread(target=self._beat_on, name="penstock-heartbeats", daemon=True).start()
        idle_since = clock.boottime()
        while True:
            now = clock.boottime()
            if self._look():
                idle_since = now
            if now - idle_since > IDLE_SECONDS or self._is_hopeless(now):
                with self._changed:
                    self._is_over = True
                return
            # When thousands of attempts wait, looking takes a while: it is not to take a processor.
            self.clock.sleep(max(LOOK_SECONDS, 10 * (clock.boottime() - now)))

    def _look(self) -> bool:
        """Take new attempts into care, of each run one after the other; says whether there are any."""
        refused = self.outbox.refused()
        entries = [entry for entry in self.outbox.entries() if entry.url == self.server.url]
        with self._changed:
            begun = {entry.run_id for entry in (*self._wards, *self._given_up)}
            room = MAX_AT_ONCE - len(self._wards)
            for entry in entries:
                if entry.run_id in begun:
                    continue
                begun.add(entry.run_id)  # a later attempt has its turn when this one is with the server
                if entry[:2] in refused:
                    continue
                if room > 0 or self.lives(entry):
                    self._wards[entry] = Ward(entry, self)
                    room -= 1
            return bool(self._wards)

    def _is_hopeless(self, now: float) -> bool:
        with self._changed:
            away_since = self._away_since
            wards = list(self._wards)
        if away_since is None or now - away_since < self._offline_grace_seconds:
            return False
        return not any(map(self.lives, wards))

    def lives(self, entry: Entry) -> bool:
        """Whether a process still writes a journal of the attempt."""
        journals = self.journals.journals(entry.run_id)
        return any(journal.attempt == entry.attempt and journal.is_locked for journal in journals)

    def end(self, run_id: str) -> Look:
        """Do what is due to end the processes of a run; see `Ends`."""
        with self._ending:
            began = self.clock.elapsed()
            look = self.ends.look(run_id)
            if look not in ("told", "gone"):
                # It looks through all processes of the machine. For all runs together, that is not to take a processor.
                self.clock.sleep(10 * (self.clock.elapsed() - began))
            return look

    def ask(self, request: Request[R]) -> R:
        """The server's answer, however long it is away."""
        tries = 0
        while True:
            try:
                answer = self.server.ask(request)
            except PASSING as error:
                self._notice(error)
                self.clock.sleep(PAUSES[min(tries, len(PAUSES) - 1)])
                tries += 1
            else:
                self._notice(None)
                return answer

    def leave(self, ward: Ward, trouble: str = "") -> None:
        """An attempt is in nobody's care any more: all of it is sent, or the server does not take it."""
        if trouble:
            with suppress(OSError):
                self.outbox.refuse(ward.entry, trouble)
        with self._changed:
            del self._wards[ward.entry]
            if trouble:
                self._given_up.add(ward.entry)
                self._say(trouble)

    def _notice(self, error: errors.PenstockError | None) -> None:
        with self._changed:
            now = clock.boottime()
            self._away_since = None if error is None else self._away_since or now
            if self._given_up:
                return
            if error is None or self._away_since is None:
                self._say("")
            elif now - self._away_since >= AWAY_SECONDS:
                self._say(error.message)

    def _say(self, text: str) -> None:
        if text != self._said and not self._is_over:
            self._said = text
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, text.encode(), 0)

    def _beat_on(self) -> None:
        """Tell the server who lives, and hear at once who is to be ended."""
        while True:
            with self._changed:
                wards = [ward for ward in self._wards.values() if ward.is_known]
            if not wards:
                self.clock.sleep(LOOK_SECONDS)
                continue
            alive = {ward: self.lives(ward.entry) for ward in wards}
            request = ReportAlive(
                shipper_id=self.id,
                runs=tuple(ward.held for ward in wards if alive[ward]),
                left=tuple(ward.held for ward in wards if not alive[ward]),
                wait_seconds=HEARTBEAT_SECONDS,
            )
            try:
                judged = {(each.run_id, each.attempt): each.verdict for each in self.server.ask(request)}
            except errors.PenstockError as error:
                if isinstance(error, PASSING):
                    self._notice(error)
                self.clock.sleep(1.0)
                continue
            self._notice(None)
            for ward in wards:
                ward.judge(judged.get(ward.entry[:2], Verdict.GO_ON))
            if judged:
                self.clock.sleep(1.0)  # these are being ended; that takes its time


class Ward:
    """An attempt in the shipper's care, with a thread of its own."""

    def __init__(self, entry: Entry, home: HomeShipper) -> None:
        self.entry = entry
        self.held = Held(run_id=entry.run_id, attempt=entry.attempt)
        self.is_known = False
        """Whether the server has heard of it."""
        self._home = home
        self._verdict = Verdict.GO_ON
        threading.Thread(target=self._tend, name=f"penstock-run-{entry.run_id}", daemon=True).start()

    def judge(self, verdict: Verdict) -> None:
        """What the server wants of it."""
        self._verdict = verdict

    def _tend(self) -> None:
        trouble = ""
        try:
            self._send()
        except errors.PenstockError as error:
            trouble = f"The server does not take what was recorded: {error.message}"
        except OSError as error:
            trouble = f"What was recorded cannot be read: {error}"
        self._home.leave(self, trouble)

    def _send(self) -> None:
        home, entry = self._home, self.entry
        told = "runs" if home.lives(entry) else "left"
        # Before anything of it is there: if this machine dies in the next moment, the server misses it.
        home.ask(ReportAlive(shipper_id=home.id, **{told: (self.held,)}))
        self.is_known = True
        shipment = Shipment(entry.run_id, entry.attempt)
        home.shipper.add(shipment)
        self._until_gone(shipment)
        sign = home.journals.last_sign_at(entry.run_id, entry.attempt)
        home.shipper.finish(shipment, lambda: False)
        self.is_known = False
        if shipment.trouble is not None:
            raise errors.JournalError(shipment.trouble)
        if not shipment.is_superseded:
            home.ask(ReportLost(run_id=entry.run_id, attempt=entry.attempt, last_sign_at=sign))
        home.outbox.remove(entry)

    def _until_gone(self, shipment: Shipment) -> None:
        """Return when no process records for the attempt any more, and none is left of one that was cancelled."""
        home = self._home
        while True:
            if self._verdict is Verdict.CANCEL:
                if not shipment.is_held:
                    # It is about to record that it was interrupted. Nobody is to read that before it is gone.
                    home.shipper.hold(shipment)
                if home.end(self.entry.run_id) == "gone":
                    return
            elif not home.lives(self.entry):
                return
            home.clock.sleep(LOOK_SECONDS)
