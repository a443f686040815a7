"""A route for each operation of `core.operations`, all made in one way."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from litestar import Request, Response
from litestar.handlers import HTTPRouteHandler

from penstock.api.admission import NEEDS, asker
from penstock.api.bodies import json_of
from penstock.api.context import Context
from penstock.api.counts import WAITS
from penstock.api.waiting import ClientGone, until_not_empty
from penstock.core import operations, wire
from penstock.core.access import Permission
from penstock.core.operations import Operation
from penstock.orchestration import asking
from penstock.orchestration.asking import Answer

MAX_BYTES = 10 << 20
"""The largest body that is taken."""


OF_RUNS = frozenset({"get_flow_run", "retry_flow_run", "run_deployment"})
"""What others may ask in general, and a run of what it has made."""


def routes(context: Context) -> list[HTTPRouteHandler]:
    """Every operation's route."""
    return [route(context, operation) for operation in operations.every()]


def route(context: Context, operation: Operation) -> HTTPRouteHandler:
    """The route of one operation, below ``/api``."""

    async def answer(request: Request[Any, Any, Any]) -> Response[bytes]:
        asked = await _asked(request, operation)
        key = request.headers.get("idempotency-key")

        async def ask() -> Answer:
            by = asker(request)
            return await context.in_thread(asking.answer, context.store, asked, by=by, key=key, home=context.home)

        return _response(await _patiently(context, request, asked, ask))

    path = operation.path
    for name in operation.path_fields:
        path = path.replace(f"{{{name}}}", f"{{{name}:str}}")
    return HTTPRouteHandler(
        path,
        http_method=operation.method,
        name=operation.name,
        status_code=HTTPStatus.OK,
        opt={NEEDS: needs(operation), WAITS: "wait_seconds" in operation.request.__struct_fields__},
        request_max_body_size=MAX_BYTES,
    )(answer)


def needs(operation: Operation) -> frozenset[Permission]:
    """The permissions of which one is needed. What runs may ask of their own, `orchestration.access` narrows."""
    also = {Permission.RUN} if operation.name in OF_RUNS else set[Permission]()
    return frozenset({operation.permission, *also})


async def _asked(request: Request[Any, Any, Any], operation: Operation) -> operations.Request[Any]:
    path: dict[str, str] = request.path_params
    if wire.has_body(operation):
        return wire.from_body(operation, path, await json_of(request))
    return wire.from_query(operation, path, list(request.query_params.multi_items()))


async def _patiently(
    context: Context,
    request: Request[Any, Any, Any],
    asked: operations.Request[Any],
    ask: Callable[[], Awaitable[Answer]],
) -> bytes:
    """Ask, and wait for an answer that says something where the request wants that."""
    topic = asked.topic()
    seconds: float = getattr(asked, "wait_seconds", 0)
    if topic is None or seconds <= 0:
        return (await ask()).body
    body = b"[]"

    async def something() -> bytes:
        nonlocal body
        answer = await ask()
        body = answer.body
        return b"" if answer.says_nothing else body

    with suppress(ClientGone):
        await until_not_empty(something, wakes=context.wakes, topic=topic, seconds=seconds, receive=request.receive)
    return body


def _response(body: bytes) -> Response[bytes]:
    if not body:
        return Response(b"", status_code=HTTPStatus.NO_CONTENT)
    return Response(body, media_type="application/json")
