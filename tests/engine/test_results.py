from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest

from penstock import errors, flow, task
from penstock.core import records
from penstock.core.result_records import ResultRecord
from penstock.engine import attempt as attempts
from penstock.engine import results
from penstock.engine.attempt import Values
from penstock.engine.futures import Future
from penstock.engine.results import ResultStore, serializer_of
from penstock.files import local

Records = Callable[..., list[Any]]


class Options:
    def __init__(self, **given: Any) -> None:
        self.persist_result = given.get("persist_result")
        self.result_storage = given.get("result_storage")
        self.result_serializer = given.get("result_serializer")


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    return ResultStore(tmp_path / "results", inline_max_bytes=100, persist=True)


def keep(store: ResultStore, value: Any, **options: Any) -> ResultRecord:
    complaints: list[str] = []
    kept = store.keep(value, Options(**options), complaints.append)
    assert complaints == []
    return kept


# Keeping and loading ------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, 1, "text", [1, {"a": (2,)}], b"x" * 500, {1, 2}])
def test_a_value_comes_back_as_it_was(store: ResultStore, value: Any):
    kept = keep(store, value)

    assert store.load(kept) == value


def test_small_values_lie_in_the_record_and_large_ones_in_a_file_named_by_their_content(store: ResultStore):
    small, large = keep(store, "x"), keep(store, "x" * 200)

    assert (small.location, small.inline) == (None, pickle.dumps("x", 5))
    assert large.inline is None
    assert large.location is not None
    path = store.root / large.location
    assert path.name == blake2b(path.read_bytes(), digest_size=32).hexdigest()
    assert path.parent.name == path.name[:2]
    assert (large.size, path.stat().st_mode & 0o777) == (path.stat().st_size, 0o600)


def test_the_same_large_value_is_kept_once_and_counts_as_used_now(store: ResultStore):
    first = keep(store, "x" * 200)
    path = store.root / (first.location or "")
    os.utime(path, (1, 1))

    assert keep(store, "x" * 200) == first
    assert path.stat().st_mtime > 1
    assert len(list(path.parent.iterdir())) == 1


def test_what_is_not_to_be_kept_leaves_a_preview(store: ResultStore):
    kept = keep(store, "secret?", persist_result=False)

    assert (kept.kept, kept.preview, kept.inline) == (False, "'secret?'", None)
    with pytest.raises(errors.MissingResult, match="This result was not kept: 'secret\\?'"):
        store.load(kept)
    assert keep(ResultStore(store.root, inline_max_bytes=1, persist=False), 1).kept is False


def test_what_cannot_be_pickled_is_said(store: ResultStore):
    complaints: list[str] = []
    kept = store.keep((each for each in "x"), Options(), complaints.append)

    assert not kept.kept
    assert complaints[0].startswith("its result cannot be kept (TypeError: ")


def test_lambdas_and_local_classes_are_kept_too(store: ResultStore):
    class Local:
        number = 7

    assert store.load(keep(store, Local))().number == 7
    assert store.load(keep(store, lambda: 8))() == 8


@pytest.mark.parametrize("name", results.SERIALIZERS)
def test_each_serializer_gives_back_what_it_took(store: ResultStore, name: str):
    kept = keep(store, {"a": [1, "x" * 300]}, result_serializer=name)

    assert kept.serializer == name
    assert store.load(kept) == {"a": [1, "x" * 300]}


def test_a_serializer_of_ones_own_is_used(store: ResultStore):
    class Reversed:
        name = "reversed"

        def dumps(self, value: str) -> bytes:
            return value[::-1].encode()

        def loads(self, data: bytes) -> str:
            return data.decode()[::-1]

    options = Options(result_serializer=Reversed())
    kept = store.keep("abc", options, print)

    assert (kept.inline, kept.serializer) == (b"cba", "reversed")
    assert store.load(kept, options) == "abc"


def test_serializers_that_are_none_are_refused():
    with pytest.raises(errors.UnknownOption, match="No result serializer is named: `yaml`"):
        serializer_of("yaml")
    with pytest.raises(errors.UnknownOption, match="it needs dumps and loads"):
        serializer_of(3)
    with pytest.raises(errors.UnknownOption):
        task(result_serializer="yaml")(len)


def test_what_cannot_be_read_back_is_missing(store: ResultStore):
    kept = ResultRecord("x", b"not a pickle", None, 3)
    with pytest.raises(errors.MissingResult, match="A kept result cannot be read back"):
        store.load(kept)


