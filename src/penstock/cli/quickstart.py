"""``penstock quickstart``: a server, a worker, and a real ETL that they run, from download to report."""

from __future__ import annotations

import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import Annotated, Any, NamedTuple

from cyclopts import Parameter

from penstock import errors
from penstock.cli import flow_run_watch, humanize, table
from penstock.cli.background import PAUSE_SECONDS, Background
from penstock.cli.exit_codes import OK
from penstock.cli.session import Here, Session
from penstock.cli.table import Cell
from penstock.client.home_server import HomeServer
from penstock.core.operations.deployments import RunDeployment
from penstock.core.operations.flow_runs import CancelFlowRun, GetFlowRun, ListFlowRuns
from penstock.core.operations.task_runs import CountTaskRuns
from penstock.core.runs import FlowRun
from penstock.engine.results import ResultStore
from penstock.sdk import entrypoints
from penstock.sdk.deployments import Deployment

FLOW = Path(__file__).parents[1] / "examples" / "taxi_etl.py"

YEAR, MONTH = 2020, 4
"""A month in which New York stood still: its files are small."""

MADE_UP = "files that were made up and served by this machine,\nwith the columns and the dirt of the public ones"

REPORT = "trips-by-day-and-borough"
NEEDS = ("pandas", "pyarrow", "sqlalchemy")
DEPLOYMENT = "taxi-etl/quickstart"

CANCEL_SECONDS = 20.0
"""So long a run that was interrupted may take to end; then its worker is stopped all the same."""


class Made(NamedTuple):
    """What a run has made."""

    run: FlowRun
    loaded: list[dict[str, Any]]
    """What became of each file."""
    cached: int
    """How many downloads the cache knew."""


def quickstart(
    *,
    folder: Annotated[
        Path | None, Parameter(metavar="DIR", help="Where files go; without it, `quickstart` in the home.")
    ] = None,
    source: Annotated[
        str | None,
        Parameter(metavar="URL", help="Where the files of trips lie, or `made-up`; without it, the public ones."),
    ] = None,
    keep: Annotated[
        bool | None,
        Parameter(
            negative="--no-keep",
            help="Leave server and worker running, or stop them; without either, they stay on a terminal alone.",
        ),
    ] = None,
    here: Here,
) -> int:
    """Start a server and a worker, and let them run a real ETL.

    It loads a month of New York's taxi trips into Parquet files and an SQLite database, and reports on them. Where the
    public files cannot be reached, it makes up files like those. A server or worker that is there already is used, and
    left alone. Doing it again uses what was downloaded within the last day.
    """
    _refuse_without_its_needs()
    folder = (folder or here.settings.home / "quickstart").absolute()
    stays = here.terminal.out_is_tty if keep is None else keep
    with Background(here, stays=stays) as background:
        background.start()
        deployment = _deployment(folder, source)  # takes as long as the server needs to start
        server = background.ready()
        _tell_what_runs(here, background, server)
        run = here.ask(RunDeployment(deployment=deployment.apply_to(here.orchestrator).deployment.id))
        here.terminal.say(f"Flow run '{run.name}' of {DEPLOYMENT} loads a month of New York's taxi trips\n")
        code = _watch(here, run)
        if code != OK:
            here.terminal.hint(f"`{_program()} flow-run why {run.name}` says more")
            return code
        made = _made(here, run.id)
        background.keep()
    here.terminal.write("\n".join(["", *_made_rows(here, made, folder), "", *_next_rows(here, made, stays=stays)]))
    here.terminal.write("\n".join(["", *_running_rows(here, background, server, stays=stays)]))
    return OK


def _refuse_without_its_needs() -> None:
    missing = [name for name in NEEDS if find_spec(name) is None]
    if missing:
        raise errors.UsageError(
            f"The quickstart needs what is not installed: {', '.join(missing)}",
            hint="`pip install 'penstock[etl]'` installs it; in a copy of the source, `pip install '.[etl]'`",
        )


def _deployment(folder: Path, source: str | None) -> Deployment:
    """What is to run. Raises `FlowFileError` when what the flow needs is not installed."""
    parameters = {"months": [MONTH], "year": YEAR, "source": source, "folder": str(folder)}
    with entrypoints.loaded(f"{FLOW}:taxi_etl") as flow:
        return flow.to_deployment(
            DEPLOYMENT.partition("/")[2],
            path=FLOW.parent,
            entrypoint=f"{FLOW.name}:taxi_etl",
            parameters=parameters,
            concurrency_limit=1,  # two at once would write the same files
        )


