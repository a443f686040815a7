"""A worker and a server with HTTP between them."""

from __future__ import annotations

import errno
import io
import os
import tarfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path

import pytest
from tests.api.serving import TOKEN, Served, serving
from tests.client.scripted import answer, scripted
from tests.worker.factory import Factory, until
from tests.worker.test_supervision import PRELUDE, WAITS

from penstock import clock, errors, settings
from penstock.client import home_server
from penstock.client.connection import HttpServer, url_of
from penstock.client.home_server import HomeServer, Keeping
from penstock.core.deployments import Bundle
from penstock.core.operations import api_keys as of_keys
from penstock.core.operations import flow_runs as of_runs
from penstock.orchestration import work


@pytest.fixture
def served(factory: Factory) -> Iterator[Served]:
    with serving(factory.store) as served:
        yield served
        factory.stop_workers()  # while there is a server to tell


@contextmanager
def keeping(home: Path, url: str) -> Generator[None]:
    """For the block, a server at the URL keeps the home."""
    with Keeping(home, clock.SYSTEM) as kept:
        kept.announce(HomeServer(api_url=url, pid=1, started_at=1, home_id="h", store="sqlite", version="0"))
        yield


def bundle_of(source: str) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as tar:
        about = tarfile.TarInfo("flows.py")
        about.size = len(source.encode())
        tar.addfile(about, io.BytesIO(source.encode()))
    return target.getvalue()


@pytest.mark.slow
def test_a_run_of_a_bundle_goes_from_one_machine_to_another_with_its_results(factory: Factory, served: Served):
    source = WAITS.replace("step(1)", "large = step(bytes(300_000))").replace(
        "pathlib.Path(__file__).parent", f"pathlib.Path({str(factory.code)!r})"
    )
    source = source.replace('stamp(f"step {number}")', 'stamp("step")')
    archive = bundle_of(source)
    bundle = Bundle(blake2b(archive, digest_size=32).hexdigest(), len(archive))
    served.orchestrator.keep_bundle(bundle.digest, archive)
    run = factory.create(factory.deploy("", code=bundle))
    first = factory.work("one", url=served.url, key=TOKEN)
    until(lambda: factory.stamps("pids"))
    first.stop()
    first.join()
    state = factory.state(run)
    (factory.code / "go").touch()
    factory.work("two", url=served.url, key=TOKEN)

    ended = factory.ended(run)
    assert state == "Resuming"
    assert (ended.state_name, ended.attempt) == ("Completed", 2), factory.logs(run)
    assert factory.stamps() == ["step", "step"]  # the first step, and the second one: none of them twice
    assert list((factory.root / "two" / "results").glob("*/*"))


@pytest.mark.slow
def test_a_worker_needs_no_more_than_a_key_of_its_pool(factory: Factory, served: Served):
    key = factory.ask(of_keys.CreateApiKey(name="w", pool="default")).key
    run = factory.create(factory.deploy(WAITS.replace("step(1)", "step(bytes(200_000))")))
    first = factory.work("one", url=served.url, key=key)
    until(lambda: factory.stamps("pids"))
    first.stop()
    first.join()
    (factory.code / "go").touch()
    factory.work("two", url=served.url, key=key)

    assert factory.ended(run).state_name == "Completed"
    assert factory.run(run).attempt == 2
    assert len(factory.stamps()) == 2


