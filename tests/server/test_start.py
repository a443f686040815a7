"""Servers as people start them: what they say, where they listen, what they refuse, how they end."""

from __future__ import annotations

import http.client
import json
import os
import platform
import re
import resource
import signal
import socket
import ssl
import stat
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.acceptance.place import Place, Process

from penstock import clock
from penstock.core import records
from penstock.journal import frames
from penstock.store.sqlite import SqliteStore

HERE = Path(__file__).parent

pytestmark = pytest.mark.slow


def server_of(place: Place) -> dict[str, Any]:
    return json.loads((place.home / "server.json").read_text())


def port_of(place: Place) -> int:
    return int(re.sub(r".*:(\d+)/api", r"\1", server_of(place)["api_url"]))


def token_of(place: Place) -> str:
    return (place.home / "token").read_text().strip()


def get(place: Place, path: str, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port_of(place), timeout=30)
    connection.request("GET", path, headers={"Authorization": f"Bearer {token_of(place)}", **headers})
    response = connection.getresponse()
    answer = response.status, response.read()
    connection.close()
    return answer


def listeners(pid: int) -> set[str]:
    """The addresses at which a process listens."""
    inodes = set[str]()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            inodes.update(re.findall(r"socket:\[(\d+)\]", os.readlink(descriptor)))
        except FileNotFoundError:
            continue
    found = set[str]()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and words[9] in inodes:
                found.add(words[1].partition(":")[0])
    return found


# ── what it keeps ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have other ways")
def test_what_large_bodies_took_is_given_back(place: Place):
    server = place.start_server()
    before = memory_of(server)
    for number in range(5):
        run_id = f"01920001-0000-7000-8000-00000000000{number}"
        began = records.FlowRunBegan(1, run_id, 1, "otter", "etl", "1", "", {"x": "y" * (20 << 20)})
        piece = [run_id, 1, "main", len(frames.MAGIC), frames.frame(records.encode(began))]
        headers = {"Authorization": f"Bearer {token_of(place)}", "Content-Type": "application/vnd.penstock.journal"}
        connection = http.client.HTTPConnection("127.0.0.1", port_of(place), timeout=60)
        connection.request("POST", "/api/journal", msgspec.msgpack.encode([piece]), headers)
        assert connection.getresponse().status == 200
        connection.close()

    # The database keeps up to 64 MiB of its pages in memory. Without the server's doing it was 240 MiB and more.
    place.until(lambda: memory_of(server) - before < 150 << 20)


def memory_of(process: Process) -> int:
    return int(Path(f"/proc/{process.popen.pid}/statm").read_text().split()[1]) * resource.getpagesize()


# ── what it says ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_server_says_where_it_is_and_that_it_has_stopped(place: Place):
    server = place.start_server()
    url = server_of(place)["api_url"].removesuffix("/api")

    for line in (
        "Commands in this home find this server by themselves; elsewhere on this machine:",
        "Configure Penstock to communicate with the server with:",
        f"penstock config set PENSTOCK_API_URL={url}/api",
        f"View the API reference documentation at {url}/docs",
        f"Check out the dashboard at {url}",
        f"Store: SQLite, {place.home}/penstock.db",
        f"Home:  {place.home}",
    ):
        server.says(re.escape(line))
    assert server.end() == 0
    assert server.output.endswith("Server stopped!\n")
    assert "Traceback" not in server.output
    assert "login?code=" not in server.output, "a link in a log would let in whoever reads it"


def test_by_its_old_name_it_is_the_same(place: Place):
    server = place.start("orion", "start", "--port", "0", "--no-ui", "--no-scheduler", "--no-late-runs")
    server.says("View the API reference")
    place.run("server", "wait")

    assert "dashboard" not in server.output
    assert server.end(signal.SIGINT) == 0
    assert server.output.endswith("Orion stopped!\n")


def test_without_a_ui_no_browser_is_let_in(place: Place):
    place.start_server("--no-ui")

    assert [get(place, path)[0] for path in ("/", "/login?code=x", "/docs", "/api/health")] == [404, 404, 200, 200]


def test_services_are_left_out_one_by_one_or_all(place: Place):
    server = place.start_server("--no-scheduler")
    services = set(re.findall(rb'penstock_service_failures\{service="([^"]+)"\}', get(place, "/metrics")[1]))
    assert services == {b"tailer", b"rescuer", b"canceller", b"slot keeper", b"retention"}
    server.end()

    place.start_server("--no-services")
    assert b'service="' not in get(place, "/metrics")[1]


