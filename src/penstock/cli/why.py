"""``penstock flow-run why`` and ``task-run why``: an explanation, as sentences or as reasons."""

from __future__ import annotations

import msgspec

from penstock.cli import output
from penstock.cli.arguments import FlowRun, TaskRun
from penstock.cli.output import AS_FITS, OutputOptions
from penstock.cli.session import Here, Session
from penstock.cli.terminal import clean
from penstock.core.operations.flow_runs import ExplainFlowRun
from penstock.core.operations.task_runs import ExplainTaskRun
from penstock.core.runs import Explanation


def flow_run(run: FlowRun, /, *, out: OutputOptions = AS_FITS, here: Here) -> None:
    """Say why a run is in its state: what failed first, what waits for what, what a resume would do."""
    _show(here, out, here.ask(ExplainFlowRun(run=run)))


def task_run(task_run: TaskRun, /, *, out: OutputOptions = AS_FITS, here: Here) -> None:
    """Say why a task run is in its state: its tries, what it waited for, what replay and cache answered."""
    _show(here, out, here.ask(ExplainTaskRun(task_run=task_run)))


def _show(session: Session, options: OutputOptions, explanation: Explanation) -> None:
    if options.format in {"json", "jsonl", "csv"}:
        reasons = [options.only(msgspec.structs.asdict(reason)) for reason in explanation.reasons]
        output.write_all(session, options.format, reasons)
        return
    for sentence in explanation.sentences:
        session.terminal.write(clean(sentence))
