"""What a resume, a rerun and a fork execute again, and what they do not."""

from __future__ import annotations

import asyncio
import os
import pickle
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock import ThreadPoolTaskRunner, errors, flow, task
from penstock.core import records
from penstock.core.records import AnyRecord
from penstock.engine.context import current
from penstock.engine.replay import History
from penstock.journal import reader
from penstock.journal.folder import JournalFolder
from penstock.sdk import runs

Records = Callable[..., list[Any]]


class JournalsOnly:
    """`core.ports.Past` of a home whose journals nobody has folded."""

    def __init__(self, journals: Path) -> None:
        self._folder = JournalFolder(journals)

    def attempts(self, run_id: str) -> int:
        return max((each.attempt for each in self._folder.journals(run_id)), default=0)

    def records(self, run_id: str) -> Iterable[AnyRecord]:
        return (record for journal in self._folder.journals(run_id) for record in reader.read_all(journal.path))


@pytest.fixture(autouse=True)
def _without_a_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """Journals stay where they are: the store has tests of its own."""

    def past_of(here: runs.Environment, run: str, *, goes_on: bool = False) -> tuple[JournalsOnly, str]:
        return JournalsOnly(here.settings.journals), run

    monkeypatch.setattr(runs, "_past_of", past_of)


done: list[str] = []
"""What the tasks of this module have executed."""


@pytest.fixture(autouse=True)
def _nothing_done() -> None:
    done.clear()


@task
def work(label: str, more: Any = None) -> str:
    done.append(label)
    return label


class Trouble:
    """Raises as long as there is any."""

    def __init__(self, kind: type[BaseException] = ConnectionError) -> None:
        self.kind = kind
        self.left = 1

    def strike(self) -> None:
        if self.left:
            self.left -= 1
            raise self.kind("trouble")


# Resuming -----------------------------------------------------------------------------------------


def test_a_resume_executes_only_what_was_not_finished(run_id: Callable[[], str], recorded: Records):
    trouble = Trouble()

    @flow(flow_run_name="one name")
    def main(parts: list[str]) -> str:
        first = [work(part) for part in parts]
        trouble.strike()
        return "".join([*first, work("last")])

    with pytest.raises(ConnectionError):
        main(["a", "b"])
    result = main.resume(run_id())

    assert result == "ablast"
    assert done == ["a", "b", "last"]
    began = recorded(records.FlowRunBegan)
    assert [(each.attempt, each.source, each.name) for each in began] == [
        (1, "call", "one name"),
        (2, "resume", "one name"),
    ]
    assert began[0].flow_run_id == began[1].flow_run_id


def test_a_run_can_be_resumed_again_and_again(run_id: Callable[[], str]):
    trouble = Trouble()
    trouble.left = 3

    @flow
    def main() -> list[str]:
        made = [work("a")]
        trouble.strike()
        return [*made, work("b")]

    with pytest.raises(ConnectionError):
        main()
    for _ in range(2):
        with pytest.raises(ConnectionError):
            main.resume(run_id())

    assert main.resume(run_id()) == ["a", "b"]
    assert main.resume(run_id()) == ["a", "b"]
    assert done == ["a", "b"]


def test_what_had_failed_is_executed_again(run_id: Callable[[], str]):
    trouble = Trouble()

    @task
    def fails() -> str:
        trouble.strike()
        done.append("fails")
        return "mended"

    @flow
    def main() -> str:
        return work("before") + fails()

    with pytest.raises(ConnectionError):
        main()

    assert main.resume(run_id()) == "beforemended"
    assert done == ["before", "fails"]


def test_an_async_flow_is_resumed(run_id: Callable[[], str]):
    trouble = Trouble()

    @task
    async def later(label: str) -> str:
        await asyncio.sleep(0)
        done.append(label)
        return label

    @flow
    async def main() -> list[str]:
        made = await asyncio.gather(later("a"), later("b"))
        trouble.strike()
        return [*made, await later("c")]

    with pytest.raises(ConnectionError):
        asyncio.run(main())

    assert asyncio.run(main.resume(run_id())) == ["a", "b", "c"]
    assert sorted(done) == ["a", "b", "c"]


