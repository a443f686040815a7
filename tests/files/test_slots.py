from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock import errors
from penstock.clock import SYSTEM
from penstock.core.concurrency import Place, SlotHolder
from penstock.files.slots import LocalBooking, SlotFolder, Wish
from penstock.testing import FakeClock

DB = Place("db")
SECONDS = 20
"""Longer than anything takes here; only a fault makes anybody wait for so long."""


@pytest.fixture
def folder(tmp_path: Path) -> SlotFolder:
    return SlotFolder(tmp_path / "slots")


def book(folder: SlotFolder, *wishes: Wish, priority: int = 0, name: str = "otter") -> LocalBooking:
    holder = SlotHolder(booking=SYSTEM.new_id(), limit="", is_held=False, priority=priority, run_name=name, run_id=name)
    return folder.book(wishes or (Wish(DB, 1, 1),), holder)


def wait_until(condition: Any) -> None:
    deadline = SYSTEM.elapsed() + SECONDS
    while not condition():
        assert SYSTEM.elapsed() < deadline
        SYSTEM.sleep(0.005)


HOLD = """
import sys
from pathlib import Path
from penstock.core.concurrency import Place, SlotHolder
from penstock.files.slots import SlotFolder, Wish

holder = SlotHolder(booking="another", limit="", is_held=False, run_id="another")
booking = SlotFolder(Path(sys.argv[1])).book([Wish(Place("db"), 1, 1)], holder)
print("held" if booking.is_held else "waiting", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def another(tmp_path: Path) -> Iterator[Any]:
    """``another()`` is a process that holds the slot of `db`, or waits for it, until it is killed."""
    started: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        command = [sys.executable, "-c", HOLD, str(tmp_path / "slots")]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline().strip() in {"held", "waiting"}
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_slot_is_held_by_one_and_then_by_the_next(folder: SlotFolder):
    first, second = book(folder), book(folder)

    assert (first.is_held, second.is_held) == (True, False)
    assert not second.wait(0)
    first.release()
    assert second.wait(SECONDS)


def test_slots_are_had_by_priority_then_in_the_order_of_arrival(folder: SlotFolder):
    first = book(folder)
    line = {name: book(folder, priority=priority) for name, priority in (("a", 0), ("b", 0), ("urgent", -1))}
    order: list[str] = []
    threads = [threading.Thread(target=_take_turn, args=(name, line[name], order)) for name in line]
    for thread in threads:
        thread.start()
    first.release()
    for thread in threads:
        thread.join(SECONDS)

    assert order == ["urgent", "a", "b"]


def _take_turn(name: str, booking: LocalBooking, order: list[str]) -> None:
    assert booking.wait(SECONDS)
    order.append(name)
    booking.release()


def test_several_slots_of_several_places_are_had_at_once_or_not_at_all(folder: SlotFolder):
    api = Wish(Place("api"), 1, 1)
    first = book(folder, Wish(DB, 2, 3))
    both = book(folder, Wish(DB, 2, 3), api)
    late = book(folder, api)

    assert (both.is_held, late.is_held) == (False, False), "nobody is passed by"
    assert [each.limit for each in folder.holders()] == ["db", "db"]
    first.release()
    assert both.wait(SECONDS)
    both.release()
    assert late.wait(SECONDS)


def test_each_key_has_slots_of_its_own(folder: SlotFolder):
    assert book(folder, Wish(Place("db", "ada"), 1, 1)).is_held
    assert book(folder, Wish(Place("db", "bob"), 1, 1)).is_held
    assert not book(folder, Wish(Place("db", "ada"), 1, 1)).is_held


def test_who_is_killed_while_holding_a_slot_gives_it_back(folder: SlotFolder, another: Any):
    process = another()
    mine = book(folder)
    was_held = mine.is_held
    process.kill()

    assert not was_held
    assert mine.wait(SECONDS)


def test_who_is_killed_while_waiting_loses_its_place(folder: SlotFolder, another: Any):
    first = book(folder)
    process = another()
    mine = book(folder)
    process.kill()
    process.wait()
    first.release()

    assert mine.wait(SECONDS)
    assert mine.ahead() == 0


def test_who_gives_up_lets_the_next_one_in(folder: SlotFolder):
    first = book(folder, Wish(DB, 1, 2))
    impatient = book(folder, Wish(DB, 2, 2))
    modest = book(folder, Wish(DB, 1, 2))

    assert not impatient.wait(0.01)
    impatient.release()
    assert modest.wait(SECONDS)
    first.release()


def test_a_limit_that_was_lowered_counts_those_who_came_before(folder: SlotFolder):
    held = [book(folder, Wish(DB, 1, 3)) for _ in range(3)]
    held[0].release()
    late = book(folder, Wish(DB, 1, 2))

    assert not late.is_held
    held[1].release()
    assert late.wait(SECONDS)


def test_a_limit_of_none_lets_nobody_in(folder: SlotFolder):
    assert not book(folder, Wish(DB, 1, 0)).is_held


def test_who_holds_slots_is_told(folder: SlotFolder):
    before = SYSTEM.now()
    booking = book(folder, Wish(DB, 2, 2), name="otter")

    told = folder.holders()
    booking.release()
    assert [(each.limit, each.run_name, each.slots) for each in told] == [("db", "otter", 1)] * 2
    assert all(before <= (each.held_since or 0) <= SYSTEM.now() for each in told)
    assert folder.holders() == []


def test_a_limit_that_is_reset_has_all_its_slots(folder: SlotFolder):
    first, second = book(folder), book(folder)
    folder.forget("db")

    assert second.wait(SECONDS)
    first.release()
    assert not book(folder).is_held


def test_releasing_twice_does_nothing(folder: SlotFolder):
    first, second = book(folder), book(folder)
    first.release()
    first.release()
    second.release()
    second.release()

    assert book(folder).is_held


def test_coroutines_wait_without_threads(folder: SlotFolder):
    most, under_way = 0, 0

    async def work() -> None:
        nonlocal most, under_way
        booking = book(folder, Wish(DB, 1, 2))
        assert await booking.wait_async(SECONDS)
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        booking.release()

    async def main() -> None:
        threads = set(threading.enumerate())
        await asyncio.gather(*[work() for _ in range(20)])
        assert set(threading.enumerate()) <= threads  # fewer, if one of an earlier test has ended meanwhile

    asyncio.run(main())
    assert most == 2


def test_a_forked_child_holds_nothing_and_gives_nothing_back(folder: SlotFolder):
    booking = book(folder)
    child = os.fork()
    if child == 0:
        is_held = False
        try:
            booking.release()
            is_held = book(folder).is_held
        finally:
            os._exit(3 if is_held else 7)
    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 7
    booking.release()
    assert book(folder).is_held


def test_tokens_are_shared_by_the_processes_of_a_home(tmp_path: Path):
    clock = FakeClock()
    folders = [SlotFolder(tmp_path / "slots", clock) for _ in range(2)]

    waits = [
        folders[number % 2].take_tokens(DB, 1, capacity=2, per_second=0.1, at_most=None).wait for number in range(3)
    ]
    refused = folders[0].take_tokens(DB, 1, capacity=2, per_second=0.1, at_most=1).wait
    after = folders[0].take_tokens(DB, 1, capacity=2, per_second=0.1, at_most=None).wait

    assert waits[:2] == [0, 0]
    assert waits[2] == pytest.approx(10_000_000, abs=100)  # each look at the clock takes it a microsecond
    assert refused == pytest.approx(after, abs=100), "what was refused was not taken"


def test_more_limits_than_a_name_holds_are_refused(folder: SlotFolder):
    with pytest.raises(errors.UsageError, match="Slots of 16 limits at most"):
        book(folder, *[Wish(Place(f"limit-{number}"), 1, 1) for number in range(17)])


def test_a_home_that_cannot_be_written_gives_no_slots(tmp_path: Path):
    (tmp_path / "slots").write_text("a file")

    with pytest.raises(errors.StorageFull, match="No slots can be had"):
        book(SlotFolder(tmp_path / "slots"))
