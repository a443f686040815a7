"""The traceback of an exception, as the author of a flow wants it: without the frames of Penstock."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from traceback import StackSummary, TracebackException

_OURS = str(Path(__file__).parents[1])
_EXAMPLES = str(Path(_OURS, "examples"))


def of_user(error: BaseException) -> str:
    """The traceback, with causes and contexts, of the frames that are the user's; without any, the message alone."""
    whole = TracebackException.from_exception(error)
    for part in _parts(whole):
        part.stack = StackSummary.from_list([frame for frame in part.stack if not _is_ours(frame.filename)])
    has_frames = any(part.stack for part in _parts(whole))
    return "".join(whole.format() if has_frames else whole.format_exception_only()).rstrip("\n")


def _is_ours(filename: str) -> bool:
    return filename.startswith((_OURS, "<frozen importlib")) and not filename.startswith(_EXAMPLES)


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
