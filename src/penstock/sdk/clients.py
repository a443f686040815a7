"""`get_client`: asking whoever keeps deployments and runs, in the words that users of Prefect know."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Self, TypeVar, overload

from penstock.core.operations import Request
from penstock.core.operations.deployments import DeleteDeployment, GetDeployment, ListDeployments, RunDeployment
from penstock.core.operations.flow_runs import DeleteFlowRun, GetFlowRun, ListFlowRuns
from penstock.sdk import plain_json
from penstock.sdk.deployment_runs import MAX_BYTES
from penstock.sdk.event_loops import in_thread
from penstock.sdk.runs import environment

if TYPE_CHECKING:
    from penstock.core.ports import Orchestrator

R = TypeVar("R")


class Client:
    """What can be asked. What a method gives is of `penstock.core`: a deployment, a flow run, or a list of them."""

    def read_deployments(self, *, limit: int = 200) -> Any:
        """The first deployments, by flow and name; at most 200."""
        return self._answer(ListDeployments(limit=limit), _items)

    def read_deployment(self, deployment_id: str) -> Any:
        """The deployment of that id. Raises `NotFound`."""
        return self._answer(GetDeployment(deployment=str(deployment_id)))

    def read_deployment_by_name(self, name: str) -> Any:
        """The deployment ``flow/name``. Raises `NotFound`, with what may have been meant."""
        return self._answer(GetDeployment(deployment=name))

    def delete_deployment(self, deployment_id: str) -> Any:
        """Forget a deployment and its schedules; its runs that have not begun are cancelled."""
        return self._answer(DeleteDeployment(deployment=str(deployment_id)))

    def create_flow_run_from_deployment(
        self,
        deployment_id: str,
        *,
        parameters: Mapping[str, Any] | None = None,
        name: str | None = None,
        tags: Iterable[str] = (),
        idempotency_key: str | None = None,
    ) -> Any:
        """A new run of a deployment, for a worker. Raises `ParameterError` when its parameters do not fit."""
        plain = plain_json.of(dict(parameters or {}), "The parameters of a deployment's run", MAX_BYTES)
        request = RunDeployment(
            deployment=str(deployment_id),
            parameters=plain,
            name=name,
            tags=tuple(tags),
            idempotency_key=idempotency_key,
        )
        return self._answer(request)

    def read_flow_runs(self, *, limit: int = 200) -> Any:
        """The newest flow runs; at most 200."""
        return self._answer(ListFlowRuns(limit=limit), _items)

    def read_flow_run(self, flow_run_id: str) -> Any:
        """The flow run of that id. Raises `NotFound`."""
        return self._answer(GetFlowRun(run=str(flow_run_id)))

    def delete_flow_run(self, flow_run_id: str) -> Any:
        """Forget a run that has ended, with all that belongs to it."""
        return self._answer(DeleteFlowRun(run=str(flow_run_id)))

    def __getattr__(self, name: str) -> NoReturn:
        known = ", ".join(f"`{each}`" for each in dir(Client) if not each.startswith("_"))
        raise AttributeError(
            f"Penstock's client has no `{name}`. It has {known}; the HTTP API and the command line have the rest",
            name=name,
            obj=self,
        )

    def _answer(self, request: Request[Any], of: Callable[[Any], Any] = lambda answer: answer) -> Any:
        raise NotImplementedError

    @functools.cached_property
    def _orchestrator(self) -> Orchestrator:
        from penstock.sdk import connect  # noqa: PLC0415  keeps the client off the import path

        here = environment()
        return connect.orchestrator(here.settings, here.clock)


class SyncPenstockClient(Client):
    """A client for a ``with`` block, whose methods give their answers."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._orchestrator.close()

    def _answer(self, request: Request[Any], of: Callable[[Any], Any] = lambda answer: answer) -> Any:
        return of(self._orchestrator.ask(request))


class PenstockClient(Client):
    """A client for an ``async with`` block, whose methods are awaited; the event loop goes on meanwhile."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._orchestrator.close()

    async def _answer(self, request: Request[Any], of: Callable[[Any], Any] = lambda answer: answer) -> Any:
        return of(await in_thread(self._ask_and_close, request))

    def _ask_and_close(self, request: Request[R]) -> R:
        """In a thread that may never come here again."""
        try:
            return self._orchestrator.ask(request)
        finally:
            self._orchestrator.close()


@overload
def get_client(*, sync_client: Literal[False] = False) -> PenstockClient: ...


@overload
def get_client(*, sync_client: Literal[True]) -> SyncPenstockClient: ...


def get_client(*, sync_client: bool = False) -> PenstockClient | SyncPenstockClient:
    """Somebody to ask about deployments and flow runs: the server, or the home's own store where there is none.

    ``async with get_client() as client: await client.read_deployments()``; with ``sync_client=True``, the same without
    ``async`` and ``await``.
    """
    return SyncPenstockClient() if sync_client else PenstockClient()


def _items(page: Any) -> Any:
    return page.items
