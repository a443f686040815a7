"""``penstock deployment build`` and ``apply``."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from penstock import clock, settings
from penstock.core import deployment_files, ignore
from penstock.core.deployments import Bundle, LocalFolder
from penstock.core.operations.deployments import GetDeployment, ListDeployments
from penstock.core.operations.work_pools import ListWorkQueues
from penstock.core.schedules import Cron, Interval, RRule
from penstock.sdk import connect

Call = Callable[..., Any]

FLOWS = '''
from datetime import timedelta

from penstock import flow, task


@task(log_prints=True, retries=3)
def fetch(url: str) -> None: ...


@flow
def etl_web_to_gcs(year: int, month: int, color: str) -> None:
    fetch(f"{color}_{year}-{month:02}")


@flow
def etl_parent_flow(months: list[int] = [1, 2], year: int = 2021, color: str = "yellow"):
    """All the months."""
    for month in months:
        etl_web_to_gcs(year, month, color)


not_a_flow = 5
'''
ENTRYPOINT = "../parameterized_flow.py:etl_parent_flow"
NAME = "etl-parent-flow/Parameterized ETL"
FILE = "etl_parent_flow-deployment.yaml"


@pytest.fixture
def gcp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``flows/gcp``, below which nothing is, and above which the flow lies."""
    folder = tmp_path / "course" / "flows" / "gcp"
    folder.mkdir(parents=True)
    (folder.parent / "parameterized_flow.py").write_text(FLOWS)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def ask(home: Path, still: clock.Clock) -> Call:
    return lambda request: connect.orchestrator(settings.load(), still).ask(request)


@pytest.fixture
def build(penstock: Call, gcp: Path) -> Call:
    return lambda *words, **environ: penstock(
        "deployment", "build", ENTRYPOINT, "-n", "Parameterized ETL", *words, **environ
    )


def read(folder: Path, name: str = FILE) -> deployment_files.WrittenDeployment:
    text = (folder / name).read_text()
    return deployment_files.read(text, where=name, folder=str(folder)).deployment


# ── build ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_line_of_the_notes_does_what_they_show(penstock: Call, gcp: Path):
    ran = penstock("deployment", "build", ".", ENTRYPOINT, "-n", "Parameterized ETL")

    assert (ran.code, ran.err) == (
        0,
        f"hint: workers take the code from where it is, `{gcp}`; with `--upload`, the server keeps it\n",
    )
    assert ran.out.splitlines() == [
        "Found flow 'etl-parent-flow'",
        f"Default '.penstockignore' file written to {gcp}/.penstockignore",
        f"Deployment YAML created at '{gcp}/{FILE}'.",
        (
            "Deployment storage None does not have upload capabilities; no files uploaded.  "
            "Pass --skip-upload to suppress this warning."
        ),
    ]
    assert (gcp / ".penstockignore").read_text() == ignore.DEFAULT
    written = read(gcp)
    assert written.entrypoint == ENTRYPOINT
    assert written.code == LocalFolder(str(gcp))


def test_without_the_stray_dot_it_is_the_same(build: Call, penstock: Call, gcp: Path):
    penstock("deployment", "build", ".", ENTRYPOINT, "-n", "Parameterized ETL")
    with_dot = (gcp / FILE).read_text()
    (gcp / FILE).unlink()

    assert build("--skip-upload").out.splitlines() == [
        "Found flow 'etl-parent-flow'",
        f"Deployment YAML created at '{gcp}/{FILE}'.",
    ]
    assert (gcp / FILE).read_text() == with_dot


def test_the_file_has_what_the_author_s_file_has_in_its_order(build: Call, gcp: Path):
    build("--param", "months=[1, 2, 3, 4]", "--param", "color=yellow")

    lines = (gcp / FILE).read_text().splitlines()
    assert lines[:4] == [
        "###",
        "### A complete description of a Penstock Deployment for flow 'etl-parent-flow'",
        "###",
        "name: Parameterized ETL",
    ]
    keys = [line.partition(":")[0] for line in lines if line and line[0].isalpha()]
    wanted = (
        "name description version work_queue_name tags parameters schedule infra_overrides infrastructure flow_name "
        "manifest_path storage path entrypoint parameter_openapi_schema"
    ).split()
    assert [key for key in keys if key in wanted] == wanted
    assert read(gcp).parameters == {"months": [1, 2, 3, 4], "color": "yellow"}
    assert read(gcp).parameter_openapi_schema["properties"]["year"]["default"] == 2021


