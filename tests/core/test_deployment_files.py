from __future__ import annotations

import datetime as dt
import re
from typing import Any

import hypothesis
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core import deployment_files
from penstock.core.deployment_files import WrittenDeployment
from penstock.core.deployments import Bundle, DeploymentSpec, GitRepository, LocalFolder, ScheduleSpec
from penstock.core.schedules import Cron, Interval, Once, RRule
from penstock.core.slots import Policy
from penstock.errors import DeploymentFileError, UsageError

SCHEMA = {
    "title": "Parameters",
    "type": "object",
    "properties": {
        "months": {"title": "months", "default": [1, 2], "position": 0, "type": "array", "items": {"type": "integer"}},
        "color": {"title": "color", "default": "yellow", "position": 1, "type": "string"},
    },
    "required": [],
    "definitions": {},
}

ETL = WrittenDeployment(
    name="Parameterized ETL",
    flow_name="etl-parent-flow",
    entrypoint="flows/parameterized_flow.py:etl_parent_flow",
    code=LocalFolder("/home/me/project"),
    version="b2f02087bb293c989d18e12949b1336f",
    work_queue_name="default",
    parameter_openapi_schema=SCHEMA,
)

ETL_WRITTEN = """\
###
### A complete description of a Penstock Deployment for flow 'etl-parent-flow'
###
name: Parameterized ETL
description: null
version: b2f02087bb293c989d18e12949b1336f
# The work queue that will handle this deployment's runs
work_queue_name: default
work_pool_name: null
tags: []
parameters: {}
schedule: null
is_schedule_active: null
infra_overrides: {}
infrastructure:
  type: process
  env: {}
  labels: {}
  name: null
  command: null
  stream_output: true
  working_dir: null

###
### DO NOT EDIT BELOW THIS LINE
###
flow_name: etl-parent-flow
manifest_path: null
storage: null
path: /home/me/project
entrypoint: flows/parameterized_flow.py:etl_parent_flow
parameter_openapi_schema:
  title: Parameters
  type: object
  properties:
    months:
      title: months
      default:
      - 1
      - 2
      position: 0
      type: array
      items:
        type: integer
    color:
      title: color
      default: yellow
      position: 1
      type: string
  required: []
  definitions: {}
"""

OF_PREFECT = """\
###
### A complete description of a Prefect Deployment for flow 'trips'
###
name: =nightly
description: All trips of a month
version: db1b02c8e812f79d4547e07362e494c2
# The work queue that will handle this deployment's runs
work_queue_name: default
work_pool_name: null
work_pool_queue_name: null
tags: [taxi, "yellow cabs"]
parameters: {
  "months":[1,2,3],
  "color": "yellow"
}
schedule:
  cron: 0 5 1 * *
  timezone: null
  day_or: true
is_schedule_active: null
infra_overrides: {}
infrastructure:
  type: process
  env:
    PREFECT_LOGGING_LEVEL: DEBUG
    TZ: UTC
  labels: {}
  name: null
  command:
  - python
  - -m
  - prefect.engine
  stream_output: true
  working_dir: null
  _block_document_id: 28d74ad6-b48a-4542-a039-f159a66f615e
  _block_document_name: anonymous-ef955d08-e920-4144-a138-7af72e537b04
  _is_anonymous: true
  block_type_slug: process
  _block_type_slug: process

###
### DO NOT EDIT BELOW THIS LINE
###
flow_name: trips
manifest_path: flow-manifest.json
storage:
  repository: https://github.com/somebody/trips
  reference: null
  access_token: '********'
  include_git_objects: true
  _block_document_id: 130dec8f-2f02-47ad-8001-34ba1e1872e4
  _block_type_slug: github
path: ''
entrypoint: flows\\trips.py:trips
parameter_openapi_schema:
  title: Parameters
  type: object
  properties:
    months: {title: months, type: array}
  required: null
  definitions: null
triggers:
- match: {}
timestamp: '2023-02-05T13:55:10.176988+00:00'
"""


