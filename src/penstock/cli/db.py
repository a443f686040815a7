"""``penstock db``: the database of this home."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from penstock import errors
from penstock.cli import arguments, humanize, output, table, tree
from penstock.cli.output import AS_FITS, OutputOptions
from penstock.cli.session import Here
from penstock.cli.table import Cell
from penstock.core.operations.flow_runs import Pruned, PruneFlowRuns
from penstock.journal.folder import JournalFolder
from penstock.orchestration import backup as backups
from penstock.orchestration import fsck, moving, overview
from penstock.orchestration.mending import Mended
from penstock.orchestration.moving import Upgrade
from penstock.orchestration.taking_over import Taken
from penstock.settings import shown as shown_setting

app = tree.group("db", "The database: upgrade, move, prune, back up, restore, rebuild.")


@app.command
def status(*, out: OutputOptions = AS_FITS, here: Here) -> None:
    """Show where the database is, how large it is, and what is in it."""
    settings = here.settings
    with here.home() as home:
        with home.reading() as tx:
            flows = overview.flows(tx)
            schema = int(tx.meta.value("schema_version") or 0)
        waiting = sum(1 for _ in JournalFolder(settings.journals).run_ids())
        values = {
            "home": str(settings.home),
            "database": settings.where,
            "size": home.size(),
            "schema": schema,
            "flows": len(flows),
            "runs": sum(flow.runs for flow in flows),
            "runs_with_journals": waiting,
            "kept_by_another_process": home.caught_up is None,
        }
    rows = [
        ("home", Cell(str(settings.home))),
        ("database", Cell(f"{settings.where}, {humanize.size(int(values['size']))}")),
        ("schema", Cell(str(schema))),
        ("runs", Cell(f"{values['runs']:,} of {humanize.counted(len(flows), 'flow')}")),
        ("journals", Cell(f"of {humanize.counted(waiting, 'run')}")),
    ]
    if home.caught_up is None:
        rows.append(("kept by", Cell("another process")))
    output.show_one(here, out, values, lambda: table.pairs(here.terminal, rows))


@app.command
def upgrade(*, dry_run: arguments.DryRun = False, here: Here) -> None:
    """Bring the tables of an older version up to date; make them where there are none.

    SQLite keeps a copy from before beside the database. In Postgres, servers of the version before go
    on meanwhile.
    """
    done = moving.upgrade(here.settings, here.clock, dry_run=dry_run)
    would = "would be" if dry_run else "were"
    told = {
        Upgrade.NOTHING: "The tables are up to date",
        Upgrade.MADE: f"The tables {would} made",
        Upgrade.UPGRADED: f"The tables {would} brought up to date",
    }
    here.terminal.say(f"{told[done]}: `{here.settings.where}`")


@app.command
def move(
    *,
    to: Annotated[
        str,
        Parameter(
            metavar="URL",
            help="A database without a store: `postgresql://user:password@host/name`, or\n`sqlite:///` and a path.",
        ),
    ],
    yes: arguments.Yes = False,
    here: Here,
) -> None:
    """Copy everything, history included, into another database, and check that all of it is there.

    The database that it comes from stays as it is; nobody may be writing it meanwhile. Result files
    and journals stay in the home.
    """
    terminal = here.terminal
    shown = shown_setting("database_url", to)
    terminal.confirm(f"Copy everything in `{here.settings.where}` to `{shown}`?", yes=yes)
    with here.home() as home:
        moved = moving.move(home, to, tell=lambda table, rows: terminal.detail(f"{table}: {rows:,} rows"))
    rows = sum(moved.rows.values())
    terminal.say(f"{humanize.counted(rows, 'row')} were copied to `{moved.to}`")
    if not moved.report.is_clean:
        for problem in moved.report.problems:
            terminal.warn(problem.message)
        raise errors.StoreError(
            f"{humanize.counted(len(moved.report.problems), 'problem')} were found in the copy: `{moved.to}`",
            hint="`penstock fsck` says whether they are in the original, too",
        )
    terminal.hint(f"from now on, let PENSTOCK_DATABASE_URL be: `{moved.to}`")


@app.command
def prune(
    *,
    older_than: Annotated[
        str | None,
        Parameter(metavar="SPAN", help="Runs that ended longer ago than this, as in `30d`; PENSTOCK_RETENTION_DAYS."),
    ] = None,
    keep: Annotated[
        int | None,
        Parameter(help="The newest so many stay at most; PENSTOCK_RETENTION_RUNS.", validator=arguments.between(0)),
    ] = None,
    yes: arguments.Yes = False,
    dry_run: arguments.DryRun = False,
    here: Here,
) -> None:
    """Forget old runs, and delete result files and cache entries that nothing needs any more.

    Runs that have not ended are never touched.
    """
    days = None if older_than is None else humanize.span(older_than) / 86400
    terminal = here.terminal
    wanted = PruneFlowRuns(older_than_days=days, keep=keep)
    doomed = here.ask(msgspec.structs.replace(wanted, dry_run=True))
    if not any((doomed.runs, doomed.result_files, doomed.cache_entries, doomed.leftovers)):
        terminal.say(f"There is nothing to forget or delete; {humanize.counted(doomed.runs_kept, 'run')} stay")
        return
    if dry_run:
        terminal.say(_told(doomed))
        return
    if not yes:
        terminal.confirm(f"{_told(doomed)}. Do it?", yes=False)
    runs = 0
    while True:
        done = here.ask(wanted)
        runs += done.runs
        if done.is_complete:
            break
        terminal.detail(f"Forgot {humanize.counted(runs, 'run')} so far")
    terminal.say(_told(msgspec.structs.replace(done, runs=runs)))


@app.command
def backup(
    file: Annotated[Path, Parameter(metavar="FILE", help="Where to; it must not be there yet.")], /, *, here: Here
) -> None:
    """Copy the database to a file, while others go on using it.

    The folders `journals` and `results` of the home are not in it: copy them too.
    """
    with here.home() as home:
        size = backups.backup(home, file)
    here.terminal.write(str(file))
    here.terminal.say(f"{humanize.size(size)} were written")


@app.command
def restore(
    file: Annotated[Path, Parameter(metavar="FILE", help="What `penstock db backup` wrote.")],
    /,
    *,
    yes: arguments.Yes = False,
    dry_run: arguments.DryRun = False,
    here: Here,
) -> None:
    """Put a backup in the place of the database, then fold what the journals say beyond it.

    The database that is there now is kept beside it.
    """
    terminal = here.terminal
    if not file.is_file():
        raise errors.UsageError(f"There is no such file: `{file}`", hint="`penstock db backup FILE` writes one")
    if dry_run:
        terminal.say(f"`{file}` would take the place of `{here.settings.where}`")
        return
    terminal.confirm(f"Put `{file}` in the place of `{here.settings.where}`?", yes=yes)
    with here.home() as home:
        restored = backups.restore(home, file)
    if restored.before is not None:
        terminal.say(f"What was there is in `{restored.before}`")


@app.command
def rebuild(*, dry_run: arguments.DryRun = False, here: Here) -> None:
    """Make the database's tables anew from the journals that it keeps.

    A damaged database is replaced by one with all that can be read of it, deployments, keys and what waits for
    workers included, and moved aside. Runs that have lost what they were to execute get it anew from their
    deployment, or end.
    """
    terminal = here.terminal
    if dry_run:
        terminal.say(f"The tables of `{here.settings.where}` would be made anew")
        return
    # Not opened by here.home(): a damaged database could not be caught up with first.
    from penstock.orchestration import local  # noqa: PLC0415  as above

    with local.open_home(here.settings, here.clock, write=False) as home:
        rebuilt = fsck.rebuild(home)
    made = f"{humanize.counted(rebuilt.runs, 'run')} of {humanize.counted(rebuilt.records, 'record')}"
    terminal.say(f"Made anew: {made}")
    if rows := [_counted(each.table, each.rows) for each in rebuilt.taken if each.rows]:
        terminal.say(f"Taken over: {', '.join(rows)}")
    for told in _mended(rebuilt.mended):
        terminal.say(told)
    if rebuilt.set_aside is not None:
        terminal.warn(f"The database was damaged; it lies in `{rebuilt.set_aside}`")
    if rebuilt.taken and all(each.more and not each.rows for each in rebuilt.taken):
        terminal.warn("Nothing could be read of it: deployments, schedules, keys and folded runs are lost")
        return
    lost = [each for each in rebuilt.taken if each.lost or each.more]
    for each in lost:
        terminal.warn(_lost(each))
    if lost:
        terminal.hint("`penstock fsck` says what deployments and runs need that is not there any more")


def _counted(table: str, count: int) -> str:
    one, many = _CALLED[table]
    return humanize.counted(count, one, many)


def _lost(taken: Taken) -> str:
    if taken.more:
        many = _CALLED[taken.table][1]
        return f"Some {many} could not be read, and are lost; nobody knows how many"
    verb = "is" if taken.lost == 1 else "are"
    return f"{_counted(taken.table, taken.lost)} could not be read, and {verb} lost"


def _mended(mended: Mended) -> list[str]:
    told = (
        (
            mended.told_again,
            "1 run is known again by what it is to execute, and goes on",
            "{:,} runs are known again by what they are to execute, and go on",
        ),
        (
            mended.set_up_again,
            "1 run had lost what it is to execute: it goes on as its deployment is now",
            "{:,} runs had lost what they are to execute: they go on as their deployments are now",
        ),
        (
            mended.ended,
            "1 run was ended: how it had ended, or what it was to execute, is lost",
            "{:,} runs were ended: how they had ended, or what they were to execute, is lost",
        ),
        (
            mended.schedules,
            "1 schedule had been lost: it is as its deployment says",
            "{:,} schedules had been lost: they are as their deployments say",
        ),
    )
    return [one if count == 1 else many.format(count) for count, one, many in told if count]


_CALLED = {
    "journal_segment": ("piece of a journal", "pieces of journals"),
    "meta": ("note on the store", "notes on the store"),
    "deployment": ("deployment", "deployments"),
    "schedule": ("schedule", "schedules"),
    "slot": ("scheduled time", "scheduled times"),
    "work_pool": ("work pool", "work pools"),
    "work_queue": ("work queue", "work queues"),
    "worker": ("worker", "workers"),
    "work": ("job for workers", "jobs for workers"),
    "deployment_key": ("idempotency key", "idempotency keys"),
    "concurrency_limit": ("concurrency limit", "concurrency limits"),
    "slot_booking": ("booking of slots", "bookings of slots"),
    "rate_bucket": ("rate in use", "rates in use"),
    "run_elsewhere": ("sign of a run elsewhere", "signs of runs elsewhere"),
    "deleted_run": ("note of a deleted run", "notes of deleted runs"),
    "api_key": ("API key", "API keys"),
    "kept_answer": ("kept answer", "kept answers"),
    "kept_file": ("bundle of code", "bundles of code"),
    "kept_file_part": ("part of a bundle", "parts of bundles"),
}
"""What is taken over, as people call it."""


def _told(pruned: Pruned) -> str:
    forgot, kept, deleted = (
        ("Would forget", "keep", "would delete") if pruned.dry_run else ("Forgot", "kept", "deleted")
    )
    files = f"{humanize.counted(pruned.result_files, 'result file')} ({humanize.size(pruned.result_bytes)})"
    entries = humanize.counted(pruned.cache_entries, "cache entry", "cache entries")
    leftovers = humanize.counted(pruned.leftovers, "leftover file")
    runs = humanize.counted(pruned.runs, "run")
    return f"{forgot} {runs} and {kept} {pruned.runs_kept:,}; {deleted} {files}, {entries} and {leftovers}"
