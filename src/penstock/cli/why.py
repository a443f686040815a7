"""``penstock flow-run why`` and ``task-run why``: an explanation, as sentences or as reasons."""

from __future__ import annotations

from penstock.cli import output
from penstock.cli.arguments import FlowRun, TaskRun
from penstock.cli.output import AS_FITS, OutputOptions
from penstock.cli.session import Here, Session
from penstock.cli.terminal import clean
from penstock.orchestration import why
from penstock.orchestration.why import Explanation


def flow_run(run: FlowRun, /, *, out: OutputOptions = AS_FITS, here: Here) -> None:
    """Say why a run is in its state: what failed first, what waits for what, what a resume would do."""
    with here.asking() as tx:
        explanation = why.explain_flow_run(tx, run)
    _show(here, out, explanation)


def task_run(task_run: TaskRun, /, *, out: OutputOptions = AS_FITS, here: Here) -> None:
    """Say why a task run is in its state: its tries, what it waited for, what replay and cache answered."""
    with here.asking() as tx:
        explanation = why.explain_task_run(tx, task_run)
    _show(here, out, explanation)


def _show(session: Session, options: OutputOptions, explanation: Explanation) -> None:
    if options.format in {"json", "jsonl", "csv"}:
        reasons = [options.only(reason._asdict()) for reason in explanation.reasons]
        output.write_all(session, options.format, reasons)
        return
    for sentence in explanation.sentences:
        session.terminal.write(clean(sentence))
