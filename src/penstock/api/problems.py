"""Errors over HTTP: problem details (RFC 9457), from which `client` makes the same errors again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, InternalServerException

from penstock import errors

MEDIA_TYPE = "application/problem+json"

_log = logging.getLogger("penstock.server")


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong (RFC 9457)."""

    type: str
    """The name of the error's class in `penstock.errors`."""
    title: str
    status: int
    detail: str
    """What happened, and to what."""
    hint: str | None = None
    """What to do about it."""


class Refused(errors.UsageError):
    """HTTP was used in a way that this server does not take."""

    def __init__(
        self, status: HTTPStatus, message: str, *, hint: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.headers = headers or {}


class NotKnown(errors.NotAllowed):
    """No credential came with the request, or one that is not good."""


_STATUSES: tuple[tuple[type[errors.PenstockError], HTTPStatus], ...] = (
    (NotKnown, HTTPStatus.UNAUTHORIZED),
    (errors.NotAllowed, HTTPStatus.FORBIDDEN),
    (errors.NotFound, HTTPStatus.NOT_FOUND),
    (errors.UsageError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (errors.CorruptJournal, HTTPStatus.UNPROCESSABLE_ENTITY),
    (errors.ForeignJournal, HTTPStatus.UNPROCESSABLE_ENTITY),
    (errors.StorageFull, HTTPStatus.INSUFFICIENT_STORAGE),
    (errors.ImpossibleValue, HTTPStatus.INTERNAL_SERVER_ERROR),
    (errors.StoreError, HTTPStatus.SERVICE_UNAVAILABLE),
    (errors.JournalError, HTTPStatus.SERVICE_UNAVAILABLE),
    (errors.ServerFailed, HTTPStatus.INTERNAL_SERVER_ERROR),
    (errors.PenstockError, HTTPStatus.CONFLICT),
)
"""The first that fits counts."""


def status_of(error: errors.PenstockError) -> HTTPStatus:
    """The status that tells this error."""
    if isinstance(error, Refused):
        return error.status
    return next(status for kind, status in _STATUSES if isinstance(error, kind))


def problem_of(error: errors.PenstockError) -> tuple[Problem, dict[str, str]]:
    """The error as a body, and the headers that belong to it."""
    status = status_of(error)
    headers = dict(error.headers) if isinstance(error, Refused) else {}
    if status is HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    elif status is HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = "0" if isinstance(error, errors.StoreBehind) else "1"
    name = next(kind.__name__ for kind in type(error).__mro__ if kind.__module__ == errors.__name__)
    problem = Problem(type=name, title=status.phrase, status=status, detail=error.message, hint=error.hint)
    return problem, headers


def answering(new_id: Callable[[], str]) -> Callable[[Request[Any, Any, Any], Exception], Response[bytes]]:
    """The one function that makes answers of exceptions."""

    def answer(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
        told = error if isinstance(error, errors.PenstockError) else _told(request, error, new_id)
        problem, headers = problem_of(told)
        return Response(
            msgspec.json.encode(problem), status_code=problem.status, headers=headers, media_type=MEDIA_TYPE
        )

    return answer


def _where_there_is_something(request: Request[Any, Any, Any]) -> str:
    if request.scope["path"].startswith("/api/"):
        return "`/docs` lists what there is"
    return "the API's addresses begin with `/api`, as PENSTOCK_API_URL is to end; `/docs` lists what there is"


def _told(request: Request[Any, Any, Any], error: Exception, new_id: Callable[[], str]) -> errors.PenstockError:
    if isinstance(error, HTTPException) and error.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
        status = HTTPStatus(error.status_code)
        if status is HTTPStatus.NOT_FOUND:
            return errors.NotFound("There is nothing at this address", hint=_where_there_is_something(request))
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            allowed = (error.headers or {}).get("allow", "")
            return Refused(status, f"{request.method} is not for this address", headers={"Allow": allowed})
        if status is HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            most = request.route_handler.resolve_request_max_body_size()
            hint = f"at most {most:,} bytes come at once here; large data belongs in files" if most else None
            return Refused(status, "The body is too large", hint=hint)
        return Refused(status, error.detail or status.phrase)
    if isinstance(error, InternalServerException) and "disconnected" in error.detail:
        return Refused(HTTPStatus.BAD_REQUEST, "The client went away before all of the body had come")
    # Not who asked, but the operator needs to know where: the log has it, under a name that both can see.
    name = new_id()
    _log.error("Failed at %s %s (%s)", request.method, request.scope["path"], name, exc_info=error)
    return errors.ServerFailed("The server failed at this", hint=f"its log says more, under `{name}`; please report it")
