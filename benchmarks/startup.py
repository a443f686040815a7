"""What a process pays before it does anything."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator

from benchmarks.harness import Bench, Budget, Row, benchmark

_HELLO = """
from penstock import flow, task

@task
def greet(name: str) -> str:
    return f"Hello, {name}!"

@flow
def hello(name: str = "world") -> None:
    print(greet(name))

if __name__ == "__main__":
    hello()
"""


@benchmark("import")
def imports(bench: Bench) -> Iterator[Row]:
    """An import, as a process that does it takes longer than one that does nothing."""

    def python(line: str) -> float:
        return bench.process(sys.executable, "-c", line)

    taken = bench.interleave(
        {
            "python -c pass": lambda: python("pass"),
            "import msgspec": lambda: python("import msgspec"),
            "penstock": lambda: python("from penstock import flow, task"),
        },
        rounds=5 if bench.is_quick else 15,
    )
    bare = taken["python -c pass"]
    msgspec, penstock = (
        [whole - nothing for whole, nothing in zip(taken[name], bare, strict=True)]
        for name in ("import msgspec", "penstock")
    )
    yield Row(
        "from penstock import flow, task",
        "ms",
        penstock,
        {"python -c pass": bare, "import msgspec": msgspec},
        Budget(0.06),
    )


@benchmark("hello")
def hello(bench: Bench) -> Iterator[Row]:
    """A flow of one task, from the shell and back."""
    script = bench.folder / "hello.py"
    script.write_text(_HELLO, "utf-8")
    fresh = bench.folder / "fresh"

    def cold() -> float:
        shutil.rmtree(fresh, ignore_errors=True)
        return bench.process(sys.executable, str(script), home=fresh)

    taken = bench.interleave(
        {
            "python -c pass": lambda: bench.process(sys.executable, "-c", "pass"),
            "cold": cold,
            "again": lambda: bench.process(sys.executable, str(script)),
        },
        rounds=5 if bench.is_quick else 15,
    )
    bare = {"python -c pass": taken["python -c pass"]}
    yield Row("python hello.py, in a home that is not there yet", "ms", taken["cold"], bare, Budget(0.15))
    yield Row("python hello.py, in a home with runs", "ms", taken["again"], bare, Budget(0.15))