def read(text: str, folder: str = "/home/me/project") -> deployment_files.FileRead:
    return deployment_files.read(text, where="etl.yaml", folder=folder)


def rebuilt(text: str, **changes: Any) -> str:
    deployment = msgspec.structs.replace(read(text).deployment, **changes)
    return deployment_files.write(deployment, text, where="etl.yaml", folder="/home/me/project")


def with_key(said: str, text: str = ETL_WRITTEN) -> str:
    """The file, where a key says something else."""
    key = said.partition(":")[0]
    rest = re.sub(rf"(?m)^{key}:.*\n(?: .*\n)*", "", text)
    return f"{said}\n{rest}"


def test_a_new_file_has_keys_and_comments_in_the_order_that_people_know():
    assert deployment_files.write(ETL) == ETL_WRITTEN


def test_what_was_written_is_read_again():
    assert read(ETL_WRITTEN) == (ETL, ())


def test_the_deployment_of_a_file_has_defaults_for_what_it_does_not_say():
    spec = read(with_key("infra_overrides: {env.TZ: UTC}")).deployment.spec()

    assert spec == DeploymentSpec(
        name="Parameterized ETL",
        flow_name="etl-parent-flow",
        entrypoint="flows/parameterized_flow.py:etl_parent_flow",
        code=LocalFolder("/home/me/project"),
        version="b2f02087bb293c989d18e12949b1336f",
        parameter_schema=SCHEMA,
        infrastructure={"env": {"TZ": "UTC"}},
    )


def test_what_loading_the_flow_has_found_counts_more_than_the_file():
    found = ETL.spec(flow_name="other", code=Bundle("ab", 1), parameter_schema={})

    assert (found.flow_name, found.code, found.parameter_schema) == ("other", Bundle("ab", 1), {})
    with pytest.raises(UsageError, match="which flow"):
        msgspec.structs.replace(ETL, flow_name=None).spec()


def test_a_file_of_prefect_2_is_read_and_it_is_said_what_was_ignored():
    deployment, notes = read(OF_PREFECT)

    assert deployment == WrittenDeployment(
        name="=nightly",
        flow_name="trips",
        entrypoint="flows/trips.py:trips",
        code=GitRepository("https://github.com/somebody/trips"),
        description="All trips of a month",
        version="db1b02c8e812f79d4547e07362e494c2",
        tags=("taxi", "yellow cabs"),
        parameters={"months": [1, 2, 3], "color": "yellow"},
        schedules=(ScheduleSpec(schedule=Cron("0 5 1 * *")),),
        work_queue_name="default",
        infrastructure={"env": {"PREFECT_LOGGING_LEVEL": "DEBUG", "TZ": "UTC"}},
        parameter_openapi_schema={
            "title": "Parameters", "type": "object", "properties": {"months": {"title": "months", "type": "array"}}
        },
    )  # fmt: skip
    assert notes == (
        told("manifest_path", "`manifest_path` is not read: flows are found by their entrypoint"),
        told("triggers", "`triggers` is not read: there are no automations yet"),
        told("entrypoint", "`entrypoint` is read with `/` for each `\\`"),
        told("  access_token", "`access_token` is not read: let git on the workers know how to get at the repository"),
        told("  command", "`command` is not read: Penstock starts its runs by itself"),
        told("  env", "Penstock makes no use of `PREFECT_LOGGING_LEVEL`"),
    )


def told(key: str, what: str) -> str:
    line = next(number for number, line in enumerate(OF_PREFECT.split("\n"), 1) if line.startswith(f"{key}:"))
    return f"etl.yaml, line {line}: {what}"


