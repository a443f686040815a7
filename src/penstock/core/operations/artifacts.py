"""What runs have published to be looked at."""

from __future__ import annotations

from penstock.core.operations import Page, Permission, Request, operation
from penstock.core.runs import Artifact


@operation("GET", "/artifacts", Permission.READ)
class ListArtifacts(Request[Page[Artifact]], frozen=True, kw_only=True):
    """Artifacts that meet every condition given, newest first."""

    run: str | None = None
    subflows: bool = True
    """Those of the run's subflow runs too."""
    key: str | None = None
    kind: str | None = None
    """``table``, ``markdown``, ``link``, ``progress`` or ``image``."""
    limit: int = 50
    after: str | None = None


@operation("GET", "/artifacts/{artifact}", Permission.READ)
class GetArtifact(Request[Artifact], frozen=True, kw_only=True):
    """The artifact of that id, beginning of an id, or key (the newest of several)."""

    artifact: str
