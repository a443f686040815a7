"""What newcomers call first: whatever they do to it, it ends as it says, and leaves only what it says."""

from __future__ import annotations

import fcntl
import gzip
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import termios
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest
from tests.acceptance.place import DEADLINE, PENSTOCK, Place, Process
from tests.examples.web import Site

from penstock import processes
from penstock.client import home_server
from penstock.client.home_server import HomeServer
from penstock.core.operations.flow_runs import ListFlowRuns

pytest.importorskip("pandas", reason="the ETL needs what penstock[etl] installs")

from penstock.examples import made_up_trips

pytestmark = pytest.mark.slow

YELLOW, GREEN = "yellow_tripdata_2020-04.csv.gz", "green_tripdata_2020-04.csv.gz"


@pytest.fixture
def place(tmp_path: Path, site: Site) -> Iterator[Place]:
    """A home whose server takes any port, and a source of few trips."""
    made = Place(tmp_path)
    made.environ["PENSTOCK_SERVER_PORT"] = "0"
    site.files = {name: few_trips(name) for name in (YELLOW, GREEN)}
    yield made
    for gate in site.held.values():
        gate.set()
    made.close()
    processes.kill(of(made))


def few_trips(name: str) -> bytes:
    whole = gzip.decompress(made_up_trips.file(name) or b"").splitlines(keepends=True)
    return gzip.compress(b"".join(whole[:50]))


def of(place: Place) -> list[int]:
    """The processes of the place's home."""
    mark = f"PENSTOCK_HOME={place.home}\0".encode()
    return [each.pid for each in processes.every() if not each.is_dead and mark in environ_of(each.pid)]