def test_every_option_arrives(build: Call, gcp: Path):
    ran = build(
        *("-v", "1", "-t", "a", "--tag", "b", "-q", "etl", "-p", "default", "-i", "process"),
        *("--override", "env.TZ=UTC", "--override", "env.LEVEL=1", "--description", "mine", "--path", "/opt/flows"),
        *("--cron", "0 5 * * *", "--timezone", "Europe/Berlin", "--params", '{"year": 2020}', "--param", "year=2019"),
        *("-o", "mine.yaml"),
    )

    assert ran.code == 0
    written = read(gcp, "mine.yaml")
    assert (written.version, written.tags, written.description) == ("1", ("a", "b"), "mine")
    assert (written.work_queue_name, written.work_pool_name) == ("etl", "default")
    assert written.infra_overrides == {"env.TZ": "UTC", "env.LEVEL": 1}
    assert written.code == LocalFolder("/opt/flows")
    assert written.entrypoint == ENTRYPOINT
    assert written.parameters == {"year": 2019}
    assert [each.schedule for each in written.schedules] == [Cron("0 5 * * *", "Europe/Berlin")]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--interval", "600"), Interval(600)),  # type: ignore[arg-type]  seconds
        (("--interval", "15min", "--anchor-date", "2026-01-01T00:05"), None),
        (
            ("--rrule", "FREQ=DAILY;BYHOUR=6", "--timezone", "America/New_York"),
            RRule("FREQ=DAILY;BYHOUR=6", "America/New_York"),
        ),
    ],
)
def test_schedules_of_other_kinds(build: Call, gcp: Path, options: tuple[str, ...], expected: Any):
    assert build(*options).code == 0

    (spec,) = read(gcp).schedules
    if expected is None:
        assert str(spec.schedule.anchor) == "2026-01-01 00:05:00+00:00"  # type: ignore[union-attr]  it is one that has it
    else:
        assert spec.schedule == expected


def test_a_file_that_is_built_again_keeps_what_was_edited(build: Call, gcp: Path):
    build()
    file = gcp / FILE
    edited = (
        file.read_text()
        .replace("parameters: {}", "parameters: {months: [1, 2, 3]}  # the first three")
        .replace("tags: []", "tags: [mine]")
    )
    file.write_text(edited)

    build("--cron", "0 5 * * *")

    assert "parameters: {months: [1, 2, 3]}  # the first three" in file.read_text()
    assert read(gcp).tags == ("mine",)
    assert read(gcp).schedules[0].schedule == Cron("0 5 * * *")
    build("-t", "other")
    assert read(gcp).tags == ("other",)


def test_the_file_of_another_deployment_of_the_flow_is_kept(build: Call, penstock: Call, gcp: Path):
    build("--param", "year=2020")
    edited = (gcp / FILE).read_text().replace("tags: []", "tags: [mine]")
    (gcp / FILE).write_text(edited)

    ran = penstock("deployment", "build", ENTRYPOINT, "-n", "etl2", "--cron", "0 0 * * *", "--skip-upload")

    assert ran.code == 0
    assert f"`{FILE}` was the file of deployment `Parameterized ETL`, and is kept as `{FILE}.old`" in ran.err
    assert (gcp / f"{FILE}.old").read_text() == edited
    assert (read(gcp).name, read(gcp).parameters, read(gcp).tags) == ("etl2", {}, ())


def test_a_rebuild_takes_what_the_server_has(build: Call, gcp: Path):
    build("-a", "--param", "year=2020", "-t", "nightly", "--cron", "0 5 * * *", "--override", "env.A=b")
    (gcp / FILE).unlink()

    build()

    written = read(gcp)
    assert written.parameters == {"year": 2020}
    assert written.tags == ("nightly",)
    assert written.schedules[0].schedule == Cron("0 5 * * *")
    assert written.infrastructure == {"env": {"A": "b"}}
    assert written.is_schedule_active is True


