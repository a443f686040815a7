"""Where browsers are let in; see `sessions`."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any

from litestar import MediaType, Request, Response
from litestar.handlers import HTTPRouteHandler, get, post

from penstock.api import pages
from penstock.api.admission import NEEDS
from penstock.api.context import Context
from penstock.api.described import Raw
from penstock.api.sessions import CODE_SECONDS
from penstock.core.access import Permission
from penstock.orchestration import asking

_PATH = re.compile(r"/(?!/)[A-Za-z0-9/_.~%-]*")


def entrance(context: Context) -> HTTPRouteHandler:
    """Where a link leads."""

    @get("/login", name="login", media_type=MediaType.HTML)
    async def login(request: Request[Any, Any, Any]) -> Response[str]:
        code: str = request.query_params.get("code", "")
        if not context.sessions.is_code(code) or not await context.in_thread(asking.take_once, context.store, code):
            text = "This link was used already, or it is older than a minute. `penstock ui` makes another one."
            return Response(pages.message("Not this time", text), status_code=HTTPStatus.UNAUTHORIZED)
        # Not a redirect: a browser that came by a link from elsewhere would not send the cookie along.
        return Response(
            pages.forward(_place(request.query_params.get("to", "/"))),
            headers={"Set-Cookie": context.sessions.new_cookie()},
        )

    return login


def _place(to: str) -> str:
    """Where to go on to: a path of this server, whatever a link says."""
    return to if _PATH.fullmatch(to) else "/"


def routes(context: Context) -> list[HTTPRouteHandler]:
    """Below ``/api``: what makes a link."""

    @post("/login-codes", name="new_login_code", status_code=HTTPStatus.OK, opt={NEEDS: frozenset({Permission.ADMIN})})
    async def new_login_code() -> dict[str, Any]:
        return {"code": context.sessions.new_code(), "seconds": CODE_SECONDS}

    return [new_login_code]


DESCRIBED = (
    Raw(
        "post",
        "/api/login-codes",
        "new_login_code",
        "Make a code that lets a browser in at `/login?code=…`, once, within a minute.",
        tag="server",
        permissions=(Permission.ADMIN,),
        answer={
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {"code": {"type": "string"}, "seconds": {"type": "number"}},
                    "required": ["code", "seconds"],
                }
            }
        },
    ),
)
