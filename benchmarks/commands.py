"""What a command costs, from the shell and back."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from benchmarks.harness import Bench, Budget, Row, benchmark
from benchmarks.resume import interrupted
from benchmarks.tasks import latest_run, loop, loop_of_flows

MAIN = "import sys; from penstock.cli.main import main; sys.exit(main())"
"""What the installed script does."""

_COMMANDS = (
    "version",
    "--help",
    "flow-run --help",
    "flow ls",
    "flow-run ls",
    "flow-run ls --json",
    "flow-run inspect {run}",
    "flow-run logs {run}",
    "flow-run why {run}",
    "task-run ls {run}",
    "artifact ls",
    "config view",
    "db --help",
    "doctor",
    "fsck",
)


@benchmark("cli")
def commands(bench: Bench) -> Iterator[Row]:
    """Each in a home with a few runs, all of them folded already."""
    for _ in range(20):
        loop(10)
    loop_of_flows(20)
    interrupted(100, return_state=True)
    run_id = latest_run(bench.home)

    def call(line: str) -> float:
        return bench.process(sys.executable, "-c", MAIN, *line.format(run=run_id).split())

    for line in _COMMANDS:
        try:
            taken = bench.interleave(
                {
                    "command": lambda line=line: call(line),
                    "python -c pass": lambda: bench.process(sys.executable, "-c", "pass"),
                }
            )
        except RuntimeError as error:
            print(f"penstock {line}: {error}", file=sys.stderr)
            continue
        yield Row(f"penstock {line.partition(' {')[0]}", "ms", taken.pop("command"), taken, Budget(0.2))
