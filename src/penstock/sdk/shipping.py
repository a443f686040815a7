"""Runs that are started by hand while the settings name a server elsewhere: what they record is sent there.

A process of its own sends it, for the whole home (`client.home_shipper`). Here it is noted which attempts are to be
sent, it is seen to that there is such a process, and a program waits at its end for a moment until all is sent.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from contextlib import suppress
from typing import NamedTuple

from penstock import clock, processes
from penstock.core.states import State
from penstock.engine.attempt import Attempt
from penstock.journal.folder import JournalFolder
from penstock.journal.outbox import Entry, Outbox
from penstock.sdk import connect
from penstock.settings import Settings

WATCH_SECONDS = 2.0
"""How often it is looked at whether the shipper lives, while runs are under way."""
FLUSH_SECONDS = 5.0
"""So long at most a program waits at its end."""
PAUSE_SECONDS = 0.01


def begin(opened: Attempt) -> None:
    """Have the journals of an attempt sent to the server that the settings name, if that does not keep this home.

    Not those of an attempt that a worker has in its care, or was started within one, nor those of tests.
    """
    chosen = opened.settings
    if chosen.api_url is None or opened.assignment is not None or opened.clock is not clock.SYSTEM:
        return
    if processes.RUN_ID in os.environ:
        return
    url = connect.elsewhere(chosen)
    if url is not None:
        _sender(chosen, url).add(Entry(opened.run_id, opened.number, url))


def end(opened: Attempt, state: State | None) -> None:
    """The attempt records nothing more. For one that was told to end, nobody waits."""
    if opened.settings.api_url is not None and (state is None or state.name == "Interrupted"):
        for sender in list(_senders.values()):
            sender.do_not_wait_for(opened.run_id)


class Sent(NamedTuple):
    """What became of what was to be sent."""

    sent: int
    under_way: int
    """Of these more is to come."""
    left: int
    trouble: str
    """What keeps the rest from being sent."""


def send(chosen: Settings, url: str, *, seconds: float) -> Sent:
    """Have all sent that runs of this home have recorded for the server at ``url``; wait for that so long at most."""
    from penstock.client import shipper_process  # noqa: PLC0415  as above

    outbox, journals, starting = Outbox(chosen.outbox), JournalFolder(chosen.journals), Starting(chosen, url)
    found = {entry for entry in outbox.entries() if entry.url == url}
    with suppress(OSError):
        outbox.ask_again(url)
    ends_at = clock.boottime() + seconds
    while True:
        held = {entry for entry in found if outbox.holds(entry.run_id, entry.attempt)}
        living = {
            entry
            for entry in held
            if any(each.is_locked for each in journals.journals(entry.run_id) if each.attempt == entry.attempt)
        }
        if held == living or clock.boottime() > ends_at:
            trouble = shipper_process.trouble(chosen, url) if held else ""
            return Sent(len(found - held), len(living), len(held - living), trouble)
        starting.start()
        clock.SYSTEM.sleep(PAUSE_SECONDS)


class Starting:
    """Sees to it that there is a shipper. One that was just started is given time until it can be seen."""

    def __init__(self, chosen: Settings, url: str) -> None:
        self._settings = chosen
        self._url = url
        self._again_at = 0.0

    def start(self) -> None:
        """Start one, if there is none."""
        from penstock.client import shipper_process  # noqa: PLC0415  in a thread of its own it keeps nobody waiting

        now = clock.boottime()
        if now >= self._again_at and shipper_process.start(self._settings, self._url, os.environ):
            self._again_at = now + WATCH_SECONDS


class Sender:
    """What this process has recorded for one server."""

    def __init__(self, chosen: Settings, url: str) -> None:
        self.url = url
        self.pid = os.getpid()
        self._settings = chosen
        self._outbox = Outbox(chosen.outbox)
        with suppress(OSError):
            self._outbox.ask_again(url)  # once for each program: what was refused may have been mended
        self._starting = Starting(chosen, url)
        self._lock = threading.Lock()
        self._new: list[Entry] = []
        self._waited_for: set[Entry] = set()
        self._wanted = threading.Event()
        threading.Thread(target=self._watch, name="penstock-sender", daemon=True).start()
        atexit.register(self._flush)

    def add(self, entry: Entry) -> None:
        """Have the journals of an attempt sent."""
        try:
            self._outbox.put(entry)
        except OSError as error:
            _warn(f"what run `{entry.run_id}` records is not sent to {self.url}: {error}")
            return
        with self._lock:
            self._new.append(entry)
            self._waited_for.add(entry)
        self._wanted.set()

    def do_not_wait_for(self, run_id: str) -> None:
        with self._lock:
            self._waited_for = {entry for entry in self._waited_for if entry.run_id != run_id}

    def _watch(self) -> None:
        """See to it that there is a shipper while there is something to send."""
        while True:
            self._wanted.wait()
            self._wanted.clear()
            while self._left():
                with suppress(OSError):
                    self._starting.start()
                with self._lock:
                    new, self._new = self._new, []
                with suppress(OSError):
                    for entry in new:
                        self._outbox.sync(entry)
                self._wanted.wait(WATCH_SECONDS)
                self._wanted.clear()

    def _left(self) -> list[Entry]:
        """What was recorded here, and is not sent yet. What the server does not take is told of once, and let be."""
        with self._lock:
            held = {each for each in self._waited_for if self._outbox.holds(each.run_id, each.attempt)}
            refused = {each: reason for each in held if (reason := self._outbox.refusal(each)) is not None}
            self._waited_for = held - refused.keys()
            left = list(self._waited_for)
        if refused:
            whose = f"run `{min(refused)[0]}`" if len(refused) == 1 else f"{len(refused)} runs"
            reason = refused[min(refused)]
            _warn(f"what {whose} recorded is not at {self.url}. {reason}; `penstock flow-run ship` tries again")
        return left

    def _flush(self) -> None:
        """Wait for a moment until the server has all of it; what it has not then, it gets later."""
        if self.pid != os.getpid() or not self._left():
            return
        from penstock.client import shipper_process  # noqa: PLC0415  as above

        ends_at = clock.boottime() + FLUSH_SECONDS
        trouble = ""
        with suppress(KeyboardInterrupt):  # then nobody wants to wait
            while self._left() and not (trouble := shipper_process.trouble(self._settings, self.url)):
                if clock.boottime() > ends_at:
                    break
                clock.SYSTEM.sleep(PAUSE_SECONDS)
        if left := self._left():
            runs = "a run" if len(left) == 1 else f"{len(left)} runs"
            _warn(
                f"not all that {runs} recorded is with the server at {self.url} yet{f' ({trouble})' if trouble else ''}"
                "; the next run sends it, or `penstock flow-run ship`"
            )


_senders: dict[tuple[str, str], Sender] = {}
_lock = threading.Lock()


def _sender(chosen: Settings, url: str) -> Sender:
    key = str(chosen.home), url
    with _lock:
        sender = _senders.get(key)
        if sender is None or sender.pid != os.getpid():
            sender = _senders[key] = Sender(chosen, url)
        return sender


def _warn(text: str) -> None:
    with suppress(OSError, ValueError):
        sys.stderr.write(f"penstock: {text}\n")