# ── where it listens ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_nobody_but_this_machine_can_reach_it_and_nobody_else_reads_its_files(place: Place):
    before = os.umask(0)
    try:
        server = place.start_server()
    finally:
        os.umask(before)

    loopback = {"0100007F", "00000000000000000000000001000000"}
    assert "0100007F" in listeners(server.popen.pid)
    assert listeners(server.popen.pid) <= loopback
    assert stat.S_IMODE(place.home.stat().st_mode) == 0o700
    for path in place.home.rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode & 0o077 == 0, f"{path}: {mode:o}"


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_it_listens_nowhere_else_without_encryption(place: Place, host: str):
    refused = place.run("server", "start", "--host", host, code=2)

    assert f"Others could read along at this address, as nothing is encrypted: `{host}`" in refused.err
    assert "`--tls-cert` and `--tls-key`, or `--behind-proxy`" in refused.err


def test_with_a_certificate_it_does(place: Place):
    files = ["--tls-cert", str(HERE / "certificate.pem"), "--tls-key", str(HERE / "key.pem")]
    names = ["--allowed-host", "flows.example"]
    server = place.start("server", "start", "--port", "0", "--host", "0.0.0.0", *files, *names)
    server.says("Home: ")

    trusting = ssl.create_default_context(cafile=str(HERE / "certificate.pem"))
    connection = http.client.HTTPSConnection("localhost", port_of(place), timeout=30, context=trusting)
    connection.request("GET", "/api/health")
    assert connection.getresponse().read() == b"true"
    connection.close()
    assert server_of(place)["api_url"].startswith("https://127.0.0.1:")
    server.says(
        rf"elsewhere:\n.*\n\n    penstock config set PENSTOCK_API_URL=https://flows\.example:{port_of(place)}/api\n"
    )


def test_half_a_certificate_is_refused(place: Place):
    assert "belong together" in place.run("server", "start", "--tls-cert", "x.pem", code=2).err
    missing = place.run("server", "start", "--tls-cert", "x.pem", "--tls-key", "y.pem", code=2)
    assert "There is no such file: `x.pem`" in missing.err


def test_behind_a_proxy_it_goes_by_the_names_that_it_is_given(place: Place):
    server = place.start(
        "server", "start", "--port", "0", "--host", "0.0.0.0", "--behind-proxy", "--allowed-host", "flows.example"
    )
    server.says("Home: ")

    assert get(place, "/api/health", Host="flows.example")[0] == 200
    assert get(place, "/api/health", Host="other.example")[0] == 421
    server.says(r"elsewhere:\n.*\n\n    penstock config set PENSTOCK_API_URL=https://flows\.example/api\n")


def test_a_port_that_is_taken_is_told(place: Place):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = place.run("server", "start", "--port", str(port), code=2)

    assert f"Something else listens there already: `127.0.0.1` port `{port}`" in refused.err
    assert "`--port 0`" in refused.err


# ── what it refuses ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_home_has_one_server(place: Place):
    first = place.start_server()
    refused = place.run("server", "start", "--port", "0", code=1)

    assert f"process {first.popen.pid}, at {server_of(place)['api_url']}" in refused.err
    assert "`penstock server stop`" in refused.err
    assert get(place, "/api/health") == (200, b"true")


def test_a_newer_database_is_left_alone(place: Place):
    place.home.mkdir()
    with SqliteStore.open(place.home / "penstock.db", write=True) as store, store.transaction() as tx:
        tx.meta.put("schema_version", "99")
    refused = place.run("server", "start", "--port", "0", code=1)

    assert "A newer version of Penstock wrote this store" in refused.err
    assert "Traceback" not in refused.err


def test_a_database_that_cannot_be_reached_is_told(place: Place):
    url = "postgresql://ada:secret@127.0.0.1:1/nothing"
    refused = place.run("server", "start", "--port", "0", "--database-url", url, code=1)

    assert "secret" not in refused.err
    assert "127.0.0.1:1" in refused.err
    assert "Traceback" not in refused.err


# ── how it ends ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_soon_although_many_wait(place: Place, number: signal.Signals):
    server = place.start_server()
    connections: list[http.client.HTTPConnection] = []
    key = {"Authorization": f"Bearer {token_of(place)}"}
    register = {"id": "w", "name": "w", "pool": "default"}
    post(place, "/api/workers", register)
    for path, method, body in (
        ("/api/events/stream", "GET", None),
        ("/api/workers/w/claim", "POST", {"pool": "default", "wait_seconds": 50}),
        ("/api/health", "GET", None),
    ):
        connection = http.client.HTTPConnection("127.0.0.1", port_of(place), timeout=30)
        headers = key | ({"Content-Type": "application/json"} if body else {})
        connection.request(method, path, json.dumps(body) if body else None, headers)
        connections.append(connection)
    assert connections[2].getresponse().read() == b"true"

    began = clock.SYSTEM.elapsed()
    assert server.end(number) == 0
    assert clock.SYSTEM.elapsed() - began < 30  # one of them would have waited for 50
    answer = connections[1].getresponse()
    assert (answer.status, answer.read()) == (200, b"[]")
    assert "Traceback" not in server.output
    for connection in connections:
        connection.close()


