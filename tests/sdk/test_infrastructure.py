"""What runs execute in, as objects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from penstock import errors
from penstock.core.infrastructure import process_job
from penstock.infrastructure import DockerContainer, KubernetesJob, Process
from penstock.sdk import infrastructure


def test_a_process_says_only_what_differs():
    assert infrastructure.as_mapping(Process()) == {}
    assert infrastructure.as_mapping(Process(env={"TZ": "UTC"}, working_dir="/x")) == {
        "env": {"TZ": "UTC"},
        "working_dir": "/x",
    }
    assert infrastructure.as_mapping({"type": "process", "env": {}}) == {"env": {}}
    assert infrastructure.as_mapping(None) == {}


def test_a_worker_understands_what_a_process_says():
    said = infrastructure.as_mapping(
        Process(
            env={"A": 1}, command="python -m penstock.worker.entrypoint", stream_output=False, python="/bin/python3"
        )
    )

    assert process_job({}, said).stream_output is False


def test_a_container_keeps_its_fields_and_its_type():
    container = DockerContainer(image="me/penstock:zoom", image_pull_policy="ALWAYS", auto_remove=True)

    assert infrastructure.as_mapping(container) == {
        "type": "docker-container",
        "image": "me/penstock:zoom",
        "image_pull_policy": "ALWAYS",
        "auto_remove": True,
    }
    assert KubernetesJob(image="x", namespace="etl").given() == {
        "type": "kubernetes-job",
        "image": "x",
        "namespace": "etl",
    }


def test_whoever_deploys_into_a_container_is_told_that_no_worker_can_start_one():
    assert infrastructure.warning_about({}) is None
    assert infrastructure.warning_about({"type": "process"}) is None
    assert "There are only workers of type `process` so far" in (
        infrastructure.warning_about({"type": "docker-container"}) or ""
    )


def test_a_worker_does_not_take_a_process_for_a_container():
    with pytest.raises(errors.UsageError, match="to be executed in `docker-container`, and there are only workers"):
        process_job({}, {"type": "docker-container"})


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: DockerContainer(image=5), "Expected `str | null`, got `int` - at `$.image`"),  # type: ignore[arg-type]  that is the test
        (lambda: DockerContainer(image_pull_policy="SOMETIMES"), "DockerContainer does not fit"),  # type: ignore[arg-type]  that is the test
        (lambda: Process(env={"A": []}), "Process does not fit"),  # type: ignore[dict-item]  that is the test
        (lambda: DockerContainer.load("zoom"), "there is no: `DockerContainer.load('zoom')`"),
        (
            lambda: DockerContainer(image="x").save("zoom", overwrite=True),
            "there is no: `DockerContainer.save('zoom')`",
        ),
        (lambda: infrastructure.as_mapping("docker"), "Not an infrastructure: `'docker'`"),
    ],
)
def test_what_cannot_be_is_refused(make: Callable[[], Any], told: str):
    with pytest.raises(errors.UsageError) as refused:
        make()

    assert told in str(refused.value)
