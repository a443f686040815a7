"""``penstock flow``: flows that have run."""

from __future__ import annotations

from penstock.cli import output, tree, views
from penstock.cli.output import AS_FITS, OutputOptions
from penstock.cli.session import Here
from penstock.orchestration import overview

app = tree.group("flow", "Flows that have run.")


@app.command(name=("ls", "list"))
def ls(*, out: OutputOptions = AS_FITS, here: Here) -> None:
    """List the flows that have run here, each with its latest run."""
    with here.asking() as tx:
        found = overview.flows(tx)
    output.show_list(
        here,
        out,
        found,
        views.FLOWS,
        nothing="No flow has run yet",
        hint="`penstock init` writes a flow to start with, `penstock quickstart` runs one",
    )
