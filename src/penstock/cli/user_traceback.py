"""The traceback of a flow's exception, as its author wants it: without the frames of Penstock."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from traceback import StackSummary, TracebackException

OURS = str(Path(__file__).parents[1])


def text(error: BaseException) -> str:
    """The traceback, with causes and contexts, of the frames that are the user's."""
    whole = TracebackException.from_exception(error)
    for part in _parts(whole):
        part.stack = StackSummary.from_list(
            [frame for frame in part.stack if not frame.filename.startswith((OURS, "<frozen importlib"))]
        )
    return "".join(whole.format()).rstrip("\n")


def _parts(whole: TracebackException) -> Iterator[TracebackException]:
    seen: set[int] = set()
    waiting = [whole]
    while waiting:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        yield part
        waiting += [each for each in (part.__cause__, part.__context__, *(part.exceptions or ())) if each is not None]