def test_folders_for_results_are_local():
    assert local.folder_of("file:///some/x") == Path("/some/x")
    assert local.folder_of("~/x") == Path.home() / "x"

    class FileSystem:
        basepath = "/tmp/y"

    assert local.folder_of(FileSystem()) == Path("/tmp/y")
    with pytest.raises(errors.UnknownOption, match="local folders only at present"):
        local.folder_of("s3://bucket")
    with pytest.raises(errors.UnknownOption, match="Not a folder"):
        local.folder_of(3)


def test_a_file_that_cannot_be_written_is_told_and_nothing_is_left_behind(store: ResultStore, tmp_path: Path):
    (tmp_path / "file").touch()

    with pytest.raises((errors.StorageFull, NotADirectoryError)):
        keep(store, "x" * 200, result_storage=tmp_path / "file")


def test_a_failed_write_leaves_no_file(store: ResultStore, monkeypatch: pytest.MonkeyPatch):
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(errors.StorageFull, match="A result of .* bytes could not be written"):
            keep(store, b"x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert [each for each in store.root.rglob("*") if each.is_file()] == []


def test_a_result_that_cannot_be_written_is_never_recorded_as_completed(recorded: Records, home: Path):
    import resource

    @task
    def large() -> bytes:
        resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        return bytes(200_000)

    @flow
    def main() -> int:
        return len(large())

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(errors.StorageFull):
            main()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert [each for each in recorded(records.TaskRunEnded) if each.type == "COMPLETED"] == []


def test_results_are_on_the_disk_before_the_record_that_names_them(home: Path, monkeypatch: pytest.MonkeyPatch):
    order: list[str] = []
    real_write, real_fsync, real_replace = os.write, os.fsync, os.replace

    def path(descriptor: int) -> Path:
        return Path(os.readlink(f"/proc/self/fd/{descriptor}"))

    def write(descriptor: int, data: bytes) -> int:
        if path(descriptor).is_relative_to(home / "journals") and b"t-" in bytes(data):
            order.append("record")
        return real_write(descriptor, data)

    def fsync(descriptor: int) -> None:
        if path(descriptor).is_relative_to(home / "results"):
            order.append("sync of the folder" if path(descriptor).is_dir() else "sync of the file")
        real_fsync(descriptor)

    def replace(source: Any, target: Any) -> None:
        if Path(target).is_relative_to(home / "results"):
            order.append("rename")
        real_replace(source, target)

    @task
    def large() -> bytes:
        return bytes(100_000)

    @flow
    def main() -> int:
        return len(large())

    monkeypatch.setattr(os, "write", write)
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    main()

    assert order[-4:] == ["sync of the file", "rename", "sync of the folder", "record"]


# Values in memory ---------------------------------------------------------------------------------


class Thing:
    pass


def test_an_object_is_known_for_as_long_as_it_lives():
    values = Values()
    thing = Thing()
    values.returned(thing, b"address", "run", 10)

    assert values.origin(thing) == (b"address", "run")
    assert values.origin(Thing()) is None
    del thing
    assert values._weak == {}


def test_plain_values_come_from_nowhere():
    values = Values()
    for value in (1, 1.5, True, None, "short", b"x"):
        values.returned(value, b"address", "run", 10)
        assert values.origin(value) is None
        assert values.holder(value) is None


def test_lists_and_texts_are_held_for_the_graph_only_and_not_for_ever():
    values = Values(budget=100)
    first, second = [1], "a longer text"
    values.returned(first, b"a", "first", 60)
    values.returned(first, b"a", "first again", 60)
    before = values.holder(first)
    values.returned(second, b"b", "second", 60)

    assert before == "first again"
    assert values.holder(second) == "second"
    assert values.holder(first) is None
    assert values.origin(second) is None


def test_of_many_small_lists_the_latest_are_held():
    values = Values()
    many = [[number] for number in range(1005)]
    for number, each in enumerate(many):
        values.returned(each, b"a", str(number), 1)

    assert [values.holder(each) for each in many[:6]] == [None, None, None, None, None, "5"]


def test_values_of_futures_are_dropped_past_the_budget_and_read_when_asked_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(attempts.Values.__init__, "__defaults__", (20_000,))

    @task
    def large(number: int) -> bytes:
        return bytes([number]) * 10_000

    @flow
    def main() -> list[int]:
        futures: list[Future] = [large.submit(number) for number in range(6)]
        for each in futures:
            each.wait()
        in_memory = sum(isinstance(each.state.data, bytes) for each in futures)
        assert in_memory < 6
        return [each.result()[0] for each in futures]

    assert main() == [0, 1, 2, 3, 4, 5]
