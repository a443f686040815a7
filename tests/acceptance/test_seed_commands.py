"""The commands of a data engineering course that was written for Prefect 2, with `penstock` for `prefect`."""

from __future__ import annotations

import os
import signal

import pytest
from tests.acceptance.place import Place, write

from penstock.client import home_server
from penstock.core.operations.deployments import GetDeployment
from penstock.core.operations.flow_runs import ListFlowRuns

pytestmark = pytest.mark.slow

PARAMETERIZED = """
from datetime import timedelta
from pathlib import Path

from penstock import flow, task
from penstock.tasks import task_input_hash


@task(retries=3, cache_key_fn=task_input_hash, cache_expiration=timedelta(days=1))
def fetch(dataset_url: str) -> list[int]:
    return [1, 2, 0]


@task(log_prints=True)
def clean(rows: list[int]) -> list[int]:
    print(f"pre: missing passenger count: {rows.count(0)}")
    return [row for row in rows if row]


@task()
def write_local(rows: list[int], color: str, dataset_file: str) -> Path:
    path = Path(f"data/{color}/{dataset_file}.txt")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(repr(rows))
    return path


@flow()
def etl_web_to_gcs(year: int, month: int, color: str) -> None:
    dataset_file = f"{color}_tripdata_{year}-{month:02}"
    rows = fetch(f"https://example.org/{color}/{dataset_file}.csv.gz")
    write_local(clean(rows), color, dataset_file)


@flow()
def etl_parent_flow(months: list[int] = [1, 2], year: int = 2021, color: str = "yellow"):
    for month in months:
        etl_web_to_gcs(year, month, color)


if __name__ == "__main__":
    etl_parent_flow([1, 2, 3], 2021, "yellow")
"""

DOCKER_DEPLOY = """
from penstock.deployments import Deployment
from penstock.infrastructure.docker import DockerContainer
from parameterized_flow import etl_parent_flow

docker_block = DockerContainer(image="username/penstock:zoom", image_pull_policy="ALWAYS", auto_remove=True)

docker_dep = Deployment.build_from_flow(
    flow=etl_parent_flow,
    name="docker-flow",
    infrastructure=docker_block,
)


if __name__ == "__main__":
    docker_dep.apply()
"""

NAME = "etl-parent-flow/Parameterized ETL"


@pytest.fixture
def course(place: Place) -> Place:
    """The files of the course, a server, and an agent that serves the queue `default`."""
    write(place.folder / "flows", parameterized_flow=PARAMETERIZED, docker_deploy=DOCKER_DEPLOY)
    (place.folder / "flows" / "gcp").mkdir()
    place.start_server()
    return place


def test_from_the_flow_to_a_run_with_other_parameters(course: Place):
    place, gcp = course, course.folder / "flows" / "gcp"
    server = home_server.running(place.home)
    assert server is not None

    told = place.run(f'penstock config set PENSTOCK_API_URL="{server.api_url}"', shell=True).out
    assert told == f"Set 'PENSTOCK_API_URL' to '{server.api_url}'.\nUpdated profile 'default'.\n"
    assert "* default" in place.run("penstock profile ls", shell=True).out

    line = 'penstock deployment build . ../parameterized_flow.py:etl_parent_flow -n "Parameterized ETL"'
    assert place.run(line, shell=True, cwd=gcp).out.splitlines() == [
        "Found flow 'etl-parent-flow'",
        f"Default '.penstockignore' file written to {gcp}/.penstockignore",
        f"Deployment YAML created at '{gcp}/etl_parent_flow-deployment.yaml'.",
        (
            "Deployment storage None does not have upload capabilities; no files uploaded.  "
            "Pass --skip-upload to suppress this warning."
        ),
    ]
    manifest = gcp / "etl_parent_flow-deployment.yaml"
    edited = manifest.read_text().replace(
        "parameters: {}", 'parameters: {"color": "yellow", "months": [1, 2, 3], "year": 2021}'
    )
    manifest.write_text(edited)
    applied = place.run("penstock deployment apply etl_parent_flow-deployment.yaml", shell=True, cwd=gcp).out
    assert "Successfully loaded 'Parameterized ETL'" in applied
    assert f"Deployment '{NAME}' successfully created with id '" in applied
    assert "$ penstock agent start -q 'default'" in applied

    agent = place.start("agent", "start", "-q", "default")
    agent.says(r"Agent started! Looking for work from queue\(s\): default\.\.\.")
    ran = place.run(f'penstock deployment run "{NAME}" -p "months=[1, 2, 3, 4]" --watch', shell=True)

    assert "Parameters: {'color': 'yellow', 'months': [1, 2, 3, 4], 'year': 2021}" in ran.out
    assert ran.out.count("pre: missing passenger count: 1") == 4
    assert (gcp / "data/yellow/yellow_tripdata_2021-04.txt").read_text() == "[1, 2]"
    agent.says(r"Submitting flow run '")
    agent.says(r"exited cleanly")
    runs = place.ask(ListFlowRuns()).items
    assert sorted(run.flow_name for run in runs) == ["etl-parent-flow", *["etl-web-to-gcs"] * 4]
    assert {run.state_name for run in runs} == {"Completed"}


