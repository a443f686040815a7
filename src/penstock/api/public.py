"""The few routes that anybody may ask: they tell nothing of what is kept here."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import cache

import msgspec
from litestar import MediaType, Response
from litestar.handlers import HTTPRouteHandler, get

from penstock import errors
from penstock.api import description, pages
from penstock.api.context import Context
from penstock.api.described import Raw
from penstock.store.interface import Store
from penstock.version import __version__

READY_SECONDS = 2.0
"""A store that takes longer is as good as none."""


def routes(context: Context, raw: Sequence[Raw]) -> list[HTTPRouteHandler]:
    """Pages, the API's description, and whether this process lives. ``raw``: as for `description.document`."""

    @cache
    def described() -> bytes:
        return msgspec.json.encode(description.document(raw))

    @cache
    def reference() -> str:
        return pages.reference(description.document(raw))

    @get("/style.css", name="style", media_type="text/css", sync_to_thread=False)
    def style() -> str:
        return pages.STYLE

    @get(["/docs", "/api/docs"], name="docs", media_type=MediaType.HTML, sync_to_thread=False)
    def docs() -> str:
        return reference()

    @get("/api/openapi.json", name="openapi", sync_to_thread=False)
    def openapi() -> Response[bytes]:
        return Response(described(), media_type="application/json")

    @get("/api/health", name="health", sync_to_thread=False)
    def health() -> bool:
        return True

    @get("/api/ready", name="ready")
    async def ready() -> bool:
        try:
            async with asyncio.timeout(READY_SECONDS):
                return await context.in_thread(_answers, context.store)
        except TimeoutError:
            raise errors.StoreError(f"The store has not answered within {READY_SECONDS:g} seconds") from None

    return [style, docs, openapi, health, ready]


def front_page() -> HTTPRouteHandler:
    """What is there in place of a web UI."""

    @get("/", name="front", media_type=MediaType.HTML, sync_to_thread=False)
    def front() -> str:
        return pages.front(__version__)

    return front


def _answers(store: Store) -> bool:
    with store.reading() as tx:
        return tx.meta.value("schema_version") is not None


DESCRIBED = (
    Raw(
        "get",
        "/api/health",
        "health",
        "Whether this process lives. It asks nobody.",
        tag="server",
        answer={"application/json": {"schema": {"const": True}}},
    ),
    Raw(
        "get",
        "/api/ready",
        "ready",
        "Whether the server can answer: its store does, and soon.",
        tag="server",
        answer={"application/json": {"schema": {"const": True}}},
    ),
)
