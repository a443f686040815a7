"""The API asked all that its own description allows, and much that it does not: it answers as it says it will."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS
from schemathesis.core.result import Ok
from tests.api.serving import TOKEN, Served, serving
from tests.orchestration.plant import Plant

from penstock.api import app, description, journals, waiting
from penstock.core.access import Permission
from penstock.core.deployments import ScheduleSpec
from penstock.core.operations.api_keys import CreateApiKey
from penstock.core.schedules import Cron
from penstock.store.sqlite import SqliteStore

pytestmark = pytest.mark.slow

EXAMPLES = 6
"""Of each operation, in each way: all of them together take some 20 seconds."""

ENDLESS = "GET /api/events/stream"
"""Its answer has no end."""

NOT_CHECKED = {
    "positive_data_acceptance",  # what fits the description may still name what does not exist
    "ensure_resource_availability",  # runs are made by workers, too
    "use_after_free",  # same
}

schemathesis.serializer.alias(journals.MEDIA_TYPE, "application/octet-stream")

SCHEMA = schemathesis.openapi.from_dict(description.document(app.RAW))
FOUND = list(SCHEMA.get_all_operations())
OPERATIONS = {each.ok().label: each.ok() for each in FOUND if isinstance(each, Ok) and each.ok().label != ENDLESS}
assert len(OPERATIONS) == len(FOUND) - 1, "some operation is not described as it should be"

# Only now: reading a description makes its checks known.
CHECKED = [CHECKS.get_one(name) for name in CHECKS.get_all_names() if name not in NOT_CHECKED]
negative_data_rejection = CHECKS.get_one("negative_data_rejection")


def takes_lists(operation: Any) -> bool:
    """Whether a query of it may repeat a name."""
    return any(each.definition["schema"].get("type") == "array" for each in operation.query)


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, dict[str, str]]]:
    """A store with something in it, served, and the names of these things by how paths call them."""
    home: Path = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch, SqliteStore.open(home / "penstock.db", write=True) as store:
        patch.setenv("PENSTOCK_HOME", str(home))
        patch.setattr(waiting, "LONGEST_SECONDS", 0.01)
        plant = Plant(store)
        plant.deploy("nightly", ScheduleSpec(schedule=Cron("0 6 * * *")))
        plant.start_worker()
        done, under_way = plant.create(), plant.create()
        plant.work_off()
        waiting_run = plant.create()
        plant.ask(CreateApiKey(name="reader", permissions=(Permission.READ,)))
        names = {
            "deployment": "etl~1nightly",
            "schedule": "default",
            "pool": "default",
            "queue": "default",
            "worker_id": "w1",
            "run": done,
            "run_id": waiting_run,
            "flow_run_id": under_way,
            "key": "reader",
        }
        with serving(store) as served:
            yield served, names


@pytest.mark.parametrize("mode", GenerationMode)
@pytest.mark.parametrize("label", OPERATIONS)
def test_it_answers_as_it_says(label: str, mode: GenerationMode, known: tuple[Served, dict[str, str]]):
    served, names = known
    operation = OPERATIONS[label]
    if mode is GenerationMode.NEGATIVE and not list(operation.iter_parameters()) and not operation.body:
        pytest.skip("nothing can be wrong with a request that says nothing")

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    )
    @given(case=operation.as_strategy(generation_mode=mode), is_known=st.booleans())
    def ask(case: Any, is_known: bool):
        if is_known and mode is GenerationMode.POSITIVE:
            case.path_parameters = {name: names.get(name, value) for name, value in case.path_parameters.items()}
        key = {"Authorization": f"Bearer {TOKEN}"}
        response = case.call(base_url=f"http://127.0.0.1:{served.port}", headers=key, timeout=20)
        assert b"Traceback" not in response.content
        # In a query, a list of one and what it holds look the same.
        unfit = [negative_data_rejection] if takes_lists(operation) else []
        case.validate_response(response, checks=CHECKED, excluded_checks=unfit, headers=key)

    ask()