def test_what_the_file_says_otherwise_than_the_server_is_told(build: Call, gcp: Path):
    build("-a", "--param", "year=2020")
    file = gcp / FILE
    file.write_text(file.read_text().replace("year: 2020", "year: 2019"))

    ran = build("--skip-upload")

    assert read(gcp).parameters == {"year": 2019}
    assert ran.err == "hint: as in the file, and not as on the server: parameters\n"


def test_a_server_that_is_away_does_not_keep_anyone_from_building(build: Call, gcp: Path):
    ran = build(PENSTOCK_API_URL="http://127.0.0.1:9/api")

    assert ran.code == 0
    assert "warning: The server cannot be reached" in ran.err
    assert "So what it may know of this deployment is not in the file" in ran.err
    assert read(gcp).name == "Parameterized ETL"


def test_the_only_flow_of_a_file_need_not_be_named(penstock: Call, gcp: Path):
    (gcp / "one.py").write_text("from penstock import flow\n\n@flow(name='The One')\ndef one(): ...\n")

    assert penstock("deployment", "build", "./one.py", "-n", "x").code == 0

    assert read(gcp, "one-deployment.yaml").entrypoint == "one.py:one"


def test_a_module_can_be_named(penstock: Call, gcp: Path):
    (gcp / "package_of_flows").mkdir()
    (gcp / "package_of_flows" / "etl.py").write_text("from penstock import flow\n\n@flow\ndef one(): ...\n")

    assert penstock("deployment", "build", "package_of_flows.etl:one", "-n", "x").code == 0

    assert read(gcp, "one-deployment.yaml").entrypoint == "package_of_flows.etl:one"


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ((ENTRYPOINT,), 2, "Missing: `-n`"),
        (("-n", "x"), 2, "Which flow? Give its file and function"),
        (("../parameterized_flow.py", "-n", "x"), 2, "It holds several flows"),
        (("../parameterized_flow.py:nothing", "-n", "x"), 2, "holds no flow `nothing`"),
        (("../parameterized_flow.py:not_a_flow", "-n", "x"), 2, "holds no flow `not_a_flow`"),
        (("../none.py:etl", "-n", "x"), 2, "There is no file of flows: `../none.py`"),
        (("nowhere", ENTRYPOINT, "-n", "x"), 2, "There is no such folder: `nowhere`"),
        ((".", ENTRYPOINT, "-n", "x", "--path", "/x"), 2, "The folder is given twice"),
        ((ENTRYPOINT, "-n", "a/b"), 2, "A deployment's name is"),
        ((ENTRYPOINT, "-n", "x", "--cron", "0 5 * * *", "--interval", "60"), 2, "Only one schedule can be given"),
        ((ENTRYPOINT, "-n", "x", "--cron", "61 5 * * *"), 2, "61 5 * * *"),
        ((ENTRYPOINT, "-n", "x", "--cron", "0 5 * * *", "--timezone", "Mars"), 2, "Mars"),
        ((ENTRYPOINT, "-n", "x", "--timezone", "UTC"), 2, "A time zone needs a schedule"),
        ((ENTRYPOINT, "-n", "x", "--param", "yeer=1"), 2, "It has no parameter `yeer`; did you mean `year`?"),
        ((ENTRYPOINT, "-n", "x", "--param", "year=x"), 2, "`year` should be a whole number"),
        ((ENTRYPOINT, "-n", "x", "--param", "year"), 2, "Not a parameter: `year`"),
        (
            (ENTRYPOINT, "-n", "x", "-sb", "github/zoom"),
            2,
            "There are no blocks yet in this version of Penstock: `-sb github/zoom`",
        ),
        ((ENTRYPOINT, "-n", "x", "-ib", "docker-container/zoom"), 2, "`-ib docker-container/zoom`"),
        ((ENTRYPOINT, "-n", "x", "-i", "docker"), 2, "`-i` does not take the value `docker`"),
        ((ENTRYPOINT, "-n", "x", "-o", "x.json"), 2, "The file of a deployment ends in `.yaml`: `x.json`"),
        ((ENTRYPOINT, "-n", "x", "--apply", "-p", "gpu"), 3, "gpu"),
    ],
)
def test_what_cannot_be_built_is_refused(penstock: Call, gcp: Path, words: tuple[str, ...], code: int, told: str):
    ran = penstock("deployment", "build", *words)

    assert ran.code == code
    assert told in ran.err


