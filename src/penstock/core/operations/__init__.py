"""What can be asked of Penstock: each request is a value, and says where the API has it and who may ask.

``orchestrator.ask(FlowRunById(id=…))`` gives a `FlowRun`, whether the orchestrator is this process with its own
store or a server: `orchestration.handlers` has the function behind each request, `api` makes a route of each, and
`client` sends it. A new capability is a request here and a function there.
"""

from __future__ import annotations

import re
from typing import Any, Generic, Literal, NamedTuple, TypeVar, get_args

import msgspec

from penstock import errors
from penstock.core.access import Permission

R = TypeVar("R")
A = TypeVar("A", bound="type[Request[Any]]")

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]


class Request(msgspec.Struct, Generic[R], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A question or a wish, whose answer is of type ``R``."""

    def topic(self) -> str | None:
        """With ``wait_seconds``: what wakes whoever waits for an answer that is not empty."""
        return None


class Operation(NamedTuple):
    """How a request travels: its method and path, and what asking it needs."""

    name: str
    """``claim_flow_runs``: also the name of the function that answers it."""
    noun: str
    """The module here, and the tag in the API's description."""
    request: type[Request[Any]]
    response: Any
    method: Method
    path: str
    """Below ``/api``; ``{name}`` is a field of the request."""
    permission: Permission
    is_idempotent: bool
    """Doing it twice is doing it once, so that no answer has to be kept for those who ask again."""

    @property
    def writes(self) -> bool:
        return self.method != "GET"

    @property
    def path_fields(self) -> tuple[str, ...]:
        return tuple(re.findall(r"{(\w+)}", self.path))


_OPERATIONS: dict[type[Request[Any]], Operation] = {}


def operation(method: Method, path: str, permission: Permission, *, is_idempotent: bool | None = None) -> Any:
    """Decorates a `Request`: the API has it at this method and path, for those with this permission.

    Fields that the path does not name are the query of a GET or DELETE, and the JSON body of others.
    """

    def declare(request: A) -> A:
        response = get_args(request.__orig_bases__[0])[0]  # pyright: ignore[reportAttributeAccessIssue]  a generic has them
        repeats = method in ("GET", "PUT", "DELETE") if is_idempotent is None else is_idempotent
        noun = request.__module__.rpartition(".")[2]
        name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", request.__name__).lower()
        _OPERATIONS[request] = Operation(name, noun, request, response, method, path, permission, repeats)
        return request

    return declare


def operation_of(request: Request[Any] | type[Request[Any]]) -> Operation:
    """How this request travels."""
    return _OPERATIONS[request if isinstance(request, type) else type(request)]


NOUNS = (
    "api_keys",
    "artifacts",
    "concurrency_limits",
    "deployments",
    "events",
    "flow_runs",
    "flows",
    "pauses",
    "runs_elsewhere",
    "task_runs",
    "work",
    "work_pools",
)
"""The modules here that declare requests."""


def every() -> list[Operation]:
    """All operations, by path. Imports the modules of all nouns."""
    from importlib import import_module  # noqa: PLC0415  who asks one thing needs one module

    for noun in NOUNS:
        import_module(f"penstock.core.operations.{noun}")
    return sorted(_OPERATIONS.values(), key=lambda each: (each.path, each.method))


class Page(msgspec.Struct, Generic[R], frozen=True, kw_only=True):
    """Some of a list, and where it goes on."""

    items: list[R]
    next: str | None = None
    """Hand it in as ``after`` for what follows; None at the end of the list."""

    def __bool__(self) -> bool:
        return bool(self.items)


MAX_ITEMS = 200
"""The longest page that may be asked for."""


def checked_limit(limit: int) -> int:
    """The limit of a page, if it can be. Raises `UsageError`."""
    if not 1 <= limit <= MAX_ITEMS:
        raise errors.UsageError(f"`limit` is 1 to {MAX_ITEMS}, not: `{limit}`")
    return limit
