from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from penstock import artifacts, flow, task
from penstock.core.records import ArtifactSaved, FlowRunBegan, TaskRunBegan
from penstock.errors import MissingContext, UsageError

Recorded = Callable[[type[Any]], list[Any]]


def saved_by(recorded: Recorded, create: Callable[[], Any]) -> ArtifactSaved:
    """What a flow that calls ``create`` publishes."""

    @flow
    def publishing():
        create()

    publishing()
    (saved,) = recorded(ArtifactSaved)
    return saved


@pytest.mark.parametrize(
    ("create", "kind", "data"),
    [
        (lambda: artifacts.create_markdown_artifact("# Trips", "trips", "daily"), "markdown", "# Trips"),
        (lambda: artifacts.create_image_artifact("http://x/y.png", "trips", "daily"), "image", "http://x/y.png"),
        (lambda: artifacts.create_progress_artifact(40, "trips", "daily"), "progress", 40.0),
        (
            lambda: artifacts.create_link_artifact("http://x", "here", "trips", "daily"),
            "link",
            {"link": "http://x", "text": "here"},
        ),
        (lambda: artifacts.create_table_artifact([{"a": 1}], "trips", "daily"), "table", [{"a": 1}]),
    ],
    ids=["markdown", "image", "progress", "link", "table"],
)
def test_an_artifact_is_recorded_under_its_run(recorded: Recorded, create: Callable[[], Any], kind: str, data: Any):
    saved = saved_by(recorded, create)

    assert (saved.kind, saved.key, saved.description, saved.data) == (kind, "trips", "daily", data)
    assert saved.flow_run_id == recorded(FlowRunBegan)[0].flow_run_id
    assert saved.task_run_id is None


def test_an_artifact_of_a_task_is_recorded_under_the_task_run(recorded: Recorded):
    @task
    def report() -> str:
        return artifacts.create_markdown_artifact("# Trips")

    @flow
    def etl() -> str:
        return report()

    artifact_id = etl()

    (saved,) = recorded(ArtifactSaved)
    assert saved.artifact_id == artifact_id
    assert saved.task_run_id == recorded(TaskRunBegan)[0].task_run_id


def test_a_retried_flow_replaces_what_it_had_published(recorded: Recorded):
    tries: list[int] = []

    @flow(retries=1)
    def etl():
        artifacts.create_markdown_artifact(f"try {len(tries)}", "report")
        artifacts.create_markdown_artifact("another of the same key", "report")
        tries.append(1)
        if len(tries) == 1:
            raise ValueError

    etl()

    ids = [saved.artifact_id for saved in recorded(ArtifactSaved)]
    assert ids[:2] == ids[2:]
    assert len(set(ids)) == 2


def test_progress_is_updated_in_place_and_keeps_key_and_description(recorded: Recorded):
    @flow
    def etl():
        progress = artifacts.create_progress_artifact(0, "load", "rows loaded")
        artifacts.update_progress_artifact(progress, 50)
        artifacts.update_progress_artifact(pickle.loads(pickle.dumps(progress)), 100, "done")

    etl()

    saved = recorded(ArtifactSaved)
    assert len({each.artifact_id for each in saved}) == 1
    assert [(each.data, each.key, each.description) for each in saved] == [
        (0.0, "load", "rows loaded"), (50.0, "load", "rows loaded"), (100.0, "load", "done"),
    ]  # fmt: skip


def test_the_id_may_be_awaited(recorded: Recorded):
    @flow
    async def etl() -> str:
        return await artifacts.create_markdown_artifact("# Trips")

    assert asyncio.run(etl()) == recorded(ArtifactSaved)[0].artifact_id


@pytest.mark.parametrize(
    ("table", "kept"),
    [
        ([{"a": 1}, {"a": float("nan"), "b": None}], [{"a": 1}, {"a": None, "b": None}]),
        ([["x", 1], ("y", 2)], [["x", 1], ["y", 2]]),
        ({"a": [1, 2], "b": (3, 4)}, {"a": [1, 2], "b": [3, 4]}),
        ([{"sum": Decimal("12.50"), "day": date(2024, 1, 31)}], [{"sum": "12.50", "day": "2024-01-31"}]),
        ([], []),
    ],
    ids=["rows", "lists", "columns", "exact values", "nothing"],
)
def test_a_table_is_kept_as_rows_or_columns_of_json(recorded: Recorded, table: Any, kept: Any):
    assert saved_by(recorded, lambda: artifacts.create_table_artifact(table)).data == kept