@pytest.mark.slow
def test_a_cancellation_is_heard_at_once(factory: Factory, served: Served, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(work, "HEARTBEAT_SECONDS", 600.0)  # the next one would tell of it too late
    run = factory.create(factory.deploy(PRELUDE + "@flow\ndef main():\n    stamp('up')\n    time.sleep(600)\n"))
    factory.work(url=served.url, key=TOKEN)
    until(factory.stamps)
    served.orchestrator.ask(of_runs.CancelFlowRun(run=run))

    assert factory.ended(run).state_name == "Cancelled"


def test_a_large_result_is_sent_and_fetched(factory: Factory, served: Served, tmp_path: Path):
    server = HttpServer(
        settings.load({"PENSTOCK_HOME": str(tmp_path), "PENSTOCK_API_URL": served.url, "PENSTOCK_API_KEY": TOKEN}),
        clock.SYSTEM,
    )
    data = os.urandom(5 << 20)
    digest = blake2b(data, digest_size=32).hexdigest()
    (tmp_path / "sent").write_bytes(data)
    target = tmp_path / "results" / digest[:2] / digest
    with pytest.raises(errors.MissingResult):
        server.get_result(f"{digest[:2]}/{digest}", target)
    server.put_result(f"{digest[:2]}/{digest}", tmp_path / "sent")
    server.get_result(f"{digest[:2]}/{digest}", target)
    server.close()

    assert target.read_bytes() == data
    assert os.listdir(target.parent) == [digest]
    assert target.stat().st_mode & 0o077 == 0


def test_what_nobody_serves_is_away(tmp_path: Path):
    server = HttpServer(
        settings.load({"PENSTOCK_HOME": str(tmp_path), "PENSTOCK_API_URL": "http://127.0.0.1:9/api"}), clock.SYSTEM
    )

    with pytest.raises(errors.ServerUnreachable):
        server.send_journal([])


def test_where_no_file_can_be_opened_the_server_counts_as_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    server = HttpServer(settings.load({"PENSTOCK_HOME": str(tmp_path)}), clock.SYSTEM)

    def refusing(*_: Path) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(home_server, "running", refusing)
    with pytest.raises(errors.ServerUnreachable, match="Too many open files"):
        server.ask(of_runs.ListFlowRuns())


def test_the_owners_key_is_shown_to_the_homes_server_while_it_lives_and_to_nobody_after_it(tmp_path: Path):
    here = settings.load({"PENSTOCK_HOME": str(tmp_path)})
    token = home_server.provided_token(tmp_path)
    with scripted(*[answer(body=b"[]", content_type="application/json")] * 3) as server:
        with keeping(tmp_path, server.url):
            asking = HttpServer(here, clock.SYSTEM)
            asking.send_journal([])
        asking.send_journal([])  # to whoever has taken the port meanwhile
        with Keeping(tmp_path, clock.SYSTEM):
            asking.send_journal([])
        asking.close()
        shown = [asked.headers.get("authorization") for asked in server.asked]

    assert shown == [f"Bearer {token}", None, f"Bearer {token}"]


@pytest.mark.parametrize("key", [{}, {"PENSTOCK_API_KEY": "k"}], ids=["owner", "key"])
def test_a_server_of_the_home_that_comes_back_at_another_port_is_found_there(tmp_path: Path, key: dict[str, str]):
    asking = HttpServer(settings.load({"PENSTOCK_HOME": str(tmp_path), **key}), clock.SYSTEM)
    asked: list[int] = []
    for _ in range(2):
        empty = answer(body=b"[]", content_type="application/json", connection="close")
        with scripted(empty) as server, keeping(tmp_path, server.url):
            asking.send_journal([])
            asked.append(len(server.asked))
        with pytest.raises(errors.ServerUnreachable):
            asking.send_journal([])
    asking.close()

    assert asked == [1, 1]


def test_a_server_that_the_settings_name_is_asked_and_no_other(tmp_path: Path):
    there = "http://127.0.0.1:9/api"
    asking = HttpServer(settings.load({"PENSTOCK_HOME": str(tmp_path), "PENSTOCK_API_URL": there}), clock.SYSTEM)
    with scripted() as server, keeping(tmp_path, server.url), pytest.raises(errors.ServerUnreachable, match=there):
        asking.send_journal([])


def test_without_a_word_of_the_settings_the_usual_place_is_asked(tmp_path: Path):
    assert url_of(settings.load({"PENSTOCK_HOME": str(tmp_path)})) == "http://127.0.0.1:4200/api"
