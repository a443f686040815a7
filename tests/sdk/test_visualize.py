from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock import State, allow_failure, as_completed, emit_event, flow, get_run_logger, task, unmapped, wait
from penstock.artifacts import create_markdown_artifact
from penstock.errors import ParameterError, UsageError
from penstock.sdk.visualize import Drawing


def ran(*_: Any) -> Any:
    raise AssertionError("a task was run")


extract = task(ran, name="extract")
load = task(ran, name="load")
constant = task(ran, name="constant", viz_return_value=[1, 2, 3])


def edges(drawing: Drawing) -> set[tuple[str, str]]:
    return {(edge.source, edge.target) for edge in drawing.graph.edges}


def labels(drawing: Drawing) -> list[str]:
    return [node.text for node in drawing.graph.nodes]


def test_tasks_are_drawn_and_not_run():
    @flow
    def etl():
        load(extract(1))

    assert labels(etl.visualize()) == ["extract", "load"]
    assert edges(etl.visualize()) == {("extract-0", "load-0")}


def test_nothing_is_recorded(home: Path):
    @flow
    def etl():
        get_run_logger().info("about to begin")
        emit_event("begun")
        create_markdown_artifact("# report")
        load.submit(extract(1)).wait()

    etl.visualize()

    assert not home.exists()


def test_calls_of_one_task_are_told_apart():
    @flow
    def etl():
        load(extract(1), extract(2))

    assert labels(etl.visualize()) == ["extract-0", "extract-1", "load"]


@pytest.mark.parametrize(
    "pass_on",
    [
        load,
        lambda value: load([value]),
        lambda value: load({"deep": ({"er": value},)}),
        lambda value: load(value.columns),
        lambda value: load(value["key"]),
        lambda value: load(value.head(5)),
        lambda value: load(f"s3://bucket/{value}.parquet"),
        lambda value: load(allow_failure(value)),
        lambda value: load(1, wait_for=[value]),
        load.submit,
        lambda value: load.submit(1, wait_for=[value]),
        lambda value: load.map([1, 2], unmapped(value)),
        load.map,
    ],
    ids=range(13),
)
def test_edges_follow_results_wherever_they_are_passed_on(pass_on: Any):
    @flow
    def etl():
        pass_on(extract(1))

    assert edges(etl.visualize()) == {("extract-0", "load-0")}


def test_edges_follow_futures_results_and_states():
    @flow
    def etl():
        future = extract.submit(1)
        load(future)
        load(future.result())
        load(extract.submit(2, return_state=True))
        load(extract(3, return_state=True))

    drawn = edges(etl.visualize())

    assert drawn == {
        ("extract-0", "load-0"), ("extract-0", "load-1"), ("extract-1", "load-2"), ("extract-2", "load-3"),
    }  # fmt: skip


def test_a_submitted_task_gives_a_future_that_is_done():
    seen: list[Any] = []

    @flow
    def etl():
        futures = [extract.submit(1), extract.submit(2)]
        seen.append(wait(futures).not_done)
        seen.append(len(list(as_completed(futures))))
        seen.append(futures[0].state.is_completed())

    etl.visualize()

    assert seen == [set(), 2, True]


def test_a_mapped_task_is_one_node_that_tells_how_often():
    @flow
    def etl():
        pages = extract.map([1, 2, 3])
        for page in pages:
            load(page)
        load(pages.result())
        load.map(extract(0))

    drawing = etl.visualize()

    assert labels(drawing)[0] == "extract-0 × 3"
    assert labels(drawing)[-1] == "load-4 × n"
    assert {("extract-0", f"load-{number}") for number in range(4)} < edges(drawing)


def test_a_viz_return_value_is_returned_in_place_of_the_result():
    @flow
    def etl():
        parts = constant()
        for _ in parts:
            load(parts)

    assert edges(etl.visualize()) == {("constant-0", "load-0"), ("constant-0", "load-1"), ("constant-0", "load-2")}


def test_equal_viz_return_values_of_two_calls_are_told_apart():
    @flow
    def etl():
        first, second = constant(), constant()
        load(first)
        load(second)

    assert edges(etl.visualize()) == {("constant-0", "load-0"), ("constant-1", "load-1")}