@pytest.mark.parametrize(("said", "code"), [
    ("path: null", LocalFolder("/home/me/project")),
    ("path: flows", LocalFolder("/home/me/project/flows")),
    ("path: ../other", LocalFolder("/home/me/other")),
    ("path: /opt/penstock/flows", LocalFolder("/opt/penstock/flows")),
    ("path: 'C:\\Users\\me\\flows'", LocalFolder("/home/me/project")),
    ("storage: {type: git, url: https://x/y, ref: main}\npath: sub", GitRepository("https://x/y", "main", "sub")),
    ("storage: {type: bundle, digest: abc, size: 7}\npath: ''", Bundle("abc", 7)),
    ("storage: {_block_type_slug: local-file-system, basepath: /mnt}\npath: a", LocalFolder("/mnt/a")),
    ("storage: {bucket_path: b, _block_type_slug: s3}", LocalFolder("/home/me/project")),
])  # fmt: skip
def test_code_lies_in_a_folder_or_a_repository_or_a_bundle(said: str, code: Any):
    text = "".join(line for line in ETL_WRITTEN.splitlines(keepends=True) if not line.startswith(("storage:", "path:")))

    assert read(f"{text}{said}\n").deployment.code == code


@pytest.mark.parametrize(("said", "told"), [
    ("path: 'D:/x'", "line 1: `path` is of a Windows machine: the code is taken from the folder of the file"),
    (
        "storage: {_block_type_slug: gcs}",
        "line 1: `storage` is not read: of type `gcs`. The code is taken from the folder of the file",
    ),
    ("work_pool_queue_name: fast", "line 1: `work_pool_queue_name` is read as `work_queue_name`"),
])  # fmt: skip
def test_what_means_something_else_here_is_told(said: str, told: str):
    assert read(with_key(said)).notes == (f"etl.yaml, {told}",)


@pytest.mark.parametrize(("said", "schedules"), [
    ("schedule: null", ()),
    ("schedule: {}", ()),
    (
        "schedule: {cron: '0 6 * * *', timezone: Europe/Berlin}",
        (ScheduleSpec(schedule=Cron("0 6 * * *", "Europe/Berlin")),),
    ),
    ("schedule: {cron: '0 6 * * *', day_or: no}", (ScheduleSpec(schedule=Cron("0 6 * * *", day_or=False)),)),
    (
        "schedule: {interval: 3600.0, anchor_date: 2026-01-01T00:00:00+00:00}",
        (ScheduleSpec(schedule=Interval(dt.timedelta(hours=1), dt.datetime(2026, 1, 1, tzinfo=dt.UTC))),),
    ),
    ("schedule: {rrule: 'FREQ=DAILY'}", (ScheduleSpec(schedule=RRule("FREQ=DAILY")),)),
    (
        "schedule: {at: 2026-11-26T06:00:00Z}",
        (ScheduleSpec(schedule=Once((dt.datetime(2026, 11, 26, 6, tzinfo=dt.UTC),))),),
    ),
    (
        (
            "schedules: [{cron: '@daily', slug: a, active: false}, {schedule: {cron: '@hourly'}, parameters: {x: 1}}, "
            "{cron: '@weekly'}]"
        ),
        (
            ScheduleSpec(name="a", schedule=Cron("@daily"), paused=True),
            ScheduleSpec(name="default", schedule=Cron("@hourly"), parameters={"x": 1}),
            ScheduleSpec(name="default-2", schedule=Cron("@weekly")),
        ),
    ),
    (
        "schedules: [{cron: '@daily', catchup: all, catchup_limit: 3, catchup_window: 60, overlap: skip}]",
        (
            ScheduleSpec(
                schedule=Cron("@daily"),
                policy=Policy(catchup="all", limit=3, window=dt.timedelta(minutes=1), overlap="skip"),
            ),
        ),
    ),
])  # fmt: skip
def test_schedules_are_said_one_by_one_or_as_a_list(said: str, schedules: tuple[ScheduleSpec, ...]):
    text = with_key(said)
    if said.startswith("schedules"):
        text = text.replace("schedule: null\n", "")

    found = read(text).deployment

    assert found.schedules == schedules
    assert read(deployment_files.write(found)).deployment == found


