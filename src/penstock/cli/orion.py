"""``penstock orion``: the server, by the name that Prefect 2 has for it."""

from __future__ import annotations

from penstock.cli import server, tree
from penstock.cli.server import AS_SET, StartOptions
from penstock.cli.session import Here

app = tree.group("orion", "The server, by the name that Prefect 2 has for it.")


@app.command
def start(*, options: StartOptions = AS_SET, here: Here) -> None:
    """Start the server of this home, as `penstock server start` does."""
    server.run(here, options, stopped="Orion stopped!")
