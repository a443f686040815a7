from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from penstock.core import project_files
from penstock.core.deployment_files import WrittenDeployment
from penstock.core.deployments import GitRepository, LocalFolder, ScheduleSpec
from penstock.core.project_files import ProjectRead
from penstock.core.schedules import Cron, Interval, RRule
from penstock.errors import DeploymentFileError

HERE = LocalFolder("/home/me/project")

TWO = """\
definitions:
  nightly: &nightly {cron: "0 3 * * *", timezone: Europe/Berlin, name: nightly}
  big: &big {name: big, job_variables: {env: {A: 1}}}

code:
  git: https://example.org/me/flows.git
  ref: v2

deployments:
  - name: trips
    entrypoint: flows/trips.py:trips
    description: |
      All trips
      of a month.
    version: 2026.11.25
    tags: [taxi, nyc]
    parameters:
      months: [1, 2]
    schedules:
      - *nightly
      - interval: 3600
        anchor_date: 2026-01-01T00:00:00Z
        parameters: {months: [12]}
    work_pool: *big
    concurrency_limit: 1
    on_crash: fail
    timeout_seconds: 600
    enforce_parameter_schema: no
  - name: zones
    entrypoint: zones:load
    cron: "@daily"
    work_pool:
      <<: *big
      work_queue_name: fast
    paused: yes
    code: {folder: other, upload: true}
"""

OF_PREFECT = """\
name: project
prefect-version: 3.4.1
build:
- prefect_docker.deployments.steps.build_docker_image: {id: image, image_name: me/flows}
push: null
pull:
- prefect.deployments.steps.git_clone:
    id: clone
    repository: https://example.org/me/flows.git
    branch: main
    access_token: '{{ prefect.blocks.secret.token }}'
- prefect.deployments.steps.set_working_directory:
    directory: '{{ clone.directory }}/etl'
- prefect.deployments.steps.pip_install_requirements:
    directory: '{{ clone.directory }}'
deployments:
- name: trips
  version: null
  tags: []
  description: null
  schedule: {}
  flow_name: ''
  entrypoint: trips.py:Trips.run
  parameters: {}
  work_pool:
    name: pool
    work_queue_name: null
    job_variables: {image: '{{ image.image }}', env: {TZ: UTC}}
  concurrency_limit: {limit: 2, collision_strategy: CANCEL_NEW}
"""


def read(text: str) -> ProjectRead:
    return project_files.read(text, where="penstock.yaml", folder="/home/me/project")


def one(said: str, *, above: str = "") -> WrittenDeployment:
    """The only deployment of a file; ``said`` are further keys of it."""
    return read(f"{above}deployments:\n- name: a\n  entrypoint: etl.py:etl\n  {said}\n").deployments[0]


def test_several_deployments_are_in_one_file():
    assert read(TWO) == ProjectRead(
        (
            WrittenDeployment(
                name="trips",
                entrypoint="flows/trips.py:trips",
                code=GitRepository("https://example.org/me/flows.git", "v2"),
                description="All trips\nof a month.\n",
                version="2026.11.25",
                tags=("taxi", "nyc"),
                parameters={"months": [1, 2]},
                enforce_parameter_schema=False,
                schedules=(
                    ScheduleSpec(name="nightly", schedule=Cron("0 3 * * *", "Europe/Berlin")),
                    ScheduleSpec(
                        schedule=Interval(dt.timedelta(hours=1), dt.datetime(2026, 1, 1, tzinfo=dt.UTC)),
                        parameters={"months": [12]},
                    ),
                ),
                work_pool_name="big",
                infrastructure={"env": {"A": 1}},
                concurrency_limit=1,
                on_crash="fail",
                timeout_seconds=600,
            ),
            WrittenDeployment(
                name="zones",
                entrypoint="zones:load",
                code=LocalFolder("/home/me/project/other"),
                upload=True,
                schedules=(ScheduleSpec(schedule=Cron("@daily")),),
                is_schedule_active=False,
                work_pool_name="big",
                work_queue_name="fast",
                infrastructure={"env": {"A": 1}},
            ),
        ),
        (),
    )


def test_a_file_for_prefect_is_read_and_it_is_said_what_was_ignored():
    (deployment,), notes = read(OF_PREFECT)

    assert deployment == WrittenDeployment(
        name="trips",
        entrypoint="trips.py:Trips.run",
        code=GitRepository("https://example.org/me/flows.git", "main", "etl"),
        work_pool_name="pool",
        infrastructure={"env": {"TZ": "UTC"}},
        concurrency_limit=2,
    )
    assert [note.removeprefix("penstock.yaml, ") for note in notes] == [
        "line 3: `build` is not read: images are built by whoever needs them",
        "line 11: `access_token` is not read: let git on the workers know how to get at the repository",
        (
            "line 14: `prefect.deployments.steps.pip_install_requirements` is not read: "
            "let the workers' environment have what the flow needs"
        ),
        "line 29: `collision_strategy` is not read: a run that finds no free slot waits",
        "line 28: `image` is not read: nothing fills in `{{ image.image }}`",
    ]