def test_a_generator_task_that_had_finished_gives_its_items_again(run_id: Callable[[], str]):
    trouble = Trouble()

    @task
    def items(count: int):
        for number in range(count):
            done.append(str(number))
            yield number

    @flow
    def main() -> list[int]:
        found = list(items(3))
        trouble.strike()
        return found

    with pytest.raises(ConnectionError):
        main()

    assert main.resume(run_id()) == [0, 1, 2]
    assert done == ["0", "1", "2"]


def test_parameters_are_those_of_the_first_attempt_validated_again(run_id: Callable[[], str]):
    trouble = Trouble()

    @flow
    def main(months: list[int], year: int = 2021) -> Any:
        trouble.strike()
        return months, year

    with pytest.raises(ConnectionError):
        main(["1", "2"])

    assert main.resume(run_id()) == ([1, 2], 2021)


def test_results_of_another_attempt_are_read_from_files_too(run_id: Callable[[], str], home: Path):
    trouble = Trouble()

    @task
    def large() -> bytes:
        done.append("large")
        return bytes(100_000)

    @flow
    def main() -> int:
        size = len(large())
        trouble.strike()
        return size

    with pytest.raises(ConnectionError):
        main()
    (file,) = [each for each in (home / "results").rglob("*") if each.is_file()]

    assert len(file.read_bytes()) > 100_000
    assert main.resume(run_id()) == 100_000
    assert done == ["large"]


@pytest.mark.parametrize("damage", ["removed", "flipped", "emptied"])
def test_a_result_whose_file_is_gone_or_damaged_is_made_again_and_that_is_said(
    run_id: Callable[[], str], home: Path, log: Callable[[], list[str]], damage: str
):
    trouble = Trouble()

    @task
    def large() -> bytes:
        done.append("large")
        return bytes(100_000)

    @flow
    def main() -> int:
        size = len(large())
        trouble.strike()
        return size

    with pytest.raises(ConnectionError):
        main()
    (file,) = [each for each in (home / "results").rglob("*") if each.is_file()]
    if damage == "removed":
        file.unlink()
    else:
        file.write_bytes(b"" if damage == "emptied" else b"x" + file.read_bytes()[1:])

    assert main.resume(run_id()) == 100_000
    assert done == ["large", "large"]
    assert [line for line in log() if "had completed, and runs again: The file of a result" in line]
    assert main.resume(run_id()) == 100_000
    assert done == ["large", "large"]


def test_results_that_were_not_kept_are_made_again(run_id: Callable[[], str], log: Callable[[], list[str]]):
    trouble = Trouble()

    @task(persist_result=False)
    def unkept() -> str:
        done.append("unkept")
        return "value"

    @task
    def unpicklable() -> Any:
        done.append("unpicklable")
        return (each for each in "generator")

    @flow
    def main() -> str:
        unkept()
        unpicklable()
        unpicklable()
        trouble.strike()
        return "done"

    with pytest.raises(ConnectionError):
        main()
    complaints = [line for line in log() if "cannot be kept" in line]

    assert main.resume(run_id()) == "done"
    assert Counter(done) == {"unkept": 2, "unpicklable": 4}
    assert len(complaints) == 1
    assert "a resume runs it again" in complaints[0]


def test_an_interrupted_task_is_executed_again(run_id: Callable[[], str]):
    trouble = Trouble(KeyboardInterrupt)

    @task
    def interrupted() -> str:
        done.append("began")
        trouble.strike()
        return "finished"

    @flow
    def main() -> str:
        return interrupted()

    with pytest.raises(KeyboardInterrupt):
        main()

    assert main.resume(run_id()) == "finished"
    assert done == ["began", "began"]


def test_an_interrupted_task_that_asks_for_it_is_never_executed_again(run_id: Callable[[], str], ends: Any):
    trouble = Trouble(KeyboardInterrupt)

    @task(on_interrupt="fail")
    def pays() -> str:
        done.append("paid")
        trouble.strike()
        return "finished"

    @flow
    def main() -> str:
        state = pays(return_state=True)
        if isinstance(state.data, KeyboardInterrupt):
            raise state.data
        return f"{state.name}: {state.message}"

    with pytest.raises(KeyboardInterrupt):
        main()
    results = [main.resume(run_id()) for _ in range(3)]

    expected = 'Interrupted: Interrupted in an earlier attempt, and not run again (on_interrupt="fail")'
    assert results == [expected] * 3
    assert done == ["paid"]