def test_the_script_that_deploys_into_a_container_says_what_is_not_there_yet(course: Place):
    place = course

    ran = place.run("python flows/docker_deploy.py", shell=True)
    assert "There are only workers of type `process` so far: none can start a run in `docker-container`" in ran.err
    kept = place.ask(GetDeployment(deployment="etl-parent-flow/docker-flow")).spec
    assert kept.infrastructure == {
        "type": "docker-container",
        "image": "username/penstock:zoom",
        "image_pull_policy": "ALWAYS",
        "auto_remove": True,
    }

    place.start("agent", "start", "-q", "default").says(r"Agent started!")
    line = 'penstock deployment run etl-parent-flow/docker-flow -p "months=[1, 2, 3, 4]" --watch'
    ran = place.run(line, shell=True, code=1)
    assert "Created flow run '" in ran.out
    assert "to be executed in `docker-container`, and there are only workers of type `process` yet" in ran.err


def test_a_bundle_is_what_workers_elsewhere_run(course: Place):
    """The worker's folder holds nothing of the flow: it has the code from the server alone."""
    place = course
    for name, text in (("helpers", "GREETING = 'Hello'\n"), ("etl", ETL)):
        write(place.folder / "bundled", **{name: text})
    (place.folder / "bundled" / "link.py").symlink_to("helpers.py")

    place.run("deployment", "build", "etl.py:etl", "-n", "x", "--upload", "-a", cwd=place.folder / "bundled")
    (place.folder / "bundled").rename(place.folder / "gone")
    place.start("worker", "start").says(r"Looking for work")
    ran = place.run("deployment", "run", "etl/x", "--watch")

    assert "Hello from the bundle" in ran.out


ETL = """
import helpers
import link
from penstock import flow


@flow(log_prints=True)
def etl():
    assert helpers.GREETING == link.GREETING
    print(f"{helpers.GREETING} from the bundle")
"""

PARENT = """
import sys

from penstock import flow
from penstock.deployments import run_deployment


@flow(log_prints=True)
def child(number: int):
    print(f"child {number}")
    return number * 2


@flow
def parent():
    runs = [run_deployment("child/x", parameters={"number": number}, poll_interval=0.1) for number in (1, 2)]
    return [run.state.result() for run in runs]


if __name__ == "__main__":
    print(parent())
"""


def test_a_flow_runs_deployments_as_subflows(course: Place):
    place = course
    write(place.folder, both=PARENT)
    place.run("deployment", "build", "both.py:child", "-n", "x", "-a")
    place.run("deployment", "build", "both.py:parent", "-n", "x", "-a")
    place.start("worker", "start").says(r"Looking for work")

    by_hand = place.run("python both.py", shell=True)
    by_worker = place.run("deployment", "run", "parent/x", "--watch")

    assert by_hand.out.endswith("[2, 4]\n")
    assert by_worker.code == 0
    children = place.ask(ListFlowRuns(deployment="child/x")).items
    parents = {run.id for run in place.ask(ListFlowRuns(flow="parent")).items}
    assert len(children) == 4
    assert {run.parent_flow_run_id for run in children} == parents


WAITING = """
import os
from pathlib import Path
from time import sleep

from penstock import flow
from penstock.deployments import run_deployment

HERE = Path(__file__).parent


@flow
def child():
    with open(HERE / "children", "a") as file:
        file.write("begun\\n")
    while not (HERE / "go").exists():
        sleep(0.02)
    return "done"


@flow
def parent():
    (HERE / "parent").write_text(str(os.getpid()))
    return run_deployment("child/x", poll_interval=0.1).state.result()
"""


def test_a_flow_that_is_killed_while_it_waits_finds_the_same_run_again(course: Place):
    place = course
    write(place.folder, both=WAITING)
    place.run("deployment", "build", "both.py:child", "-n", "x", "-a")
    place.run("deployment", "build", "both.py:parent", "-n", "x", "-a")
    place.start("worker", "start").says(r"Looking for work")
    place.run("deployment", "run", "parent/x")
    place.until((place.folder / "children").exists, "the child's beginning")
    first = (place.folder / "parent").read_text()

    os.kill(int(first), signal.SIGKILL)
    place.until(lambda: (place.folder / "parent").read_text() not in ("", first), "the parent's second attempt")
    (place.folder / "go").touch()

    (run,) = place.until(
        lambda: [run for run in place.ask(ListFlowRuns(flow="parent")).items if run.is_final], "the parent's end"
    )
    assert (run.state_name, run.attempt) == ("Completed", 2)
    assert len(place.ask(ListFlowRuns(flow="child")).items) == 1
    assert (place.folder / "children").read_text() == "begun\n"
