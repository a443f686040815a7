"""Frames: how a record lies in a file.

A frame is ``length`` and ``checksum`` (each an unsigned 32-bit little-endian number), then
``length`` bytes of payload. The checksum is the CRC-32 of zlib over the length's four bytes and
the payload: a run of zeros, which a power failure leaves, is no frame.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple
from zlib import crc32

from penstock import errors

MAGIC = b"penstock journal 1\n"
"""What every journal starts with."""

MAX_PAYLOAD = 64 << 20
"""A longer length is damage, not a record."""

SEARCHED = 128 << 10
"""How far behind bad bytes a frame is looked for; nearly all records are shorter."""

_HEAD = Struct("<II")
_LENGTH = Struct("<I")
HEAD_SIZE = _HEAD.size


class Frame(NamedTuple):
    """A payload and where it lies: the frame starts at ``offset`` and ends before ``end``."""

    offset: int
    end: int
    payload: memoryview


class Scan(NamedTuple):
    """The frames of a piece of a journal.

    ``end`` is where the next read goes on. ``torn`` bytes lie behind it that are not (yet) a whole
    frame. ``damaged_at`` is the offset of a frame that is whole but fails its checksum, or None.
    """

    frames: list[Frame]
    end: int
    torn: int
    damaged_at: int | None


def frame(payload: bytes) -> bytes:
    """The payload as a frame. Raises `UsageError` when it is longer than a reader would take."""
    length = len(payload)
    if length > MAX_PAYLOAD:
        raise errors.UsageError(f"A record of {length} bytes is more than a journal takes: at most {MAX_PAYLOAD}")
    return _HEAD.pack(length, crc32(payload, crc32(_LENGTH.pack(length)))) + payload


def scan(data: bytes | bytearray | memoryview, base: int = 0) -> Scan:
    """Read the frames of ``data``, which starts at offset ``base`` of the file.

    Stops at the first bytes that are no frame. If they reach to the end of the data they count as
    torn: a write that was cut off, or is still under way. Otherwise the journal is damaged there.
    """
    view = memoryview(data)
    size = len(view)
    position = 0
    frames: list[Frame] = []
    while position + HEAD_SIZE <= size:
        length, checksum = _HEAD.unpack_from(view, position)
        end = position + HEAD_SIZE + length
        if length > MAX_PAYLOAD or end > size:
            break
        payload = view[position + HEAD_SIZE : end]
        if crc32(payload, crc32(view[position : position + 4])) != checksum:
            break
        frames.append(Frame(base + position, base + end, payload))
        position = end
    damaged = position if _is_damage(view, position) else None
    return Scan(frames, base + position, size - position, None if damaged is None else base + damaged)


def _is_damage(view: memoryview, position: int) -> bool:
    """Whether a frame that follows the bad bytes at ``position`` proves them to be no torn tail."""
    size = len(view)
    if position + HEAD_SIZE > size:
        return False
    length = _LENGTH.unpack_from(view, position)[0]
    end = position + HEAD_SIZE + length
    if length <= MAX_PAYLOAD and end < size and _is_frame(view, end):
        return True
    # The length itself may be what is wrong: look for any whole frame behind it, not too far.
    limit = min(size - HEAD_SIZE, position + SEARCHED)
    return any(_is_frame(view, start) for start in range(position + 1, limit))


def _is_frame(view: memoryview, position: int) -> bool:
    if position + HEAD_SIZE > len(view):
        return False
    length, checksum = _HEAD.unpack_from(view, position)
    end = position + HEAD_SIZE + length
    if not 0 < length <= MAX_PAYLOAD or end > len(view):
        return False
    return crc32(view[position + HEAD_SIZE : end], crc32(view[position : position + 4])) == checksum