def test_a_task_that_failed_by_itself_is_executed_again_also_if_it_asks_for_at_most_once(run_id: Callable[[], str]):
    trouble = Trouble()

    @task(on_interrupt="fail")
    def pays() -> str:
        done.append("tried")
        trouble.strike()
        return "paid"

    @flow
    def main() -> str:
        return pays()

    with pytest.raises(ConnectionError):
        main()

    assert main.resume(run_id()) == "paid"
    assert done == ["tried", "tried"]


def test_the_start_of_a_task_that_runs_at_most_once_is_on_the_disk_before_its_body_runs(home: Path):
    seen: list[bool] = []

    @task(on_interrupt="fail")
    def pays() -> None:
        (journal,) = [
            each
            for run in JournalFolder(home / "journals").run_ids()
            for each in JournalFolder(home / "journals").journals(run)
        ]
        seen.extend(isinstance(each, records.TaskRunBegan) for each in reader.read_all(journal.path))

    @flow
    def main() -> None:
        pays()

    main()

    assert seen.count(True) == 1


def test_what_was_finished_stays_so_when_a_later_attempt_is_stopped_before_it_asks(
    run_id: Callable[[], str], gate: Any
):
    trouble = Trouble()
    blocked: list[bool] = []

    @task
    def blocks() -> None:
        if blocked:
            gate.wait()

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def main() -> str:
        first = blocks.submit()
        second = work.submit("precious")
        if blocked:
            blocked.clear()
            raise KeyboardInterrupt
        first.result()
        result = second.result()
        trouble.strike()
        return result

    with pytest.raises(ConnectionError):
        main()
    blocked.append(True)
    with pytest.raises(KeyboardInterrupt):
        main.resume(run_id())
    gate.open()

    assert main.resume(run_id()) == "precious"
    assert done == ["precious"]


def test_what_was_finished_stays_so_when_its_input_fails_in_a_later_attempt(run_id: Callable[[], str]):
    trouble, second_trouble = Trouble(), Trouble()
    attempt = iter(range(9))

    @task(persist_result=False)
    def source() -> int:
        if next(attempt) == 1:
            second_trouble.strike()
        return 1

    @flow
    def main() -> str:
        state = work.submit("precious", source.submit(), return_state=True)
        trouble.strike()
        return state.result()

    with pytest.raises(ConnectionError):
        main()

    assert main.resume(run_id()) == "precious"
    assert main.resume(run_id()) == "precious"
    assert done == ["precious"]


# Objects that are tracked by identity -------------------------------------------------------------


class Frame:
    """Like a data frame: refers to much, is not hashed, and is pickled differently each time."""

    __slots__ = ("__weakref__", "rows")

    def __init__(self, rows: Any) -> None:
        self.rows = rows

    def __getstate__(self) -> Any:
        return self.rows, os.urandom(8)

    def __setstate__(self, state: Any) -> None:
        self.rows = state[0]


@task
def make(rows: int) -> Frame:
    done.append("make")
    return Frame(list(range(rows)))


@task
def size(frame: Frame, factor: int = 1) -> int:
    done.append("size")
    return len(frame.rows) * factor


def test_an_object_counts_by_the_task_run_that_returned_it(run_id: Callable[[], str]):
    trouble = Trouble()

    @flow
    def main() -> list[int]:
        frame, other = make(2), make.submit(3)
        found = [size(frame), size([frame][0], factor=2), size.submit(other).result(), size(other.result(), 2)]
        trouble.strike()
        return found

    with pytest.raises(ConnectionError):
        main()

    assert main.resume(run_id()) == [2, 4, 3, 6]
    assert Counter(done) == {"make": 2, "size": 4}


def test_an_object_that_came_from_elsewhere_counts_by_its_content_or_its_order(run_id: Callable[[], str]):
    trouble = Trouble()

    @flow
    def main() -> list[int]:
        found = [size(Frame([1])), size(Frame([1, 2]))]
        trouble.strike()
        return found

    with pytest.raises(ConnectionError):
        main()
    main.resume(run_id())

    assert len(done) in (2, 4)


