"""How the value that a run returned is recorded. Apart from `records`, as who lists runs reads no journal."""

from __future__ import annotations

import msgspec


class ResultRecord(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Where and how a value is kept: in the record itself, or in a content-addressed file.

    ``kept`` is False for a value that was not or could not be kept; then only ``preview`` is there.
    """

    preview: str = ""
    inline: bytes | None = None
    location: str | None = None
    size: int = 0
    serializer: str = "pickle"
    kept: bool = True
    storage: str = ""
    """The folder that ``location`` is below of, when it is not the home's folder of results."""
