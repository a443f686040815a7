from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock import ThreadPoolTaskRunner, errors, flow, task, task_input_hash, wait
from penstock.core import records
from penstock.core.caching import DEFAULT, INPUTS, NO_CACHE, TASK_SOURCE
from penstock.engine import cache
from penstock.engine.inputs import digest_of

Records = Callable[..., list[Any]]

calls: list[Any] = []


@pytest.fixture(autouse=True)
def _no_calls() -> None:
    calls.clear()


@task(cache_key_fn=task_input_hash)
def square(number: Any) -> Any:
    calls.append(number)
    return number * number


@flow
def asks(*numbers: Any) -> list[Any]:
    return [square(number) for number in numbers]


def told(recorded: Records) -> list[str]:
    return [each.cache.partition(" [")[0].partition(" computed by task")[0] for each in recorded(records.TaskRunEnded)]


def test_a_value_is_computed_once_for_all_runs(recorded: Records):
    assert asks(2, 2, 3) == [4, 4, 9]
    assert asks(2) == [4]
    assert calls == [2, 3]
    assert told(recorded) == [
        "miss: no run has computed this key",
        "hit:",
        "miss: no run has computed this key",
        "hit:",
    ]
    assert [each.name for each in recorded(records.TaskRunEnded)] == ["Completed", "Cached", "Completed", "Cached"]


def test_the_state_of_a_cached_task_run_says_so():
    @flow
    def main() -> str:
        square(2)
        return square(2, return_state=True).name

    assert main() == "Cached"


def test_a_cached_value_expires(fake_clock: Any, recorded: Records):
    @task(cache_key_fn=lambda *_: "key", cache_expiration=timedelta(hours=1))
    def load() -> int:
        calls.append("load")
        return len(calls)

    @flow
    def main() -> int:
        return load()

    results = [main(), main()]
    fake_clock.advance(3601)
    results += [main(), main()]

    assert results == [1, 1, 2, 2]
    assert told(recorded)[2].startswith("miss: expired; it was")


def test_a_cache_can_be_refreshed(recorded: Records):
    @task(cache_key_fn=lambda *_: "key", refresh_cache=True)
    def refreshed() -> int:
        calls.append(1)
        return len(calls)

    kept = refreshed.with_options(refresh_cache=False)

    @flow
    def main() -> list[int]:
        return [refreshed(), kept(), refreshed(), kept()]

    assert main() == [1, 1, 2, 2]
    assert told(recorded) == ["refresh", "hit:", "refresh", "hit:"]


def test_inputs_that_cannot_be_hashed_are_not_cached_and_that_is_said_once(
    log: Callable[[], list[str]], recorded: Records
):
    @task(cache_policy=INPUTS)
    def consume(items: Any, other: int = 0) -> list[Any]:
        return list(items)

    @flow
    def main() -> list[Any]:
        return [consume(each for each in "ab") for _ in range(2)]

    assert main() == [["a", "b"], ["a", "b"]]
    assert log() == ["Task `consume` is not cached: a digest cannot be made of `items`"]
    assert told(recorded) == ["no key", "no key"]


def test_no_key_means_no_caching():
    @task(cache_key_fn=lambda *_: None)
    def one() -> None:
        calls.append(1)

    @task(cache_policy=NO_CACHE)
    def two() -> None:
        calls.append(2)

    @flow
    def main() -> None:
        one()
        one()
        two()
        two()

    main()

    assert calls == [1, 1, 2, 2]


def test_the_key_is_shared_by_tasks_that_return_the_same_one():
    @task(cache_key_fn=lambda *_: "shared")
    def one() -> str:
        return "one"

    @task(cache_key_fn=lambda *_: "shared")
    def two() -> str:
        return "two"

    @flow
    def main() -> list[str]:
        return [one(), two()]

    assert main() == ["one", "one"]