# When the code has changed ------------------------------------------------------------------------


def test_a_task_of_a_new_version_does_not_use_results_of_the_old_one(run_id: Callable[[], str]):
    trouble = Trouble()
    versions = iter(["1", "2", "2"])

    @flow
    def main() -> str:
        result = work.with_options(version=next(versions))("a")
        trouble.strike()
        return result

    with pytest.raises(ConnectionError):
        main()
    main.resume(run_id())
    main.resume(run_id())

    assert done == ["a", "a"]


def divergent(mode: str) -> tuple[Any, list[bool]]:
    changed: list[bool] = []
    trouble = Trouble()

    @flow(replay=mode)
    def main() -> str:
        if changed:
            result = work("same") + work("new")
        else:
            result = work("same") + work("old") + work("removed", more=1)
        trouble.strike()
        return result

    with pytest.raises(ConnectionError):
        main()
    changed.append(True)
    return main, changed


def test_where_code_and_journal_disagree_the_default_is_to_recompute_and_to_record_it(
    run_id: Callable[[], str], recorded: Records
):
    main, _ = divergent("recompute")

    assert main.resume(run_id()) == "samenew"
    assert done == ["same", "old", "removed", "new"]
    found = recorded(records.ReplayDiverged)
    assert {each.kind for each in found} == {"changed"}
    assert "recorded (label='old', more=None), now (label='new', more=None)" in {each.detail for each in found}


def test_strict_replay_refuses_a_call_that_replaces_another_with_the_difference(run_id: Callable[[], str]):
    main, _ = divergent("strict")

    with pytest.raises(errors.ReplayDiverged, match=r"- recorded: label='old', more=None\n  \+ now:      label='new'"):
        main.resume(run_id())
    assert done == ["same", "old", "removed"]


def test_strict_replay_fails_when_finished_tasks_are_not_asked_for_any_more(run_id: Callable[[], str]):
    changed: list[bool] = []

    @flow(replay="strict")
    def main() -> str:
        return work("same") if changed else work("same") + work("removed")

    main()
    changed.append(True)

    with pytest.raises(errors.ReplayDiverged, match="The journal holds 1 finished task runs that the code did not ask"):
        main.resume(run_id())


def test_strict_replay_of_the_same_code_completes(run_id: Callable[[], str], recorded: Records):
    trouble = Trouble()

    @flow(replay="strict")
    def main() -> str:
        result = work("a") + work.submit("b").result() + "".join(work.map(["c", "d"]).result())
        trouble.strike()
        return result

    with pytest.raises(ConnectionError):
        main()

    assert main.resume(run_id()) == "abcd"
    assert recorded(records.ReplayDiverged) == []


def test_without_replay_everything_is_executed_again(run_id: Callable[[], str]):
    trouble = Trouble()

    @flow(replay="off")
    def main() -> str:
        result = work("a")
        trouble.strike()
        return result

    with pytest.raises(ConnectionError):
        main()

    assert main.resume(run_id()) == "a"
    assert done == ["a", "a"]


def test_an_unknown_way_of_replay_is_refused():
    with pytest.raises(errors.UsageError, match='replay is "recompute", "strict" or "off", not: `\'sometimes\'`'):
        flow(replay="sometimes")(work.fn)


def test_calls_with_inputs_that_cannot_be_hashed_are_matched_by_their_own_order(run_id: Callable[[], str]):
    trouble = Trouble()
    more_first: list[bool] = []

    @flow
    def main() -> list[str]:
        if more_first:
            work("counted too")
        found = [work("x", (each for each in "x")), work("y", (each for each in "y"))]
        trouble.strike()
        return found

    with pytest.raises(ConnectionError):
        main()
    more_first.append(True)

    assert main.resume(run_id()) == ["x", "y"]
    assert done == ["x", "y", "counted too"]


# Properties ---------------------------------------------------------------------------------------

Step = tuple[str, int]
kinds = st.sampled_from(["call", "submit", "map", "nested", "subflow", "chain", "generated"])
steps = st.tuples(kinds, st.integers(0, 2))


