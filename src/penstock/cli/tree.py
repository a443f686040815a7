"""The commands, by name. Each is imported when it is called, so that none pays for the others."""

from __future__ import annotations

from typing import NamedTuple

from cyclopts import App, Parameter

DEFAULTS = Parameter(negative=())
"""Of all parameters: a flag has no `--no-` twin."""

DESCRIPTION = "Plain Python workflows that survive `kill -9`: run them, watch them, resume them, ask them why."


class Command(NamedTuple):
    """A command, or a noun with commands of its own, and where it is."""

    name: str
    where: str
    help: str
    """The first sentence of its docstring, so that listing it does not import it."""


COMMANDS = (
    Command("quickstart", "penstock.cli.quickstart:quickstart", "Run a real ETL here, from download to report."),
    Command("init", "penstock.cli.init:init", "Start a project: write a flow that runs, to make your own out of."),
    Command("run", "penstock.cli.run:run", "Run a flow of a file, here and now."),
    Command("flow", "penstock.cli.flow:app", "Flows that have run."),
    Command(
        "flow-run", "penstock.cli.flow_run:app", "Runs of flows: look at them, ask why, resume, rerun, fork, delete."
    ),
    Command("task-run", "penstock.cli.task_run:app", "Runs of tasks, and why they ran or did not."),
    Command("artifact", "penstock.cli.artifact:app", "What runs have published: tables, markdown, links."),
    Command("db", "penstock.cli.db:app", "The database of this home: prune, back up, restore, rebuild."),
    Command(
        "fsck",
        "penstock.cli.fsck:fsck",
        "Check that the database says what the journals say, and that nothing is damaged.",
    ),
    Command("doctor", "penstock.cli.doctor:doctor", "Check that this installation and its home are in order."),
    Command("config", "penstock.cli.config:app", "The settings in force."),
    Command("version", "penstock.cli.version:version", "Print the version."),
    Command(
        "--install-completion",
        "penstock.cli.completion:install",
        "Let the shell complete commands, options and names of runs.",
    ),
)


FLOW_RUN = (
    Command(
        "why",
        "penstock.cli.why:flow_run",
        "Say why a run is in its state: what failed first, what waits for what, what a resume would do.",
    ),
    Command("logs", "penstock.cli.flow_run_logs:logs", "Print the log of a run and of its subflow runs."),
    Command(
        "resume",
        "penstock.cli.flow_run_again:resume",
        "Go on with a run that was interrupted or failed, where it ended.",
    ),
    Command(
        "rerun",
        "penstock.cli.flow_run_again:rerun",
        "Run again from a task on: that task, and every task that could have seen its result.",
    ),
    Command(
        "fork",
        "penstock.cli.flow_run_again:fork",
        "Begin a new run with the parameters of a past one, some of them changed.",
    ),
    Command(
        "delete",
        "penstock.cli.flow_run_delete:delete",
        "Delete runs, with their subflow runs, logs, artifacts, and results that no other run uses.",
    ),
)

TASK_RUN = (
    Command(
        "why",
        "penstock.cli.why:task_run",
        "Say why a task run is in its state: its tries, what it waited for, what replay and cache answered.",
    ),
)

BELOW = {"penstock": COMMANDS, "flow-run": FLOW_RUN, "task-run": TASK_RUN}
"""What is imported only when it is called; other commands are in the module of their noun."""


def build() -> App:
    """The whole command line."""
    return add_below(group("penstock", DESCRIPTION))


def group(name: str, help: str) -> App:  # noqa: A002  as cyclopts calls it
    """A noun: its commands are added to it with ``@app.command``."""
    return App(
        name=name,
        help=help,
        help_flags=("--help", "-h"),
        version_flags=(),
        default_parameter=DEFAULTS,
    )


def add_below(app: App) -> App:
    """Add the noun's commands that have modules of their own."""
    for command in BELOW[app.name[0]]:
        app.command(command.where, name=command.name)
    return app