def test_subflows_are_drawn_as_flows_and_not_run():
    @flow(name="child")
    def child(x: Any):
        ran()

    @flow
    def parent():
        load(child(extract(1)))

    drawing = parent.visualize()

    assert [(node.text, node.kind) for node in drawing.graph.nodes] == [
        ("extract", "task"), ("child", "flow"), ("load", "task"),
    ]  # fmt: skip
    assert edges(drawing) == {("extract-0", "child-0"), ("child-0", "load-0")}


@task
async def fetch(x: Any) -> Any:
    ran()


@task
def pages() -> Iterator[int]:
    ran()
    yield 1


@task
async def rows() -> AsyncIterator[int]:
    ran()
    yield 1


@flow
async def crawl():
    first, second = await asyncio.gather(fetch(1), fetch(2))
    future = await fetch.submit([first, second])
    load(await future.result())
    load((await fetch(3, return_state=True)).result())
    async for row in rows():
        load(row)


CRAWLED = {
    ("fetch-0", "fetch-2"), ("fetch-1", "fetch-2"), ("fetch-2", "load-0"), ("fetch-3", "load-1"), ("rows-0", "load-2"),
}  # fmt: skip


def test_async_flows_and_tasks_are_drawn():
    assert edges(crawl.visualize()) == CRAWLED


def test_async_flows_are_drawn_where_an_event_loop_is_running_already():
    async def notebook() -> Drawing:
        return crawl.visualize()

    assert edges(asyncio.run(notebook())) == CRAWLED


def test_a_generator_gives_one_placeholder_for_all_its_items():
    @flow
    def etl():
        for page in pages():
            load(page)

    assert edges(etl.visualize()) == {("pages-0", "load-0")}


def test_flows_that_are_generators_are_drawn():
    @flow
    def stream():
        yield extract(1)

    @flow
    async def stream_async():
        yield extract(1)

    assert labels(stream.visualize()) == labels(stream_async.visualize()) == ["extract"]


def test_parameters_are_validated_as_for_a_run():
    seen: list[Any] = []

    @flow
    def etl(month: int):
        seen.append(month)

    etl.visualize("3")

    assert seen == [3]
    with pytest.raises(ParameterError, match="month"):
        etl.visualize("march")
    with pytest.raises(ParameterError, match="needs a value for `month`"):
        etl.visualize()


def test_drawing_within_a_run_does_not_run_tasks_either():
    @flow
    def inner():
        load(extract(1))

    @flow
    def outer() -> Drawing:
        return inner.visualize()

    state: State = outer(return_state=True)

    assert edges(state.result()) == {("extract-0", "load-0")}


def test_after_drawing_tasks_are_run_again():
    @task
    def double(x: int) -> int:
        return 2 * x

    @flow
    def doubled() -> int:
        return double(4)

    doubled.visualize()

    assert doubled() == 8


def test_what_needs_a_result_names_the_task_and_what_helps():
    @flow
    def etl():
        if extract(1):
            load(1)

    with pytest.raises(UsageError, match=r"task `extract` was not run.*tested for truth(.|\n)*viz_return_value"):
        etl.visualize()


def test_other_errors_of_the_flows_code_are_explained():
    @flow
    def etl():
        extract(1)
        raise KeyError("columns")

    with pytest.raises(KeyError) as caught:
        etl.visualize()

    assert "viz_return_value" in caught.value.__notes__[0]


def test_a_drawing_is_saved_as_the_suffix_says(tmp_path: Path):
    @flow(name="etl")
    def etl():
        load(extract(1))

    drawing = etl.visualize()
    drawing.save(tmp_path / "graph.svg")
    drawing.save(str(tmp_path / "graph.dot"))

    assert (tmp_path / "graph.svg").read_text("utf-8") == drawing.to_svg() == drawing._repr_svg_()
    assert '"extract-0" -> "load-0"' in (tmp_path / "graph.dot").read_text("utf-8")
    assert repr(drawing) == "<drawing of 'etl': 2 nodes, 1 edges>"
    with pytest.raises(UsageError, match="not as"):
        drawing.save(tmp_path / "graph.png")
