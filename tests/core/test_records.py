from __future__ import annotations

import types
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.core import records
from penstock.core.result_records import ResultRecord

KINDS: tuple[type[records.Record], ...] = get_args(records.AnyRecord)

text = st.text(max_size=20)
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.floats(allow_nan=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=5,
)


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Values of a field's type."""
    if hint is Any:
        return plain
    if get_origin(hint) in (Union, types.UnionType):
        return st.one_of([values(each) for each in get_args(hint)])
    if get_origin(hint) is tuple:
        return st.lists(values(get_args(hint)[0]), max_size=3).map(tuple)
    if get_origin(hint) is dict:
        return st.dictionaries(values(get_args(hint)[0]), values(get_args(hint)[1]), max_size=3)
    simple: dict[Any, st.SearchStrategy[Any]] = {
        int: st.integers(-(1 << 63), (1 << 64) - 1),
        str: text,
        bytes: st.binary(max_size=20),
        bool: st.booleans(),
        type(None): st.none(),
    }
    return results if hint is ResultRecord else simple[hint]


def of_kind(kind: type[Any]) -> st.SearchStrategy[Any]:
    hints = get_type_hints(kind)
    return st.builds(kind, **{name: values(hints[name]) for name in kind.__struct_fields__})


results = of_kind(ResultRecord)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_record_of_any_kind_comes_back_as_it_was(kind: type[records.Record]):
    @settings(max_examples=25)
    @given(of_kind(kind))
    def comes_back(record: records.Record) -> None:
        assert records.decode(records.encode(record)) == record

    comes_back()


def test_each_kind_of_record_has_a_tag_of_its_own():
    tags = [kind.__struct_config__.tag for kind in KINDS]

    assert len(set(tags)) == len(tags)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_reader_skips_fields_that_a_later_version_added(kind: type[records.Record]):
    @settings(max_examples=5)
    @given(of_kind(kind), plain)
    def skips(record: records.Record, more: Any) -> None:
        longer = [*msgspec.msgpack.decode(records.encode(record)), more]
        assert records.decode(msgspec.msgpack.encode(longer)) == record

    skips()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_fields_with_defaults_may_be_missing_as_earlier_versions_wrote_them(kind: type[records.Record]):
    config: Any = kind
    given_ = len(config.__struct_fields__) - len(config.__struct_defaults__)

    @settings(max_examples=5)
    @given(of_kind(kind))
    def may_be_missing(record: records.Record) -> None:
        shorter = msgspec.msgpack.decode(records.encode(record))[: given_ + 1]
        found = records.decode(msgspec.msgpack.encode(shorter))
        assert found == kind(*records.fields(record)[:given_])

    may_be_missing()


def test_a_kind_of_record_that_is_not_known_is_none():
    assert records.decode(msgspec.msgpack.encode(["from the future", {"a": 1}])) is None
    assert records.decode(msgspec.msgpack.encode([])) is None
    assert records.decode(msgspec.msgpack.encode({"not": "an array"})) is None


def test_a_known_kind_with_fields_that_do_not_fit_is_an_error():
    with pytest.raises(msgspec.DecodeError):
        records.decode(msgspec.msgpack.encode(["log", "when"]))
    with pytest.raises(msgspec.DecodeError):
        records.decode(b"\xc1")


def test_the_common_end_of_a_task_run_is_short():
    ended = records.TaskRunEnded(
        1_700_000_000_000_000, "01a20670-2870-7b6f-a74a-3848ff8cf5ee", ResultRecord("1", b"x" * 4, None, 4)
    )

    assert len(records.encode(ended)) < 120
