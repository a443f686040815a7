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
    aliases: tuple[str, ...] = ()
    """Other names, which people know from elsewhere."""


COMMANDS = (
    Command(
        "quickstart", "penstock.cli.quickstart:quickstart", "Start a server and a worker, and let them run a real ETL."
    ),
    Command("init", "penstock.cli.init:init", "Start a project: write a flow that runs, to make your own out of."),
    Command("run", "penstock.cli.run:run", "Run a flow of a file, here and now."),
    Command(
        "deploy",
        "penstock.cli.deploy:deploy",
        "Let the server know the deployments of `penstock.yaml`, whatever it knew of them.",
    ),
    Command(
        "deployment",
        "penstock.cli.deployment:app",
        "Deployments: flows that the server knows, and when and where they run.",
    ),
    Command("flow", "penstock.cli.flow:app", "Flows that have run."),
    Command(
        "flow-run",
        "penstock.cli.flow_run:app",
        "Runs of flows: look at them, watch, cancel, retry, resume, rerun, fork, delete.",
    ),
    Command("task-run", "penstock.cli.task_run:app", "Runs of tasks, and why they ran or did not."),
    Command("artifact", "penstock.cli.artifact:app", "What runs have published: tables, markdown, links."),
    Command("event", "penstock.cli.event:app", "What happened to runs, and what their code has told."),
    Command("server", "penstock.cli.server:app", "The server: it schedules runs, hands them to workers and answers."),
    Command("orion", "penstock.cli.orion:app", "The server, by the name that Prefect 2 has for it."),
    Command(
        "ui",
        "penstock.cli.ui:ui",
        "Let a browser in at the server: print a link that is good once, for a minute, and on a terminal open it.",
    ),
    Command(
        "open",
        "penstock.cli.ui:open_",
        "Print a link to a run or a deployment that lets a browser in, and on a terminal open it.",
    ),
    Command(
        "api",
        "penstock.cli.api:api",
        "Send a request to the server, with the key that this machine has, and print what it answers.",
    ),
    Command(
        "token",
        "penstock.cli.token:token",
        "Print the key with which the owner of this home asks its server; it opens everything.",
    ),
    Command(
        "api-key", "penstock.cli.api_key:app", "Keys with which others than the owner of this home ask the server."
    ),
    Command("work-pool", "penstock.cli.work_pool:app", "Work pools: where runs of deployments wait for workers."),
    Command("work-queue", "penstock.cli.work_queue:app", "Work queues: lanes of work pools, some before others."),
    Command(
        "concurrency-limit",
        "penstock.cli.concurrency_limit:app",
        "Limits of what goes on at once: of code that names them, and of tasks by tag.",
        ("global-concurrency-limit", "gcl"),
    ),
    Command("worker", "penstock.cli.worker:app", "Workers: processes that execute runs of deployments."),
    Command("agent", "penstock.cli.agent:app", "A worker, by the name that Prefect 2 has for it."),
    Command("db", "penstock.cli.db:app", "The database: upgrade, move, prune, back up, restore, rebuild."),
    Command(
        "fsck",
        "penstock.cli.fsck:fsck",
        "Check that the database says what the journals say, and that nothing is damaged.",
    ),
    Command("doctor", "penstock.cli.doctor:doctor", "Check that this installation and its home are in order."),
    Command("config", "penstock.cli.config:app", "The settings in force, and changes to them."),
    Command("profile", "penstock.cli.profile:app", "Profiles: sets of settings, one of which is active."),
    Command("version", "penstock.cli.version:version", "Print the version."),
    Command(
        "--install-completion",
        "penstock.cli.completion:install",
        "Let the shell complete commands, options and names of runs.",
    ),
)


FLOW_RUN = (
    Command(
        "inspect",
        "penstock.cli.flow_run_inspect:inspect",
        "Show a run: its state, attempts, times, parameters, task runs, failures, artifacts, and how to go on.",
    ),
    Command(
        "why",
        "penstock.cli.why:flow_run",
        "Say why a run is in its state: what failed first, what waits for what, what a resume would do.",
    ),
    Command("logs", "penstock.cli.flow_run_logs:logs", "Print the log of a run and of its subflow runs."),
    Command(
        "watch",
        "penstock.cli.flow_run_watch:watch",
        "Watch a run until it has ended: what it says on stdout, what becomes of it on stderr.",
    ),
    Command(
        "cancel",
        "penstock.cli.flow_run_control:cancel",
        "Cancel runs: those that wait at once, and those under way by ending their processes.",
    ),
    Command(
        "retry",
        "penstock.cli.flow_run_control:retry",
        "Let a deployment's run that has ended, and not completed, go on where it stopped, on any worker.",
    ),
    Command(
        "set-state", "penstock.cli.flow_run_control:set_state", "Give a run that nobody executes another final state."
    ),
    Command(
        "resume",
        "penstock.cli.flow_run_again:resume",
        "Go on with a run that was interrupted or failed, where it ended, or that waits to be resumed.",
    ),
    Command(
        "pause",
        "penstock.cli.flow_run_pauses:pause",
        "Let no new task of a run start until it is resumed. Tasks under way end; its process waits.",
    ),
    Command(
        "suspend",
        "penstock.cli.flow_run_pauses:suspend",
        "End the process of a run, which goes on where it stopped, with any worker, when it is resumed.",
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
        "ship",
        "penstock.cli.flow_run_ship:ship",
        "Send what runs started by hand on this machine have recorded, and the server has not got yet.",
    ),
    Command(
        "delete",
        "penstock.cli.flow_run_delete:delete",
        "Delete runs, with their subflow runs, logs, artifacts, and results that no other run uses.",
    ),
)

DEPLOYMENT = (
    Command(
        "build", "penstock.cli.deployment_build:build", "Write the file of a deployment, to be edited and applied."
    ),
    Command(
        "apply",
        "penstock.cli.deployment_build:apply",
        "Let the server know the deployments of files, whatever it knew of them.",
    ),
    Command("run", "penstock.cli.deployment_run:run", "Create a run of a deployment, to start now or later."),
    Command("schedule", "penstock.cli.deployment_schedule:app", "The schedules of a deployment, and when they come."),
)

TASK_RUN = (
    Command(
        "why",
        "penstock.cli.why:task_run",
        "Say why a task run is in its state: its tries, what it waited for, what replay and cache answered.",
    ),
)

BELOW = {"penstock": COMMANDS, "deployment": DEPLOYMENT, "flow-run": FLOW_RUN, "task-run": TASK_RUN}
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
        app.command(command.where, name=(command.name, *command.aliases))
    return app