@pytest.mark.parametrize(("said", "told", "hint"), [
    ("parametres: {}", "line 1: There is no key `parametres`", "did you mean `parameters`?"),
    ("name: a/b", "line 1: A name is 1 to 200 characters without `/`, not: `a/b`", None),
    ("name: ''", "line 1: `name` is missing", None),
    ("tags: 5", "line 1: `tags` is a list of texts, not: `5`", None),
    ("parameters: [1]", "line 1: `parameters` is a mapping of names to values, not: `[1]`", None),
    (
        "entrypoint: etl.py", "line 1: Not an entrypoint: `etl.py`",
        "it is a file and a function, as in `flows/etl.py:etl`",
    ),
    ("concurrency_limit: 0", "line 1: `concurrency_limit` does not fit: Expected `int` >= 1", None),
    ("timeout_seconds: 0", "line 1: `timeout_seconds` does not fit: Expected `float` > 0.0", None),
    ("on_crash: restart", "line 1: `on_crash` does not fit: Invalid enum value 'restart'", None),
    ("is_schedule_active: maybe", "line 1: `is_schedule_active` does not fit: Expected `bool`, got `str`", None),
    ("infrastructure: {type: processz}", "line 1: There is no infrastructure `processz`", "did you mean `process`?"),
    ("storage: {type: githb}", "line 1: There is no storage `githb`", "did you mean `github`?"),
    ("storage: {type: git}", "line 1: The address of the repository is missing: `url`", None),
    ("schedule: {corn: '@daily'}", "line 1: There is no key `corn`", "did you mean `cron`?"),
    ("schedule: 0 6 * * *", "line 1: `schedule` is a mapping of names to values, not: `0 6 * * *`", None),
    (
        "schedules: [{cron: '@daily', catchup: sometimes}]",
        "line 1: catchup is one of latest, all, skip: `sometimes`", None,
    ),
    (
        "schedules: [{cron: '@daily', name: a}, {cron: '@hourly', name: a}]",
        "line 1: Two schedules have the name `a`", None,
    ),
    (
        "schedules: [{cron: '@daily', active: yes, paused: yes}]",
        "line 1: A schedule cannot be both active and paused", None,
    ),
    (
        "deployments: [{name: a}]",
        "line 1: This file holds several deployments", "`penstock deploy --file etl.yaml` reads such files",
    ),
])  # fmt: skip
def test_what_cannot_be_is_refused_with_file_line_and_key(said: str, told: str, hint: str | None):
    with pytest.raises(DeploymentFileError) as refused:
        read(with_key(said))

    assert (refused.value.message, refused.value.hint) == (f"etl.yaml, {told}", hint)


@pytest.mark.parametrize(("said", "value"), [
    ("schedule: {cron: '61 * * * *'}", "61 *"), ("schedule: {cron: '@daily', timezone: Mars/Base}", "Mars/Base")
])  # fmt: skip
def test_a_schedule_that_cannot_be_is_refused_in_its_line(said: str, value: str):
    with pytest.raises(DeploymentFileError, match=r"etl.yaml, line 1: ") as refused:
        read(with_key(said))

    assert value in refused.value.message


@pytest.mark.parametrize("key", ["name", "flow_name", "entrypoint"])
def test_what_is_missing_is_named(key: str):
    text = "".join(line for line in ETL_WRITTEN.splitlines(keepends=True) if not line.startswith(f"{key}:"))

    with pytest.raises(DeploymentFileError, match=f"`{key}` is missing"):
        read(text)


EDITED = """\
# Mine: do not touch.
---
parameters:        # the whole year
    months: [ 1, 2,
              3 ]
    color: yellow  # not green

name: "Parameterized ETL"
version: abc
tags:
    - one
    # and
    - two


work_queue_name: default  # the only one
# Every night, when nobody looks.
schedule: {cron: "0 3 * * *"}   # UTC

###
### DO NOT EDIT BELOW THIS LINE
###
flow_name: 'etl-parent-flow'
entrypoint: flows/parameterized_flow.py:etl_parent_flow
path: .
# The end."""


@pytest.mark.parametrize("text", [EDITED, ETL_WRITTEN, OF_PREFECT, EDITED + "\n", EDITED.replace("\n", "\r\n")])
def test_a_file_that_says_what_it_should_is_not_changed_at_all(text: str):
    assert rebuilt(text) == text