def test_building_leaves_no_trace_in_this_process(build: Call, gcp: Path):
    import sys

    path = list(sys.path)

    build()

    assert sys.path == path
    assert os.getcwd() == str(gcp)


# ── apply ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_file_is_applied_as_the_notes_show(build: Call, penstock: Call, gcp: Path, ask: Call):
    build()

    ran = penstock("deployment", "apply", FILE)

    identity = ask(GetDeployment(deployment=NAME)).id
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == (
        "Successfully loaded 'Parameterized ETL'\n"
        f"Deployment '{NAME}' successfully created with id '{identity}'.\n"
        f"View Deployment: penstock deployment inspect '{NAME}'\n"
        "\n"
        "To execute flow runs from this deployment, start an agent that pulls work from the 'default' work queue:\n"
        "$ penstock agent start -q 'default'\n"
    )
    assert penstock("deployment", "run", NAME, "-p", "months=[1, 2, 3, 4]").code == 0


def test_building_and_applying_at_once(build: Call, ask: Call):
    ran = build("-a", "-q", "etl", "-l", "2", "--skip-upload")

    assert f"Deployment '{NAME}' successfully created with id" in ran.out
    assert ran.out.endswith("$ penstock agent start -q 'etl'\n")
    assert {each.name: each.concurrency_limit for each in ask(ListWorkQueues())}["etl"] == 2


def test_another_pool_is_served_by_a_worker(build: Call, penstock: Call, ask: Call):
    from penstock.core.operations.work_pools import CreateWorkPool

    ask(CreateWorkPool(name="big"))

    ran = build("-a", "-p", "big", "-q", "etl")

    assert ran.out.endswith("work from the 'big' work pool:\n$ penstock worker start -p 'big' -q 'etl'\n")


@pytest.mark.parametrize(
    ("before", "after", "missing"),
    [("parameterized_flow.py:", "paramaterized_flow.py:", "../paramaterized_flow.py"), ("gcp\n", "gpc\n", "gpc")],
)
def test_code_that_is_not_here_is_warned_of(
    build: Call, penstock: Call, gcp: Path, before: str, after: str, missing: str
):
    build()
    (gcp / FILE).write_text((gcp / FILE).read_text().replace(before, after))

    ran = penstock("deployment", "apply", FILE)

    assert ran.code == 0
    assert f"{missing}` on this machine: workers need it in the same place" in ran.err


def test_applying_again_says_that_it_was_there_and_what_has_changed(build: Call, penstock: Call, gcp: Path):
    build("-a")

    assert penstock("deployment", "apply", FILE).err == "It was there already, and is as it was\n"
    (gcp / FILE).write_text((gcp / FILE).read_text().replace("tags: []", "tags: [a]"))
    assert penstock("deployment", "apply", FILE).err == "It was there already; changed: tags\n"


def test_a_rehearsal_shows_each_value_that_would_change(build: Call, penstock: Call, gcp: Path, ask: Call):
    build()
    assert penstock("deployment", "apply", FILE, "--dry-run").out.endswith(f"{NAME}: created\n")
    assert ask(ListDeployments()).items == []
    penstock("deployment", "apply", FILE)
    build("--param", "year=2020", "--cron", "0 5 * * *")

    ran = penstock("deployment", "apply", FILE, "--dry-run")

    assert ran.out.splitlines()[1:] == [
        f"{NAME}: changed",
        "  + parameters.year: 2020",
        '  + schedules.default: {"when":"At 05:00 every day, UTC"}',
    ]
    assert ask(GetDeployment(deployment=NAME)).spec.parameters == {}


