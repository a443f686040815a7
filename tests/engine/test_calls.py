from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from penstock import allow_failure, errors, flow, quote, tags, task, unmapped
from penstock.core import records, states
from penstock.engine.context import current
from penstock.engine.futures import AsyncFuture, Future

Ends = Callable[[], dict[str, str]]
Records = Callable[..., list[Any]]


@task
def add(left: int, right: int = 1) -> int:
    return left + right


@task
def fail(message: str = "no") -> None:
    raise ValueError(message)


@task
def same(value: Any) -> Any:
    return value


# Calling ------------------------------------------------------------------------------------------


def test_a_task_that_is_called_gives_its_value(ends: Ends):
    @flow
    def main() -> int:
        return add(add(1), right=add(2, 3))

    assert main() == 7
    assert ends() == {"add-0": "Completed", "add-1": "Completed", "add-2": "Completed"}


def test_a_task_that_fails_raises_its_own_exception(ends: Ends):
    error = ValueError("mine")

    @task
    def mine() -> None:
        raise error

    @flow
    def main() -> str:
        with pytest.raises(ValueError, match="mine") as caught:
            mine()
        assert caught.value is error
        return "went on"

    assert main() == "went on"
    assert ends() == {"mine-0": "Failed"}


def test_the_state_of_a_task_can_be_asked_for_instead_of_its_value():
    @flow
    def main() -> list[Any]:
        failed = fail(return_state=True)
        assert failed.is_failed()
        assert failed.message == "Task run encountered an exception. ValueError: no"
        return [add(1, return_state=True).result(), type(failed.result(raise_on_failure=False))]

    assert main() == [2, ValueError]


def test_a_task_called_outside_of_a_flow_is_a_run_of_its_own(ends: Ends, recorded: Records):
    assert add(1) == 2
    assert add(1, return_state=True).is_completed()
    assert [each.flow_name for each in recorded(records.FlowRunBegan)] == ["add", "add"]
    assert ends() == {"add-0": "Completed"}


def test_a_coroutine_task_called_outside_of_a_flow_is_a_run_of_its_own(recorded: Records):
    @task
    async def later() -> int:
        return 3

    assert asyncio.run(later()) == 3
    assert [each.flow_name for each in recorded(records.FlowRunBegan)] == ["later"]


def test_the_function_itself_can_be_called_without_recording_anything(recorded: Records):
    assert add.fn(1, 2) == 3
    assert recorded() == []


def test_arguments_that_do_not_fit_are_told_before_anything_is_recorded(recorded: Records):
    @flow
    def main() -> str:
        with pytest.raises(TypeError):
            add(1, 2, 3)
        with pytest.raises(TypeError):
            add.submit(wrong=1)
        return "done"

    assert main() == "done"
    assert recorded(records.TaskRunBegan) == []


def test_a_returned_state_is_the_state_of_the_task():
    @task
    def skipped() -> Any:
        return states.Completed("nothing to do", data=5, name="Skipped")

    @task
    def refused() -> Any:
        return states.Failed("not today")

    @flow
    def main() -> Any:
        state = skipped(return_state=True)
        assert (state.name, state.message, state.result()) == ("Skipped", "nothing to do", 5)
        with pytest.raises(errors.FailedRun, match="not today"):
            refused()
        return skipped()

    assert main() == 5


def test_a_task_may_call_tasks_to_any_depth(ends: Ends, recorded: Records):
    @task
    def down(depth: int) -> int:
        return 0 if depth == 0 else 1 + down(depth - 1)

    @flow
    def main() -> int:
        return down(4)

    assert main() == 4
    began = recorded(records.TaskRunBegan)
    assert len({each.task_run_id for each in began}) == 5
    assert [each.scope_id for each in began[1:]] == [each.task_run_id for each in began[:-1]]


def test_what_runs_can_be_asked_for_and_is_put_back_afterwards():
    seen: list[Any] = []

    @task
    def inner() -> None:
        seen.append(current())

    @flow
    def main() -> int:
        before = current()
        inner()
        assert current() is before
        seen.append(before)
        return 1

    main()

    assert current() is None
    task_run, flow_run = seen
    assert (task_run.task_name, task_run.flow, task_run.parameters) == ("inner", flow_run, {})
    assert task_run.idempotency_key == f"{flow_run.id}/{task_run.id}"
    assert flow_run.idempotency_key == flow_run.id
    assert (flow_run.flow_name, flow_run.flow) == ("main", flow_run)