@pytest.mark.parametrize(("changes", "before", "after"), [
    ({"version": "def"}, "version: abc", "version: def"),
    (
        {"parameters": {"months": [1, 2, 3], "color": "green"}},
        "    months: [ 1, 2,\n              3 ]\n    color: yellow  # not",
        "    months: [1, 2, 3]\n    color: green   # not",
    ),
    ({"work_queue_name": "fast"}, "queue_name: default  # the", "queue_name: fast     # the"),
    ({"tags": ("three",)}, "    - one\n    # and\n    - two\n", "    - three\n"),
    ({"schedules": ()}, 'schedule: {cron: "0 3 * * *"}   # UTC', "schedule: null                  # UTC"),
    (
        {"work_pool_name": "big"},
        "work_queue_name: default  # the only one\n",
        "work_queue_name: default  # the only one\nwork_pool_name: big\n",
    ),
    ({"concurrency_limit": 2}, '"}   # UTC\n', '"}   # UTC\nconcurrency_limit: 2\n'),
    (
        {"description": "# Trips\n\nof a month\n# End\n"},
        'name: "Parameterized ETL"\n',
        'name: "Parameterized ETL"\ndescription: |\n    # Trips\n\n    of a month\n    # End\n',
    ),
    (
        {"infrastructure": {"env": {"TZ": "UTC"}}}, '"}   # UTC\n',
        (
            '"}   # UTC\ninfrastructure:\n    type: process\n    env:\n        TZ: UTC\n    labels: {}\n'
            "    name: null\n    command: null\n    stream_output: true\n    working_dir: null\n"
        ),
    ),
    ({"flow_name": "renamed"}, "flow_name: 'etl-parent-flow'", "flow_name: 'renamed'"),
])  # fmt: skip
def test_only_what_says_something_else_is_written_anew(changes: dict[str, Any], before: str, after: str):
    assert rebuilt(EDITED, **changes) == (EDITED + "\n").replace(before, after)


def test_one_schedule_becomes_several_where_it_stood():
    two = (
        ScheduleSpec(name="a", schedule=Cron("@daily")),
        ScheduleSpec(name="b", schedule=Cron("@hourly"), paused=True),
    )

    text = rebuilt(ETL_WRITTEN, schedules=two)

    assert "parameters: {}\nschedules:\n- name: a\n  cron: '@daily'\n" in text
    assert "\nschedule:" not in text
    assert rebuilt(text, schedules=()) == ETL_WRITTEN


def test_the_heading_names_the_flow_that_it_is_of():
    text = rebuilt(OF_PREFECT, flow_name="rides")

    assert "### A complete description of a Prefect Deployment for flow 'rides'\n" in text


def test_a_file_that_cannot_be_read_is_not_written_over():
    with pytest.raises(DeploymentFileError, match=r"etl.yaml, line 1: There is no key `nmae`"):
        deployment_files.write(ETL, "nmae: x\n", where="etl.yaml", folder="/")


def test_a_file_that_cannot_keep_its_comments_is_not_written_over():
    flow = "{name: a, flow_name: etl, entrypoint: 'etl.py:etl', version: abc}  # in one line\n"

    with pytest.raises(DeploymentFileError, match="too unusual"):
        rebuilt(flow, version="def")


words = st.text(st.characters(codec="utf-8"), max_size=20)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)
mappings = st.dictionaries(words, plain, max_size=4)


@pytest.mark.slow
@given(mappings, st.none() | words.filter(bool), st.lists(words, max_size=3), mappings)
@hypothesis.settings(max_examples=30, deadline=None)
def test_whatever_is_said_is_read_again_and_built_again(
    parameters: dict[str, Any], description: str | None, tags: list[str], others: dict[str, Any]
):
    deployment = msgspec.structs.replace(ETL, parameters=parameters, description=description, tags=tuple(tags))

    text = deployment_files.write(deployment)
    assert read(text).deployment == deployment

    again = rebuilt(text, parameters=others, description="shorter")
    assert read(again).deployment == msgspec.structs.replace(deployment, parameters=others, description="shorter")
    assert rebuilt(again, parameters=parameters, description=description).count("###") == 6
