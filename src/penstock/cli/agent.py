"""``penstock agent``: a worker by the name that Prefect 2 has for it."""

from __future__ import annotations

import platform
from typing import Annotated

from cyclopts import Parameter

from penstock import errors
from penstock.cli import tree
from penstock.cli.session import Here
from penstock.core.deployments import DEFAULT_POOL

app = tree.group("agent", "A worker, by the name that Prefect 2 has for it.")


@app.command
def start(
    queue: Annotated[
        str | None, Parameter(metavar="QUEUE", help="A work queue; `-q` is the way to name several.")
    ] = None,
    /,
    *,
    work_queue: Annotated[
        tuple[str, ...], Parameter(name=("-q", "--work-queue"), negative=(), help="Take runs of this work queue.")
    ] = (),
    match: Annotated[
        tuple[str, ...],
        Parameter(name=("-m", "--match"), metavar="PREFIX", negative=(), help="And of all whose names begin so."),
    ] = (),
    pool: Annotated[str, Parameter(name=("-p", "--pool"), help="The work pool that they are of.")] = DEFAULT_POOL,
    tag: Annotated[
        tuple[str, ...], Parameter(name=("-t", "--tag"), negative=(), help="Of old: refused, and says what to do.")
    ] = (),
    limit: Annotated[
        int | None, Parameter(name=("-l", "--limit"), help="Execute at most so many runs at once.")
    ] = None,
    run_once: Annotated[bool, Parameter(help="Take what is due now, see it through, and stop.")] = False,
    hide_welcome: Annotated[bool, Parameter(help="Do not print what is printed at the start.")] = False,
    api: Annotated[str | None, Parameter(metavar="URL", help="The API of the server; PENSTOCK_API_URL.")] = None,
    here: Here,
) -> None:
    """Start an agent, which executes the runs of work queues until it is told to stop.

    Queues that do not exist are made. Ctrl-C lets runs be interrupted, to go on elsewhere; a second one does not wait.
    """
    from penstock.cli import working  # noqa: PLC0415  the other commands need none of it
    from penstock.worker.worker import Wanted  # noqa: PLC0415  as above

    if tag:
        raise errors.UsageError(
            f"Runs are taken from work queues, not by their tags: `{'`, `'.join(tag)}`",
            hint="give the deployment a work queue (`-q NAME` when it is built), and start with `-q NAME`",
        )
    queues = (*work_queue, *((queue,) if queue else ()))
    if queue:
        here.terminal.say(
            "An agent serves several work queues: name them with `-q`, as in "
            f"`penstock agent start -q {queue}`, and not without"
        )
    if not queues and not match:
        raise NoQueues("No work queues provided!", hint="name one: `penstock agent start -q default`")
    named = working.listed(queues, match)
    wanted = Wanted(pool, f"agent-{platform.node()}", queues, match, limit, run_once)
    started = f"Agent started! Looking for work from queue(s): {named}..."
    working.work(here, "agent", wanted, api=api, started=started, hide_welcome=hide_welcome)


class NoQueues(errors.UsageError):
    """An agent was not told which queues to serve."""

    exit_code = 1
