from __future__ import annotations

import re
import uuid
from hashlib import blake2b

from hypothesis import given
from hypothesis import strategies as st

from penstock.core import addresses, names

digest = st.binary(min_size=16, max_size=16)
calls = st.tuples(digest, digest, st.integers(0, 1 << 40))


@given(st.lists(calls, unique=True, max_size=50))
def test_different_calls_have_different_addresses(many: list[tuple[bytes, bytes, int]]):
    assert len({addresses.address(*call) for call in many}) == len(many)


@given(calls)
def test_the_same_call_has_the_same_address(call: tuple[bytes, bytes, int]):
    assert addresses.address(*call) == addresses.address(*call)
    assert len(addresses.address(*call)) == 16


def test_addresses_are_the_same_in_every_version():
    """Journals of earlier versions are matched by them."""
    address = addresses.address(b"k" * 16, b"f" * 16, 2)

    assert address == blake2b(b"f" * 16 + (2).to_bytes(8, "little"), digest_size=16, key=b"k" * 16).digest()
    assert addresses.task_run_id(b"scope", address) == "ba5f6586-4190-8cd8-bccd-3abe5729e46a"


@given(digest, digest)
def test_ids_are_uuids_that_depend_on_scope_and_address(scope: bytes, address: bytes):
    found = uuid.UUID(addresses.task_run_id(scope, address))

    assert found.version == 8
    assert found.variant == uuid.RFC_4122
    assert str(found) != addresses.task_run_id(scope + b"x", address)
    assert str(found) != addresses.task_run_id(scope, address[::-1] + b"x")


def test_a_subflow_run_has_another_id_than_the_task_run_that_stands_for_it():
    task_run_id = addresses.task_run_id(b"scope", b"address")
    subflow = addresses.subflow_run_id(task_run_id)

    assert subflow != task_run_id
    assert subflow == addresses.subflow_run_id(task_run_id)
    assert uuid.UUID(subflow).version == 8


@given(st.floats(0, 1, exclude_max=True))
def test_a_run_that_nobody_named_is_called_by_two_words(chance: float):
    assert re.fullmatch("[a-z]+-[a-z]+", names.run_name(chance))
