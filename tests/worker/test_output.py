"""What processes write becomes lines, whatever it is, and never holds them up."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.testing import FakeClock
from penstock.worker import output
from penstock.worker.output import Allowance, Lines, Reader, Stream, printable


def lines_of(*pieces: bytes) -> list[str]:
    lines = Lines()
    found = [line for piece in pieces for line in lines.feed(piece)]
    return found + lines.end()


def test_lines_are_whole_however_they_are_cut():
    assert lines_of(b"one\ntw", b"o\n\nthr", b"ee") == ["one", "two", "", "three"]


def test_a_display_that_is_drawn_over_leaves_its_last_state():
    assert lines_of(b"10%\r50%\r", b"100%\n", b"windows\r\n") == ["100%", "windows"]
    assert lines_of(*[b"x" * 50 + b"\r"] * 10_000, b"done\n") == ["done"]


def test_what_is_no_text_shows_as_such():
    assert printable(b"\xff\x00a\x07\tb\x1b[31mred") == "\\xff\\x00a\\x07\tb\x1b[31mred"
    assert printable("ÄÖ €".encode()) == "ÄÖ €"


def test_a_line_without_end_is_cut_off_and_its_length_told():
    (line,) = lines_of(*[b"x" * 1000] * 1000)

    assert line == "x" * output.MAX_BYTES + "… (1000000 bytes)"


@given(st.lists(st.binary(max_size=40), max_size=10))
def test_any_bytes_give_the_same_lines_however_they_come(pieces: list[bytes]):
    whole = b"".join(pieces).replace(b"\r", b"")

    assert lines_of(*[piece.replace(b"\r", b"") for piece in pieces]) == lines_of(whole)


@given(st.binary(max_size=200))
def test_any_bytes_become_text_that_a_record_can_hold(data: bytes):
    for line in lines_of(data):
        line.encode("utf-8")
        assert "\0" not in line
        assert "\n" not in line


def test_lines_that_come_too_fast_are_not_kept_until_time_has_passed():
    clock = FakeClock()
    allowance = Allowance(clock)

    assert allowance.take(int(output.LINES_AT_ONCE))
    assert not allowance.take(10)
    clock.sleep(0.5)
    assert not allowance.take(10)
    clock.sleep(0.5)
    assert allowance.take(int(output.LINES_A_SECOND))
    assert not allowance.take(10)


@pytest.fixture
def reader() -> Iterator[Reader]:
    made = Reader()
    yield made
    made.close()


class Taken:
    """A sink that keeps what it gets."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, logger: str, lines: list[str]) -> None:
        self.lines += lines


def test_a_flood_is_read_at_once_and_what_is_dropped_is_counted(reader: Reader):
    taken = Taken()
    clock = FakeClock()
    stream = Stream("penstock.stdout", taken, Allowance(clock))
    reader.add(stream)
    count = 300_000
    with open(stream.writing, "wb") as file:
        file.writelines(b"%d\n" % number for number in range(count))
    reader.finish(stream, 20)

    kept = [line for line in taken.lines if line.isdecimal()]
    told = [line for line in taken.lines if "dropped" in line]
    assert len(kept) >= output.LINES_AT_ONCE / 2
    assert sum(int(line.split()[0].strip("(")) for line in told) == count - len(kept)


def test_a_stream_whose_other_end_stays_open_is_let_go_of_with_all_that_was_written(reader: Reader):
    taken = Taken()
    stream = Stream("penstock.stdout", taken, Allowance(FakeClock()))
    reader.add(stream)
    os.write(stream.writing, b"said\nhalf")
    reader.finish(stream, 0.05)

    assert taken.lines == ["said", "half"]
    os.close(stream.writing)


def test_many_streams_are_read_by_one_thread(reader: Reader):
    before = set(threading.enumerate())
    taken = [Taken() for _ in range(50)]
    streams = [Stream("penstock.stdout", each, Allowance(FakeClock())) for each in taken]
    for stream in streams:
        reader.add(stream)
        os.write(stream.writing, b"hello\n")
        os.close(stream.writing)
    for stream in streams:
        reader.finish(stream, 20)

    assert [each.lines for each in taken] == [["hello"]] * 50
    assert set(threading.enumerate()) <= before  # fewer, if one of an earlier test has ended meanwhile
