"""What a route that is no operation says of itself, for the API's description."""

from __future__ import annotations

from typing import Any, NamedTuple

from penstock.core.access import Permission

Schema = dict[str, Any]


class Raw(NamedTuple):
    """A route, as OpenAPI has it."""

    method: str
    path: str
    operation_id: str
    description: str
    tag: str
    permissions: tuple[Permission, ...] = ()
    """One of these is needed; none: it is open to everybody."""
    parameters: tuple[Schema, ...] = ()
    body: Schema | None = None
    """Contents by their types."""
    answer: Schema | None = None
    """Contents by their types; None: it answers that it is done."""
