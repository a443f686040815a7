"""What threads want at the same moment is done at once, and each gets its own answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from tests.lab.waiting import until

from penstock import errors
from penstock.store.gathering import MAX_WEIGHT, Gathering

SOON = 20.0


def echo(wishes: Sequence[str]) -> list[str | Exception]:
    return [each.upper() for each in wishes]


class Busy:
    """A gathering that is about something, so that those who come meanwhile wait."""

    def __init__(self, work: Callable[[Sequence[str]], list[Any]]) -> None:
        self.portions: list[list[str]] = []
        self._work = work
        self._gathering = Gathering()
        self._has_begun, self._may_end = threading.Event(), threading.Event()

    def then(self, *wishes: str, weight: int = 1) -> list[Future[str]]:
        """All of these wait while the first is seen to; what became of each."""
        with ThreadPoolExecutor(len(wishes) + 1) as pool:
            first = pool.submit(self._gathering.do, "a", "first", self._held_up)
            assert self._has_begun.wait(SOON)
            futures = []
            for number, wish in enumerate(wishes, 1):
                futures.append(pool.submit(self._gathering.do, "a", wish, self._portion, weight=weight))
                until(lambda number=number: len(self._gathering._waiting["a"]) == number, "the wish")
            self._may_end.set()
        assert first.result(SOON) == "first"
        return futures

    def _held_up(self, wishes: Sequence[str]) -> list[Any]:
        self._has_begun.set()
        assert self._may_end.wait(SOON)
        return list(wishes)

    def _portion(self, wishes: Sequence[str]) -> list[Any]:
        self.portions.append(list(wishes))
        return self._work(wishes)


def test_those_who_come_while_another_is_seen_to_are_seen_to_together():
    busy = Busy(echo)
    answers = [each.result(SOON) for each in busy.then("b", "c", "d")]

    assert answers == ["B", "C", "D"]
    assert busy.portions == [["b", "c", "d"]]


def test_so_much_is_done_at_once_and_not_more():
    busy = Busy(echo)
    answers = [each.result(SOON) for each in busy.then("b", "c", "d", weight=MAX_WEIGHT // 2)]

    assert answers == ["B", "C", "D"]
    assert busy.portions == [["b", "c"], ["d"]]


def test_a_wish_that_weighs_more_than_that_comes_alone():
    busy = Busy(echo)
    busy.then("b", "c", weight=MAX_WEIGHT * 2)

    assert busy.portions == [["b"], ["c"]]


def test_an_answer_that_is_an_error_is_raised_to_the_one_who_asked():
    busy = Busy(lambda wishes: [errors.NotFound(each) if each == "c" else each for each in wishes])
    good, bad, other = busy.then("b", "c", "d")

    assert (good.result(SOON), other.result(SOON)) == ("b", "d")
    with pytest.raises(errors.NotFound):
        bad.result(SOON)


def test_what_the_work_raises_all_of_them_are_told_and_the_next_ones_are_seen_to():
    def fail(_: Sequence[str]) -> list[Any]:
        raise errors.StoreBusy("not now")

    busy = Busy(fail)
    for each in busy.then("b", "c"):
        with pytest.raises(errors.StoreBusy):
            each.result(SOON)
    assert busy._gathering.do("a", "e", echo) == "E"


def test_who_waits_for_an_interrupted_one_is_told():
    def interrupt(_: Sequence[str]) -> list[Any]:
        raise KeyboardInterrupt

    busy = Busy(interrupt)
    interrupted, waiting = busy.then("b", "c")

    assert isinstance(interrupted.exception(SOON), KeyboardInterrupt)
    with pytest.raises(errors.StoreError, match="ended"):
        waiting.result(SOON)


def test_who_wants_something_else_does_not_wait():
    gathering = Gathering()
    has_begun, may_end = threading.Event(), threading.Event()

    def held_up(wishes: Sequence[str]) -> list[Any]:
        has_begun.set()
        assert may_end.wait(SOON)
        return list(wishes)

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(gathering.do, "a", "first", held_up)
        assert has_begun.wait(SOON)
        other = gathering.do("b", "other", echo)
        may_end.set()
    assert (other, first.result(SOON)) == ("OTHER", "first")