@pytest.mark.slow  # importing it
def test_a_data_frame_is_kept_by_columns_with_its_named_index(recorded: Recorded):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {
            "borough": ["Bronx", "Queens", "Bronx"],
            "trips": [3, 4, 5],
            "fare": [1.5, None, 2.5],
            "at": pandas.to_datetime(["2024-01-01", None, "2024-01-03"]),
        }
    )

    plain = saved_by(recorded, lambda: artifacts.create_table_artifact(frame)).data

    assert plain == {
        "borough": ["Bronx", "Queens", "Bronx"],
        "trips": [3, 4, 5],
        "fare": [1.5, None, 2.5],
        "at": ["2024-01-01T00:00:00", None, "2024-01-03T00:00:00"],
    }


@pytest.mark.slow  # importing it
def test_the_groups_of_a_data_frame_are_a_column(recorded: Recorded):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"borough": ["Bronx", "Queens", "Bronx"], "trips": [3, 4, 5]})

    saved = saved_by(recorded, lambda: artifacts.create_table_artifact(frame.groupby("borough").sum()))

    assert saved.data == {"borough": ["Bronx", "Queens"], "trips": [8, 4]}


@pytest.mark.slow  # importing it
def test_columns_of_the_same_name_are_refused(recorded: Recorded):
    pandas = pytest.importorskip("pandas")
    with pytest.raises(UsageError, match="have the same name"):
        artifacts.create_table_artifact(pandas.DataFrame([[1, 2]], columns=["a", "a"]))


@pytest.mark.slow  # importing it
def test_an_arrow_table_is_kept_by_columns(recorded: Recorded):
    pyarrow = pytest.importorskip("pyarrow")
    table = pyarrow.table({"a": [1, 2], "at": [datetime(2024, 1, 1, tzinfo=UTC), None]})

    saved = saved_by(recorded, lambda: artifacts.create_table_artifact(table))

    assert saved.data == {"a": [1, 2], "at": ["2024-01-01T00:00:00+00:00", None]}


@pytest.mark.parametrize(
    ("create", "told"),
    [
        (lambda: artifacts.create_table_artifact(3), "not: `int`"),
        (lambda: artifacts.create_table_artifact("text"), "not: `str`"),
        (lambda: artifacts.create_table_artifact([{"a": 1}, [2]]), "all rows have to be of one kind"),
        (lambda: artifacts.create_table_artifact({"a": [1], "b": 2}), "not: `dict`"),
        (lambda: artifacts.create_table_artifact({"a": [1], "b": []}), "`a` has 1, `b` has 0"),
        (
            lambda: artifacts.create_table_artifact([{"a": object()}]),
            "table artifact .* at 0 at 'a': `builtins.object`",
        ),
        (lambda: artifacts.create_table_artifact([["x" * 5_000_000]], "big"), "`big` is 5,000,006 bytes long"),
        (lambda: artifacts.create_markdown_artifact("x", "My Key"), "did you mean `my-key`"),
        (lambda: artifacts.create_markdown_artifact("x", "a--b"), "did you mean `a-b`"),
        (lambda: artifacts.create_markdown_artifact("x", "ü"), "not: `ü`"),
        (lambda: artifacts.create_markdown_artifact(3), "Markdown is text"),  # pyright: ignore[reportArgumentType]  that is what is tested
        (lambda: artifacts.create_progress_artifact(101), "from 0 to 100"),
        (lambda: artifacts.create_progress_artifact(float("nan")), "from 0 to 100"),
        (lambda: artifacts.update_progress_artifact("x", 3), "what create_progress_artifact"),
    ],
    ids=range(14),
)
def test_what_cannot_be_an_artifact_is_refused_with_its_reason(create: Callable[[], Any], told: str):
    with pytest.raises(UsageError, match=told):
        create()


def test_outside_of_a_run_there_is_nothing_to_record_it_under():
    with pytest.raises(MissingContext, match=r"create_link_artifact\(\)(.|\n)*inside of a flow or task"):
        artifacts.create_link_artifact("http://x")
