"""Reading the bodies of requests: of the right type, not too large, and not too slow."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

from litestar import Request

from penstock import errors
from penstock.api.problems import Refused

SLOWEST_SECONDS = 60.0
"""A body must have come after this time."""


async def json_of(request: Request[Any, Any, Any]) -> bytes:
    """The bytes of a JSON body."""
    body = await bytes_of(request)
    if body:
        check_type(request, "application/json")
    return body


async def bytes_of(request: Request[Any, Any, Any]) -> bytes:
    """The bytes of a body. The route says how many are too many."""
    try:
        async with asyncio.timeout(SLOWEST_SECONDS):
            return await request.body()
    except TimeoutError:
        raise Refused(HTTPStatus.REQUEST_TIMEOUT, "The body came too slowly") from None


def check_query(request: Request[Any, Any, Any], *known: str) -> None:
    """Refuse what a query may not hold: somebody has mistyped something."""
    for name in request.query_params:
        if name not in known:
            raise errors.UsageError(
                f"There is no such parameter: `{name[:100]}`", hint=f"known ones: {', '.join(known)}"
            )
        if len(request.query_params.getall(name)) > 1:
            raise errors.UsageError(f"May be given only once: `{name}`")


def check_type(request: Request[Any, Any, Any], *wanted: str) -> None:
    """Refuse a body of another type: a page of another site may send some types without asking, and not these."""
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given not in wanted:
        raise Refused(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"The body is of type `{given[:100]}`, and must be `{wanted[0]}`",
            hint=f"send `Content-Type: {wanted[0]}`",
        )