def test_a_key_is_made_of_context_and_arguments(recorded: Records):
    seen: list[Any] = []

    def key(context: Any, arguments: dict[str, Any]) -> str:
        seen.append((context.task, context.task_key, context.flow_run_id, dict(context.flow_parameters), arguments))
        return "key"

    @task(cache_key_fn=key)
    def load(number: int, more: int = 2) -> int:
        return number

    @flow
    def main(year: int) -> int:
        return load(1)

    main(2021)

    (began,) = recorded(records.FlowRunBegan)
    assert seen == [(load, load.task_key, began.flow_run_id, {"year": 2021}, {"number": 1, "more": 2})]


@pytest.mark.parametrize(
    ("key", "message"),
    [("x" * 2001, "gave a cache key of more than 2000 characters: `xxx"), (b"bytes", "gave no text: `b'bytes'`")],
)
def test_a_key_that_is_no_text_or_too_long_fails_the_task(key: Any, message: str):
    @task(cache_key_fn=lambda *_: key)
    def load() -> None: ...

    @flow
    def main() -> None:
        load()

    with pytest.raises(errors.UsageError, match=message):
        main()


def test_a_key_function_that_fails_fails_the_task(ends: Any):
    def broken(*_: Any) -> str:
        raise KeyError("broken")

    @task(cache_key_fn=broken)
    def load() -> None: ...

    @flow
    def main() -> str:
        return load.submit(return_state=True).name + load(return_state=True).name

    assert main() == "FailedFailed"
    assert ends() == {"load-0": "Failed", "load-1": "Failed"}


def test_failures_are_not_cached():
    @task(cache_key_fn=lambda *_: "key")
    def load() -> int:
        calls.append(1)
        if len(calls) == 1:
            raise ValueError
        return 5

    @flow
    def main() -> list[Any]:
        return [load(return_state=True).name, load(), load()]

    assert main() == ["Failed", 5, 5]
    assert len(calls) == 2


def test_what_is_not_kept_is_not_cached():
    @flow
    def main() -> list[int]:
        unkept = square.with_options(persist_result=False)
        return [unkept(2), unkept(2)]

    assert main() == [4, 4]
    assert calls == [2, 2]


@pytest.mark.parametrize("damage", ["value", "entry"])
def test_a_damaged_cache_is_computed_anew(home: Path, log: Callable[[], list[str]], damage: str):
    @task(cache_key_fn=lambda *_: "key")
    def large() -> bytes:
        calls.append(1)
        return bytes(100_000)

    @flow
    def main() -> int:
        return len(large())

    main()
    for file in [each for each in (home / "results").rglob("*") if each.is_file()]:
        if ("cache" in file.parts) == (damage == "entry"):
            file.write_bytes(b"damaged")

    assert main() == 100_000
    assert len(calls) == 2
    assert bool([line for line in log() if line.startswith("The cached result is computed anew: The file")]) == (
        damage == "value"
    )


def test_a_store_of_its_own_keeps_results_and_cache(tmp_path: Path, home: Path):
    @task(cache_key_fn=lambda *_: "key", result_storage=tmp_path / "mine", result_serializer="json")
    def load() -> list[int]:
        calls.append(1)
        return [1, 2]

    @flow
    def main() -> list[int]:
        return load()

    assert (main(), main()) == ([1, 2], [1, 2])
    assert len(calls) == 1
    files = [each for each in (tmp_path / "mine").rglob("*") if each.is_file()]
    assert sorted("cache" in file.parts for file in files) == [False, True]
    assert b"[1,2]" in [file.read_bytes() for file in files]


def test_one_computes_and_the_others_wait_for_its_value(recorded: Records, gate: Any):
    @task(cache_key_fn=lambda *_: "key")
    def slow() -> int:
        calls.append(1)
        gate.wait()
        return 7

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=3))
    def main() -> list[int]:
        futures = [slow.submit() for _ in range(3)]
        threading.Thread(target=gate.open).start()
        return [each.result() for each in futures]

    assert main() == [7, 7, 7]
    assert calls == [1]
    assert sorted(each.name for each in recorded(records.TaskRunEnded)) == ["Cached", "Cached", "Completed"]


