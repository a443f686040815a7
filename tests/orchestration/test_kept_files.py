"""Files that are kept for others: in the store where several servers need them, and not for ever."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

import pytest
from tests.orchestration.plant import Plant

from penstock.core.deployments import Bundle
from penstock.orchestration import kept_files
from penstock.settings import Settings
from penstock.store.sqlite import SqliteStore
from penstock.testing import FakeClock

DAY = 86400


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def plant(clock: FakeClock) -> Iterator[Plant]:
    with SqliteStore.in_memory(clock) as store:
        plant = Plant(store)
        plant.start_worker()
        yield plant


def digest_of(data: bytes) -> str:
    return blake2b(data, digest_size=32).hexdigest()


def keep(plant: Plant, data: bytes) -> str:
    digest = digest_of(data)
    kept_files.keep_bundle(plant.store, digest, data)
    return digest


def content(plant: Plant, digest: str) -> bytes | None:
    found = kept_files.bundle(plant.store, digest)
    return None if found is None else b"".join(found.parts)


def test_a_large_file_is_kept_in_parts(plant: Plant):
    data = bytes(range(256)) * 10_000
    digest = keep(plant, data)

    found = kept_files.bundle(plant.store, digest)
    assert found is not None
    assert (found.size, [len(part) for part in found.parts]) == (len(data), [1 << 20, 1 << 20, len(data) - (2 << 20)])
    assert content(plant, digest) == data
    assert content(plant, keep(plant, b"")) == b""


def test_a_bundle_stays_while_a_deployment_names_it(plant: Plant, clock: FakeClock):
    used, unused = keep(plant, b"used"), keep(plant, b"unused")
    plant.deploy(code=Bundle(used))

    clock.advance(91 * DAY)
    assert kept_files.sweep(plant.store, 90) == 1
    assert (content(plant, used), content(plant, unused)) == (b"used", None)


def test_and_while_a_run_may_need_it(plant: Plant, clock: FakeClock):
    old, new = keep(plant, b"old"), keep(plant, b"new")
    plant.deploy(code=Bundle(old))
    plant.create(in_seconds=200 * DAY)
    plant.deploy(code=Bundle(new))

    clock.advance(91 * DAY)
    assert kept_files.sweep(plant.store, 90) == 0
    clock.advance(110 * DAY)
    kept_files.sweep(plant.store, 90)
    plant.work_off()
    kept_files.sweep(plant.store, 90)
    assert content(plant, old) == b"old", "the run may be retried for a while"
    clock.advance(91 * DAY)
    kept_files.sweep(plant.store, 90)
    assert (content(plant, old), content(plant, new)) == (None, b"new")


def test_a_bundle_that_comes_again_is_young_again(plant: Plant, clock: FakeClock):
    keep(plant, b"code")
    clock.advance(80 * DAY)
    keep(plant, b"code")
    clock.advance(80 * DAY)

    assert kept_files.sweep(plant.store, 90) == 0


def test_a_result_in_the_store_stays_while_a_run_names_it(plant: Plant, clock: FakeClock, tmp_path: Path):
    settings = Settings(home=tmp_path, database_url="postgresql://x")
    digests = [digest_of(data) for data in (b"named", b"not named")]
    for digest, data in zip(digests, (b"named", b"not named"), strict=True):
        (tmp_path / "file").write_bytes(data)
        kept_files.keep_result(settings, plant.store, digest, tmp_path / "file")
    plant.store.run(lambda tx: tx.result_files.refer("some-run", [f"{digests[0][:2]}/{digests[0]}"]))

    assert kept_files.sweep(plant.store, 90) == 0, "a run may be about to name it"
    clock.advance(3601)
    assert kept_files.sweep(plant.store, 90) == 1
    found = kept_files.result(settings, plant.store, digests[0])
    assert found is not None
    assert b"".join(found.parts) == b"named"
    assert kept_files.result(settings, plant.store, digests[1]) is None
