"""What a pool and a deployment say of a run's process."""

from __future__ import annotations

from typing import Any

import pytest

from penstock import errors
from penstock.core.infrastructure import process_job


def test_a_deployment_is_laid_over_its_pool_and_its_variables_name_by_name():
    job = process_job(
        {"env": {"A": "1", "B": "2"}, "working_dir": "/pool"}, {"env": {"B": "3", "C": 4}, "stream_output": False}
    )

    assert job.variables == {"A": "1", "B": "3", "C": "4"}
    assert (job.working_dir, job.stream_output) == ("/pool", False)


def test_variables_are_text_and_none_takes_one_away():
    job = process_job({}, {"env": {"A": True, "B": 1.5, "C": None}})

    assert job.variables == {"A": "true", "B": "1.5", "C": None}


def test_what_files_of_prefect_say_of_every_infrastructure_is_no_misfit():
    job = process_job(
        {}, {"type": "process", "name": None, "labels": {}, "command": None, "block_type_slug": "process"}
    )

    assert job.argv is None


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, None),
        ({"command": ["a", "b c"]}, ["a", "b c"]),
        ({"command": "a 'b c'"}, ["a", "b c"]),
        ({"command": []}, None),
        ({"python": "/opt/python"}, ["/opt/python", "-m", "penstock.worker.entrypoint"]),
        ({"env": {"PYTHONPATH": "x"}}, ["", "-m", "penstock.worker.entrypoint"]),
        ({"env": {"LD_PRELOAD": "x"}}, ["", "-m", "penstock.worker.entrypoint"]),
        ({"env": {"PATH": "x"}}, None),
    ],
)
def test_a_process_is_executed_only_where_a_fork_would_not_do(given: dict[str, Any], wanted: list[str] | None):
    assert process_job({}, given).argv == wanted


def test_a_name_that_is_none_and_a_value_that_does_not_fit_are_refused():
    with pytest.raises(errors.UsageError, match="has no field: `imagee`"):
        process_job({}, {"imagee": "x"})
    with pytest.raises(errors.UsageError, match="for the work pool to say: `preload`"):
        process_job({"preload": ["a"]}, {"preload": ["b"]})
    with pytest.raises(errors.UsageError, match="does not fit"):
        process_job({"env": ["A=1"]}, {})
