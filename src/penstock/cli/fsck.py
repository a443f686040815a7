"""``penstock fsck``: does the database say what the journals say?"""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from penstock.cli import humanize, output, table
from penstock.cli.exit_codes import FAILURE, OK
from penstock.cli.output import AS_FITS, OutputOptions
from penstock.cli.session import Here
from penstock.cli.table import Cell
from penstock.orchestration import fsck as use_cases


def fsck(
    *,
    quick: Annotated[bool, Parameter(help="Do not read the files of results.")] = False,
    out: OutputOptions = AS_FITS,
    here: Here,
) -> int:
    """Check that the database says what the journals say, and that nothing is damaged.

    Folds every journal again, out of sight, and compares; checks checksums, and the files of results. Changes
    nothing. Prints what is wrong; exits with 1 if anything is.
    """
    with here.home() as home:
        report = use_cases.fsck(home, results=not quick)
    terminal = here.terminal
    if out.format in {"json", "jsonl", "csv"}:
        output.write_all(here, out.format, [out.only(each._asdict()) for each in report.problems])
    else:
        for each in report.problems:
            terminal.write(table.plain([[Cell(each.kind), Cell(each.message)]]))
    checked = (
        f"Checked {humanize.counted(report.runs, 'run')}, {humanize.counted(report.records, 'record')} "
        f"and {humanize.counted(report.result_files, 'result file')}"
    )
    if report.is_clean:
        terminal.say(f"{checked}: nothing is wrong")
        return OK
    terminal.say(f"{checked}: {humanize.counted(len(report.problems), 'problem')}")
    for hint in dict.fromkeys(each.hint for each in report.problems if each.hint):
        terminal.hint(hint)
    return FAILURE
