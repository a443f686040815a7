"""What somebody probably meant by a name that does not exist."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(name: str, known: Iterable[str], *, likeness: float = 0.6) -> str | None:
    """The one of the known names that is most like this one; None when none is like it.

    ``likeness`` is how much of it has to be the same, from 0 to 1.
    """
    import difflib  # noqa: PLC0415  only in the error case

    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=likeness)), None)


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """The hint ``did you mean `x`?``, for the known name that is most like this one; None when none is like it."""
    near = nearest(name, known)
    return None if near is None else f"did you mean `{near}`?"
