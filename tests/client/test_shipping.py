"""Journals on their way to the server: in order, all of them, and each only as far as it may go."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from tests.worker.factory import until

from penstock import clock, errors
from penstock.client import past
from penstock.client import shipping as shipping_module
from penstock.client.server import Piece, Receipt
from penstock.client.shipping import Shipment, Shipper
from penstock.core import records
from penstock.core.records import AnyRecord
from penstock.core.result_records import ResultRecord
from penstock.journal import frames
from penstock.journal.folder import JournalFolder
from penstock.journal.writer import JournalWriter

START = len(frames.MAGIC)


class Receiver:
    """A server that takes journals, and can be difficult about it."""

    url = "http://server.test/api"

    def __init__(self) -> None:
        self.journals: dict[tuple[str, int, str], bytearray] = {}
        self.results: list[str] = []
        self.requests: list[list[Piece]] = []
        self.is_away = False
        self.over: dict[str, str] = {}
        """Runs of which it takes no more, and what it answers."""
        self.refused: set[str] = set()
        self.forget: set[str] = set()
        """Runs of which it has lost what it had, once."""

    def send_journal(self, pieces: list[Piece]) -> list[Receipt]:
        if self.is_away:
            raise errors.ServerUnreachable("away")
        if any(piece.run_id in self.refused for piece in pieces):
            raise errors.CorruptJournal("no record")
        self.requests.append(pieces)
        return [self._take(piece) for piece in pieces]

    def _take(self, piece: Piece) -> Receipt:
        if piece.run_id in self.over:
            return Receipt(self.over[piece.run_id], piece.start + len(piece.data))
        kept = self.journals.setdefault(piece[:3], bytearray())
        if piece.run_id in self.forget:
            self.forget.discard(piece.run_id)
            kept.clear()
        end = START + len(kept)
        if piece.start > end:
            return Receipt("gap", end)
        if piece.start + len(piece.data) <= end:
            return Receipt("known", end)
        kept += piece.data[end - piece.start :]
        return Receipt("folded", START + len(kept))

    def put_result(self, location: str, path: Path) -> None:
        if self.is_away:
            raise errors.ServerUnreachable("away")
        path.read_bytes()
        self.results.append(location)

    def has(self, run_id: str, writer: str = "main") -> bytes:
        return bytes(self.journals.get((run_id, 1, writer), b""))

    def close(self) -> None:
        return


class Shipping:
    """A shipper, the runs whose journals it sends, and what it sends them to."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.server = Receiver()
        server: Any = self.server
        self.shipper = Shipper(server, root / "journals", root / "results", clock.SYSTEM)

    def begin(self, **hooks: Callable[..., None]) -> tuple[JournalWriter, Shipment]:
        """An attempt of a run that has begun to record."""
        run_id = clock.SYSTEM.new_id()
        writer = self.writer(run_id, "main")
        shipment = Shipment(run_id, 1, **hooks)
        self.shipper.add(shipment)
        return writer, shipment

    def writer(self, run_id: str, name: str) -> JournalWriter:
        path = JournalFolder(self.root / "journals").journal_path(run_id, 1, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        return JournalWriter(path, records.JournalOpened(1, run_id, 1, name, "h", "b", 1, 1, "0"))

    def arrived(self, writer: JournalWriter) -> bool:
        """Whether the server has what the journal holds now."""
        return self.server.has(writer.opened.run_id, writer.opened.writer) == writer.path.read_bytes()[START:]


@pytest.fixture
def shipping(tmp_path: Path) -> Iterator[Shipping]:
    made = Shipping(tmp_path)
    yield made
    made.shipper.close()


def line(text: str) -> records.LogLine:
    return records.LogLine(1, "r", None, 20, "x", text)


def never() -> bool:
    return False


def test_what_is_recorded_arrives_while_the_run_goes_on(shipping: Shipping):
    writer, _ = shipping.begin()
    writer.append(line("one"))
    until(lambda: shipping.arrived(writer))
    writer.append(line("two"))
    until(lambda: shipping.arrived(writer))

    assert shipping.server.has(writer.opened.run_id)


def test_journals_of_processes_that_begin_later_are_found(shipping: Shipping):
    writer, shipment = shipping.begin()
    other = shipping.writer(shipment.run_id, "p1-x")
    other.append(line("beside"))
    writer.close()
    other.close()

    assert shipping.shipper.finish(shipment, never)
    assert shipping.arrived(writer)
    assert shipping.arrived(other)


def test_many_runs_share_a_request(shipping: Shipping):
    shipping.server.is_away = True
    begun = [shipping.begin() for _ in range(20)]
    shipping.server.is_away = False
    for writer, shipment in begun:
        writer.close()
        assert shipping.shipper.finish(shipment, never)

    assert max(len(pieces) for pieces in shipping.server.requests) > 5
    assert all(shipping.arrived(writer) for writer, _ in begun)


def test_an_outage_loses_nothing_and_repeats_nothing(shipping: Shipping):
    writer, shipment = shipping.begin()
    until(lambda: shipping.arrived(writer))
    shipping.server.is_away = True
    for number in range(100):
        writer.append(line(str(number)))
    shipping.server.is_away = False
    writer.close()

    assert shipping.shipper.finish(shipment, never)
    assert shipping.arrived(writer)


def test_those_who_wait_for_a_server_that_is_away_do_not_keep_each_other_awake(shipping: Shipping):
    shipping.server.is_away = True
    begun = [shipping.begin() for _ in range(3)]
    for writer, _ in begun:
        writer.close()
    ends_at = clock.boottime() + 0.5
    looks = 0

    def give_up() -> bool:
        nonlocal looks
        looks += 1
        return clock.boottime() >= ends_at

    with ThreadPoolExecutor(3) as pool:
        arrived = list(pool.map(lambda each: shipping.shipper.finish(each[1], give_up), begun))

    assert arrived == [False] * 3
    assert looks < 100


def test_a_journal_that_could_not_be_opened_for_want_of_files_is_sent_when_there_are_some(
    shipping: Shipping, monkeypatch: pytest.MonkeyPatch
):
    refusals = [OSError(errno.EMFILE, "Too many open files")]
    read = shipping_module.Tail.read

    def reading(tail: shipping_module.Tail) -> Any:
        if refusals:
            raise refusals.pop()
        return read(tail)

    monkeypatch.setattr(shipping_module.Tail, "read", reading)
    writer, shipment = shipping.begin()
    writer.append(line("one"))

    until(lambda: shipping.arrived(writer))
    assert (shipment.trouble, refusals) == (None, [])


def test_a_server_that_has_lost_something_gets_it_again(shipping: Shipping):
    writer, shipment = shipping.begin()
    until(lambda: shipping.arrived(writer))
    shipping.server.forget.add(shipment.run_id)
    writer.append(line("more"))
    writer.close()

    assert shipping.shipper.finish(shipment, never)
    assert shipping.arrived(writer)


def test_a_torn_tail_holds_up_nothing(shipping: Shipping):
    writer, shipment = shipping.begin()
    writer.append(line("whole"))
    writer.close()
    with open(writer.path, "ab") as file:
        file.write(b"\x10\0\0\0torn")

    assert shipping.shipper.finish(shipment, never)
    assert shipping.server.has(shipment.run_id) == writer.path.read_bytes()[START:-8]


@pytest.mark.parametrize("outcome", ["superseded", "gone"])
def test_an_attempt_of_which_the_server_takes_no_more_is_told_and_sends_none(shipping: Shipping, outcome: str):
    told: list[str] = []
    writer, shipment = shipping.begin(when_over=lambda: told.append("over"))
    shipping.server.over[shipment.run_id] = outcome
    writer.append(line("too late"))
    until(lambda: shipment.is_superseded)
    writer.close()

    assert told == ["over"]
    assert not shipping.shipper.finish(shipment, never)
    assert shipping.server.has(shipment.run_id) == b""


def test_a_journal_that_the_server_does_not_take_keeps_no_other_back(shipping: Shipping):
    shipping.server.is_away = True
    bad, bad_shipment = shipping.begin()
    good, good_shipment = shipping.begin()
    shipping.server.refused.add(bad_shipment.run_id)
    shipping.server.is_away = False
    for writer in (bad, good):
        writer.close()

    assert shipping.shipper.finish(good_shipment, never)
    assert not shipping.shipper.finish(bad_shipment, never)
    assert "does not take the journal: no record" in (bad_shipment.trouble or "")


def test_damage_in_a_journal_is_told_and_what_lies_before_it_arrives(shipping: Shipping):
    shipping.server.is_away = True
    writer, shipment = shipping.begin()
    whole = writer.append(line("whole"))
    writer.append(line("damaged"))
    writer.append(line("behind"))
    writer.close()
    data = bytearray(writer.path.read_bytes())
    data[data.index(b"damaged")] ^= 1
    writer.path.write_bytes(data)
    shipping.server.is_away = False

    assert not shipping.shipper.finish(shipment, never)
    assert "damaged" in (shipment.trouble or "")
    assert len(shipping.server.has(shipment.run_id)) > whole - START


def test_a_record_comes_after_the_file_that_it_names(shipping: Shipping):
    writer, shipment = shipping.begin()
    result = shipping.root / "results" / "ab" / "abcd"
    result.parent.mkdir(parents=True)
    result.write_bytes(b"large")
    named = ResultRecord("x", None, "ab/abcd", 5)
    writer.append(records.TaskRunEnded(1, "t", named))
    writer.append(records.TaskRunEnded(2, "u", named))
    writer.close()

    assert shipping.shipper.finish(shipment, never)
    assert shipping.server.results == ["ab/abcd"]
    assert shipping.arrived(writer)


def test_a_file_that_could_not_be_opened_for_want_of_others_is_sent_before_its_record(
    shipping: Shipping, monkeypatch: pytest.MonkeyPatch
):
    refusals = [OSError(errno.EMFILE, "Too many open files")]
    put = shipping.server.put_result

    def refusing(location: str, path: Path) -> None:
        if refusals:
            raise refusals.pop()
        put(location, path)

    monkeypatch.setattr(shipping.server, "put_result", refusing)
    writer, shipment = shipping.begin()
    result = shipping.root / "results" / "ab" / "abcd"
    result.parent.mkdir(parents=True)
    result.write_bytes(b"large")
    writer.append(records.TaskRunEnded(1, "t", ResultRecord("x", None, "ab/abcd", 5)))
    writer.close()

    assert shipping.shipper.finish(shipment, never)
    assert shipping.server.results == ["ab/abcd"]


def test_who_waits_for_a_file_that_takes_long_reads_the_journal_before_it_once(
    shipping: Shipping, monkeypatch: pytest.MonkeyPatch
):
    may_arrive = Event()
    monkeypatch.setattr(shipping.server, "put_result", lambda *_: may_arrive.wait(10))
    reads: list[int] = []
    read = shipping_module.Tail.read

    def reading(tail: shipping_module.Tail) -> Any:
        reads.append(tail.position)
        return read(tail)

    monkeypatch.setattr(shipping_module.Tail, "read", reading)
    writer, shipment = shipping.begin()
    writer.append(records.TaskRunEnded(1, "t", ResultRecord("x", None, "ab/abcd", 5)))
    writer.close()
    gives_up_at = clock.boottime() + 0.5

    assert not shipping.shipper.finish(shipment, lambda: clock.boottime() >= gives_up_at)
    assert len(reads) < 20

    may_arrive.set()
    assert shipping.shipper.finish(shipment, never)
    assert shipping.arrived(writer)


def test_one_file_after_the_other_keeps_the_end_of_a_run_no_longer_than_they_take(
    shipping: Shipping, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(shipping_module, "INTERVAL_SECONDS", 1.0)
    writer, shipment = shipping.begin()
    for number in range(10):
        writer.append(records.TaskRunEnded(1, str(number), ResultRecord("x", None, f"ab/gone{number}", 5)))
    writer.close()
    began = clock.boottime()

    assert shipping.shipper.finish(shipment, never)
    assert clock.boottime() - began < 5


def test_a_file_that_is_gone_does_not_keep_the_run_from_ending(shipping: Shipping):
    writer, shipment = shipping.begin()
    writer.append(records.TaskRunEnded(1, "t", ResultRecord("x", None, "ab/gone", 5)))
    writer.close()

    assert shipping.shipper.finish(shipment, never)
    assert shipping.arrived(writer)


def test_results_in_a_storage_of_their_own_stay_there(shipping: Shipping):
    writer, shipment = shipping.begin()
    writer.append(records.TaskRunEnded(1, "t", ResultRecord("x", None, "ab/abcd", 5, storage="/mnt/results")))
    writer.close()

    assert shipping.shipper.finish(shipment, never)
    assert shipping.server.results == []


def test_how_a_run_ended_is_noticed_once_on_the_way(shipping: Shipping):
    seen: list[AnyRecord] = []
    writer, shipment = shipping.begin(seen=seen.append)
    writer.append(records.FlowRunEnded(1, "another", "FAILED", "Failed"))
    writer.append(records.FlowRunEnded(2, shipment.run_id, "COMPLETED", "Completed"))
    shipping.server.forget.add(shipment.run_id)
    writer.close()
    shipping.shipper.finish(shipment, never)

    assert shipment.ended is not None
    assert shipment.ended.name == "Completed"
    assert [type(record).__name__ for record in seen] == ["JournalOpened", "FlowRunEnded", "FlowRunEnded"]


def test_whoever_gives_up_waits_no_longer(shipping: Shipping):
    writer, shipment = shipping.begin()
    shipping.server.is_away = True
    writer.append(line("waits"))
    writer.close()

    assert not shipping.shipper.finish(shipment, lambda: True)


# ── the other way ────────────────────────────────────────────────────────────────────────────────────────────────────


class Giver:
    """A server that has journals of a run."""

    def __init__(self, *pieces: Piece) -> None:
        self.pieces = pieces

    def journal(self, run_id: str) -> tuple[Piece, ...]:
        return self.pieces


RUN = "01a214e0-08b2-7a15-b3f0-1ce70ba9eed9"


def fetched(root: Path, *pieces: Piece, attempt: int = 3) -> dict[str, bytes]:
    from penstock import settings

    server: Any = Giver(*pieces)
    chosen = settings.load({"PENSTOCK_HOME": str(root)})
    (chosen.journals / RUN).mkdir(parents=True, exist_ok=True)
    past.fetch(server, chosen.journals, None, RUN, before=attempt)
    return {path.name: path.read_bytes() for path in (chosen.journals / RUN).iterdir()}


def framed(*texts: str) -> bytes:
    return b"".join(frames.frame(records.encode(line(text))) for text in texts)


def test_what_was_recorded_elsewhere_is_put_in_place_as_the_journals_that_it_was(tmp_path: Path):
    one, two = framed("one"), framed("two")
    found = fetched(
        tmp_path,
        Piece(RUN, 1, "main", START, one),
        Piece(RUN, 1, "supervisor", START, two),
        Piece(RUN, 2, "main", START, two),
        Piece(RUN, 1, "main", START + len(one), two),
        Piece(RUN, 3, "main", START, one),
    )

    assert found == {
        "1.main.journal": frames.MAGIC + one + two,
        "1.supervisor.journal": frames.MAGIC + two,
        "2.main.journal": frames.MAGIC + two,
    }


def test_what_an_attempt_wrote_that_did_not_count_gives_way_to_what_does(tmp_path: Path):
    kept = tmp_path / "journals" / RUN / "1.main.journal"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(frames.MAGIC + framed("one", "too late"))

    assert fetched(tmp_path, Piece(RUN, 1, "main", START, framed("one"))) == {
        "1.main.journal": frames.MAGIC + framed("one")
    }


def test_a_journal_with_a_hole_is_refused_and_nothing_is_put_in_place(tmp_path: Path):
    with pytest.raises(errors.CorruptJournal, match="a hole in it"):
        fetched(tmp_path, Piece(RUN, 1, "main", START + 5, framed("x")))
    assert list((tmp_path / "journals" / RUN).iterdir()) == []