# Kinds of functions -------------------------------------------------------------------------------


def test_methods_class_methods_and_static_methods_can_be_tasks(ends: Ends):
    class Table:
        def __init__(self, name: str) -> None:
            self.name = name

        @task
        def load(self, suffix: str = "") -> str:
            return self.name + suffix

        @task
        @classmethod
        def kind(cls) -> str:
            return cls.__name__

        @task
        @staticmethod
        def twice(text: str) -> str:
            return text * 2

    @flow
    def main() -> list[Any]:
        table = Table("trips")
        return [
            table.load("!"),
            table.load.submit("?").result(),
            table.load.with_options(name="renamed")(),
            Table.load(table, "."),
            table.kind(),
            Table.kind(),
            table.twice("ab"),
            Table.twice("c"),
            [each.result() for each in table.load.map(["x", "y"])],
            table.load.fn("f"),
        ]

    assert main() == [
        "trips!", "trips?", "trips", "trips.", "Table", "Table", "abab", "cc", ["tripsx", "tripsy"], "tripsf",
    ]  # fmt: skip


def test_a_method_can_be_a_flow():
    class Job:
        def __init__(self, number: int) -> None:
            self.number = number

        @flow
        def run(self, more: int = 0) -> int:
            return add(self.number, more)

        @flow
        @staticmethod
        def still() -> str:
            return "static"

        @flow
        @classmethod
        def named(cls) -> str:
            return cls.__name__

    assert Job(3).run(more=4) == 7
    assert Job.still() == "static"
    assert Job.named() == "Job"


def test_lambdas_partials_and_callable_objects_can_be_tasks():
    class Doubler:
        def __call__(self, number: int) -> int:
            return number * 2

    @flow
    def main() -> list[int]:
        return [task(lambda x: x + 1)(1), task(functools.partial(add.fn, right=10))(5), task(Doubler())(4)]

    assert main() == [2, 15, 8]


@pytest.mark.parametrize("decorator", [flow, task])
def test_what_is_no_function_cannot_be_decorated(decorator: Any):
    with pytest.raises(errors.UsageError, match="is made of a function, not of: `3`"):
        decorator(3)


def test_a_generator_task_gives_its_items_one_by_one_and_its_result_is_their_list(ends: Ends):
    order: list[Any] = []

    @task
    def numbers(count: int):
        for number in range(count):
            order.append(number)
            yield number

    @flow
    def main() -> list[int]:
        for number in numbers(3):
            order.append(f"got {number}")
        return numbers.submit(2).result()

    assert main() == [0, 1]
    assert order == [0, "got 0", 1, "got 1", 2, "got 2", 0, 1]
    assert ends() == {"numbers-0": "Completed", "numbers-1": "Completed"}


def test_the_code_around_a_generator_task_runs_in_its_own_run():
    @task
    def numbers():
        yield current()
        yield current()

    @flow
    def main() -> bool:
        me = current()
        for inside in numbers():
            assert inside.task_name == "numbers"
            assert current() is me
        return True

    assert main()


def test_a_generator_task_that_fails_midway_has_failed(ends: Ends):
    @task
    def numbers():
        yield 1
        raise ValueError("enough")

    @flow
    def main() -> list[int]:
        got = []
        with pytest.raises(ValueError, match="enough"):
            for number in numbers():
                got.append(number)
        return got

    assert main() == [1]
    assert ends() == {"numbers-0": "Failed"}


def test_a_generator_task_that_nobody_exhausts_does_not_stay_under_way(ends: Ends):
    closed: list[bool] = []

    @task
    def numbers():
        try:
            while True:
                yield 1
        finally:
            closed.append(True)

    @flow
    def main() -> int:
        for number in numbers():
            return number
        raise AssertionError

    assert main() == 1
    assert closed == [True]
    assert ends() == {"numbers-0": "Cancelled"}


def test_a_generator_flow_gives_its_items_and_is_recorded(recorded: Records):
    @flow
    def numbers(count: int):
        for number in range(count):
            yield add(number)

    assert list(numbers(3)) == [1, 2, 3]
    (ended,) = recorded(records.FlowRunEnded)
    assert (ended.name, ended.result.preview) == ("Completed", "[1, 2, 3]")