def environ_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def on_a_terminal(place: Place, *words: str) -> tuple[int, str]:
    """Run a command on a terminal; returns what it exits with and shows."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environ = {name: value for name, value in place.environ.items() if name != "COLUMNS"}
    environ["PATH"] = os.pathsep.join([str(PENSTOCK.parent), environ["PATH"]])
    line = [str(PENSTOCK), *words]
    popen = subprocess.Popen(line, cwd=place.folder, env=environ, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 65536):
            shown += piece
    except OSError:
        pass  # so Linux says that nobody writes there any more
    os.close(ours)
    return popen.wait(DEADLINE), shown.decode().replace("\r\n", "\n")


def running(place: Place) -> HomeServer:
    found = home_server.running(place.home)
    assert found is not None
    return found


def begun(place: Place, site: Site) -> Process:
    """A quickstart in the middle of its first download, which waits."""
    site.held[YELLOW] = Event()
    started = place.start("quickstart", "--source", site.url)
    place.until(lambda: site.asked[YELLOW], "the first download")
    return started


def states(place: Place) -> list[str]:
    return [run.state_name for run in place.ask(ListFlowRuns(flow="taxi-etl")).items]


def test_it_tells_what_it_made_and_leaves_nothing_running_even_where_the_port_is_taken(place: Place, site: Site):
    first = place.run("quickstart", "--source", site.url)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        place.environ["PENSTOCK_SERVER_PORT"] = str(port)
        second = place.run("quickstart", "--source", site.url)

    for each in (first, second):
        assert "artifact inspect trips-by-day-and-borough" in each.out
        assert str(place.home / "quickstart" / "taxi.db") in each.out
        assert f"source     {site.url}" in each.out
        assert "What was started for this has been stopped" in each.out
    assert "out of the cache" not in first.out
    assert "2 files, 2 of them out of the cache" in second.out
    assert f"Port {port} is taken by something else, so the server takes another one" in second.err
    assert len(list((place.home / "quickstart" / "trips").glob("*.parquet"))) == 2
    assert place.home.stat().st_mode & 0o777 == 0o700
    assert of(place) == []
    assert not list(place.folder.iterdir())
    named = re.findall(r"penstock ((?:artifact|flow-run|init)\b.*)", second.out)
    assert len(named) == 4
    for line in named:
        place.run(*line.split())


def test_on_a_terminal_server_and_worker_stay_for_the_next_one_until_they_are_stopped_as_it_says(
    place: Place, site: Site
):
    code, shown = on_a_terminal(place, "quickstart", "--source", site.url)

    assert code == 0
    page = shown[shown.index("What was made") :]
    assert [line for line in page.replace(str(place.home), "~/.penstock").splitlines() if len(line) > 80] == []
    server = running(place)
    assert re.search(rf"API +{server.api_url}\n", page)

    again = place.run("quickstart", "--source", site.url)
    assert f"A server of this home runs already, at {server.api_url}\nA worker runs already\n" in again.err
    assert running(place) == server
    (line,) = re.findall(r"penstock (deployment run taxi-etl/quickstart --watch)", page)
    place.run(*line.split())
    (stop,) = re.findall(r"stop both +penstock (server stop)", page)
    place.run(*stop.split())
    place.until(lambda: not of(place), "the end of everything")


def test_a_server_without_a_worker_gets_one(place: Place, site: Site):
    place.start_server()

    code, shown = on_a_terminal(place, "quickstart", "--source", site.url)
    assert code == 0
    assert "Started a worker" in shown
    (pid,) = re.findall(r"stop the worker +kill (\d+)", shown)
    os.kill(int(pid), signal.SIGTERM)
    place.until(lambda: int(pid) not in of(place), "the end of the worker")

    told = place.run("quickstart", "--source", site.url)
    assert "Started a worker" in told.err
    assert "What was started for this has been stopped" in told.out
    assert running(place)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP], ids=lambda each: each.name)
def test_interrupted_it_cancels_its_run_and_stops_everything(place: Place, site: Site, number: signal.Signals):
    started = begun(place, site)

    assert started.end(number) == 130
    assert of(place) == []
    assert states(place) == ["Cancelled"]


def test_interrupted_while_the_server_starts_it_leaves_nothing(place: Place):
    started = place.start("quickstart")
    place.until(lambda: [pid for pid in of(place) if pid != started.popen.pid], "the server's beginning")

    assert started.end(signal.SIGINT) == 130
    assert of(place) == []


def test_killed_it_takes_server_and_worker_with_it_and_the_next_one_waits_for_its_run(place: Place, site: Site):
    begun(place, site).end(signal.SIGKILL)
    place.until(lambda: not of(place), "the end of everything")
    site.held[YELLOW].set()

    second = place.run("quickstart", "--source", site.url)

    assert "Started a server" in second.err
    assert states(place) == ["Completed", "Completed"]


def test_it_says_so_at_once_when_its_server_dies(place: Place, site: Site):
    started = begun(place, site)
    os.kill(running(place).pid, signal.SIGKILL)

    assert started.popen.wait(DEADLINE) == 1
    started.says(r"error: The server has ended by itself\. Its process was ended by signal 9 \(SIGKILL\)\n")
    started.says(rf"hint: all that it said is in `{place.home}/logs/server.log`")
    place.until(lambda: not of(place), "the end of everything")


def test_a_flow_that_fails_makes_it_fail_and_say_where_to_look(place: Place, site: Site):
    site.files.clear()

    ran = place.run("quickstart", "--source", site.url, code=1)

    assert f"{site.url}/{YELLOW}" in ran.err
    assert "What was made" not in ran.out
    (why,) = re.findall(r"penstock (flow-run why \S+)` says more", ran.err)
    assert YELLOW in place.run(*why.split()).out
    assert of(place) == []


def test_a_server_that_cannot_start_makes_it_fail_with_the_reason(place: Place):
    place.environ["PENSTOCK_SERVER_HOST"] = "0.0.0.0"

    ran = place.run("quickstart", code=1)

    assert "error: The server has ended by itself. Others could read along at this address" in ran.err
    assert of(place) == []


def test_settings_that_name_another_server_are_refused_before_anything_starts(place: Place):
    place.environ["PENSTOCK_API_URL"] = "http://elsewhere.example:4200/api"

    ran = place.run("quickstart", code=2)

    assert "The settings name another server than that of this home" in ran.err
    assert of(place) == []


def test_without_what_the_flow_needs_it_says_what_to_install(place: Place):
    (place.folder / "pandas.py").write_text("raise ModuleNotFoundError(name='pandas')")
    place.environ["PYTHONPATH"] = str(place.folder)

    ran = place.run("quickstart", code=2)

    assert "This example needs pandas. Install what it needs by: pip install 'penstock[etl]'" in ran.err
    assert of(place) == []