@task
def leaf(scope: str, number: int) -> str:
    label = f"{scope}-{number}"
    done.append(label)
    return label


@task
def nested(number: int) -> list[str]:
    return [leaf(f"nested{number}", 1), leaf.submit(f"nested{number}", 2).result()]


@task
def joined(number: int, before: Any) -> str:
    label = f"joined-{number}"
    done.append(label)
    return label


@task
def generated(number: int):
    yield leaf(f"generated{number}", 0)


@flow
def sub(number: int) -> list[str]:
    return [leaf(f"sub{number}", 1), *leaf.map([f"sub{number}"], [2]).result()]


def labels(program: Iterable[Step]) -> Counter[str]:
    """The leaves that a program executes."""
    found: Counter[str] = Counter()
    for kind, number in program:
        if kind in ("call", "submit"):
            found[f"{kind}-{number}"] += 1
        elif kind == "map":
            found.update([f"map-{number}", f"map-{number + 10}"])
        elif kind == "nested":
            found.update([f"nested{number}-1", f"nested{number}-2"])
        elif kind == "subflow":
            found.update([f"sub{number}-1", f"sub{number}-2"])
        elif kind == "generated":
            found[f"generated{number}-0"] += 1
        else:
            found.update([f"chain-{number}", f"joined-{number}"])
    return found


program: list[Step] = []


@flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
def runs_program() -> int:
    waiting: list[Any] = []
    for kind, number in program:
        if kind == "call":
            leaf("call", number)
        elif kind == "submit":
            waiting.append(leaf.submit("submit", number))
        elif kind == "map":
            waiting.append(leaf.map(["map", "map"], [number, number + 10]))
        elif kind == "nested":
            waiting.append(nested.submit(number))
        elif kind == "subflow":
            sub(number)
        elif kind == "generated":
            assert list(generated(number)) == [f"generated{number}-0"]
        else:
            waiting.append(joined.submit(number, leaf.submit("chain", number)))
    for each in waiting:
        each.result()
    return len(program)


def run(steps_: list[Step]) -> tuple[Path, str]:
    """Run the program; gives its journal and its id."""
    program[:] = steps_
    done.clear()
    home = Path(tempfile.mkdtemp(dir=os.environ["PENSTOCK_HOME"]))
    os.environ["PENSTOCK_HOME"] = str(home)
    (home / "ballast").touch()
    assert runs_program() == len(steps_)
    assert Counter(done) == labels(steps_)
    (run_id,) = JournalFolder(home / "journals").run_ids()
    return JournalFolder(home / "journals").journal_path(run_id, 1, "main"), run_id


def cut(journal: Path, share: float) -> Counter[str]:
    """Leave the first part of a journal, as if its process had been killed there; the leaves finished in it."""
    piece = reader.read(journal)
    first = next(
        index
        for index, each in enumerate(reader.decoded(piece.frames, journal))
        if isinstance(each, records.FlowRunBegan)
    )
    start = piece.frames[first].end
    os.truncate(journal, start + int((journal.stat().st_size - start) * share))
    found: Counter[str] = Counter()
    for record in reader.read_all(journal):
        if isinstance(record, records.TaskRunEnded) and record.result is not None and record.result.inline is not None:
            value = pickle.loads(record.result.inline)
            if isinstance(value, str):
                found[value] += 1
    return found


@pytest.fixture
def _own_homes(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.mkdir()
    monkeypatch.setenv("PENSTOCK_HOME", str(home))


@pytest.mark.slow
@pytest.mark.usefixtures("_own_homes")
def test_a_run_killed_anywhere_and_resumed_in_any_order_executes_each_unfinished_task_once_and_no_other():
    @settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(steps, min_size=1, max_size=7), st.floats(0, 1), st.data())
    def check(before: list[Step], share: float, data: st.DataObject) -> None:
        home = os.environ["PENSTOCK_HOME"]
        journal, run_id = run(before)
        finished = cut(journal, share)
        program[:] = data.draw(st.permutations(before))
        done.clear()
        assert runs_program.resume(run_id) == len(before)
        assert Counter(done) == labels(before) - finished
        os.environ["PENSTOCK_HOME"] = home

    check()