def test_an_async_generator_flow_and_task_give_their_items(ends: Ends):
    @task
    async def letters(text: str):
        for letter in text:
            await asyncio.sleep(0)
            yield letter

    @flow
    async def main(text: str):
        async for letter in letters(text):
            yield letter.upper()

    async def collect() -> list[str]:
        return [letter async for letter in main("abc")]

    assert asyncio.run(collect()) == ["A", "B", "C"]
    assert ends() == {"letters-0": "Completed"}


def test_a_submitted_async_generator_task_gives_the_list_of_its_items():
    @task
    async def letters(text: str):
        for letter in text:
            yield letter

    @flow
    def main() -> list[str]:
        return letters.submit("ab").result()

    assert main() == ["a", "b"]


def test_a_generator_has_no_state_to_return():
    @task
    def numbers():
        yield 1

    @flow
    def main() -> str:
        with pytest.raises(errors.UsageError, match="has no state to return"):
            numbers(return_state=True)
        return "ok"

    @flow
    def items():
        yield 1

    assert main() == "ok"
    with pytest.raises(errors.UsageError, match="has no state to return"):
        items(return_state=True)


# Sync and async -----------------------------------------------------------------------------------


def test_coroutine_tasks_are_awaited_and_gathered(ends: Ends):
    @task
    async def double(number: int) -> int:
        await asyncio.sleep(0)
        return number * 2

    @flow
    async def main() -> int:
        many = await asyncio.gather(*(double(number) for number in range(5)))
        return sum(many) + await double(10)

    assert asyncio.run(main()) == 40
    assert set(ends().values()) == {"Completed"}
    assert len(ends()) == 6


def test_a_plain_task_can_be_called_and_submitted_in_an_async_flow():
    @flow
    async def main() -> int:
        future = await add.submit(1)
        assert isinstance(future, AsyncFuture)
        assert await future.wait() is not None
        return add(1) + await future.result() + await add.submit(2).result_async()

    assert asyncio.run(main()) == 7


def test_a_coroutine_task_can_be_submitted_and_mapped_in_a_plain_flow():
    @task
    async def double(number: int) -> int:
        await asyncio.sleep(0)
        return number * 2

    @flow
    def main() -> int:
        return double.submit(1).result() + sum(double.map(range(10)).result())

    assert main() == 92


def test_a_plain_flow_called_in_an_async_flow_and_the_other_way_round():
    @flow
    def plain(number: int) -> int:
        return add(number)

    @flow
    async def asynchronous(number: int) -> int:
        return plain(number) + plain(number, return_state=True).result()

    @flow
    async def outer(number: int) -> int:
        return await asynchronous(number)

    assert asyncio.run(outer(1)) == 4


def test_two_runs_of_one_async_subflow_at_once():
    @task
    async def double(number: int) -> int:
        await asyncio.sleep(0)
        return number * 2

    @flow
    async def sub(number: int) -> int:
        return await (await double.submit(number)).result()

    @flow
    async def main() -> list[int]:
        return list(await asyncio.gather(sub(1), sub(2), sub(1)))

    assert asyncio.run(main()) == [2, 4, 2]


def test_futures_of_coroutines_are_resolved_wherever_they_lie_in_the_arguments():
    @flow
    async def main() -> Any:
        one = await add.submit(1)
        many = await add.map([1, 2])
        assert await total.submit(many).result_async() == 5
        return [same(one), same([one]), same({"a": (one, one)}), total(many), total(xs=[one, *many])]

    @task
    def total(xs: list[int]) -> int:
        return sum(xs)

    assert asyncio.run(main()) == [2, [2], {"a": (2, 2)}, 5, 7]


def test_a_cancelled_coroutine_is_recorded_as_cancelled_and_stays_so(ends: Ends):
    @task
    async def never() -> None:
        await asyncio.Event().wait()

    @flow
    async def main() -> str:
        call = asyncio.ensure_future(never())
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        return "went on"

    assert asyncio.run(main()) == "went on"
    assert ends() == {"never-0": "Cancelled"}


# Arguments ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pair:
    left: Any
    right: Any


def test_futures_are_resolved_wherever_they_lie_in_the_arguments():
    @flow
    def main() -> Any:
        one, two = add.submit(0), add.submit(1)
        return [
            same(one),
            same([one, (two, {"k": one})]),
            same({1: {one}}) == {1: {1}},
            same(Pair(one, [two])),
            same.submit({"x": add.map([1, 2])}).result(),
        ]

    assert main() == [1, [1, (2, {"k": 1})], True, Pair(1, [2]), {"x": [2, 3]}]


