"""Who asks, and whether they may: decided of the route's own object, once routing has found it."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from typing import Any

from litestar import Litestar, Request
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler

from penstock import errors
from penstock.api.context import Context
from penstock.api.problems import NotKnown
from penstock.core.access import OWNER, Permission, Principal
from penstock.orchestration import access

NEEDS = "needs"
"""The name of the attribute of a route that holds the permissions, of which one is needed."""

PUBLIC: frozenset[Permission] = frozenset()
"""What a route needs that anybody may ask."""


_GOOD_KEYS = (
    "on the server's machine, `penstock token` prints its owner's key and `penstock api-key create` makes others; "
    "elsewhere, PENSTOCK_API_KEY is one of these"
)


class Admission:
    """Lets nobody in who may not. ``public`` are the route objects that need no credential."""

    def __init__(self, context: Context, public: Iterable[HTTPRouteHandler]) -> None:
        self._context = context
        self._public = {id(each.fn) for each in public}

    def check(self, app: Litestar) -> None:
        """Raise when a route does not say what it needs: better no server than one with a hole."""
        for route in app.routes:
            for handler in getattr(route, "route_handlers", [getattr(route, "route_handler", None)]):
                if not isinstance(handler, HTTPRouteHandler) or handler.http_methods == {"OPTIONS"}:
                    continue
                if not handler.opt.get(NEEDS) and not self._is_public(handler):
                    raise errors.PenstockError(f"A route has no permission: `{route.path}`")

    async def guard(self, connection: ASGIConnection[Any, Any, Any, Any], route: BaseRouteHandler) -> None:
        """Raise `NotAllowed` unless whoever asks may take this route."""
        if self._is_public(route):
            return
        principal = await self._principal(connection)
        needs: frozenset[Permission] = route.opt.get(NEEDS, PUBLIC)
        if not principal.may(needs):
            raise errors.NotAllowed(
                f"That needs the permission {' or '.join(sorted(needs)) or 'of nobody'}",
                hint=f"whoever asks is {principal.name}; `penstock api-key create` makes keys that may do more",
            )
        connection.scope["user"] = principal

    def _is_public(self, route: BaseRouteHandler) -> bool:
        return id(route.fn) in self._public

    async def _principal(self, connection: ASGIConnection[Any, Any, Any, Any]) -> Principal:
        given = connection.headers.getall("authorization", [])
        if not given and self._context.sessions.is_good(connection.headers.get("cookie", "")):
            return OWNER
        if len(given) != 1:
            raise NotKnown(
                "The request came without a key",
                hint=f"send `Authorization: Bearer KEY`; {_GOOD_KEYS}",
            )
        scheme, _, key = given[0].partition(" ")
        principal = await self._principal_of(key.strip()) if scheme.lower() == "bearer" else None
        if principal is None:
            raise NotKnown("The key that came with the request is not good", hint=_GOOD_KEYS)
        return principal

    async def _principal_of(self, key: str) -> Principal | None:
        if hmac.compare_digest(key.encode(), self._context.token.encode()):
            return OWNER
        if not key.startswith(("psk_", "prk_")):
            return None
        return await self._context.in_thread(access.principal_of, self._context.store, key)


def asker(request: Request[Any, Any, Any]) -> Principal:
    """Who was let in with this request."""
    principal: Principal = request.scope["user"]
    return principal