@pytest.mark.slow
@pytest.mark.usefixtures("_own_homes")
def test_tasks_that_were_added_are_executed_those_removed_are_not_and_finished_ones_stay_so():
    @settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
    @given(
        st.lists(steps, min_size=1, max_size=6, unique=True),
        st.lists(steps, max_size=4, unique=True),
        st.floats(0, 1),
        st.data(),
    )
    def check(before: list[Step], other: list[Step], share: float, data: st.DataObject) -> None:
        home = os.environ["PENSTOCK_HOME"]
        journal, run_id = run(before)
        finished = cut(journal, share)
        kept = data.draw(st.lists(st.sampled_from(before), unique=True))
        after = data.draw(st.permutations([*kept, *(each for each in other if each not in before)]))
        program[:] = after
        done.clear()
        assert runs_program.resume(run_id) == len(after)
        assert Counter(done) == labels(after) - finished
        os.environ["PENSTOCK_HOME"] = home

    check()


# Reruns and forks ---------------------------------------------------------------------------------


@task
def clean(label: str, more: Any) -> str:
    return work.fn(label, more)


@task
def load(label: str, more: Any) -> str:
    return work.fn(label, more)


@flow
def pipeline(source: str) -> list[str]:
    extracted = work(f"extract {source}")
    cleaned = clean(f"clean {source}", extracted)
    other = work("other")
    return [extracted, cleaned, load(f"load {source}", cleaned), other]


def test_a_rerun_executes_a_task_and_all_that_could_have_seen_its_result(run_id: Callable[[], str], recorded: Records):
    expected = pipeline("a")
    done.clear()

    assert pipeline.rerun(run_id(), from_task="clean-0") == expected
    assert done == ["clean a", "other", "load a"]
    assert recorded(records.FlowRunBegan)[-1].source == "rerun"
    assert len(recorded(records.ResultsForgotten)[0].task_run_ids) == 3


def test_a_rerun_may_name_a_task_run_by_its_id(run_id: Callable[[], str], recorded: Records):
    pipeline("a")
    done.clear()
    last = recorded(records.TaskRunBegan)[-1].task_run_id
    pipeline.rerun(run_id(), from_task=last)

    assert done == ["load a"]


def test_a_rerun_that_crashes_goes_on_by_a_resume(run_id: Callable[[], str], home: Path):
    pipeline("a")
    done.clear()
    pipeline.rerun(run_id(), from_task="clean-0")
    (_, second) = JournalFolder(home / "journals").journals(run_id())
    piece = reader.read(second.path)
    ended = [
        frame
        for frame, said in zip(piece.frames, reader.decoded(piece.frames, ""), strict=True)
        if isinstance(said, records.TaskRunEnded)
    ]
    os.truncate(second.path, ended[0].end)
    done.clear()

    assert pipeline.resume(run_id())[1] == "clean a"
    assert done == ["other", "load a"]


def test_a_rerun_from_a_task_that_never_was_names_the_nearest(run_id: Callable[[], str]):
    pipeline("a")

    with pytest.raises(errors.NotFound, match=r"no task run named: `claen-0`\nhint: did you mean `clean-0`"):
        pipeline.rerun(run_id(), from_task="claen-0")


def test_a_rerun_from_a_task_within_a_subflow_or_a_task_runs_what_called_it_again(run_id: Callable[[], str]):
    @task
    def outer() -> str:
        done.append("outer")
        return work("within a task")

    @flow
    def inner() -> str:
        done.append("inner")
        return work("before") + work("within a flow")

    @flow
    def main() -> list[str]:
        return [work("first"), inner(), outer()]

    main()
    done.clear()
    main.rerun(run_id(), from_task="work-1")
    from_the_flow = list(done)
    done.clear()
    main.rerun(run_id(), from_task="inner")

    assert from_the_flow == ["inner", "within a flow", "outer", "within a task"]
    assert done == ["inner", "before", "within a flow", "outer", "within a task"]


