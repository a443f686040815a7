"""Bundles of code and files of results over HTTP: kept under the name of what they hold, whatever is claimed."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.api.serving import TOKEN, Answer, Served, serving

from penstock.orchestration.kept_files import PART_BYTES
from penstock.store.interface import Store
from penstock.store.sqlite import SqliteStore

BYTES = {"Content-Type": "application/octet-stream"}

CONTENTS = [b"", b"code", os.urandom(PART_BYTES * 2 + 17), b"\0" * PART_BYTES]


@pytest.fixture
def served(either_store: Store) -> Iterator[Served]:
    with serving(either_store) as served:
        url = None if isinstance(either_store, SqliteStore) else "postgresql://x"
        served.context.settings = replace(served.context.settings, database_url=url)
        yield served


def digest_of(data: bytes) -> str:
    return blake2b(data, digest_size=32).hexdigest()


def put(served: Served, path: str, data: bytes, **headers: str) -> Answer:
    return served.ask("PUT", path, data, headers=BYTES | headers)


@pytest.mark.parametrize("data", CONTENTS, ids=len)
def test_a_file_comes_back_as_it_went(served: Served, data: bytes):
    digest = digest_of(data)
    for path in (f"/api/bundles/{digest}", f"/api/results/{digest[:2]}/{digest}"):
        assert served.ask("GET", path).status == 404
        for _ in range(2):
            assert put(served, path, data).status == 204

        answer = served.ask("GET", path)
        assert (answer.status, answer.headers["content-length"]) == (200, str(len(data)))
        assert answer.body == data


def test_that_a_bundle_is_there_is_told_without_it(served: Served):
    digest = digest_of(b"code")
    assert served.ask("HEAD", f"/api/bundles/{digest}").status == 404

    put(served, f"/api/bundles/{digest}", b"code")

    answer = served.ask("HEAD", f"/api/bundles/{digest}")
    assert (answer.status, answer.headers["content-length"], answer.body) == (200, "4", b"")


def test_what_does_not_fit_its_name_is_not_kept(served: Served, home: Path):
    digest = digest_of(b"code")
    for path in (f"/api/bundles/{digest}", f"/api/results/{digest[:2]}/{digest}"):
        answer = put(served, path, b"other code")

        assert (answer.status, answer.json["type"]) == (422, "UsageError")
        assert served.ask("GET", path).status == 404
    assert list((home / "incoming").iterdir()) == []


@pytest.mark.parametrize("digest", ["x", "A" * 64, "a" * 63, "..%2f" + "a" * 64, "a" * 65, "%00" + "a" * 63])
def test_a_name_is_a_digest_and_nothing_else(served: Served, digest: str):
    for path in (f"/api/bundles/{digest}", f"/api/results/aa/{digest}", f"/api/results/{digest}/{'a' * 64}"):
        assert put(served, path, b"x").status in {404, 405, 422}
        assert served.ask("GET", path).status in {404, 405, 422}


def test_a_result_lies_in_its_folder(served: Served):
    digest = digest_of(b"x")
    wrong = f"{int(digest[:2], 16) ^ 1:02x}"

    assert put(served, f"/api/results/{wrong}/{digest}", b"x").status == 422
    assert put(served, f"/api/results/../{digest}", b"x").status in {404, 405, 422}


def test_too_large_a_file_is_refused(served: Served, monkeypatch: pytest.MonkeyPatch, home: Path):
    data = bytes(300 << 20)
    answer = put(served, f"/api/bundles/{'a' * 64}", data[:10], **{"Content-Length": str(257 << 20)})

    assert answer.status == 413
    assert list((home / "incoming").iterdir()) == []


def test_a_file_that_never_comes_whole_leaves_nothing(served: Served, home: Path):
    digest = digest_of(b"code")
    with socket.create_connection(("127.0.0.1", served.port)) as connection:
        head = f"PUT /api/bundles/{digest} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
        connection.sendall(f"{head}Content-Type: application/octet-stream\r\nContent-Length: 4\r\n\r\nco".encode())

    assert served.ask("GET", f"/api/bundles/{digest}").status == 404
    deadline = served.context.clock.elapsed() + 10
    while any(each.exists() for each in list((home / "incoming").glob("*"))):
        assert served.context.clock.elapsed() < deadline
        served.context.clock.sleep(0.01)


def test_a_file_comes_as_bytes_by_its_type(served: Served):
    assert put(served, f"/api/bundles/{digest_of(b'x')}", b"x", **{"Content-Type": "text/plain"}).status == 415


def test_results_of_this_machine_are_found_too(served: Served, home: Path):
    digest = digest_of(b"made here")
    place: Any = home / "results" / digest[:2] / digest
    place.parent.mkdir(parents=True)
    place.write_bytes(b"made here")

    assert served.ask("GET", f"/api/results/{digest[:2]}/{digest}").body == b"made here"
