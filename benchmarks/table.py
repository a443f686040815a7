"""The table: budget, measured, ratio, verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median

from benchmarks.harness import Row, shown

_TITLES = ("", "budget", "median", "min – max", "against", "ratio", "verdict")
_RIGHT = (2, 3, 5)


def render(rows: Mapping[str, Sequence[Row]]) -> str:
    """The rows of each benchmark; a baseline after the first has a line of its own."""
    lines = [_TITLES, *(line for found in rows.values() for row in found for line in _lines(row))]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_TITLES))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column in _RIGHT else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _lines(row: Row) -> Iterator[tuple[str, ...]]:
    against = [
        (f"{name} ({shown(median(samples), row.unit)})", _times(row.ratio(name)))
        for name, samples in row.baselines.items()
    ] or [("", "")]
    low, high = sorted((shown(min(row.samples), row.unit), shown(max(row.samples), row.unit)), key=_number)
    unit = " " + row.unit if row.unit != "/s" else "/s"
    budget = row.budget.text(row.unit) if row.budget else "–"
    spread = f"{low.removesuffix(unit)} – {high.removesuffix(unit)}"
    yield row.what, budget, shown(median(row.samples), row.unit), spread, *against[0], row.verdict
    for name, ratio in against[1:]:
        yield "", "", "", "", name, ratio, ""


def _number(text: str) -> float:
    return float(text.split(maxsplit=1)[0].removesuffix("/s").replace(",", ""))


def _times(ratio: float) -> str:
    return f"{ratio:,.0f}×" if ratio >= 10 else f"{ratio:.2f}×"