@pytest.mark.parametrize(("said", "code"), [
    ("code: {}", HERE),
    ("code: {folder: .}", HERE),
    ("code: {folder: ../flows}", LocalFolder("/home/me/flows")),
    ("code: {git: https://x/y, folder: a/b}", GitRepository("https://x/y", folder="a/b")),
    (
        "pull: [{git_clone: {repository: https://x/y, commit_sha: abc1234, branch: main}}]",
        GitRepository("https://x/y", "abc1234"),
    ),
    ("pull: [{set_working_directory: {directory: /opt/flows}}]", LocalFolder("/opt/flows")),
    (
        (
            "pull: [{git_clone: {repository: https://x/flows.git, branch: b}}, "
            "{set_working_directory: {directory: flows-b/etl}}]"
        ),
        GitRepository("https://x/flows.git", "b", "etl"),
    ),
    (
        "pull: [{git_clone: {repository: https://x/flows.git}}, {set_working_directory: {directory: /opt/flows}}]",
        LocalFolder("/opt/flows"),
    ),
    ("pull: [{prefect.deployments.steps.run_shell_script: null}]", HERE),
])  # fmt: skip
def test_code_is_where_code_or_pull_say_it_is(said: str, code: Any):
    assert one(said).code == code
    assert one("description: x", above=f"{said}\n").code == code


def test_what_a_deployment_says_of_its_code_counts_more_than_what_all_say():
    assert one("code: {folder: flows}", above="code: {git: https://x/y}\n").code == LocalFolder(
        "/home/me/project/flows"
    )


@pytest.mark.parametrize(("said", "schedules"), [
    ("cron: 0 6 * * *\n  timezone: Asia/Tokyo", (ScheduleSpec(schedule=Cron("0 6 * * *", "Asia/Tokyo")),)),
    ("interval: 60", (ScheduleSpec(schedule=Interval(dt.timedelta(minutes=1))),)),
    ("rrule: FREQ=DAILY", (ScheduleSpec(schedule=RRule("FREQ=DAILY")),)),
    ("schedule: {cron: '@daily'}", (ScheduleSpec(schedule=Cron("@daily")),)),
    (
        "cron: '@daily'\n  schedules: [{cron: '@hourly'}]",
        (ScheduleSpec(schedule=Cron("@daily")), ScheduleSpec(name="default-2", schedule=Cron("@hourly"))),
    ),
])  # fmt: skip
def test_a_schedule_may_stand_among_the_keys_of_its_deployment(said: str, schedules: Any):
    assert one(said).schedules == schedules


@pytest.mark.parametrize(("text", "told", "hint"), [
    ("deployment: []", "line 1: There is no key `deployment`", "did you mean `deployments`?"),
    ("name: x", "line 1: There are no deployments in it", None),
    ("deployments: []", "line 1: There are no deployments in it", None),
    ("deployments: {a: 1}", "line 1: `deployments` is a list, each entry after a `-`, not: `{'a': 1}`", None),
    (
        "deployments:\n- trips\n",
        "line 2: Each entry of `deployments` is a mapping of names to values, not: `trips`", None,
    ),
    ("deployments:\n- name: a\n", "line 2: `entrypoint` is missing", None),
    ("deployments:\n- entrypoint: a.py:a\n", "line 2: `name` is missing", None),
    (
        "deployments:\n- name: a\n  entrypoint: a.py:a\n  work_pol: x\n",
        "line 4: There is no key `work_pol`", "did you mean `work_pool`?",
    ),
    (
        "deployments:\n- name: a\n  entrypoint: a.py:a\n  work_pool: {nme: x}\n",
        "line 4: There is no key `nme`", "did you mean `name`?",
    ),
    (
        "deployments:\n- name: a\n  entrypoint: '{{ x }}.py:a'\n",
        "line 3: Nothing fills in `{{ x }}`", "write the value",
    ),
    (
        "deployments:\n- name: a\n  entrypoint: a.py:a\n- name: a\n  entrypoint: a.py:a\n",
        "line 4: Two deployments of `a.py:a` have the name `a`", None,
    ),
    (
        "code: {git: https://x/y, upload: true}\ndeployments:\n- {name: a, entrypoint: 'a.py:a'}\n",
        "line 1: There is no key `upload`", "it may have: git, ref, folder",
    ),
    (
        "code: {ref: main}\ndeployments:\n- {name: a, entrypoint: 'a.py:a'}\n",
        "line 1: `ref` is of a repository, and none is named", "name it: `git: https://…`",
    ),
    (
        "code: {folder: .}\npull: [{git_clone: {repository: x}}]\ndeployments:\n- {name: a, entrypoint: 'a.py:a'}\n",
        "line 2: Where the code lies is said by `code` or by `pull`, not by both", None,
    ),
    (
        "code: {git: https://x/y, folder: ../z}\ndeployments:\n- {name: a, entrypoint: 'a.py:a'}\n",
        "line 1: Not a folder of the repository: `../z`", None,
    ),
    (
        "name: a\nflow_name: a\nentrypoint: a.py:a\n",
        "line 1: This file holds one deployment", "`penstock deployment apply penstock.yaml` reads such files",
    ),
    (
        "deployments:\n- {name: a, entrypoint: 'a.py:a', paused: yes, is_schedule_active: yes}\n",
        "line 2: A deployment cannot be paused, and its schedules active", None,
    ),
])  # fmt: skip
def test_what_cannot_be_is_refused_with_file_line_and_key(text: str, told: str, hint: str | None):
    with pytest.raises(DeploymentFileError) as refused:
        read(text)

    assert (refused.value.message, refused.value.hint) == (f"penstock.yaml, {told}", hint)
