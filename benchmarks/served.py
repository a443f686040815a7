"""What a server and its workers cost: from a run being created to its code, and at rest."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.commands import MAIN
from benchmarks.harness import Bench, Budget, Row, benchmark
from penstock import settings
from penstock.client import home_server
from penstock.clock import SYSTEM
from penstock.core.deployments import DeploymentSpec, LocalFolder
from penstock.core.operations.deployments import ApplyDeployment, RunDeployment
from penstock.core.operations.flow_runs import GetFlowRun
from penstock.core.operations.work_pools import ListWorkers
from penstock.core.ports import Orchestrator
from penstock.sdk import connect

_FLOW = """
import time
from penstock import flow
@flow
def noop(folder: str):
    open(folder, "w").write(str(time.time()))
"""
_TICKS = os.sysconf("SC_CLK_TCK")


@benchmark("served")
def served(bench: Bench) -> Iterator[Row]:
    """A no-op run of a deployment, with a warm worker; then both processes at rest."""
    flows = bench.folder / "flows"
    flows.mkdir()
    (flows / "noop.py").write_text(_FLOW)
    with started("server", "start", "--port", "0") as server, opened() as orchestrator:
        spec = DeploymentSpec(name="noop", flow_name="noop", entrypoint="noop.py:noop", code=LocalFolder(str(flows)))
        orchestrator.ask(ApplyDeployment(spec=spec))
        with started("worker", "start") as worker:
            _until(lambda: bool(orchestrator.ask(ListWorkers())))
            taken = bench.interleave(
                {
                    "created → its code runs": lambda: _run(orchestrator, bench.folder),
                    "python -c pass": lambda: bench.process(sys.executable, "-c", "pass"),
                },
                rounds=bench.some(30),
            )
            yield Row("created → its code runs", "ms", taken.pop("created → its code runs"), taken, Budget(0.15))
            at_rest = {"server": server.pid, "worker": worker.pid}
            at_rest |= {f"fork server {number}": pid for number, pid in enumerate(_children(worker.pid), 1)}
            before = {pid: _cpu(pid) for pid in at_rest.values()}
            seconds = 10.0
            SYSTEM.sleep(seconds)
            for name, pid in at_rest.items():
                limit = (120 if name == "server" else 60) << 20
                yield Row(f"{name} at rest: memory", "MiB", [_memory(pid)], budget=Budget(limit))
            for name, pid in at_rest.items():
                share = (_cpu(pid) - before[pid]) / seconds
                yield Row(
                    f"{name} at rest: of a core, in a second",
                    "ms",
                    [share],
                    budget=None if name == "server" else Budget(0.01),
                )


_TELLING = """
import time
from penstock import flow
from penstock.events import emit_event
@flow
def telling(times: int):
    for number in range(times):
        emit_event("bench.tick", payload={"number": number})
        time.sleep(0.2)
if __name__ == "__main__":
    telling(int(__import__("sys").argv[1]))
"""


@benchmark("stream")
def stream(bench: Bench) -> Iterator[Row]:
    """From an event that a run has recorded to whoever listens to the live stream: of a hundred, the 95th."""
    flows = bench.folder / "flows"
    flows.mkdir()
    (flows / "telling.py").write_text(_TELLING)
    times = bench.some(100)
    with started("server", "start", "--port", "0"), opened() as orchestrator:
        command = [sys.executable, str(flows / "telling.py"), str(times)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as by_hand:
            took = _heard(times)
            by_hand.wait()
        yield Row("recorded by hand → in the stream, p95", "ms", [_percentile(took, 95)], budget=Budget(0.25))
        spec = DeploymentSpec(
            name="telling", flow_name="telling", entrypoint="telling.py:telling", code=LocalFolder(str(flows))
        )
        orchestrator.ask(ApplyDeployment(spec=spec))
        with started("worker", "start"):
            orchestrator.ask(RunDeployment(deployment="telling/telling", parameters={"times": times}))
            took = _heard(times)
        yield Row("recorded under a worker → in the stream, p95", "ms", [_percentile(took, 95)], budget=Budget(0.25))


def _heard(times: int) -> list[float]:
    """How long after it was recorded each of so many events was heard of, in seconds."""
    home = settings.load().home
    server = home_server.running(home)
    assert server is not None
    at = urlsplit(server.api_url)
    connection = http.client.HTTPConnection(at.hostname or "", at.port, timeout=60)
    connection.request(
        "GET", f"{at.path}/events/stream", headers={"Authorization": f"Bearer {home_server.token(home)}"}
    )
    response = connection.getresponse()
    took: list[float] = []
    while len(took) < times:
        line = response.readline()
        if not line:
            raise RuntimeError("The stream has ended")
        if line.startswith(b"data: ["):
            now = time.time()
            told = json.loads(line.removeprefix(b"data: "))
            took += [
                now - each["at"] / 1e6 for each in told if isinstance(each, dict) and each["event"] == "bench.tick"
            ]
    connection.close()
    return took


_SERVED_COMMANDS = (
    "deployment ls",
    "deployment inspect noop/noop",
    "deployment run noop/noop -p folder=/dev/null",
    "flow-run ls",
    "flow-run inspect {run}",
    "flow-run why {run}",
    "work-pool ls",
    "work-queue ls",
    "concurrency-limit ls",
)


@benchmark("cli-http")
def cli_http(bench: Bench) -> Iterator[Row]:
    """Commands that ask a server, whole process."""
    flows = bench.folder / "flows"
    flows.mkdir()
    (flows / "noop.py").write_text(_FLOW)
    with started("server", "start", "--port", "0"), opened() as orchestrator:
        spec = DeploymentSpec(name="noop", flow_name="noop", entrypoint="noop.py:noop", code=LocalFolder(str(flows)))
        orchestrator.ask(ApplyDeployment(spec=spec))
        run = orchestrator.ask(RunDeployment(deployment="noop/noop", parameters={"folder": "/dev/null"}))
        for line in _SERVED_COMMANDS:
            taken = bench.interleave(
                {
                    "command": lambda line=line: bench.process(
                        sys.executable, "-c", MAIN, *line.format(run=run.id).split()
                    ),
                    "python -c pass": lambda: bench.process(sys.executable, "-c", "pass"),
                }
            )
            command = line.partition(" {")[0].partition(" noop")[0]
            yield Row(f"penstock {command}, over HTTP", "ms", taken.pop("command"), taken, Budget(0.2))


def _percentile(figures: list[float], percent: int) -> float:
    return sorted(figures)[len(figures) * percent // 100]


def _run(orchestrator: Orchestrator, folder: Path) -> float:
    mark = folder / f"mark-{time.perf_counter_ns()}"
    started = time.time()
    run = orchestrator.ask(RunDeployment(deployment="noop/noop", parameters={"folder": str(mark)}))
    _until(lambda: orchestrator.ask(GetFlowRun(run=run.id)).is_final)
    return float(mark.read_text()) - started


@contextmanager
def started(*line: str, **environment: str) -> Generator[subprocess.Popen[bytes]]:
    """A command that goes on until the block ends, with more in its environment."""
    process = subprocess.Popen(
        [sys.executable, "-m", "penstock", *line],
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def opened(home: Path | None = None) -> Generator[Orchestrator]:
    """Who asks the server of a home, once it is there."""
    found = settings.load({**os.environ, "PENSTOCK_HOME": str(home)} if home else None)
    _until(lambda: home_server.running(found.home) is not None)
    yield connect.orchestrator(found, SYSTEM)


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError("It did not come about within a minute")
        time.sleep(0.002)


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(each) for each in text.split()]


def _memory(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