def test_the_code_is_uploaded_when_asked(build: Call, penstock: Call, gcp: Path, ask: Call):
    (gcp / "here.py").write_text("from penstock import flow\n\n@flow\ndef one(): ...\n")
    assert penstock("deployment", "build", "here.py:one", "-n", "x", "--upload").err == (
        "Its code is packed and sent to the server whenever it is applied\n"
    )
    penstock("deployment", "apply", "one-deployment.yaml")
    first = ask(GetDeployment(deployment="one/x")).spec.code
    build()

    assert isinstance(first, Bundle)
    refused = penstock("deployment", "apply", FILE, "--upload")
    assert refused.code == 2
    assert f"The flow's file is not in the folder that is to be packed, `{gcp}`: `{ENTRYPOINT}`" in refused.err


def test_a_container_is_kept_and_warned_of(build: Call, ask: Call):
    ran = build("-a", "-i", "docker-container", "--override", "image=me/flows:1")

    assert ran.code == 0
    assert "warning: There are only workers of type `process` so far" in ran.err
    assert ask(GetDeployment(deployment=NAME)).spec.infrastructure == {
        "type": "docker-container",
        "image": "me/flows:1",
    }


PREFECT = """
###
### A complete description of a Prefect Deployment for flow 'etl-parent-flow'
###
name: Parameterized ETL
description: null
version: a81ab17acb0dd19ba5ea5b31ad4a7bcc
# The work queue that will handle this deployment's runs
work_queue_name: default
tags: []
parameters: {"color": "yellow", "months": [1, 2, 3], "year": 2021}
schedule: null
infra_overrides: {}
infrastructure:
  type: process
  env: {}
  labels: {}
  name: null
  command: null
  stream_output: true
  working_dir: null
  block_type_slug: process
  _block_type_slug: process

###
### DO NOT EDIT BELOW THIS LINE
###
flow_name: etl-parent-flow
manifest_path: null
storage: null
path: FOLDER
entrypoint: ../parameterized_flow.py:etl_parent_flow
parameter_openapi_schema:
  title: Parameters
  type: object
  properties:
    months:
      title: months
      default: [1, 2]
      position: 0
      type: array
      items:
        type: integer
    year:
      title: year
      default: 2021
      position: 1
      type: integer
    color:
      title: color
      default: yellow
      position: 2
      type: string
  required: null
  definitions: null
triggers: []
"""


def test_a_file_of_prefect_2_is_applied(penstock: Call, gcp: Path, ask: Call):
    (gcp / "prefect.yaml").write_text(PREFECT.replace("FOLDER", str(gcp)))

    ran = penstock("deployment", "apply", "prefect.yaml")

    assert ran.code == 0, ran.err
    assert ask(GetDeployment(deployment=NAME)).spec.parameters == {"color": "yellow", "months": [1, 2, 3], "year": 2021}
    assert penstock("deployment", "run", NAME, "-p", "months=[4]").code == 0
    assert penstock("deployment", "run", NAME, "-p", "months=4").code == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "x.yaml`"),
        ("name: [", "x.yaml"),
        ("flow_name: x\nentrypoint: a.py:b\n", "`name` is missing"),
        ("name: x\nflow_name: x\nentrypoint: a.py:b\nschedule: {cron: 99 * * * *}\n", "99 * * * *"),
        ("name: x\nflow_name: x\nentrypoint: a.py:b\nnmae: x\n", "nmae"),
    ],
)
def test_a_file_that_cannot_be_applied_is_refused(penstock: Call, gcp: Path, ask: Call, text: str | None, told: str):
    if text is not None:
        (gcp / "x.yaml").write_text(text)

    ran = penstock("deployment", "apply", "x.yaml")

    assert ran.code == 2
    assert told in ran.err
    assert ask(ListDeployments()).items == []


def test_several_files_are_applied_in_their_order(build: Call, penstock: Call, gcp: Path):
    build("-o", "a.yaml")
    penstock("deployment", "build", ENTRYPOINT, "-n", "b", "-o", "b.yaml")

    ran = penstock("deployment", "apply", "a.yaml", "b.yaml")

    assert [line for line in ran.out.splitlines() if line.startswith("Successfully")] == [
        "Successfully loaded 'Parameterized ETL'",
        "Successfully loaded 'b'",
    ]
    assert penstock("deployment", "apply").code == 2
