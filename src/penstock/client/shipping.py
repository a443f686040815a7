"""Shipping: what runs record in their journals here, the server gets, in order, and every byte of it.

The files are the memory: what was sent and not received is read again, so an outage costs disk and no more.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

import msgspec

from penstock import errors, processes
from penstock.client.server import CLOSE_SECONDS, PASSING, Piece, Receipt, Server
from penstock.clock import Clock
from penstock.core import records
from penstock.core.records import AnyRecord
from penstock.journal import frames, reader
from penstock.journal.folder import JournalFile, JournalFolder

INTERVAL_SECONDS = 0.075
"""How often what is new is sent."""
LONGEST_PAUSE_SECONDS = 5.0
"""Between two tries while the server is away."""
BATCH_BYTES = 4 << 20
"""About as much is sent at once, of all runs together."""
SHARE_BYTES = 1 << 20
"""And of one journal."""
REMEMBERED = 4096
"""So many locations of results that were sent are known."""


class Tail:
    """A journal and how far the server has it."""

    def __init__(self, journal: JournalFile) -> None:
        self.journal = journal
        self.position = len(frames.MAGIC)
        self.awaits: str | None = None
        """The file of a result that is to be with the server before more is sent."""

    @property
    def has_more(self) -> bool:
        try:
            return self.journal.path.stat().st_size > self.position
        except OSError:
            return False

    def read(self) -> reader.Piece | None:
        """The next whole frames; None when there are none. Raises `JournalError` at damage."""
        try:
            start = 0 if self.position == len(frames.MAGIC) else self.position
            piece = reader.read(self.journal.path, start, limit=SHARE_BYTES)
        except FileNotFoundError:
            return None
        if not piece.frames and piece.damaged_at is not None:
            raise errors.CorruptJournal(f"A record in the middle of a journal is damaged, at byte {piece.damaged_at}")
        return piece if piece.frames else None


class Shipment:
    """All journals of one attempt, on their way."""

    def __init__(
        self,
        run_id: str,
        attempt: int,
        *,
        seen: Callable[[AnyRecord], None] = lambda _: None,
        when_over: Callable[[], None] = lambda: None,
    ) -> None:
        """``seen`` is called with each record, once; ``when_over`` when there is no use in sending more."""
        self.run_id = run_id
        self.attempt = attempt
        self.tails: dict[str, Tail] = {}
        self.is_superseded = False
        self.is_held = False
        """Nothing more of it is sent for now; see `Shipper.hold`."""
        self.trouble: str | None = None
        """Why the rest can never be sent."""
        self.ended: records.FlowRunEnded | None = None
        """How the run ended, as its process recorded it."""
        self.moved: records.FlowRunMoved | None = None
        """The state that is not final which it entered last."""
        self._seen = seen
        self._when_over = when_over
        self._seen_until: dict[str, int] = {}

    @property
    def is_over(self) -> bool:
        """Whether there is no use in sending more."""
        return self.is_superseded or self.trouble is not None

    def give_up(self, trouble: str) -> None:
        """The rest can never be sent."""
        self.trouble = trouble
        self._when_over()

    def supersede(self) -> None:
        """Another attempt has the run, or it is over or deleted: the server takes no more of this one."""
        self.is_superseded = True
        self._when_over()

    def look(self, folder: JournalFolder) -> None:
        """Notice journals of processes that began since."""
        for journal in folder.journals(self.run_id):
            if journal.attempt == self.attempt and journal.writer not in self.tails:
                self.tails[journal.writer] = Tail(journal)

    def take_note(self, writer: str, piece: reader.Piece) -> list[tuple[frames.Frame, AnyRecord | None]]:
        """The records of a piece, each with its frame; those that were not seen before are shown to who wants them."""
        found: list[tuple[frames.Frame, AnyRecord | None]] = []
        until = self._seen_until.get(writer, 0)
        for frame in piece.frames:
            record = records.decode(frame.payload)
            found.append((frame, record))
            if frame.offset >= until and record is not None:
                self._notice(record)
        self._seen_until[writer] = max(until, piece.end)
        return found

    def _notice(self, record: AnyRecord) -> None:
        if isinstance(record, records.FlowRunEnded) and record.flow_run_id == self.run_id:
            self.ended = record
        elif isinstance(record, records.FlowRunMoved) and record.flow_run_id == self.run_id:
            self.moved = record
        self._seen(record)


class Shipper:
    """A thread that sends what is new of all shipments, many in one request."""

    def __init__(self, server: Server, journals: Path, results: Path | None, clock: Clock) -> None:
        """Without ``results``, the server has the files of results already: it is at home here."""
        self._server = server
        self._folder = JournalFolder(journals)
        self._uploads = None if results is None else Uploads(server, results, clock, self._go_on)
        self._clock = clock
        self._changed = threading.Condition()
        self._shipments: list[Shipment] = []
        self._is_urgent = False
        self._closing = False
        self._pause = 0.0
        self._rounds = 0
        self._finishing = 0
        self._thread = threading.Thread(target=self._ship_on, name="penstock-shipper", daemon=True)
        self._thread.start()

    def add(self, shipment: Shipment) -> None:
        """Send its journals from now on."""
        with self._changed:
            self._shipments.append(shipment)
            self._changed.notify_all()

    def hold(self, shipment: Shipment) -> None:
        """Send nothing that is recorded from now on, until `finish`."""
        with self._changed:
            shipment.is_held = True
            rounds = self._rounds
            self._is_urgent = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._rounds > rounds or self._closing)

    def finish(self, shipment: Shipment, give_up: Callable[[], bool]) -> bool:
        """Return once the server has all that there is of it; False if that cannot be, or ``give_up`` says so.

        Its processes are gone, so there will be no more.
        """
        with self._changed:
            if shipment not in self._shipments:
                self._shipments.append(shipment)
            shipment.is_held = False
            self._finishing += 1
            try:
                return self._has_all(shipment, give_up)
            finally:
                self._finishing -= 1
                self._shipments.remove(shipment)

    def _has_all(self, shipment: Shipment, give_up: Callable[[], bool]) -> bool:
        # A round that begins from now on finds all files, and all that they hold.
        looked_at = whole_round = self._rounds + 1
        while not shipment.is_over:
            if self._rounds > looked_at:  # only a round changes what there is
                looked_at = self._rounds
                if not _has_more(shipment):
                    return True
            if give_up():
                return False
            # What such a round has left waits for a file or for the server, and who hurries does not have it sooner.
            # And who has been woken need not be again, who else waits here least of all.
            if self._rounds <= whole_round and not self._is_urgent:
                self._is_urgent = True
                self._changed.notify_all()
            self._changed.wait(INTERVAL_SECONDS)
        return False

    def _go_on(self) -> None:
        """A file has arrived for which a record had to wait: who waits for the end of a run waits for each of them."""
        with self._changed:
            if self._finishing:
                self._is_urgent = True
                self._changed.notify_all()

    def close(self) -> None:
        """End the thread. What was not sent stays where it is."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(CLOSE_SECONDS)
        if self._uploads is not None:
            self._uploads.close()

    def _ship_on(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closing or self._shipments)
                self._changed.wait_for(lambda: self._closing or self._is_urgent, INTERVAL_SECONDS)
                if self._pause:
                    self._changed.wait_for(lambda: self._closing, self._pause)
                if self._closing:
                    self._server.close()
                    return
                self._is_urgent = False
                shipments = [each for each in self._shipments if not (each.is_over or each.is_held)]
            try:
                self._round(shipments)
                self._pause = 0.0
            except (*PASSING, OSError) as error:
                if isinstance(error, OSError) and not processes.is_scarcity(error):
                    raise
                self._pause = min(max(2 * self._pause, 0.25), LONGEST_PAUSE_SECONDS)
            with self._changed:
                self._rounds += 1
                self._changed.notify_all()

    def _round(self, shipments: list[Shipment]) -> None:
        """Send all that is new, a batch after the other."""
        for shipment in shipments:
            shipment.look(self._folder)
        waiting = deque((shipment, tail) for shipment in shipments for tail in shipment.tails.values())
        while waiting:
            batch: list[tuple[Shipment, Tail, Piece]] = []
            size = 0
            while waiting and size < BATCH_BYTES:
                shipment, tail = waiting.popleft()
                if shipment.is_over or not tail.has_more or self._is_early(tail):
                    continue
                piece = self._piece(shipment, tail)
                if piece is not None:
                    batch.append((shipment, tail, piece))
                    size += len(piece.data)
            if batch:
                self._send(batch)
                # Those that had more than their share come again after the others.
                waiting.extend((shipment, tail) for shipment, tail, _ in batch)

    def _is_early(self, tail: Tail) -> bool:
        """Whether the file that the journal's next record names is still on its way."""
        return self._uploads is not None and tail.awaits is not None and not self._uploads.has(tail.awaits)

    def _piece(self, shipment: Shipment, tail: Tail) -> Piece | None:
        """The next piece of a journal, up to a record whose result is not with the server yet."""
        journal = tail.journal
        try:
            piece = tail.read()
            if piece is None:
                return None
            said = shipment.take_note(journal.writer, piece)
        except (errors.JournalError, OSError, msgspec.DecodeError) as error:
            if isinstance(error, OSError) and processes.is_scarcity(error):
                raise
            shipment.give_up(f"The journal `{journal.path}` cannot be read: {error}")
            return None
        end = piece.end
        tail.awaits = None
        if self._uploads is not None:
            for frame, record in said:
                missing = [location for location in records.locations(record) if not self._uploads.has(location)]
                if missing:
                    end = frame.offset
                    tail.awaits = missing[0]
                    break
        data = piece.data[: end - piece.start]
        return Piece(*journal[1:], piece.start, data) if data else None

    def _send(self, batch: list[tuple[Shipment, Tail, Piece]]) -> None:
        try:
            receipts = self._server.send_journal([piece for _, _, piece in batch])
        except PASSING:
            raise
        except errors.PenstockError as error:
            if len(batch) > 1:  # one of them spoilt it for all
                for each in batch:
                    self._send([each])
                return
            batch[0][0].give_up(f"The server does not take the journal: {error.message}")
            return
        for (shipment, tail, _), receipt in zip(batch, receipts, strict=True):
            _take_in(shipment, tail, receipt)


