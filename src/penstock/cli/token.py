"""``penstock token``: the key of the home's owner."""

from __future__ import annotations

from penstock.cli.session import Here
from penstock.client import home_server


def token(*, here: Here) -> None:
    """Print the key with which the owner of this home asks its server; it opens everything.

    As in `curl -H "Authorization: Bearer $(penstock token)" http://127.0.0.1:4200/api/flow-runs`. To void it, delete
    the file `token` of the home and start the server again.
    """
    here.terminal.write(home_server.provided_token(here.settings.home))
