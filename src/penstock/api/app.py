"""The whole API as one ASGI application."""

from __future__ import annotations

from collections.abc import Iterable

from litestar import Litestar, Router
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp

from penstock.api import files, journals, login, metrics, operations, problems, public, stream
from penstock.api.admission import Admission
from penstock.api.context import Context
from penstock.api.door import Door

RAW = (
    *public.DESCRIBED,
    *login.DESCRIBED,
    *journals.DESCRIBED,
    *files.DESCRIBED,
    *stream.DESCRIBED,
    *metrics.DESCRIBED,
)
"""The routes that are no operations."""


def build(context: Context, *, hosts: Iterable[str], has_pages: bool = True) -> ASGIApp:
    """The application. ``hosts`` are the names by which it may be called; without ``has_pages``, no browser is let in.

    Raises when a route has no permission.
    """
    open_to_all = [*public.routes(context, RAW)]
    if has_pages:
        open_to_all += [public.front_page(), login.entrance(context)]
    admission = Admission(context, open_to_all)
    below: list[HTTPRouteHandler] = [
        *operations.routes(context),
        *journals.routes(context),
        *files.routes(context),
        *stream.routes(context),
        *login.routes(context),
    ]
    app = Litestar(
        [*open_to_all, *metrics.routes(context), Router("/api", route_handlers=below)],
        guards=[admission.guard],
        exception_handlers={Exception: problems.answering(context.clock.new_id)},
        openapi_config=None,
        logging_config=None,
    )
    admission.check(app)
    return Door(app, hosts=hosts, elapsed=context.clock.elapsed, seen=context.counts.see)
