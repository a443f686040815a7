"""``python -m benchmarks.peers``: the same work with others, installed into environments that are thrown away.

Each peer gets an environment and a home of its own. What cannot be installed or run is told, and the
rest goes on. A round takes one sample of each, so that the ratios hold on a busy machine too.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.harness import Unit, shown
from benchmarks.machine import describe, disk_folder

_WORK = Path(__file__).with_name("peer_work.py")
_TIMEOUT_SECONDS = 300


@dataclass(frozen=True, eq=False)
class Peer:
    """Somebody who does the same: what to install, what users import, how much work is enough."""

    name: str
    requirements: Sequence[str]
    line: str
    counts: Mapping[str, int]


_OURS = Peer("penstock", (), "from penstock import flow, task", {"loop": 5000, "map": 5000, "subflow": 2000})

_PEERS = (
    Peer(
        "prefect",
        # FastAPI 0.151 took away what Prefect's server is built on.
        ("prefect>=3,<4", "fastapi<0.151"),
        "from prefect import flow, task",
        {"loop": 200, "map": 200, "subflow": 20},
    ),
    Peer("dbos", ("dbos",), "from dbos import DBOS", {"loop": 500, "map": 200, "subflow": 200}),
)

_JOBS: dict[str, tuple[str, Unit]] = {
    "import": ("import (process, less bare python)", "ms"),
    "hello": ("a flow of one task, whole process, nothing running", "ms"),
    "loop": ("no-op task in a loop", "µs"),
    "map": ("mapped no-op task", "µs"),
    "subflow": ("subflow run", "µs"),
}


class UnusableError(Exception):
    """A peer could not be installed, or did not do a job."""


def main() -> int:
    """Compare; returns 0 whoever could be asked."""
    parser = argparse.ArgumentParser("python -m benchmarks.peers", description="The same work with Prefect and DBOS.")
    parser.add_argument("--only", choices=[peer.name for peer in _PEERS], help="this peer")
    parser.add_argument("--job", action="append", choices=list(_JOBS), help="this job (may be given again)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--environments", type=Path, help="install there, or use what is there, and keep it")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all samples there")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(
        prefix="penstock-peers-", dir=disk_folder(), ignore_cleanup_errors=True
    ) as temporary:
        machine = describe(Path(temporary))
        print(machine, flush=True)
        pythons = {_OURS: sys.executable}
        for peer in _PEERS:
            if given.only in (None, peer.name):
                try:
                    pythons[peer] = _install(peer, given.environments or Path(temporary))
                    print(f"{peer.name} {_version(peer, pythons[peer])}", flush=True)
                except (UnusableError, subprocess.TimeoutExpired) as error:
                    print(f"{peer.name} could not be installed: {error}", file=sys.stderr)
        figures = {job: _compare(job, pythons, given.rounds, Path(temporary)) for job in given.job or _JOBS}
    if given.json:
        given.json.write_text(json.dumps({"machine": machine, "samples": figures}, indent=1) + "\n", "utf-8")
    return 0


def _install(peer: Peer, folder: Path) -> str:
    """Make the peer's environment; pip's own configuration says where packages come from."""
    environment = folder / peer.name
    python = environment / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not python.exists():
        venv.create(environment, with_pip=True)
    done = _run([str(python), "-m", "pip", "install", "--quiet", *peer.requirements])
    if done.returncode:
        raise UnusableError(done.stderr.strip()[-400:])
    return str(python)


def _version(peer: Peer, python: str) -> str:
    line = f"import importlib.metadata; print(importlib.metadata.version({peer.name!r}))"
    return _run([python, "-c", line]).stdout.strip()


def _compare(job: str, pythons: Mapping[Peer, str], rounds: int, folder: Path) -> dict[str, list[float]]:
    what, unit = _JOBS[job]
    samples: dict[str, list[float]] = {peer.name: [] for peer in pythons}
    for _ in range(rounds):
        for peer, python in pythons.items():
            if peer.name in samples:
                try:
                    samples[peer.name].append(_sample(peer, python, job, folder))
                except (UnusableError, subprocess.TimeoutExpired) as error:
                    del samples[peer.name]
                    print(f"{peer.name} did not do {job}: {error}", file=sys.stderr)
    ours = samples.get(_OURS.name)
    print(f"\n{what}")
    for name, its in samples.items():
        times = (
            f"  {median(a / b for a, b in zip(its, ours, strict=True)):,.1f}× ours" if ours and its is not ours else ""
        )
        spread = f"{shown(min(its), unit)} – {shown(max(its), unit)}"
        print(f"  {name:9} {shown(median(its), unit):>10}  ({spread}){times}", flush=True)
    return samples


def _sample(peer: Peer, python: str, job: str, folder: Path) -> float:
    """Seconds for one of what the job does, in a home that nothing else uses."""
    home = folder / "homes" / peer.name
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    if job == "import":
        _timed([python, "-c", peer.line], home)  # compiled, and in the system's cache
        return _timed([python, "-c", peer.line], home)[0] - _timed([python, "-c", "pass"], home)[0]
    if job == "hello":
        _timed([python, str(_WORK), peer.name, "hello", "1"], home)  # a home is made once: Prefect's takes 20 seconds
        return _timed([python, str(_WORK), peer.name, "hello", "1"], home)[0]
    return float(_timed([python, str(_WORK), peer.name, job, str(peer.counts[job])], home)[1].split()[-1])


def _timed(command: Sequence[str], home: Path) -> tuple[float, str]:
    started = time.perf_counter()
    done = _run(command, home)
    took = time.perf_counter() - started
    if done.returncode:
        raise UnusableError(f"exit {done.returncode}: {done.stderr.strip()[-400:]}")
    return took, done.stdout


def _run(command: Sequence[str], home: Path | None = None) -> subprocess.CompletedProcess[str]:
    told = ("PENSTOCK_", "PREFECT_", "DBOS_", "PYTHON")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(told)}
    if home is not None:
        environment |= {
            "HOME": str(home),
            "PEER_HOME": str(home),
            "PENSTOCK_HOME": str(home),
            "PENSTOCK_PROGRESS": "off",
            "PREFECT_HOME": str(home),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
            "DO_NOT_TRACK": "1",
        }
    # Into files: a server that a peer starts would hold a pipe open.
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(command, env=environment, cwd=home, stdout=out, stderr=err, start_new_session=True)
        try:
            process.wait(_TIMEOUT_SECONDS)
        finally:
            _end_all_of(process)
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(command, process.returncode, out.read(), err.read())


def _end_all_of(process: subprocess.Popen[bytes]) -> None:
    """What the peer has started ends with it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


if __name__ == "__main__":
    raise SystemExit(main())
