"""`serve`: deployments that are executed by the process that made them, for as long as it lives."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Iterator
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from penstock import errors
from penstock.client.connection import HttpServer
from penstock.clock import time_of_day
from penstock.core.deployments import LocalFolder
from penstock.core.operations.deployments import PauseDeployment
from penstock.core.operations.work_pools import CreateWorkPool, ListWorkers
from penstock.sdk import connect, loading
from penstock.sdk.deployments import Deployment, Prepared
from penstock.sdk.runs import environment
from penstock.worker.echo import Echo
from penstock.worker.worker import WARNING, Teller, Wanted, Worker, attended

if TYPE_CHECKING:
    from penstock.core import deployments as core
    from penstock.core import work

POOL = "serve"
"""The work pool of all that is served: workers of other pools leave its runs alone."""


def serve(
    *deployments: Deployment,
    pause_on_shutdown: bool = True,
    limit: int | None = None,
    print_starting_message: bool = True,
) -> None:
    """Deploy these, and execute their runs in processes of this one, until it is told to stop.

    ``penstock.serve(a.to_deployment("x", cron="0 6 * * *"), b.to_deployment("y"))``. The code stays in this folder, and
    each run imports the flow's file anew. ``limit`` is how many runs are executed at once. At the end, by Ctrl-C or
    SIGTERM, runs under way are interrupted, to go on when they are served again; and schedules are paused meanwhile,
    unless ``pause_on_shutdown`` is False. A deployment of that name which was something else is told of, and so is
    another process that serves it.

    Raises `ServerUnreachable` where no server is running, `UsageError` while a flow's file is imported by others.
    """
    if not deployments:
        raise errors.UsageError("There is nothing to serve", hint="give deployments: `my_flow.to_deployment(…)`")
    if loading.is_under_way():
        raise errors.UsageError(
            "A flow's file serves its flows when it is imported", hint='do so in `if __name__ == "__main__":`'
        )
    here = environment()
    server = HttpServer(here.settings, here.clock)
    orchestrator = connect.orchestrator(here.settings, here.clock)
    _provide_pool(server)
    prepared = [_prepared(each, orchestrator, is_active=pause_on_shutdown) for each in deployments]
    others = server.ask(ListWorkers(pool=POOL))
    taken_over = [told for each in prepared for told in _taken_over(each, others)]
    served = [each.apply().deployment for each in prepared]
    echo = Echo(sys.stdout)
    teller = Teller(
        lambda level, part, text: echo.write(f"{time_of_day(here.clock.now())} | {level:<7} | {part} - {text}"),
        echo.write,
        lambda: echo.write(_message(served)) if print_starting_message else None,
    )
    for told in taken_over:
        teller.say(WARNING, "penstock.serve", told)
    queues = tuple(each.spec.work_queue for each in served)
    wanted = Wanted(POOL, f"serve-{platform.node()}-{os.getpid()}", queues, limit=limit)
    worker = Worker(wanted, server, here.settings, time=here.clock, teller=teller, part="penstock.serve")
    try:
        with attended(worker):
            worker.run()
    finally:
        if pause_on_shutdown:
            _pause(orchestrator, served, echo)
        orchestrator.close()
        echo.close()


def _provide_pool(server: HttpServer) -> None:
    try:
        server.ask(CreateWorkPool(name=POOL, description="Runs of deployments that are served by their own processes"))
    except errors.AlreadyExists:
        return


def _prepared(deployment: Deployment, orchestrator: Any, *, is_active: bool) -> Prepared:
    deployment.work_pool_name = POOL
    deployment.work_queue_name = _queue_of(f"{deployment.flow_name}/{deployment.name}")
    if deployment.is_schedule_active is None and is_active:
        deployment.is_schedule_active = True  # it was paused when it was served last
    return deployment.prepare(orchestrator)


def _taken_over(prepared: Prepared, others: list[work.Worker]) -> Iterator[str]:
    """What somebody may be surprised by who knows the deployment already."""
    before, spec = prepared.before, prepared.spec
    if before is None:
        return
    if (before.entrypoint, before.code, before.work_pool) != (spec.entrypoint, spec.code, spec.work_pool):
        folder = f" in `{before.code.path}`" if isinstance(before.code, LocalFolder) else ""
        yield (
            f"Deployment '{spec.full_name}' was there already, of `{before.entrypoint}`{folder}, "
            f"for workers of the pool `{before.work_pool}`: from now on it is as it is served here"
        )
    for each in others:
        if each.status == "online" and spec.work_queue in each.queues:
            told = f"is served by worker `{each.name}` as well: each run goes to one of them"
            yield f"Deployment '{spec.full_name}' {told}"


def _queue_of(full_name: str) -> str:
    """A queue for one deployment, whose name may hold what names of queues cannot."""
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", full_name).strip("-._")[:60]
    return f"{readable or 'flow'}-{blake2b(full_name.encode(), digest_size=4).hexdigest()}"


def _message(served: list[core.Deployment]) -> str:
    if len(served) == 1:
        (one,) = served
        return (
            f"Your flow '{one.flow_name}' is being served and polling for scheduled runs!\n\n"
            "To trigger a run for this flow, use the following command:\n\n"
            f"        $ penstock deployment run '{one.full_name}'\n"
        )
    names = "\n".join(f"        {each.full_name}" for each in served)
    return (
        f"Your deployments are being served and polling for scheduled runs!\n\n{names}\n\n"
        "To trigger any of these deployments, use the following command:\n\n"
        "        $ penstock deployment run [DEPLOYMENT_NAME]\n"
    )


def _pause(orchestrator: Any, served: list[core.Deployment], echo: Echo) -> None:
    for each in served:
        if not each.schedules:
            continue
        try:
            orchestrator.ask(PauseDeployment(deployment=each.id))
        except errors.PenstockError as error:
            echo.write(f"The schedules of '{each.full_name}' could not be paused: {error.message}")
        else:
            echo.write(f"Paused the schedules of '{each.full_name}': they make runs again when it is served again")
