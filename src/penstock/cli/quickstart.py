"""``penstock quickstart``: a real ETL, from download to report."""

from __future__ import annotations

import sys
from pathlib import Path
from shutil import which
from typing import Annotated, Any

from cyclopts import Parameter

from penstock.cli import entrypoints, humanize, running, table
from penstock.cli.exit_codes import OK
from penstock.cli.session import Here, Session
from penstock.cli.table import Cell
from penstock.core.runs import FlowRun
from penstock.core.states import State
from penstock.orchestration import overview

FLOW = Path(__file__).parents[1] / "examples" / "taxi_etl.py"

YEAR, MONTH = 2020, 4
"""A month in which New York stood still: its files are small."""

MADE_UP = "files that were made up and served by this machine, with the columns and the dirt of the public ones"

REPORT = "trips-by-day-and-borough"


def quickstart(
    *,
    folder: Annotated[
        Path | None, Parameter(metavar="DIR", help="Where files go; without it, `quickstart` in the home.")
    ] = None,
    source: Annotated[
        str | None,
        Parameter(metavar="URL", help="Where the files of trips lie, or `made-up`; without it, the public ones."),
    ] = None,
    here: Here,
) -> int:
    """Run a real ETL here, from download to report.

    Loads a month of New York's taxi trips into Parquet files and an SQLite database. Where the public files cannot be
    reached, it makes up files like those. Doing it again uses what was downloaded within the last day.
    """
    folder = (folder or here.settings.home / "quickstart").absolute()
    here.terminal.say(f"A flow loads a month of New York's taxi trips into {_short(folder)}\n")
    given = {"months": [MONTH], "year": YEAR, "source": source, "folder": folder}
    ended: list[State] = []

    def run() -> State:
        ended.append(flow(**given, return_state=True))
        return ended[0]

    with entrypoints.loaded(f"{FLOW}:taxi_etl") as flow:
        code = running.execute(here, run)
    if code == OK:
        here.terminal.write(_page(here, ended[0].result(), folder))
    return code


def _page(session: Session, loaded: list[dict[str, Any]], folder: Path) -> str:
    """What was made, and what to look at next."""
    run, cached = _run_and_what_it_had(session)
    terminal, penstock = session.terminal, _program()
    before, after = (sum(each[when] for each in loaded) for when in ("trips_before", "trips_after"))
    files = humanize.counted(len(loaded), "file")
    downloads = f"{files}, {cached} of them out of the cache: an earlier run downloaded them" if cached else files
    made = [
        ("run", Cell(run.name)),
        ("source", Cell(MADE_UP if loaded[0]["source"] == "made-up" else loaded[0]["source"])),
        ("downloads", Cell(downloads)),
        ("trips", Cell(f"{before:,}; {before - after:,} that carried nobody were dropped, {after:,} loaded")),
        ("Parquet", Cell(_short(folder / "trips"))),
        ("database", Cell(f"{_short(folder / 'taxi.db')}, tables taxi_trips and taxi_zones")),
        ("the flow", Cell(_short(FLOW))),
    ]
    following = [
        (f"{penstock} artifact inspect {REPORT}", Cell("trips and revenue by day and borough")),
        (f"{penstock} flow-run inspect {run.name}", Cell("what the run did")),
        (f"{penstock} flow-run logs {run.name}", Cell("what it said")),
        (f"{penstock} quickstart", Cell("again: what was downloaded is not downloaded again")),
        (f"{penstock} init", Cell("a flow of your own")),
    ]
    return "\n".join(
        [
            "",
            terminal.paint("What was made", "bold"),
            table.pairs(terminal, made, indent="  "),
            "",
            terminal.paint("What to look at next", "bold"),
            table.pairs(terminal, following, indent="  "),
        ]
    )


def _run_and_what_it_had(session: Session) -> tuple[FlowRun, int]:
    """The run of just now, and how many of its months' downloads the cache knew."""
    with session.asking() as tx:
        run = overview.flow_runs(tx, flow="taxi-etl", parent=None, limit=1).items[0]
        months = [each.id for each in overview.flow_runs(tx, parent=run.id).items]
        counts = [count for month in months for count in overview.state_counts(tx, month)]
    return run, sum(count.task_runs for count in counts if count.state_name == "Cached")


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