def test_what_holds_no_future_is_passed_as_it_is():
    given = {"a": [1, {2}], "b": object()}

    @task
    def is_given(value: Any, future: int) -> bool:
        return value is given

    @flow
    def main() -> bool:
        return is_given(given, add.submit(1))

    assert main()


def test_a_task_is_not_started_when_an_input_failed(ends: Ends):
    @flow
    def main() -> Any:
        failed = fail.submit()
        state = add.submit(failed, return_state=True)
        with pytest.raises(errors.UpstreamFailed, match="fail-0.* did not reach a 'COMPLETED' state") as caught:
            add(failed)
        assert isinstance(caught.value.__cause__, ValueError)
        assert add.submit(add.submit(failed)).state.name in ("Pending", "NotReady")
        return state.name

    assert main() == "NotReady"
    assert ends() == {
        "fail-0": "Failed",
        "add-0": "NotReady",
        "add-1": "NotReady",
        "add-2": "NotReady",
        "add-3": "NotReady",
    }


def test_a_failure_can_be_allowed_and_is_then_given_as_the_exception():
    @task
    def look(value: Any, other: int) -> str:
        return f"{type(value).__name__}: {value} {other}"

    @flow
    def main() -> list[Any]:
        failed = fail.submit("bad")
        return [
            look(allow_failure(failed), 1),
            look.submit(allow_failure(failed), add.submit(1)).result(),
            [each.result() for each in look.map(allow_failure([failed, add.submit(1)]), other=unmapped(3))],
            same(allow_failure(add.submit(1))),
        ]

    assert main() == [
        "ValueError: bad 1", "ValueError: bad 2", ["ValueError: bad 3", "int: 2 3"], 2,
    ]  # fmt: skip


def test_what_is_quoted_is_not_looked_into():
    @flow
    def main() -> bool:
        future = add.submit(1)
        inside: Any = same(quote([future]))
        return inside[0] is future

    assert main()


def test_what_is_waited_for_comes_first_and_its_failure_counts(gate: Any):
    order: list[str] = []

    @task
    def first() -> None:
        gate.wait()
        order.append("first")

    @task
    def second() -> None:
        order.append("second")

    @flow
    def main() -> str:
        waiting = second.submit(wait_for=[first.submit()])
        gate.open()
        waiting.result()
        second(wait_for=[first.submit(), add.map([1, 2])])
        with pytest.raises(errors.UpstreamFailed):
            second(wait_for=[fail.submit()])
        return second.submit(wait_for=[fail.submit()], return_state=True).name

    assert main() == "NotReady"
    assert order == ["first", "second", "first", "second"]


def test_what_is_waited_for_may_fail_if_that_is_allowed():
    @flow
    def main() -> list[Any]:
        failed = fail.submit()
        return [add.submit(1, wait_for=[allow_failure(failed)]).result(), add(2, wait_for=[allow_failure(failed)])]

    assert main() == [2, 3]


def test_upstream_names_the_task_runs_that_a_task_takes_or_waits_for(recorded: Records):
    @flow
    def main() -> int:
        one, two, three = add.submit(1), add.submit(2), add.submit(3)
        return same.submit([one, {"x": two}], wait_for=[three]).result()[0]

    main()

    names = {each.task_run_id: each.name for each in recorded(records.TaskRunBegan)}
    (last,) = [each for each in recorded(records.TaskRunBegan) if each.name == "same-0"]
    assert {names[each] for each in last.upstream} == {"add-0", "add-1", "add-2"}


def test_upstream_names_the_task_runs_of_a_map_that_is_taken_as_a_whole(recorded: Records):
    @flow
    def main() -> int:
        return sum(same(add.map([1, 2, 3])))

    main()

    names = {each.task_run_id: each.name for each in recorded(records.TaskRunBegan)}
    (last,) = [each for each in recorded(records.TaskRunBegan) if each.name == "same-0"]
    assert {names[each] for each in last.upstream} == {"add-0", "add-1", "add-2"}