def test_a_fork_uses_what_the_past_run_has_finished_where_inputs_agree(run_id: Callable[[], str], recorded: Records):
    @flow
    def main(source: str, verbose: bool = False) -> list[str]:
        extracted = work.submit(f"extract {source}")
        return [extracted.result(), work(f"load {verbose}", extracted)]

    main("a")
    forked_from = run_id()
    done.clear()

    assert main.fork(forked_from, parameters={"verbose": True}) == ["extract a", "load True"]
    assert done == ["load True"]
    (reused,) = recorded(records.TaskRunReused)
    assert reused.from_run_id == forked_from
    began = recorded(records.FlowRunBegan)[-1]
    assert (began.source, began.forked_from, began.attempt) == ("fork", forked_from, 1)
    assert began.flow_run_id == reused.flow_run_id != forked_from
    done.clear()
    assert main.resume(run_id()) == ["extract a", "load True"]
    assert main.fork(run_id()) == ["extract a", "load True"]
    assert done == []


def test_a_fork_reuses_subflows_and_what_tasks_called(run_id: Callable[[], str]):
    trouble = Trouble()

    @task
    def outer() -> str:
        made = work("within a task")
        trouble.strike()
        return made

    @flow
    def inner(number: int) -> str:
        return work(f"within a flow {number}")

    @flow
    def main() -> list[str]:
        return [inner(1), outer()]

    with pytest.raises(ConnectionError):
        main()

    assert main.fork(run_id()) == ["within a flow 1", "within a task"]
    assert done == ["within a flow 1", "within a task"]


# What cannot be resumed ---------------------------------------------------------------------------


def test_a_run_of_another_flow_is_refused_and_leaves_no_attempt_behind(run_id: Callable[[], str], home: Path):
    pipeline("a")

    @flow
    def another() -> None: ...

    with pytest.raises(errors.UsageError, match="is one of flow `pipeline`, not of `another`"):
        another.resume(run_id())
    assert [each.attempt for each in JournalFolder(home / "journals").journals(run_id())] == [1]
    with pytest.raises(errors.UsageError):
        another.fork(run_id())
    assert len(list(JournalFolder(home / "journals").run_ids())) == 1


def test_a_run_of_which_nothing_is_recorded_is_not_found(home: Path):
    with pytest.raises(errors.NotFound, match="Nothing is recorded of flow run"):
        pipeline.resume("01a20670-2870-7b6f-a74a-3848ff8cf5ee")


def test_a_run_whose_parameters_were_not_kept_cannot_be_resumed(run_id: Callable[[], str], capsys: Any):
    @flow(validate_parameters=False)
    def main(given: Any) -> int:
        return 1

    main(each for each in "x")

    with pytest.raises(errors.MissingResult, match="The parameters of flow run .* were not kept"):
        main.resume(run_id())


def test_a_run_under_way_is_not_resumed_also_by_its_own_process(run_id: Callable[[], str]):
    @flow
    def main() -> str:
        with pytest.raises(errors.AlreadyRunning, match="Another process is executing this run"):
            main.resume(current().id)
        return "done"

    assert main() == "done"


def test_a_task_that_only_waited_for_a_slot_was_not_interrupted():
    began = records.TaskRunBegan(1, "t", "r", "r", 0, "load-0")
    waits = records.TaskRunMoved(2, "t", "SCHEDULED", "AwaitingConcurrencySlot")
    begins = records.TaskRunMoved(3, "t", "RUNNING", "Running")
    defined = records.TaskDefined(0, "mod.load", "load", on_interrupt="fail")

    assert History([defined, began]).was_interrupted("t")
    assert not History([defined, began, waits]).was_interrupted("t")
    assert History([defined, began, waits, begins]).was_interrupted("t")


def test_what_nobody_answered_in_time_is_not_asked_for_any_longer():
    asked = records.InputAwaited(1, "r", "p", 1, {}, "Waits", deadline=5)
    for_ever = records.InputAwaited(1, "r", "p", 1, {}, "Waits", deadline=None)
    given = records.InputGiven(4, "r", "p", 1, {"value": 7})

    assert History([asked]).question("p", 5) == (asked, True)
    assert History([asked]).question("p", 6) == (asked, False)
    assert History([asked, given]).question("p", 6) == (asked, True)
    assert History([for_ever]).question("p", 6) == (for_ever, True)
    assert History().question("p", 6) == (None, False)