def _take_in(shipment: Shipment, tail: Tail, receipt: Receipt) -> None:
    if receipt.outcome in ("superseded", "gone"):
        shipment.supersede()
    else:
        tail.position = receipt.end


def _has_more(shipment: Shipment) -> bool:
    """Whether whole frames wait to be sent; a torn tail will never be whole."""
    try:
        return any(tail.has_more and tail.read() is not None for tail in shipment.tails.values())
    except (errors.JournalError, OSError):
        return True  # the next round finds out


class Uploads:
    """A thread that sends the files of results, so that a large one does not keep other runs waiting."""

    def __init__(self, server: Server, results: Path, clock: Clock, when_sent: Callable[[], None]) -> None:
        self._server = server
        self._results = results
        self._when_sent = when_sent
        self._clock = clock
        self._changed = threading.Condition()
        self._wanted: deque[str] = deque()
        self._sent: dict[str, None] = {}
        self._closing = False
        self._thread = threading.Thread(target=self._send_on, name="penstock-uploads", daemon=True)
        self._thread.start()

    def has(self, location: str) -> bool:
        """Whether the server has it by now; if not, it is sent soon."""
        with self._changed:
            if location in self._sent:
                return True
            if location not in self._wanted:
                self._wanted.append(location)
                self._changed.notify_all()
            return False

    def close(self) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(CLOSE_SECONDS)

    def _send_on(self) -> None:
        pause = 0.0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closing or self._wanted)
                if pause:
                    self._changed.wait_for(lambda: self._closing, pause)
                if self._closing:
                    self._server.close()
                    return
                location = self._wanted[0]
            pause = 0.0 if self._send(location) else min(max(2 * pause, 0.25), LONGEST_PAUSE_SECONDS)

    def _send(self, location: str) -> bool:
        try:
            self._server.put_result(location, self._results / location)
        except PASSING:
            return False
        except (errors.PenstockError, OSError) as error:
            if isinstance(error, OSError) and processes.is_scarcity(error):
                return False
            # it is gone, or too large: whoever wants the result will be told that it is missing
        with self._changed:
            self._wanted.popleft()
            self._sent[location] = None
            while len(self._sent) > REMEMBERED:
                del self._sent[next(iter(self._sent))]
        self._when_sent()
        return True
