"""``penstock init``: a folder with a flow that runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from penstock import errors
from penstock.cli.session import Here

TEMPLATES = Path(__file__).with_name("templates")
"""Each file there is a template, and a flow that runs as it is."""


def init(
    folder: Annotated[Path, Parameter(metavar="DIR", help="Where; it is made if it is not there.")] = Path(),
    /,
    *,
    template: Annotated[
        Literal["hello", "etl", "ml"],
        Parameter(help="What the flow does: greet; extract, clean and load; or train models in parallel."),
    ] = "hello",
    dry_run: Annotated[bool, Parameter(help="Say what would be written, and write nothing.")] = False,
    here: Here,
) -> None:
    """Start a project: write a flow that runs, to make your own out of.

    Nothing that is there already is touched.
    """
    source = TEMPLATES / f"{template}.py"
    target = folder / source.name
    if target.exists() or target.is_symlink():
        raise errors.PenstockError(
            f"It is there already, and was left as it is: `{target}`",
            hint="name another folder: `penstock init DIR`",
        )
    if not dry_run:
        folder.mkdir(parents=True, exist_ok=True)
        with target.open("x", encoding="utf-8") as file:
            file.write(source.read_text("utf-8"))
    here.terminal.write(str(target))
    here.terminal.hint(f"run it with `penstock run {target}`" if not dry_run else "nothing was written")