def test_when_the_one_who_computes_fails_another_does():
    first = threading.Event()

    @task(cache_key_fn=lambda *_: "key")
    def load() -> int:
        calls.append(1)
        if not first.is_set():
            first.set()
            raise ValueError
        return 7

    @flow
    def main() -> list[str]:
        futures = [load.submit() for _ in range(3)]
        return sorted(each.state.name for each in wait(futures).done)

    assert main() == ["Cached", "Completed", "Failed"]


def test_a_task_that_asks_for_its_own_key_does_not_wait_for_itself():
    @task(cache_key_fn=lambda *_: "key")
    def down(depth: int) -> int:
        return 0 if depth == 0 else 1 + down(depth - 1)

    @flow
    def sub(depth: int) -> int:
        return down(depth)

    @task(cache_key_fn=lambda *_: "other key")
    def through_a_flow(depth: int) -> int:
        return 0 if depth == 0 else 1 + outer(depth - 1)

    @flow
    def outer(depth: int) -> int:
        return through_a_flow(depth)

    assert sub(2) == 2
    assert outer(2) == 2


def test_two_keys_asked_for_crosswise_by_two_tasks_do_not_block_each_other_for_ever():
    """Each holds one key and asks for the other: as far as they can see, they would wait for ever."""
    both = threading.Barrier(2)

    @task(cache_key_fn=lambda _, arguments: arguments["key"])
    def load(key: str, other: str | None) -> str:
        if other is None:
            return key
        both.wait(20)
        return key + load(other, None)

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=4))
    def main() -> list[str]:
        futures = [load.submit("a", "b"), load.submit("b", "a")]
        return sorted(each.result() for each in futures)

    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(main()), daemon=True)
    thread.start()
    thread.join(10)

    assert [each[0] for each in results[0]] == ["a", "b"]


def test_cache_policy_and_key_function_exclude_each_other():
    with pytest.raises(errors.UsageError, match="has both cache_key_fn and cache_policy"):
        task(cache_key_fn=task_input_hash, cache_policy=INPUTS)(square.fn)
    assert square.with_options(cache_policy=INPUTS).spec.cache_key_fn is None
    assert square.with_options(cache_policy=INPUTS).with_options(cache_key_fn=task_input_hash).spec.cache_policy is None


def test_the_default_policy_shares_within_one_run():
    shared = square.with_options(cache_policy=DEFAULT)

    @flow
    def main() -> list[int]:
        return [shared(2), shared(2)]

    main()
    main()

    assert calls == [2, 2]


# What a key is made of ----------------------------------------------------------------------------


def source_task(body: str) -> Any:
    namespace: dict[str, Any] = {}
    exec(body, namespace)
    return task(cache_policy=TASK_SOURCE)(namespace["work"])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("def work(): return 1", "def work(): return 2"),
        ("def work(): return [n * 2 for n in (1, 2)]", "def work(): return [n * 3 for n in (1, 2)]"),
        ("def work(): return (lambda: 1)()", "def work(): return (lambda: 2)()"),
        (
            "def work():\n  def inner(): return 1\n  return inner()",
            "def work():\n  def inner(): return 2\n  return inner()",
        ),
        ("def work(): return 1", "def work(): return True"),
        ("def work(): return 3 in (1, 2)", "def work(): return 3 in (1, 3)"),
        ("import math\ndef work(): return math.floor(1.5)", "import math\ndef work(): return math.ceil(1.5)"),
    ],
)
def test_a_change_of_the_source_is_a_change_of_the_key(before: str, after: str):
    @flow
    def main(body: str) -> Any:
        return source_task(body)()

    assert [main(before), main(after)] == [source_task(body).fn() for body in (before, after)]