def _tell_what_runs(here: Session, background: Background, server: HomeServer) -> None:
    say = here.terminal.say
    names = [each.name for each in background.started]
    if "server" in names:
        say(f"Started a server, at {server.api_url}, and a worker")
        return
    say(f"A server of this home runs already, at {server.api_url}")
    say("Started a worker" if names else "A worker runs already")


def _watch(here: Session, run: FlowRun) -> int:
    """Show what the run says; it is cancelled when somebody interrupts that."""
    try:
        return flow_run_watch.shown_to_its_end(here, run)
    except KeyboardInterrupt:
        here.terminal.say(f"Cancelling flow run '{run.name}'")
        with suppress(errors.PenstockError):
            here.ask(CancelFlowRun(run=run.id, by="penstock quickstart"))
            deadline = here.clock.elapsed() + CANCEL_SECONDS
            while not here.ask(GetFlowRun(run=run.id)).is_final and here.clock.elapsed() < deadline:
                here.clock.sleep(PAUSE_SECONDS)
        raise


def _made(here: Session, run_id: str) -> Made:
    run = here.ask(GetFlowRun(run=run_id))
    assert run.result is not None
    chosen = here.settings
    results = ResultStore(chosen.results, inline_max_bytes=chosen.results_inline_max_bytes, persist=True)
    months = tuple(each.id for each in here.ask(ListFlowRuns(parent=run.id)).items)
    counts = here.ask(CountTaskRuns(run=months))
    cached = sum(count.task_runs for count in counts if count.state_name == "Cached")
    return Made(run, results.load(run.result), cached)


# ── the page ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _made_rows(here: Session, made: Made, folder: Path) -> list[str]:
    before, after = (sum(each[when] for each in made.loaded) for when in ("trips_before", "trips_after"))
    files = humanize.counted(len(made.loaded), "file")
    source = made.loaded[0]["source"]
    of_cache = f"{files}, {made.cached} of them out of the cache: an earlier run downloaded them"
    rows = [
        ("run", Cell(made.run.name)),
        ("source", Cell(MADE_UP if source == "made-up" else source)),
        ("downloads", Cell(of_cache if made.cached else files)),
        ("trips", Cell(f"{before:,}; {before - after:,} that carried nobody were dropped, {after:,} loaded")),
        ("Parquet", Cell(_short(folder / "trips"))),
        ("database", Cell(f"{_short(folder / 'taxi.db')}, tables taxi_trips and taxi_zones")),
        ("the flow", Cell(_short(FLOW))),
    ]
    return _section(here, "What was made", rows)


def _next_rows(here: Session, made: Made, *, stays: bool) -> list[str]:
    penstock = _program()
    again = [("the same again", Cell(f"{penstock} deployment run {DEPLOYMENT} --watch"))]
    rows = [
        ("the report", Cell(f"{penstock} artifact inspect {REPORT}")),
        ("what it did", Cell(f"{penstock} flow-run inspect {made.run.name}")),
        ("what it said", Cell(f"{penstock} flow-run logs {made.run.name}")),
        *(again if stays else ()),
        ("your own flow", Cell(f"{penstock} init")),
    ]
    return _section(here, "What to look at next", rows)


def _running_rows(here: Session, background: Background, server: HomeServer, *, stays: bool) -> list[str]:
    penstock, ours = _program(), {each.name: each for each in background.started}
    if ours and not stays:
        begin = ("start both again", Cell(f"{penstock} server start --workers 1"))
        return _section(here, "What was started for this has been stopped", [begin])
    rows = [
        ("API", Cell(server.api_url)),
        ("its reference", Cell(f"{server.api_url.removesuffix('/api')}/docs")),
        *((f"log of the {each.name}", Cell(_short(each.log))) for each in ours.values()),
        ("stop both" if "server" in ours else "stop the server", Cell(f"{penstock} server stop")),
    ]
    if "worker" in ours:
        rows.append(("stop the worker", Cell(f"kill {ours['worker'].pid}")))
    return _section(here, "What goes on running", rows)


def _section(here: Session, title: str, rows: list[tuple[str, Cell]]) -> list[str]:
    return [here.terminal.paint(title, "bold"), table.pairs(here.terminal, rows, indent="  ")]


def _short(path: Path) -> str:
    """The path as a person would write it."""
    return f"~/{path.relative_to(Path.home())}" if path.is_relative_to(Path.home()) else str(path)


def _program() -> str:
    """What to type for this program: `penstock`, or its path where the shell would not find it by its name."""
    called = Path(sys.argv[0])
    found = which("penstock")
    if called.name != "penstock" or (found is not None and Path(found).resolve() == called.resolve()):
        return "penstock"
    return str(called)
