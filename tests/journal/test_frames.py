from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock import errors
from penstock.journal import frames

payloads = st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=6)


def written(*payloads: bytes) -> bytes:
    return b"".join(map(frames.frame, payloads))


def read(data: bytes) -> list[bytes]:
    return [bytes(each.payload) for each in frames.scan(data).frames]


@pytest.mark.slow
@given(payloads, st.integers(0, 1 << 40))
def test_what_is_written_is_read_back_with_its_places(many: list[bytes], base: int):
    data = written(*many)

    found = frames.scan(data, base)

    assert [bytes(each.payload) for each in found.frames] == many
    assert [each.offset for each in found.frames] == [base, *(each.end for each in found.frames)][:-1]
    assert (found.end, found.torn, found.damaged_at) == (base + len(data), 0, None)


def test_nothing_holds_no_frames():
    assert frames.scan(b"") == frames.Scan([], 0, 0, None)


@settings(max_examples=30)
@given(payloads)
def test_a_tail_torn_at_any_byte_is_no_damage_and_hides_nothing_before_it(many: list[bytes]):
    data = written(*many)
    ends = [each.end for each in frames.scan(data).frames]

    for cut in range(len(data)):
        found = frames.scan(data[:cut])

        whole = sum(end <= cut for end in ends)
        assert [bytes(each.payload) for each in found.frames] == many[:whole]
        assert found.end + found.torn == cut
        assert found.damaged_at is None


@settings(max_examples=30)
@given(payloads, st.integers(0, 7))
def test_a_flipped_bit_in_the_last_frame_is_a_torn_tail(many: list[bytes], bit: int):
    data = written(*many)
    last = frames.scan(data).frames[-1]

    for position in range(last.offset, last.end):
        found = frames.scan(flipped(data, position, bit))

        assert [bytes(each.payload) for each in found.frames] == many[:-1]
        assert (found.end, found.damaged_at) == (last.offset, None)


@settings(max_examples=30)
@given(payloads, st.binary(min_size=1, max_size=40), st.integers(0, 7))
def test_a_flipped_bit_before_another_frame_is_damage_at_its_frame(many: list[bytes], after: bytes, bit: int):
    data = written(*many, after)

    for number, struck in enumerate(frames.scan(data).frames[:-1]):
        for position in range(struck.offset, struck.end):
            found = frames.scan(flipped(data, position, bit), 1000)

            assert [bytes(each.payload) for each in found.frames] == many[:number]
            assert (found.end, found.damaged_at) == (1000 + struck.offset, 1000 + struck.offset)


@pytest.mark.parametrize("size", [100, 4 << 10, 64 << 10, 100 << 10])
def test_a_damaged_length_is_told_from_a_torn_tail_also_in_front_of_a_large_record(size: int):
    data = written(b"first", b"\x93" * size, b"last")
    struck = frames.scan(data).frames[1]

    for position in range(struck.offset, struck.offset + 4):
        found = frames.scan(flipped(data, position, 7))

        assert [bytes(each.payload) for each in found.frames] == [b"first"]
        assert found.damaged_at == struck.offset


@settings(max_examples=30)
@given(payloads, st.integers(1, 5000))
def test_zeros_behind_the_last_frame_as_a_power_failure_leaves_them_are_a_torn_tail(many: list[bytes], zeros: int):
    found = frames.scan(written(*many) + bytes(zeros))

    assert [bytes(each.payload) for each in found.frames] == many
    assert (found.torn, found.damaged_at) == (zeros, None)


def test_zeros_in_front_of_a_frame_are_damage():
    data = written(b"first") + bytes(512) + written(b"last")

    assert frames.scan(data).damaged_at == len(written(b"first"))


@given(st.binary(max_size=300))
def test_bytes_that_were_never_written_as_frames_do_not_make_the_reader_fail(noise: bytes):
    found = frames.scan(noise)

    assert found.end + found.torn == len(noise)


def test_a_payload_that_no_reader_would_take_is_not_made_a_frame(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(frames, "MAX_PAYLOAD", 10)

    assert read(frames.frame(bytes(10))) == [bytes(10)]
    with pytest.raises(errors.UsageError, match="A record of 11 bytes is more than a journal takes: at most 10"):
        frames.frame(bytes(11))


def flipped(data: bytes, position: int, bit: int) -> bytes:
    changed = bytearray(data)
    changed[position] ^= 1 << bit
    return bytes(changed)
