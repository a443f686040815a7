"""What whoever watches a worker is shown never holds up the worker."""

from __future__ import annotations

import io
import threading

from penstock.worker import echo
from penstock.worker.echo import Echo


class Stuck(io.StringIO):
    """A terminal that takes nothing until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = threading.Event()
        self.let_go = threading.Event()

    def write(self, text: str) -> int:
        self.reached.set()
        assert self.let_go.wait(60)
        return super().write(text)


def test_lines_are_written_in_order_by_the_time_it_is_closed():
    out = io.StringIO()
    shown = Echo(out)
    for number in range(100):
        shown.write(str(number))
    shown.close()

    assert out.getvalue().split() == [str(number) for number in range(100)]


def test_who_writes_does_not_wait_for_who_reads_and_what_is_dropped_is_counted():
    out = Stuck()
    shown = Echo(out)
    shown.write("first")
    assert out.reached.wait(60)
    for _ in range(echo.MAX_LINES + 5):
        shown.write("more\nthan one")
    out.let_go.set()
    shown.close(60)

    assert out.getvalue().count("more") == echo.MAX_LINES
    assert out.getvalue().endswith("(10 lines were not shown: they came faster than they are read)\n")


def test_a_stream_that_is_closed_is_no_reason_to_stop():
    out = io.StringIO()
    shown = Echo(out)
    out.close()
    shown.write("nobody reads it")
    shown.close(60)

    assert out.closed
