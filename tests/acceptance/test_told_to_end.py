"""A process that is told to end while it executes a run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from penstock import clock, settings
from penstock.orchestration import local, overview

SCRIPT = """
import sys, time
from penstock import flow, task

@task
def one() -> int:
    return 1

@flow
def main() -> int:
    number = one()
    if "again" not in sys.argv:
        print("ready", flush=True)
        time.sleep(60)
    return number

if __name__ == "__main__":
    main.resume(sys.argv[2]) if "again" in sys.argv else main()
"""


ASYNC = """
import asyncio, sys
from penstock import flow, task

@task
async def one() -> int:
    return 1

@flow
async def main() -> int:
    number = await one()
    if "again" not in sys.argv:
        print("ready", flush=True)
        await asyncio.sleep(60)
    return number

if __name__ == "__main__":
    asyncio.run(main.resume(sys.argv[2]) if "again" in sys.argv else main())
"""


@pytest.mark.parametrize("script_text", [SCRIPT, ASYNC], ids=["sync", "async"])
@pytest.mark.skipif("COVERAGE_PROCESS_CONFIG" in os.environ, reason="coverage handles SIGTERM itself")
@pytest.mark.slow
def test_a_run_whose_process_is_told_to_end_is_interrupted_and_goes_on_with_what_was_finished(
    script_text: str, tmp_path: Path, home: Path
):
    script = tmp_path / "ends.py"
    script.write_text(script_text)
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)

        assert process.wait(30) == 143

    with local.open_home(settings.load(os.environ), clock.SYSTEM) as opened, opened.reading() as tx:
        run = overview.last_flow_run(tx)
    assert (run.state_type, run.state_name) == ("CRASHED", "Interrupted")

    subprocess.run([sys.executable, script, "again", run.id], check=True, timeout=60)
    with local.open_home(settings.load(os.environ), clock.SYSTEM) as opened, opened.reading() as tx:
        assert overview.flow_run(tx, run.id).state_name == "Completed"