def post(place: Place, path: str, body: dict[str, Any]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port_of(place), timeout=30)
    headers = {"Authorization": f"Bearer {token_of(place)}", "Content-Type": "application/json"}
    connection.request("POST", path, json.dumps(body), headers)
    response = connection.getresponse()
    assert response.status == 200
    response.read()
    connection.close()


def test_killed_it_leaves_nothing_that_is_in_the_way(place: Place):
    server = place.start_server()
    url = server_of(place)["api_url"]
    server.end(signal.SIGKILL)

    assert place.run("server", "status", code=1).err.startswith(f"No server keeps this home: {place.home}")
    place.environ["PENSTOCK_API_URL"] = url
    place.run("deployment", "ls")  # answered by the command itself
    del place.environ["PENSTOCK_API_URL"]
    place.start_server()
    assert place.run("server", "wait").out.strip() == server_of(place)["api_url"]


def test_workers_come_and_go_with_it(place: Place):
    server = place.start_server("--workers", "2")
    workers = place.until(lambda: [each for each in online(place) if each["status"] == "online"][1:], "two workers")
    assert len(workers) == 1
    pids = children(server)
    assert len(pids) == 2

    os.kill(pids[0], signal.SIGKILL)
    place.until(lambda: len(children(server)) == 2 and pids[0] not in children(server), "a worker in its place")
    pids = children(server)

    assert server.end() == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_workers_end_with_a_server_that_is_killed(place: Place):
    server = place.start_server("--workers", "1")
    place.until(lambda: online(place), "a worker")
    pids = children(server)

    server.end(signal.SIGKILL)

    place.until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "the end of the worker")


def online(place: Place) -> list[dict[str, Any]]:
    return json.loads(place.run("worker", "ls", "--json").out)


def children(server: Process) -> list[int]:
    pid = server.popen.pid
    text = "".join(path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children"))
    return sorted(int(word) for word in text.split())


# ── stop, status, wait ───────────────────────────────────────────────────────────────────────────────────────────────


def test_it_is_stopped_and_looked_at_by_commands(place: Place):
    server = place.start_server()
    shown = json.loads(place.run("server", "status", "--json").out)
    assert (shown["pid"], shown["store"], shown["ready"]) == (server.popen.pid, "sqlite", True)

    assert "has stopped" in place.run("server", "stop").err
    assert server.popen.wait(60) == 0
    assert "No server keeps this home" in place.run("server", "stop", code=3).err
    assert place.run("server", "wait", "--timeout", "0.1s", code=5).err.startswith("error: No server was ready")


def test_a_link_lets_a_browser_in(place: Place):
    place.start_server()
    link = place.run("ui").out.strip()
    path = re.sub(r"http://[^/]+", "", link)

    assert get(place, path)[0] == 200
    assert get(place, path)[0] == 401
    assert place.run("open", "--no-browser").out.startswith("http://127.0.0.1:")


def test_keys_are_made_listed_and_voided(place: Place):
    place.start_server()
    key = place.run("api-key", "create", "ci", "-p", "read", "--expires", "30d").out.strip()
    place.environ |= {"PENSTOCK_API_KEY": key, "PENSTOCK_API_URL": server_of(place)["api_url"]}

    place.run("deployment", "ls")
    refused = place.run("api-key", "ls", code=4)
    assert "That needs the permission admin" in refused.err

    del place.environ["PENSTOCK_API_KEY"]
    (listed,) = json.loads(place.run("api-key", "ls", "--json").out)
    assert (listed["name"], listed["permissions"], listed["pool"]) == ("ci", ["read"], None)
    assert listed["used_at"] is not None
    place.run("api-key", "delete", "ci", "--yes")
    place.environ["PENSTOCK_API_KEY"] = key
    assert "is not good" in place.run("deployment", "ls", code=4).err


def test_a_worker_is_let_in_with_a_key_of_its_pool(place: Place):
    place.start_server()
    key = place.run("api-key", "create", "w", "--worker", "default").out.strip()
    place.environ |= {"PENSTOCK_API_KEY": key, "PENSTOCK_API_URL": server_of(place)["api_url"]}

    worker = place.start("worker", "start", "-p", "default")
    worker.says("Worker '.*' started!")
    assert worker.end() == 0


def test_without_a_server_there_is_no_link(place: Place):
    assert "No server keeps this home" in place.run("ui", code=5).err


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_at_rest_it_is_small(place: Place):
    server = place.start_server()
    get(place, "/api/openapi.json")
    status = Path(f"/proc/{server.popen.pid}/status").read_text()
    (resident_kib,) = re.findall(r"VmRSS:\s+(\d+)", status)

    assert int(resident_kib) < 120 * 1024
