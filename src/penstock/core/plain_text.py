"""Text as everything takes it that a run's records go through: journals, databases, JSON.

None of them takes half of a surrogate pair, which is how Python reads names of files that are no UTF-8; and databases
take no NUL. What somebody names is refused with either. What a run says, returns or publishes is never lost for a
stray character: `in_utf8` writes out the half, and the store has U+FFFD where the journal has NUL.
"""

from __future__ import annotations

import re
from typing import Any, cast

from penstock import errors

_UNFIT = re.compile("[\0\ud800-\udfff]")


def in_utf8(text: str) -> str:
    """The text, with half of a surrogate pair written out, as Python does for a literal."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def all_in_utf8(value: Any) -> Any:
    """The same for whatever lists and dicts hold."""
    if isinstance(value, str):
        return in_utf8(value)
    if isinstance(value, list):
        return [all_in_utf8(each) for each in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {all_in_utf8(name): all_in_utf8(each) for name, each in cast("dict[Any, Any]", value).items()}
    return value


def storable(text: str) -> str:
    """The text in UTF-8, with NUL, which databases do not take, written out as well."""
    return in_utf8(text).replace("\0", "\\0")


def checked(name: str, what: str) -> str:
    """What somebody gave as a name. Raises `UsageError` for one that cannot be kept as it is."""
    if found := _UNFIT.search(name):
        which = "a NUL character" if found[0] == "\0" else "half of a surrogate pair"
        raise errors.UsageError(f"{what} holds {which}, which cannot be kept: `{ascii(name[:200])[1:-1]}`")
    return name


def not_utf8(error: UnicodeEncodeError) -> errors.UsageError:
    """That what was given cannot be sent or kept, and where in it the trouble is."""
    about = error.object[max(error.start - 20, 0) : error.end + 20]
    return errors.UsageError(f"Not text in UTF-8: `{ascii(about)[1:-1]}`")