def test_upstream_knows_values_that_a_task_returned(recorded: Records):
    class Frame:
        pass

    @task
    def make(kind: str) -> Any:
        return Frame() if kind == "object" else [1, 2, 3]

    @task
    def look(value: Any) -> None: ...

    @flow
    def main() -> None:
        frame, rows = make("object"), make("list")
        look(frame)
        look(rows)
        look([frame])

    main()

    began = recorded(records.TaskRunBegan)
    names = {each.task_run_id: each.name for each in began}
    assert [[names[up] for up in each.upstream] for each in began[2:]] == [["make-0"], ["make-1"], ["make-0"]]


# Tags and names -----------------------------------------------------------------------------------


def test_tags_come_from_the_task_and_from_the_block_around_the_call(recorded: Records):
    @task(tags=["own"])
    def tagged() -> None: ...

    @task(tags="single")
    def lone() -> None: ...

    @flow
    def sub() -> None:
        lone()

    @flow
    def main() -> None:
        with tags("outer"), tags("inner") as in_force:
            assert in_force == {"outer", "inner", "all"}
            tagged()
            lone.submit()
            sub()
        tagged()

    with tags("all"):
        main()

    definitions = {each.index: set(each.tags) for each in recorded(records.TaskDefined)}
    found = [(each.name, set(each.tags) or definitions[each.task]) for each in recorded(records.TaskRunBegan)]
    assert ("tagged-0", {"own", "outer", "inner", "all"}) in found
    assert ("tagged-1", {"own", "all"}) in found
    assert ("lone-0", {"single", "outer", "inner", "all"}) in found
    flows = {each.flow_name: set(each.tags) for each in recorded(records.FlowRunBegan)}
    assert flows == {"main": {"all"}, "sub": {"all", "outer", "inner"}}


def test_runs_are_named_by_templates_and_functions(recorded: Records):
    @task(task_run_name="load {month:02}")
    def load(month: int) -> None: ...

    @task(task_run_name=lambda: "by a function")
    def other() -> None: ...

    @flow(flow_run_name="year {year}")
    def main(year: int) -> None:
        load(1)
        load.submit(2)
        load.map([3])
        other()

    main(2021)

    assert [each.name for each in recorded(records.FlowRunBegan)] == ["year 2021"]
    assert {each.name for each in recorded(records.TaskRunBegan)} == {"load 01", "load 02", "load 03", "by a function"}


@pytest.mark.parametrize("template", ["{nothing}", "{", "{month.year}", "{0}"])
def test_a_template_that_does_not_fit_is_told_with_the_known_parameters(template: str):
    @task(task_run_name=template)
    def load(month: int) -> None: ...

    @flow
    def main() -> None:
        load(1)

    with pytest.raises(errors.UsageError, match=r"The run name of `load` cannot be made(?s:.*)known parameters: month"):
        main()


def test_a_name_that_cannot_be_written_is_written_all_the_same(recorded: Records):
    @task(task_run_name="{path}")
    def load(path: str) -> str:
        return path

    @flow
    def main() -> str:
        return load("caf\udce9")

    assert main() == "caf\udce9"
    assert [each.name for each in recorded(records.TaskRunBegan)] == ["caf\\udce9"]


def test_task_runs_are_counted_by_task_and_caller(recorded: Records):
    @flow
    def main() -> None:
        add(1)
        add.submit(1)
        same(lambda: 1)
        same(lambda: 1)
        same(1)

    main()

    assert sorted(each.name for each in recorded(records.TaskRunBegan)) == [
        "add-0",
        "add-1",
        "same-0",
        "same-1",
        "same-2",
    ]


# Submitting outside of a flow ---------------------------------------------------------------------


def test_submitting_and_mapping_outside_of_a_flow_gives_futures_that_are_done():
    future = add.submit(1)

    assert isinstance(future, Future)
    assert future.done()
    assert future.result() == 2
    assert add.map([1, 2]).result() == [2, 3]
    assert add.submit(1, return_state=True).is_completed()


def test_unknown_options_are_told_with_the_nearest_known_one():
    for decorator in (flow, task):
        with pytest.raises(errors.UnknownOption, match=r"has no option named: `retrys`\nhint: did you mean `retries`"):
            decorator(retrys=3)
        with pytest.raises(errors.UnknownOption, match="known options: "):
            decorator(xyzzy=3)(add.fn)
    with pytest.raises(errors.UnknownOption):
        add.with_options(nonsense=1)
