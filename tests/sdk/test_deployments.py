"""`Deployment`: built from a flow, kept by whoever keeps deployments, written to a file and read back."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
import warnings
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from penstock import errors, flow
from penstock.core import deployments as core
from penstock.core.deployments import GitRepository, LocalFolder, ScheduleSpec
from penstock.core.operations.deployments import GetDeployment, PauseDeployment, PauseSchedule
from penstock.core.operations.work_pools import CreateWorkPool, ListWorkQueues
from penstock.core.schedules import Cron, Interval, RRule
from penstock.deployments import Deployment
from penstock.filesystems import GitHub, LocalFileSystem
from penstock.infrastructure.docker import DockerContainer
from penstock.infrastructure.process import Process
from penstock.orion.schemas.schedules import CronSchedule, IntervalSchedule, RRuleSchedule
from penstock.sdk import connect, entrypoints
from penstock.sdk.runs import environment

FLOWS = '''
from penstock import flow

@flow(version="v7")
def etl_parent_flow(months: list[int] = [1, 2], year: int = 2021, color: str = "yellow"):
    """Load some months."""

@flow
def needy(name: str): ...

def _hidden(): ...
renamed = flow(name="another name")(_hidden)
'''


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    (folder / "flows").mkdir(parents=True)
    (folder / "flows" / "parameterized_flow.py").write_text(FLOWS)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def flows(project: Path) -> Iterator[Any]:
    """The module with the flows."""
    spec = importlib.util.spec_from_file_location("parameterized_flow", project / "flows/parameterized_flow.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["parameterized_flow"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["parameterized_flow"]


@pytest.fixture
def ask(home: Path) -> Callable[[Any], Any]:
    here = environment()
    return lambda request: connect.orchestrator(here.settings, here.clock).ask(request)


@pytest.fixture
def kept(ask: Callable[[Any], Any]) -> Callable[[str], core.Deployment]:
    return lambda name: ask(GetDeployment(deployment=name))


NAME = "etl-parent-flow/nightly"


# ── building ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_flow_is_described_by_itself(flows: Any, project: Path):
    spec = Deployment.build_from_flow(flow=flows.etl_parent_flow, name="nightly").spec()

    assert spec.full_name == NAME
    assert (spec.version, spec.description) == ("v7", "Load some months.")
    assert spec.entrypoint == "flows/parameterized_flow.py:etl_parent_flow"
    assert spec.code == LocalFolder(str(project))
    assert spec.parameter_schema["properties"]["months"] == {
        "title": "months",
        "default": [1, 2],
        "position": 0,
        "type": "array",
        "items": {"type": "integer"},
    }
    assert spec.parameters == {}
    assert (spec.work_pool, spec.work_queue, spec.schedules) == ("default", "default", ())


def test_all_that_people_say_is_kept(flows: Any):
    spec = Deployment.build_from_flow(
        flow=flows.etl_parent_flow,
        name="nightly",
        parameters={"months": [1], "color": "green"},
        schedule=CronSchedule(cron="0 5 * * *", timezone="Europe/Berlin"),
        infrastructure=Process(env={"TZ": "UTC"}),
        infra_overrides={"env.LEVEL": "DEBUG", "working_dir": "/x"},
        work_queue_name="etl",
        work_pool_name="default",
        version="1",
        tags=["a", "b", "a"],
        description="",
        is_schedule_active=False,
        concurrency_limit=1,
        on_crash="fail",
        timeout_seconds=60,
        enforce_parameter_schema=False,
    ).spec()

    assert spec.parameters == {"months": [1], "color": "green"}
    assert spec.schedules == (ScheduleSpec(schedule=Cron("0 5 * * *", "Europe/Berlin")),)
    assert spec.infrastructure == {"env": {"TZ": "UTC", "LEVEL": "DEBUG"}, "working_dir": "/x"}
    assert (spec.work_queue, spec.version, spec.tags, spec.description) == ("etl", "1", ("a", "b"), "")
    assert (spec.paused, spec.concurrency_limit, spec.on_crash, spec.timeout_seconds) == (True, 1, "fail", 60)
    assert spec.enforce_parameter_schema is False


def test_schedules_go_by_the_names_that_people_know():
    from penstock.server.schemas.schedules import CronSchedule as Again

    assert Again is CronSchedule is Cron
    assert CronSchedule(cron="0 0 * * *", timezone=None) == Cron("0 0 * * *", "UTC")  # type: ignore[arg-type]  that is the test
    assert IntervalSchedule(interval=timedelta(minutes=10)) == Interval(timedelta(minutes=10))
    assert RRuleSchedule(rrule="FREQ=DAILY") == RRule("FREQ=DAILY")


def test_several_schedules_have_names_of_their_own(flows: Any):
    named = ScheduleSpec(name="late", schedule=Cron("0 22 * * *"), parameters={"year": 2020})
    spec = Deployment(
        "nightly", flow=flows.etl_parent_flow, schedules=[Cron("0 5 * * *"), named, {"interval": 3600}]
    ).spec()

    assert [each.name for each in spec.schedules] == ["default", "late", "default-2"]


@pytest.mark.parametrize(
    ("path", "entrypoint"),
    [
        (".", "flows/parameterized_flow.py"),
        ("flows", "parameterized_flow.py"),
        ("other", "../flows/parameterized_flow.py"),
    ],
)
def test_the_entrypoint_is_told_from_the_folder(flows: Any, path: str, entrypoint: str):
    assert Deployment("x", flow=flows.etl_parent_flow, path=path).entrypoint == f"{entrypoint}:etl_parent_flow"


def test_the_entrypoint_names_what_holds_the_flow(flows: Any):
    spec = Deployment("x", flow=flows.renamed).spec()

    assert spec.full_name == "another name/x"
    assert spec.entrypoint == "flows/parameterized_flow.py:renamed"


def test_the_code_may_be_in_a_repository_or_an_image(flows: Any):
    of_repository = Deployment(
        "x", flow=flows.etl_parent_flow, storage=GitHub("https://github.com/a/b", "main"), path="gcp"
    )
    of_image = Deployment("x", flow=flows.etl_parent_flow, infrastructure=DockerContainer(image="me/flows:1"))

    assert of_repository.spec().code == GitRepository("https://github.com/a/b", "main", "gcp")
    assert of_repository.entrypoint == "flows/parameterized_flow.py:etl_parent_flow"
    assert of_image.spec().code == LocalFolder("/opt/penstock/flows")
    assert of_image.spec().infrastructure == {"type": "docker-container", "image": "me/flows:1"}


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda f: Deployment.build_from_flow(flow=len, name="x"), "Not a flow: `<built-in function len>`"),  # type: ignore[arg-type]  that is the test
        (lambda f: Deployment("x").spec(), "It is not said which flow deployment `x` is of"),
        (lambda f: Deployment("x", flow_name="f").spec(), "give `flow=`, or `entrypoint=`"),
        (lambda f: Deployment("a/b", flow=f.needy).spec(), "A deployment's name is"),
        (lambda f: Deployment("x", flow=f.needy, schedule="0 5 * * *"), "Not a schedule: `'0 5 * * *'`"),
        (lambda f: Deployment("x", flow=f.needy, schedule={"cron": "61 * * * *"}), "61 * * * *"),
        (lambda f: Deployment("x", flow=f.needy, storage="s3://x").spec(), "Not a storage of code"),
        (lambda f: Deployment("x", flow=f.needy, parameters={"name": object()}).spec(), "has no form in JSON"),
        (lambda f: Deployment("x", flow=f.needy, infrastructure="docker"), "Not an infrastructure"),
        (
            lambda f: Deployment.build_from_flow(f.needy, "x", infra_overrides={"imgae": "x"}),
            "Infrastructure of type `process` has no field: `imgae`",
        ),
        (
            lambda f: Deployment.build_from_flow(f.etl_parent_flow, "x", parameters={"yeer": 1}),
            "The parameters of deployment `x` do not fit its flow: It has no parameter `yeer`; did you mean `year`?",
        ),
        (
            lambda f: Deployment.build_from_flow(
                f.etl_parent_flow, "x", schedules=[ScheduleSpec(schedule=Cron("0 5 * * *"), parameters={"year": "x"})]
            ),
            "`year` should be a whole number",
        ),
    ],
)
def test_what_cannot_be_is_refused(flows: Any, make: Callable[[Any], Any], told: str):
    with pytest.raises(errors.UsageError) as refused:
        make(flows)

    assert told in str(refused.value)


def test_a_flow_without_a_file_cannot_be_deployed():
    @flow
    def local() -> None: ...

    with pytest.raises(errors.UsageError, match="Flow `local` is in no file, so a worker could not load it"):
        Deployment("x", flow=local)


def test_an_option_that_does_not_exist_is_refused(flows: Any):
    with pytest.raises(TypeError, match="triggers"):
        Deployment("x", flow=flows.needy, triggers=[])  # type: ignore[call-arg]  that is the test


# ── applying ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_applying_makes_it_and_returns_its_id(flows: Any, kept: Any):
    identity = Deployment.build_from_flow(flow=flows.etl_parent_flow, name="nightly").apply()

    assert kept(NAME).id == identity
    assert Deployment("nightly", flow=flows.etl_parent_flow).apply() == identity


def test_async_code_may_await_all_of_it(flows: Any, kept: Any):
    async def main() -> str:
        deployment = Deployment.build_from_flow(flow=flows.etl_parent_flow, name="nightly")
        return await deployment.apply()

    assert asyncio.run(main()) == kept(NAME).id


def test_building_again_keeps_what_is_stored_unless_something_else_is_given(flows: Any, kept: Any):
    Deployment.build_from_flow(
        flow=flows.etl_parent_flow,
        name="nightly",
        parameters={"year": 2020},
        tags=["nightly"],
        schedule=Cron("0 5 * * *"),
        infrastructure=Process(env={"A": "1"}),
        work_queue_name="etl",
        concurrency_limit=2,
        apply=True,
    )

    Deployment.build_from_flow(
        flow=flows.etl_parent_flow, name="nightly", tags=["daily"], infra_overrides={"env.B": "2"}, apply=True
    )

    spec = kept(NAME).spec
    assert spec.parameters == {"year": 2020}
    assert spec.tags == ("daily",)
    assert spec.schedules == (ScheduleSpec(schedule=Cron("0 5 * * *")),)
    assert spec.infrastructure == {"env": {"A": "1", "B": "2"}}
    assert (spec.work_queue, spec.concurrency_limit) == ("etl", 2)


def test_something_can_be_taken_away_again(flows: Any, kept: Any):
    first: dict[str, Any] = {"parameters": {"year": 2020}, "tags": ["nightly"], "schedule": Cron("0 5 * * *")}
    Deployment.build_from_flow(flow=flows.etl_parent_flow, name="nightly", apply=True, **first)

    Deployment.build_from_flow(
        flow=flows.etl_parent_flow, name="nightly", parameters={}, tags=[], schedules=[], apply=True
    )

    spec = kept(NAME).spec
    assert (spec.parameters, spec.tags, spec.schedules) == ({}, (), ())


def test_what_somebody_paused_stays_paused(flows: Any, kept: Any, ask: Any):
    schedules = [ScheduleSpec(name=name, schedule=Cron("0 5 * * *")) for name in ("a", "b")]
    deployment = Deployment("nightly", flow=flows.etl_parent_flow, schedules=schedules)
    deployment.apply()
    ask(PauseDeployment(deployment=NAME))
    ask(PauseSchedule(deployment=NAME, schedule="b"))

    deployment.apply()
    found = kept(NAME)
    assert found.paused
    assert [each.paused for each in found.schedules] == [False, True]

    deployment.update(is_schedule_active=True)
    deployment.apply()
    assert not kept(NAME).paused


def test_what_is_not_stored_yet_has_defaults(flows: Any):
    deployment = Deployment("new", flow=flows.etl_parent_flow)

    assert deployment.load() is False
    assert deployment.parameters is None


def test_whoever_deploys_into_a_container_is_warned(flows: Any, kept: Any):
    deployment = Deployment("nightly", flow=flows.etl_parent_flow, infrastructure=DockerContainer(image="x"))

    with pytest.warns(UserWarning, match="There are only workers of type `process` so far"):
        deployment.apply()
    assert kept(NAME).spec.infrastructure == {"type": "docker-container", "image": "x"}


def test_the_limit_of_its_queue_can_be_set(flows: Any, ask: Any):
    Deployment("nightly", flow=flows.etl_parent_flow, work_queue_name="etl").apply(work_queue_concurrency=3)

    assert {each.name: each.concurrency_limit for each in ask(ListWorkQueues())}["etl"] == 3


def test_nothing_is_deployed_by_who_imports_the_file(project: Path, kept: Any):
    """A worker that imports a flow for a run does not deploy it anew."""
    (project / "all_in_one.py").write_text(
        "from penstock import flow\nfrom penstock.deployments import Deployment\n\n@flow\ndef one(): ...\n\n"
        "Deployment.build_from_flow(flow=one, name='x').apply()\n"
    )

    with pytest.warns(UserWarning, match="Deployment `x` is not applied"), entrypoints.loaded("all_in_one.py:one"):
        pass
    with pytest.raises(errors.NotFound):
        kept("one/x")


def test_an_unknown_pool_is_refused(flows: Any, ask: Any):
    deployment = Deployment("nightly", flow=flows.etl_parent_flow, work_pool_name="gpu")
    with pytest.raises(errors.NotFound, match="gpu"):
        deployment.apply()

    ask(CreateWorkPool(name="gpu"))
    deployment.apply()


def test_the_code_is_packed_and_kept_when_it_is_uploaded(flows: Any, kept: Any, project: Path):
    deployment = Deployment("nightly", flow=flows.etl_parent_flow)
    deployment.apply(upload=True)
    code = kept(NAME).spec.code
    again = Deployment.build_from_flow(flow=flows.etl_parent_flow, name="nightly")
    (project / "flows" / "more.py").write_text("")
    again.apply()

    assert isinstance(code, core.Bundle)
    assert again.upload is True
    assert kept(NAME).spec.code != code


def test_a_flow_outside_of_the_folder_cannot_be_uploaded(flows: Any, project: Path):
    (project / "other").mkdir()
    deployment = Deployment("nightly", flow=flows.etl_parent_flow, path=str(project / "other"), upload=True)

    with pytest.raises(errors.FlowFileError, match="The flow's file is not in the folder that is to be packed"):
        deployment.apply()


def test_a_storage_that_is_another_folder_gets_a_copy(flows: Any, kept: Any, tmp_path: Path):
    share = LocalFileSystem(tmp_path / "share")
    Deployment.build_from_flow(flow=flows.etl_parent_flow, name="nightly", storage=share, path="v1", apply=True)
    Deployment.build_from_flow(flow=flows.etl_parent_flow, name="other", storage=share, path="v2", skip_upload=True)

    assert kept(NAME).spec.code == LocalFolder(str(tmp_path / "share/v1"))
    assert (tmp_path / "share/v1/flows/parameterized_flow.py").read_text() == FLOWS
    assert not (tmp_path / "share/v2").exists()


# ── files ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_file_says_it_all_and_keeps_its_comments(flows: Any, project: Path):
    deployment = Deployment(
        "nightly",
        flow=flows.etl_parent_flow,
        parameters={"year": 2020},
        schedule=Cron("0 5 * * *"),
        infrastructure=DockerContainer(image="x"),
        concurrency_limit=1,
        upload=True,
    )
    deployment.to_yaml("nightly.yaml")
    file = project / "nightly.yaml"
    file.write_text(file.read_text().replace("  year: 2020", "  year: 2019  # the first one"))

    read = Deployment.load_from_yaml("nightly.yaml")
    assert read.parameters == {"year": 2019}
    read.update(tags=["a"])
    read.to_yaml(file)

    assert "year: 2019  # the first one" in file.read_text()
    again = Deployment.load_from_yaml(file)
    assert again.spec() == read.spec()
    deployment.update(parameters={"year": 2019}, tags=["a"])
    assert again.spec() == deployment.spec()


def test_building_writes_a_file_where_asked(flows: Any, project: Path):
    Deployment.build_from_flow(flow=flows.etl_parent_flow, name="nightly", output="out.yaml", skip_upload=True)

    assert Deployment.load_from_yaml("out.yaml").flow_name == "etl-parent-flow"


def test_what_is_not_read_in_a_file_is_told(flows: Any, project: Path):
    Deployment("nightly", flow=flows.etl_parent_flow).to_yaml("out.yaml")
    file = project / "out.yaml"
    file.write_text(file.read_text() + "triggers: [a]\n")

    with pytest.warns(UserWarning, match="`triggers` is not read"):
        Deployment.load_from_yaml("out.yaml")
    with warnings.catch_warnings(), pytest.raises(errors.DeploymentFileError, match="There is no file"):
        Deployment.load_from_yaml("none.yaml")


# ── flows deploy themselves ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_flow_deploys_itself_and_says_what_that_came_to_and_what_to_do_next(
    flows: Any, kept: Any, capsys: pytest.CaptureFixture[str]
):
    identity = flows.etl_parent_flow.deploy(
        "nightly",
        cron="0 5 * * *",
        timezone="Europe/Berlin",
        parameters={"year": 2020},
        job_variables={"env": {"A": "1"}},
        tags=["a"],
        paused=True,
    )

    found = kept(NAME)
    assert found.id == identity
    assert found.spec.schedules == (ScheduleSpec(schedule=Cron("0 5 * * *", "Europe/Berlin")),)
    assert found.spec.infrastructure == {"env": {"A": "1"}}
    assert found.paused
    out = capsys.readouterr().out
    assert f"Successfully created deployment '{NAME}'!" in out
    assert f"$ penstock deployment run '{NAME}'" in out

    flows.etl_parent_flow.deploy("nightly", tags=["a", "b"], parameters={"year": 2020})
    flows.etl_parent_flow.deploy("nightly", tags=["a", "b"], parameters={"year": 2020})
    changed, same = [line for line in capsys.readouterr().out.splitlines() if NAME in line and "$" not in line]
    assert changed == f"Successfully updated deployment '{NAME}'! Changed: tags, schedules, infrastructure"
    assert same == f"Deployment '{NAME}' was there already, and is as it was."
    flows.etl_parent_flow.deploy("nightly", print_next_steps=False)
    assert capsys.readouterr().out == ""
    assert kept(NAME).spec.parameters == {}  # the code says it all; only pauses stay
    assert kept(NAME).paused


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"cron": ["0 5 * * *", "0 6 * * *"]}, [Cron("0 5 * * *"), Cron("0 6 * * *")]),
        ({"interval": 600}, [Interval(timedelta(minutes=10))]),
        ({"interval": timedelta(hours=1), "anchor_date": "2026-01-01T00:30"}, None),
        ({"rrule": "FREQ=DAILY"}, [RRule("FREQ=DAILY")]),
        (
            {"cron": "0 5 * * *", "schedule": Interval(timedelta(days=1))},
            [Cron("0 5 * * *"), Interval(timedelta(days=1))],
        ),
        ({}, []),
    ],
)
def test_schedules_can_be_given_in_short(flows: Any, options: dict[str, Any], expected: list[Any] | None):
    spec = flows.etl_parent_flow.to_deployment("x", **options).spec()

    if expected is None:
        assert spec.schedules[0].schedule.anchor.isoformat() == "2026-01-01T00:30:00+00:00"
    else:
        assert [each.schedule for each in spec.schedules] == expected


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"image": "x"}, "A deployment has no option named: `image`"),
        ({"cron": "* * *"}, "`* * *`"),
        ({"cron": "0 5 * * *", "timezone": "Mars"}, "`Mars`"),
        ({"timezone": "UTC"}, "A time zone needs a schedule to be the zone of"),
        ({"anchor_date": "2026-01-01"}, "An anchor date is of an interval"),
        ({"parameters": {"year": "x"}}, "`year` should be a whole number"),
    ],
)
def test_what_cannot_be_deployed_is_refused(flows: Any, options: dict[str, Any], told: str):
    with pytest.raises(errors.UsageError) as refused:
        flows.etl_parent_flow.deploy("x", **options)

    assert told in str(refused.value)
