"""``penstock deployment``: look at deployments, run them, and their schedules."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from penstock import clock, errors, settings
from penstock.core import parameters
from penstock.core.deployments import DeploymentSpec, LocalFolder, ScheduleSpec
from penstock.core.operations import work as of_work
from penstock.core.operations.deployments import ApplyDeployment
from penstock.core.operations.flow_runs import CancelFlowRun, FollowFlowRun, ListFlowRuns
from penstock.core.schedules import Cron
from penstock.orchestration.local_orchestrator import LocalOrchestrator
from penstock.sdk import connect

Call = Callable[..., Any]

NAME = "etl-parent-flow/Parameterized ETL"


def etl(months: list[int] = [1, 2], year: int = 2021, color: str = "yellow") -> None: ...  # noqa: B006  as people write it


SCHEMA = parameters.schema(parameters.Signature.of(etl))


@pytest.fixture
def ask(home: Path, still: clock.Clock) -> Callable[[Any], Any]:
    return lambda request: connect.orchestrator(settings.load(), still).ask(request)


@pytest.fixture
def deploy(ask: Call) -> Call:
    """``deploy("name")`` makes a deployment."""

    def deploy(name: str = "Parameterized ETL", *schedules: ScheduleSpec, **options: Any) -> str:
        spec = DeploymentSpec(
            name=name,
            flow_name="etl-parent-flow",
            entrypoint="parameterized_flow.py:etl_parent_flow",
            code=LocalFolder("/flows"),
            parameter_schema=SCHEMA,
            schedules=schedules,
            **options,
        )
        return ask(ApplyDeployment(spec=spec)).deployment.id

    return deploy


UNSERVED = "no server runs here, so no worker hears of the run: `penstock server start` starts one"

DAILY = ScheduleSpec(schedule=Cron("0 6 * * *", "Europe/Berlin"))


# ── run ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_run_is_created_and_told_as_prefect_tells_it(penstock: Call, deploy: Call, ask: Call):
    deploy(parameters={"color": "green"})

    ran = penstock("deployment", "run", NAME, "-p", "months=[1, 2, 3, 4]")

    (made,) = ask(ListFlowRuns()).items
    assert ran.code == 0
    assert ran.out == (
        f"Creating flow run for deployment '{NAME}'...\n"
        f"Created flow run '{made.name}'.\n"
        f"└── UUID: {made.id}\n"
        "└── Parameters: {'color': 'green', 'months': [1, 2, 3, 4]}\n"
        "└── Scheduled start time: 2025-11-23 13:00:00 CET (now)\n"
    )
    assert ran.err == f"hint: {UNSERVED}\n"


def test_only_what_is_given_or_stored_is_recorded(penstock: Call, deploy: Call, ask: Call):
    deploy()

    penstock("deployment", "run", NAME, "--params", '{"year": 2019}', "-p", "color=5")

    assert ask(ListFlowRuns()).items[0].parameters == {"year": 2019, "color": "5"}


def test_an_unknown_parameter_is_refused_with_those_that_there_are(penstock: Call, deploy: Call):
    deploy()

    ran = penstock("deployment", "run", NAME, "-p", "mnths=1")

    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        "error: The deployment's flow has no parameter: `mnths`\n"
        "hint: did you mean `months`? Its parameters are: `months`, `year`, `color`\n"
    )
    unlike = penstock("deployment", "run", NAME, "-p", "zzz=1")
    assert unlike.err.endswith("hint: its parameters are: `months`, `year`, `color`\n")


def test_a_value_of_the_infrastructure_without_a_name_is_refused_by_its_own_option(penstock: Call, deploy: Call):
    deploy()

    ran = penstock("deployment", "run", NAME, "-jv", "working_dir")

    assert ran.code == 2
    assert ran.err == (
        "error: Not a job variable: `working_dir`\n"
        "hint: write `--job-variable name=value`; the value is JSON or a text\n"
    )


def test_a_value_that_does_not_fit_is_refused_before_anything_runs(penstock: Call, deploy: Call, ask: Call):
    deploy()

    ran = penstock("deployment", "run", NAME, "-p", "year=last")

    assert ran.code == 2
    assert (
        'error: The parameters do not fit the flow `etl-parent-flow`: `year` should be a whole number, not: `"last"`'
        in ran.err
    )
    assert ask(ListFlowRuns()).items == []


@pytest.mark.parametrize(
    ("options", "due_at", "told"),
    [
        (("--in", "90min"), 1_763_904_600_000_000, "2025-11-23 14:30:00 CET (in 1 h 30 min)"),
        (("--start-in", "2 hours"), 1_763_906_400_000_000, "2025-11-23 15:00:00 CET (in 2 h)"),
        (("--at", "2025-11-24T06:00"), 1_763_960_400_000_000, "2025-11-24 06:00:00 CET (in 17 h)"),
        (("--start-at", "2025-11-24T06:00Z"), 1_763_964_000_000_000, "2025-11-24 07:00:00 CET (in 18 h)"),
    ],
)
def test_it_starts_at_a_time_or_after_one(
    penstock: Call, deploy: Call, ask: Call, options: tuple[str, str], due_at: int, told: str
):
    deploy()

    ran = penstock("deployment", "run", NAME, *options)

    assert ask(ListFlowRuns()).items[0].due_at == due_at
    assert ran.out.splitlines()[-1] == f"└── Scheduled start time: {told}"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--in", "soon"), "Not a length of time: `soon`"),
        (("--at", "noon"), "Not a time: `noon`"),
        (("--at", "2025-11-24", "--in", "1h"), "`--at` and `--in` exclude each other"),
        (("--params", "nothing.json"), "There is no file of parameters: `nothing.json`"),
    ],
)
def test_what_cannot_be_is_refused(penstock: Call, deploy: Call, options: tuple[str, ...], told: str):
    deploy()

    ran = penstock("deployment", "run", NAME, *options)

    assert ran.code == 2
    assert told in ran.err


def test_an_unknown_deployment_is_told_with_what_may_be_meant(penstock: Call, deploy: Call):
    deploy()

    ran = penstock("deployment", "run", "etl-parent-flow/Parametrized ETL")

    assert ran.code == 3
    assert f"hint: did you mean `{NAME}`?" in ran.err


def test_it_is_named_by_its_id_as_well(penstock: Call, deploy: Call):
    identity = deploy()

    assert penstock("deployment", "run", "--id", identity).code == 0
    assert penstock("deployment", "run", identity).code == 0
    assert penstock("deployment", "run").code == 2
    assert penstock("deployment", "run", NAME, "--id", identity).code == 2


def test_scripts_get_the_id_or_all_fields(penstock: Call, deploy: Call, ask: Call):
    deploy()

    quiet = penstock("-q", "deployment", "run", NAME, "--idempotency-key", "once")
    fields = penstock("deployment", "run", NAME, "--idempotency-key", "once", "-t", "adhoc", "--json", "id,state_name")

    (made,) = ask(ListFlowRuns()).items
    assert quiet.out == f"{made.id}\n"
    assert json.loads(fields.out) == {"id": made.id, "state_name": "Scheduled"}


def test_a_rehearsal_checks_and_creates_nothing(penstock: Call, deploy: Call, ask: Call):
    deploy()

    assert (
        penstock("deployment", "run", NAME, "--dry-run", "-p", "year=1").err
        == f"Deployment '{NAME}' would run with year=1\n"
    )
    assert penstock("deployment", "run", NAME, "--dry-run", "-p", "year=x").code == 2
    assert ask(ListFlowRuns()).items == []


# ── watch ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_watching_prints_the_log_and_exits_as_the_run_ends(
    penstock: Call, deploy: Call, ask: Call, still: Any, home: Path, journals: Any
):
    deploy()

    def claim() -> of_work.Claim:
        ask(of_work.RegisterWorker(id="w", name="w", pool="default"))
        return ask(of_work.ClaimFlowRuns(worker_id="w", pool="default"))[0]

    def execute() -> None:
        claimed = claim()
        journals.run(
            "x",
            run_id=claimed.run_id,
            flow="etl-parent-flow",
            attempt=claimed.attempt,
            began=0,
            logs=((20, "pre: missing passenger count: 3"), (40, "it broke")),
            state="FAILED",
            message="ValueError: broken",
        )

    still.meanwhile = [execute]
    ran = penstock("deployment", "run", NAME, "--watch")

    assert ran.code == 1
    assert ran.out.splitlines()[-2:] == [
        "13:00:00.000 | INFO    | pre: missing passenger count: 3",
        "13:00:01.000 | ERROR   | it broke",
    ]
    assert ran.err == f"hint: {UNSERVED}\nerror: The flow run is Failed: ValueError: broken\n"


def test_watching_a_run_without_a_worker_says_so(penstock: Call, deploy: Call, ask: Call, still: Any):
    deploy()
    still.meanwhile = [lambda: None] * 26 + [lambda: ask(CancelFlowRun(run=ask(ListFlowRuns()).items[0].id))]

    ran = penstock("deployment", "run", NAME, "--watch")

    assert ran.code == 1
    assert ran.err.count(f"hint: {UNSERVED}\n") == 1
    assert "hint: no worker serves the pool `default`: `penstock worker start -p 'default'` starts one" in ran.err
    assert "error: The flow run is Cancelled: Cancelled by a user" in ran.err


def test_a_server_that_is_away_meanwhile_is_waited_for(
    penstock: Call, deploy: Call, ask: Call, still: Any, monkeypatch: pytest.MonkeyPatch
):
    deploy()
    answers = iter([True, False, False])
    real = LocalOrchestrator.ask

    def ask_now(self: LocalOrchestrator, request: Any) -> Any:
        if isinstance(request, FollowFlowRun) and not next(answers, True):
            raise errors.ServerUnreachable("The server cannot be reached")
        return real(self, request)

    monkeypatch.setattr(LocalOrchestrator, "ask", ask_now)
    cancel = lambda: ask(CancelFlowRun(run=ask(ListFlowRuns()).items[0].id))  # noqa: E731  what happens meanwhile
    still.meanwhile = [lambda: None, lambda: None, cancel]

    ran = penstock("deployment", "run", NAME, "--watch")

    assert ran.err.count("warning: The server cannot be reached. Waiting for it to come back") == 1
    assert "error: The flow run is Cancelled" in ran.err


def test_ctrl_c_ends_the_watching_and_not_the_run(penstock: Call, deploy: Call, ask: Call, still: Any):
    def interrupt() -> None:
        raise KeyboardInterrupt

    deploy()
    still.meanwhile = [interrupt]

    ran = penstock("deployment", "run", NAME, "--watch")

    assert ran.code == 130
    assert "hint: the run goes on: `penstock flow-run cancel" in ran.err
    assert not ask(ListFlowRuns()).items[0].is_final


# ── looking ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_deployments_are_listed(penstock: Call, deploy: Call):
    assert penstock("deployment", "ls", tty=True).err == (
        "There are no deployments yet\nhint: `penstock deployment build FILE:FLOW -n NAME --apply` makes one\n"
    )
    identity = deploy("a", DAILY)
    deploy("b", tags=("nightly",), paused=True)

    assert penstock("deployment", "ls").out.splitlines()[0] == (
        "etl-parent-flow/a\tAt 06:00 every day, Europe/Berlin\t2025-11-24T05:00:00.000000Z\tdefault/default\t"
        + identity
    )
    assert "b" in penstock("deployment", "ls", "--tag", "nightly", "--json", "name,paused").out
    assert penstock("deployment", "ls", "--flow", "x", tty=True).err == "There are no deployments like that\n"
    assert [each["name"] for each in json.loads(penstock("deployment", "ls", "-o", "json").out)] == ["a", "b"]
    assert (
        penstock("deployment", "ls", "-n", "1", tty=True).err == "hint: these are the first 1; `--limit` shows more\n"
    )


def test_on_a_narrow_terminal_name_schedule_and_next_run_stay_whole(penstock: Call, deploy: Call):
    deploy("a", DAILY)

    assert penstock("deployment", "ls", tty=True, columns=80).out == (
        "NAME               SCHEDULE                           NEXT RUN\n"
        "etl-parent-flow/a  At 06:00 every day, Europe/Berlin  2025-11-24 06:00:00 CET\n"
    )


def test_a_deployment_is_shown(penstock: Call, deploy: Call):
    deploy(
        "a", DAILY, parameters={"year": 2020}, infrastructure={"env": {"A": "b"}}, concurrency_limit=1, on_crash="fail"
    )

    ran = penstock("deployment", "inspect", "etl-parent-flow/a", tty=True)

    for line in (
        "parameters      year = 2020",
        "takes           months, year, color",
        "runs at once    1",
        "code            /flows",
    ):
        assert line in ran.out
    assert "default  At 06:00 every day, Europe/Berlin; next: 2025-11-24 06:00:00 CET" in ran.out
    assert json.loads(penstock("deployment", "inspect", "etl-parent-flow/a", "-o", "json").out)["infrastructure"] == {
        "env": {"A": "b"}
    }


# ── changing ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("pause", "resume"), [("pause", "resume"), ("pause-schedule", "resume-schedule")])
def test_schedules_are_paused_and_resumed(penstock: Call, deploy: Call, pause: str, resume: str):
    deploy("a", DAILY)

    assert (
        penstock("deployment", pause, "etl-parent-flow/a").out == "Paused schedule for deployment etl-parent-flow/a\n"
    )
    assert "paused" in penstock("deployment", "ls").out
    assert (
        penstock("deployment", resume, "etl-parent-flow/a").out == "Resumed schedule for deployment etl-parent-flow/a\n"
    )
    assert "paused" not in penstock("deployment", "ls").out


def test_of_a_paused_deployment_no_next_run_is_told_and_how_to_resume_it_is(penstock: Call, deploy: Call):
    deploy("a", DAILY)
    penstock("deployment", "pause", "etl-parent-flow/a")
    schedule = ("deployment", "schedule")
    resumes = "hint: the deployment is paused: `penstock deployment resume 'etl-parent-flow/a'`\n"

    assert "etl-parent-flow/a\tpaused\t\tdefault/default" in penstock("deployment", "ls").out
    assert "next:" not in penstock("deployment", "inspect", "etl-parent-flow/a").out
    assert resumes in penstock(*schedule, "create", "etl-parent-flow/a", "--cron", "0 7 * * *").err
    assert resumes in penstock(*schedule, "resume", "etl-parent-flow/a", "default").err

    penstock("deployment", "resume", "etl-parent-flow/a")
    assert "next:" in penstock("deployment", "inspect", "etl-parent-flow/a").out
    assert resumes not in penstock(*schedule, "resume", "etl-parent-flow/a", "default").err


def test_a_schedule_is_set_instead_of_those_that_there_are(penstock: Call, deploy: Call):
    deploy("a", DAILY)

    ran = penstock("deployment", "set-schedule", "etl-parent-flow/a", "--interval", "3600", "--timezone", "UTC")

    assert (ran.code, ran.out) == (0, "Updated deployment schedule!\n")
    assert penstock("deployment", "schedule", "ls", "etl-parent-flow/a").out.startswith(
        "default\tEvery hour, counted from"
    )
    assert penstock("deployment", "set-schedule", "etl-parent-flow/a", "--no-schedule").code == 0
    assert penstock("deployment", "schedule", "ls", "etl-parent-flow/a").out == ""


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((), "A deployment is given one schedule"),
        (("--cron", "0 6 * * *", "--interval", "60"), "Only one schedule can be given"),
        (("--cron", "61 * * * *"), "`61 * * * *`"),
        (("--cron", "0 6 * * *", "--timezone", "Mars/Base"), "`Mars/Base`"),
        (("--rrule", "FREQ=SOMETIMES"), "SOMETIMES"),
        (("--interval", "often"), "Not a length of time: `often`"),
        (("--interval", "60", "--anchor-date", "then"), "Not a date: `then`"),
        (("--cron", "0 6 * * *", "--anchor-date", "2026-01-01"), "An anchor date is of an interval"),
        (("--timezone", "UTC"), "A time zone needs a schedule"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(penstock: Call, deploy: Call, options: tuple[str, ...], told: str):
    deploy("a", DAILY)

    ran = penstock("deployment", "set-schedule", "etl-parent-flow/a", *options)

    assert ran.code == 2
    assert told in ran.err
    assert penstock("deployment", "schedule", "ls", "etl-parent-flow/a").out.startswith("default\tAt 06:00")


def test_schedules_are_added_paused_and_deleted_one_by_one(penstock: Call, deploy: Call):
    deploy("a", DAILY)
    schedule = ("deployment", "schedule")
    name = "etl-parent-flow/a"

    assert (
        penstock(*schedule, "create", name, "--cron", "0 7 * * *").out == "Created deployment schedule 'default-2'!\n"
    )
    assert (
        penstock(
            *schedule, "create", name, "--cron", "0 8 * * *", "--name", "late", "-p", "year=1", "--overlap", "skip"
        ).code
        == 0
    )
    assert penstock(*schedule, "create", name, "--cron", "0 8 * * *", "-p", "yeer=1").code == 2
    assert penstock(*schedule, "create", name).code == 2
    assert penstock(*schedule, "pause", name, "late").out == f"Paused schedule 'late' for deployment {name}\n"
    assert penstock(*schedule, "ls", name, "--json", "name,paused").out.count("true") == 1
    assert penstock(*schedule, "resume", name, "late").code == 0
    assert penstock(*schedule, "delete", name, "late", "--dry-run").err == "Schedule 'late' would be deleted\n"
    assert penstock(*schedule, "delete", name, "late").out == "Deleted deployment schedule 'late'\n"
    assert penstock(*schedule, "delete", name, "late").code == 3
    assert penstock(*schedule, "clear", name).code == 2
    assert penstock(*schedule, "clear", name, "-y").out == f"Cleared all schedules for deployment {name}\n"
    assert penstock(*schedule, "ls", name, tty=True).err == "The deployment has no schedules\n"


def test_the_next_times_are_shown_in_both_zones(penstock: Call, deploy: Call):
    deploy("a", DAILY, ScheduleSpec(name="weekly", schedule=Cron("0 0 * * SUN")))

    ran = penstock("deployment", "schedule", "preview", "etl-parent-flow/a", "-n", "2", "-o", "table")

    assert ran.out.splitlines()[1:] == [
        "default   2025-11-24 06:00:00+01:00 Europe/Berlin  2025-11-24 05:00:00  in 17 h",
        "default   2025-11-25 06:00:00+01:00 Europe/Berlin  2025-11-25 05:00:00  in 1 d 17 h",
    ]
    only = penstock("deployment", "schedule", "preview", "etl-parent-flow/a", "--schedule", "weekly", "-n", "1")
    assert only.out == "weekly\t2025-11-30T00:00:00+00:00\t2025-11-30T00:00:00.000000Z\tUTC\n"
    assert (
        penstock("deployment", "schedule", "history", "etl-parent-flow/a", tty=True).err
        == "No scheduled time has come yet\n"
    )


def test_a_deployment_is_deleted(penstock: Call, deploy: Call):
    identity = deploy("a")
    deploy("b")

    assert penstock("deployment", "delete", "etl-parent-flow/a", "--dry-run").code == 0
    assert penstock("deployment", "delete", "--id", identity).out == "Deleted deployment 'etl-parent-flow/a'.\n"
    assert penstock("deployment", "delete", "etl-parent-flow/a").code == 3
    assert penstock("deployment", "ls", "--json", "name").out.count("name") == 1