def test_a_change_elsewhere_in_the_file_is_no_change_of_the_key(recorded: Records):
    @flow
    def main(body: str) -> Any:
        return source_task(body)()

    main("def work(): return {'a', 'b'} != {1}")
    main("\n\n\n# moved\ndef work(): return {'a', 'b'} != {1}")

    assert told(recorded)[-1] == "hit:"


SCRIPT = """
from penstock import flow, task, task_input_hash
class Thing:
    __slots__ = ("names",)
    def __init__(self, names): self.names = names
@task(cache_key_fn=task_input_hash)
def load(thing, plain):
    print("computed")
    return len(thing.names), "a" in {"alpha", "beta", "gamma", "delta"}
@flow
def main():
    return load(Thing({"one", "two", "three", "four"}), {"k": {"b", "a", "c"}, "d": frozenset("xyz")})
main()
"""


@pytest.mark.slow
def test_the_key_is_the_same_in_another_process_with_another_hash_seed(tmp_path: Path):
    (tmp_path / "script.py").write_text(SCRIPT)
    outputs = [
        subprocess.run(
            [sys.executable, str(tmp_path / "script.py")],
            env={**os.environ, "PYTHONHASHSEED": seed, "PENSTOCK_PROGRESS": "off"},
            capture_output=True, text=True, timeout=60, check=True,
        ).stdout
        for seed in ("1", "2", "3")
    ]  # fmt: skip

    assert outputs == ["computed\n", "", ""]


class Slotted:
    __slots__ = ("left", "right")

    def __init__(self, left: Any, right: Any) -> None:
        self.left = left
        self.right = right


class Attributes:
    def __init__(self, left: Any, right: Any) -> None:
        self.left = left
        self.right = right


def test_equal_objects_have_equal_digests_however_their_parts_are_shared():
    part = "a text that is long enough"
    twin = "".join(list(part))

    for kind in (Slotted, Attributes, lambda *parts: list(parts)):
        assert digest_of(kind(part, part)) == digest_of(kind(part, twin))
        assert digest_of(kind(part, part)) != digest_of(kind(part, part + "x"))


def first() -> None: ...


def second() -> None: ...


def test_different_functions_have_different_digests():
    assert digest_of(first) != digest_of(second)
    assert digest_of(first) == digest_of(first)
    assert digest_of(lambda: 1) is None
    assert digest_of([Slotted]) != digest_of([Attributes])
    assert digest_of(object()) is None


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=60)
@given(plain, plain)
def test_values_have_equal_digests_when_they_are_equal_and_of_the_same_types(one: Any, two: Any):
    assert (digest_of(one) == digest_of(two)) == (repr_of(one) == repr_of(two))
    assert (digest_of(Attributes(one, 1)) == digest_of(Attributes(two, 1))) == (repr_of(one) == repr_of(two))


def repr_of(value: Any) -> str:
    """A repr in which the order of a dict does not count."""
    if isinstance(value, dict):
        return f"{{{sorted((key, repr_of(item)) for key, item in value.items())}}}"
    if isinstance(value, list):
        return f"[{[repr_of(item) for item in value]}]"
    return repr(value)


def test_a_forked_child_does_not_hold_up_others_when_its_parent_is_gone(tmp_path: Path):
    entry = tmp_path / "entry"
    said, say = os.pipe()
    parent = os.fork()
    if parent == 0:  # it takes the lease, forks and dies; its child lives on
        lease = cache.Lease(entry)
        if lease.take() and os.fork() == 0:
            os.write(say, b"%d" % os.getpid())
            signal.pause()
        os._exit(0)
    os.waitpid(parent, 0)
    child = int(os.read(said, 20))
    try:
        assert cache.Lease(entry).take()
    finally:
        os.kill(child, signal.SIGKILL)
        os.close(said)
        os.close(say)
