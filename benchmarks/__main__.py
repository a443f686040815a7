"""``python -m benchmarks``: measure, print the table, and with ``--json FILE`` keep the samples."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.harness import BENCHMARKS, Bench, Budget, Row
from benchmarks.machine import describe, disk_folder, is_busy
from benchmarks.table import render

_MODULES = {
    "import": "startup",
    "hello": "startup",
    "loop": "tasks",
    "subflow": "tasks",
    "slots": "slots",
    "map": "mapping",
    "many": "mapping",
    "async": "async_tasks",
    "resume": "resume",
    "fold": "fold",
    "fold-postgres": "fold_postgres",
    "commits": "commits",
    "claims": "claims",
    "cli": "commands",
    "schedules": "schedules",
    "served": "served",
    "stream": "served",
    "cli-http": "served",
    "api": "pages",
    "api-postgres": "pages",
}
"""Where each benchmark is. Only the process that measures it imports it, and Penstock."""

_ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Measure what was asked for; returns 1 if something could not be measured, never for a missed budget."""
    given = _arguments()
    if given.child is not None:
        import_module(f"benchmarks.{_MODULES[given.child]}")
        measured = [asdict(row) for row in BENCHMARKS[given.child](Bench(given.folder, given.quick))]
        (given.folder / "rows.json").write_text(json.dumps(measured), "utf-8")
        return 0
    names: list[str] = given.only or list(_MODULES)
    machine = describe(given.folder or disk_folder())
    print(machine, flush=True)
    if is_busy():
        print("The machine is busy: of what follows, only the ratios count.", flush=True)
    rows: dict[str, list[Row]] = {}
    failed = 0
    for name in names:
        try:
            rows[name] = list(_measure(name, given))
        except RuntimeError as error:
            print(f"\n{name} could not be measured: {error}", file=sys.stderr)
            failed += 1
        else:
            print(f"\n{render({name: rows[name]})}", flush=True)
    if given.json:
        given.json.write_text(json.dumps(_report(machine, rows), indent=1, ensure_ascii=False) + "\n", "utf-8")
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks", description="Measure what the budgets promise, as ratios.")
    parser.add_argument("--only", action="append", choices=list(_MODULES), help="this one (may be given again)")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and repetitions: a look, not a measurement")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all samples there")
    parser.add_argument("--folder", type=Path, help="work below this folder (default: a temporary one on a disk)")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser.parse_args()


def _measure(name: str, given: argparse.Namespace) -> Iterator[Row]:
    """Run one benchmark in a process and an empty home of its own. Raises `RuntimeError` if it fails."""
    with tempfile.TemporaryDirectory(prefix="penstock-bench-", dir=given.folder or disk_folder()) as folder:
        command = [sys.executable, "-m", "benchmarks", "--child", name, "--folder", folder]
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("PENSTOCK_", "PYTHON"))
        }
        environment |= {
            "PENSTOCK_HOME": f"{folder}/home",
            "PENSTOCK_PROGRESS": "off",
            "PENSTOCK_LOGGING_TO_TERMINAL": "false",
            # What is installed is compiled; so is this tree, in the warm-up.
            "PYTHONDONTWRITEBYTECODE": "",
            "PYTHONPYCACHEPREFIX": f"{folder}/pycache",
        }
        done = subprocess.run(
            command + ["--quick"] * given.quick, env=environment, cwd=_ROOT, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"exit {done.returncode}\n{done.stderr.strip()[-2000:]}")
        print(done.stderr, file=sys.stderr, end="", flush=True)
        rows = json.loads(Path(folder, "rows.json").read_text("utf-8"))
    for row in rows:
        budget: dict[str, Any] | None = row.pop("budget")
        yield Row(**row, budget=Budget(**budget) if budget else None)


def _report(machine: str, rows: dict[str, list[Row]]) -> dict[str, Any]:
    """All samples, in seconds and bytes, and what follows from them."""
    return {
        "machine": machine,
        "benchmarks": {
            name: [
                {
                    **asdict(row),
                    "median": median(row.samples),
                    "ratios": {baseline: row.ratio(baseline) for baseline in row.baselines},
                    "verdict": row.verdict,
                }
                for row in found
            ]
            for name, found in rows.items()
        },
    }


if __name__ == "__main__":
    raise SystemExit(main())
