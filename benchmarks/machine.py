"""The machine that is measured, in a line; and a folder of it that lies on a disk."""

from __future__ import annotations

import os
import platform
import tempfile
from datetime import UTC, datetime
from pathlib import Path

_IN_MEMORY = ("tmpfs", "ramfs")


def describe(folder: Path) -> str:
    """What a figure depends on, besides the code."""
    load = " ".join(f"{each:.1f}" for each in os.getloadavg())
    return (
        f"{platform.python_implementation()} {platform.python_version()}, {platform.system()} {platform.machine()}, "
        f"{_cpus()} CPUs, load {load}, {file_system(folder) or 'unknown file system'}, {datetime.now(UTC):%Y-%m-%d}"
    )


def is_busy() -> bool:
    """Whether others use so much of the machine that times measured now say little."""
    return os.getloadavg()[0] > _cpus() / 2


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def disk_folder() -> Path:
    """Where temporary files lie on a disk: what is kept in memory cannot show what a write costs."""
    candidates = [Path(tempfile.gettempdir()), Path("/var/tmp"), Path.cwd()]
    for folder in candidates:
        if os.access(folder, os.W_OK) and file_system(folder) not in _IN_MEMORY:
            return folder
    return candidates[0]


def file_system(folder: Path) -> str | None:
    """The kind of file system that a folder is on, where the system tells."""
    try:
        mounts = Path("/proc/mounts").read_text("utf-8").splitlines()
    except OSError:
        return None
    known = [(line.split()[1], line.split()[2]) for line in mounts]
    holding = [(Path(point), kind) for point, kind in known if folder.resolve().is_relative_to(point)]
    return max(holding, key=lambda each: len(each[0].parts))[1] if holding else None
