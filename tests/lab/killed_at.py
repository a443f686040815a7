"""The process of a run, killed at its N-th system call of a kind in its first attempt; later ones go unharmed.

``killed_at.py write 7`` is the command of a deployment's infrastructure, and ``killed_at.py count FILE`` has the calls
of a whole run noted, so that there is no need to guess how many there are. Counts are those of strace: a thread's own.
"""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from pathlib import Path

CALLS = (
    *("write", "pwrite64", "fdatasync", "fsync", "ftruncate", "rename", "unlink", "mkdir", "flock", "sendto"),
    "exit_group",
)
"""Those that change something that others can see."""


def command(call: str, number: int) -> list[str]:
    """For ``infrastructure`` or ``job_variables``: kill the process at its N-th call of this kind."""
    return [sys.executable, __file__, call, str(number)]


def counting(path: Path) -> list[str]:
    """The same, for a run that is left alone, and whose calls are noted in a file."""
    return [sys.executable, __file__, "count", str(path)]


def counted(path: Path) -> dict[str, int]:
    """The most calls of each kind that any one thread has made."""
    found: Counter[tuple[str, str]] = Counter()
    for line in path.read_text("utf-8", "replace").splitlines():
        match = re.match(r"(\d+) +(\w+)\(", line)
        if match is not None:
            found[match[2], match[1]] += 1
    return {call: max((n for (name, _), n in found.items() if name == call), default=0) for call in CALLS}


def main(call: str, given: str) -> None:
    line = [sys.executable, "-m", "penstock.worker.entrypoint"]
    if os.environ["PENSTOCK_ATTEMPT"] == "1":
        traced = ",".join(CALLS) if call == "count" else call
        how = [] if call == "count" else ["-e", f"inject={call}:signal=SIGKILL:when={given}"]
        log = given if call == "count" else "/dev/null"
        line = ["strace", "-f", "-qq", "-o", log, "-e", f"trace={traced}", *how, *line]
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"  # so that only writes of Penstock's are counted
    os.execvp(line[0], line)


if __name__ == "__main__":
    main(*sys.argv[1:])
