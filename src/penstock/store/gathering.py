"""What threads want at the same moment is done at once: in one transaction, by one of them, for all."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from penstock import errors

W = TypeVar("W")
A = TypeVar("A")

MAX_WEIGHT = 200
"""So much is done in one transaction; at least one wish."""

LONGEST_SECONDS = 0.002
"""So long it waits for as many as there were before."""

_INTERRUPTED = "The thread that was to do it was ended"


class _Wish:
    """What one thread wants; it waits for its answer, or for its turn to see to it."""

    __slots__ = ("answer", "error", "is_done", "turn", "weight", "what")

    def __init__(self, what: Any, weight: int) -> None:
        self.what = what
        self.weight = weight
        self.turn = threading.Event()
        self.is_done = False
        self.answer: Any = None
        self.error: BaseException | None = None


class Gathering:
    """The wishes of threads, by what they are about. Safe to use from any thread."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._come = threading.Condition(self._mutex)
        self._company: dict[str, int] = {}
        """How many were seen to at once, last; where it was more than one."""
        self._waiting: dict[str, deque[_Wish]] = {}
        """There is an entry while a thread is about wishes of that name."""

    def do(self, about: str, wish: W, work: Callable[[Sequence[W]], Sequence[A | Exception]], *, weight: int = 1) -> A:
        """The answer to a wish, which ``work`` gives for all those about the same that have come meanwhile.

        Raises what ``work`` gave as the answer, if that is an error, and what it raised.
        """
        mine = _Wish(wish, weight)
        if not self._is_first(about, mine):
            mine.turn.wait()
        if not mine.is_done:
            self._see_to(about, work)
        if mine.error is not None:
            raise mine.error
        return mine.answer

    def _is_first(self, about: str, mine: _Wish) -> bool:
        with self._mutex:
            is_first = about not in self._waiting
            self._waiting.setdefault(about, deque()).append(mine)
            self._come.notify_all()
            return is_first

    def _see_to(self, about: str, work: Callable[[Sequence[Any]], Sequence[Any]]) -> None:
        wishes = self._take(about)
        try:
            answers = work([each.what for each in wishes])
            for each, answer in zip(wishes, answers, strict=True):
                if isinstance(answer, Exception):
                    each.error = answer
                else:
                    each.answer = answer
        except BaseException as error:
            told = error if isinstance(error, Exception) else errors.StoreError(_INTERRUPTED)
            for each in wishes:
                each.error = told
            if told is not error:
                raise
        finally:
            self._hand_over(about)
            for each in wishes:
                each.is_done = True
                each.turn.set()

    def _take(self, about: str) -> list[_Wish]:
        with self._mutex:
            waiting = self._waiting[about]
            # Who got their answers together come again together.
            self._come.wait_for(lambda: len(waiting) >= self._company.get(about, 1), LONGEST_SECONDS)
            wishes = [waiting.popleft()]
            while waiting and sum(each.weight for each in wishes) + waiting[0].weight <= MAX_WEIGHT:
                wishes.append(waiting.popleft())
            self._company.pop(about, None)
            if len(wishes) > 1:
                self._company[about] = len(wishes)
            return wishes

    def _hand_over(self, about: str) -> None:
        """Whoever has come meanwhile, and waits longest, sees to the next ones."""
        with self._mutex:
            if self._waiting[about]:
                self._waiting[about][0].turn.set()
            else:
                del self._waiting[about]
