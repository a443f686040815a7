"""Samples taken in turns, and what follows from them.

A benchmark measures its subject and its baselines alternately, A B A B, so that a slow moment of the
machine hits all of them. The ratio is the median of the rounds' ratios; the figures alone say as much
about the machine as about the code.
"""

from __future__ import annotations

import gc
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Literal

Unit = Literal["ms", "µs", "/s", "MiB"]
"""How a figure is shown. All are kept in seconds, or bytes: less is better."""

_SCALE: dict[Unit, float] = {"ms": 1e-3, "µs": 1e-6, "/s": 1.0, "MiB": 1 << 20}

Sample = Callable[[], float]
"""Does something once and returns what it took, in seconds (for each of what it did) or bytes."""


@dataclass(frozen=True)
class Budget:
    """At most this much; or, with ``times``, at most this many times what that baseline takes."""

    limit: float
    times: str | None = None

    def text(self, unit: Unit) -> str:
        if self.times is not None:
            return f"≤ {self.limit:g}× {self.times}"
        return f"≥ {shown(self.limit, unit)}" if unit == "/s" else f"≤ {shown(self.limit, unit)}"


@dataclass(frozen=True)
class Row:
    """One line of the table: a subject, its budget, and what it is compared with."""

    what: str
    unit: Unit
    samples: Sequence[float]
    baselines: Mapping[str, Sequence[float]] = field(default_factory=dict[str, Sequence[float]])
    budget: Budget | None = None

    def ratio(self, baseline: str) -> float:
        """How many times the baseline the subject takes: the median over the rounds."""
        return median(mine / max(its, 1e-12) for mine, its in zip(self.samples, self.baselines[baseline], strict=True))

    @property
    def excess(self) -> float | None:
        """The part of the budget that is used: above 1 it is missed. None without a budget."""
        if self.budget is None:
            return None
        used = median(self.samples) if self.budget.times is None else self.ratio(self.budget.times)
        return used / self.budget.limit

    @property
    def verdict(self) -> str:
        excess = self.excess
        if excess is None:
            return ""
        if excess <= 1:
            return "met"
        # The best sample tells whether the code or a busy machine took so long.
        at_best = self.budget is not None and self.budget.times is None and min(self.samples) <= self.budget.limit
        return f"missed by {excess:.2f}×" + ", met at best" * at_best


@dataclass(frozen=True)
class Bench:
    """What a benchmark is given: room on a disk that is its own, and how much to do."""

    folder: Path
    is_quick: bool = False

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def rounds(self) -> int:
        return 3 if self.is_quick else 7

    def some(self, count: int) -> int:
        """So many repetitions, or a tenth of them when it has to be quick."""
        return max(count // 10, 1) if self.is_quick else count

    def interleave(self, samples: Mapping[str, Sample], rounds: int | None = None) -> dict[str, list[float]]:
        """A sample of each in turn, again and again. Before that, each is warmed up once."""
        taken: dict[str, list[float]] = {name: [] for name in samples}
        for turn in range((rounds or self.rounds) + 1):
            for name, sample in samples.items():
                gc.collect()
                figure = sample()
                if turn:
                    taken[name].append(figure)
        return taken

    def environment(self, home: Path | None = None) -> dict[str, str]:
        """The environment of a process that is measured."""
        return {**os.environ, "PENSTOCK_HOME": str(home or self.home)}

    def process(self, *command: str, home: Path | None = None) -> float:
        """Run a program to its end. Raises if it fails."""
        environment = self.environment(home)
        started = time.perf_counter()
        done = subprocess.run(command, env=environment, cwd=self.folder, capture_output=True, check=False, text=True)
        took = time.perf_counter() - started
        if done.returncode:
            raise RuntimeError(f"exit {done.returncode}: {(done.stderr or done.stdout).strip()[-400:]}")
        return took


Benchmark = Callable[[Bench], Iterator[Row]]

BENCHMARKS: dict[str, Benchmark] = {}
"""All that were defined, by name, in the order of the table."""


def benchmark(name: str) -> Callable[[Benchmark], Benchmark]:
    """Give a benchmark the name by which ``--only`` knows it."""

    def enter(function: Benchmark) -> Benchmark:
        BENCHMARKS[name] = function
        return function

    return enter


def seconds_each(count: int, work: Callable[[], object]) -> float:
    """What ``work`` takes for each of the ``count`` things that it does."""
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) / count


def shown(figure: float, unit: Unit) -> str:
    """A figure as people read it: three digits that count."""
    if unit == "/s":
        return f"{1 / max(figure, 1e-12):,.0f}/s"
    value = figure / _SCALE[unit]
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 0.1 else 3
    return f"{value:,.{digits}f} {unit}"
