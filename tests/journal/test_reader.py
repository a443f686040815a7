from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from penstock import errors
from penstock.core import records
from penstock.journal import frames, reader

OPENED = records.JournalOpened(1, "run", 1, "main", "host", "boot", 1, 0, "0.1.0")


def line(number: int, text: str = "") -> records.LogLine:
    return records.LogLine(number, "run", None, 20, "test", text)


def journal(path: Path, *said: records.Record, tail: bytes = b"") -> Path:
    data = b"".join(frames.frame(records.encode(each)) for each in said)
    path.write_bytes(frames.MAGIC + data + tail)
    return path


def test_all_records_are_read_in_order(tmp_path: Path):
    path = journal(tmp_path / "j", OPENED, line(1), line(2))

    assert list(reader.read_all(path)) == [OPENED, line(1), line(2)]


def test_a_journal_longer_than_is_read_at_once_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    said = [OPENED, *(line(number, "x" * number) for number in range(300))]
    path = journal(tmp_path / "j", *said)
    monkeypatch.setattr(reader.read, "__kwdefaults__", {"limit": 1000})

    assert list(reader.read_all(path)) == said


def test_a_record_longer_than_is_read_at_once_is_read_whole(tmp_path: Path):
    path = journal(tmp_path / "j", line(1, "x" * 5000), line(2))

    piece = reader.read(path, limit=100)

    assert list(reader.decoded(piece.frames, path)) == [line(1, "x" * 5000), line(2)]


def test_reading_goes_on_where_it_had_stopped(tmp_path: Path):
    path = journal(tmp_path / "j", line(1))
    first = reader.read(path)
    with path.open("ab") as file:
        file.write(frames.frame(records.encode(line(2))))
    second = reader.read(path, first.end)

    assert list(reader.decoded(second.frames, path)) == [line(2)]
    assert second.start == first.end
    assert second.data == path.read_bytes()[first.end :]
    assert reader.read(path, second.end) == reader.Piece(second.end, second.end, b"", [], at_end=True)


def test_a_journal_torn_at_any_byte_is_read_up_to_there(tmp_path: Path):
    said = [OPENED, line(1), line(2)]
    whole = journal(tmp_path / "j", *said).read_bytes()
    ends = [frame.end for frame in reader.read(tmp_path / "j").frames]

    for cut in range(len(whole)):
        (tmp_path / "torn").write_bytes(whole[:cut])

        assert list(reader.read_all(tmp_path / "torn")) == said[: sum(end <= cut for end in ends)]


def test_a_flipped_byte_anywhere_is_told_or_concerns_only_the_last_record(tmp_path: Path):
    said = [OPENED, line(1), line(2), line(3)]
    path = journal(tmp_path / "j", *said)
    whole = path.read_bytes()
    last = reader.read(path).frames[-1].offset

    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
        if position < len(frames.MAGIC):
            with pytest.raises(errors.ForeignJournal, match="Not a journal"):
                list(reader.read_all(path))
        elif position < last:
            with pytest.raises(errors.CorruptJournal, match="A record in the middle of a journal is damaged, at byte"):
                list(reader.read_all(path))
        else:
            assert list(reader.read_all(path)) == said[:-1]


def test_what_lies_before_the_damage_is_still_read(tmp_path: Path):
    path = journal(tmp_path / "j", OPENED, line(1), line(2))
    damaged = bytearray(path.read_bytes())
    damaged[reader.read(path).frames[1].offset + 10] ^= 1
    path.write_bytes(damaged)
    found: list[object] = []

    with pytest.raises(errors.CorruptJournal):
        found.extend(each for each in reader.read_all(path))
    said = reader.read_all(path)

    assert next(said) == OPENED


def test_zeros_at_the_end_are_no_error(tmp_path: Path):
    path = journal(tmp_path / "j", OPENED, line(1), tail=bytes(4096))

    assert list(reader.read_all(path)) == [OPENED, line(1)]


def test_an_empty_file_is_a_journal_that_was_torn_at_once(tmp_path: Path):
    (tmp_path / "j").touch()

    assert reader.read(tmp_path / "j") == reader.Piece(0, 0, b"", [], at_end=True)


def test_there_has_to_be_a_file(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        reader.read(tmp_path / "none")


def test_a_file_that_is_no_journal_is_refused(tmp_path: Path):
    (tmp_path / "j").write_bytes(b"SQLite format 3\0" * 10)

    with pytest.raises(errors.ForeignJournal, match="Not a journal that this version of Penstock can read"):
        reader.read(tmp_path / "j")


def test_records_of_a_kind_from_the_future_are_skipped(tmp_path: Path):
    path = tmp_path / "j"
    unknown = msgspec.msgpack.encode(["from the future", 1, {"x": [2]}])
    data = b"".join(frames.frame(each) for each in (records.encode(OPENED), unknown, records.encode(line(1))))
    path.write_bytes(frames.MAGIC + data)

    assert list(reader.read_all(path)) == [OPENED, line(1)]


def test_fields_that_a_later_version_added_are_ignored(tmp_path: Path):
    path = tmp_path / "j"
    longer = msgspec.msgpack.encode([*msgspec.msgpack.decode(records.encode(line(1))), "more", {"and": "more"}])
    path.write_bytes(frames.MAGIC + frames.frame(longer))

    assert list(reader.read_all(path)) == [line(1)]


def test_a_newer_format_is_refused_and_the_version_named(tmp_path: Path):
    newer = msgspec.structs.replace(OPENED, format=records.FORMAT + 1, penstock_version="9.9")
    path = journal(tmp_path / "j", newer)

    with pytest.raises(errors.ForeignJournal, match=r"A newer version of Penstock \(9\.9\) wrote this journal"):
        list(reader.read_all(path))


@pytest.mark.parametrize(
    "payload", [b"\xc1", msgspec.msgpack.encode(["log", "no time"]), b""], ids=["bytes", "fields", "empty"]
)
def test_a_whole_frame_that_holds_no_record_is_damage(tmp_path: Path, payload: bytes):
    path = tmp_path / "j"
    path.write_bytes(frames.MAGIC + frames.frame(payload))

    with pytest.raises(errors.CorruptJournal, match="Not a record, at byte 19"):
        list(reader.read_all(path))


def test_damage_whose_neighbourhood_was_not_read_yet_is_told_all_the_same(tmp_path: Path):
    path = journal(tmp_path / "j", line(1), line(2, "x" * 500), line(3))
    damaged = bytearray(path.read_bytes())
    second = reader.read(path).frames[1]
    damaged[second.offset + 100] ^= 1
    path.write_bytes(damaged)

    assert reader.read(path, second.offset, limit=50).damaged_at == second.offset
