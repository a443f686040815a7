"""``penstock flow-run ship``: send what runs of this machine have recorded to the server that is to have it."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from penstock import errors
from penstock.cli import arguments, exit_codes, humanize
from penstock.cli.session import Here
from penstock.journal.outbox import Outbox
from penstock.sdk import connect, shipping


def ship(
    *,
    timeout: Annotated[str, Parameter(metavar="SPAN", help="Wait no longer than this, as in `30s` or `2m`.")] = "30s",
    dry_run: arguments.DryRun = False,
    here: Here,
) -> int:
    """Send what runs started by hand on this machine have recorded, and the server has not got yet.

    It is sent by itself while runs are under way, and by the next run. This is for after the server was away for long.
    """
    terminal, chosen = here.terminal, here.settings
    url = connect.elsewhere(chosen)
    waiting = Outbox(chosen.outbox).entries()
    others = sorted({entry.url for entry in waiting} - {url})
    if others:
        terminal.warn(f"What is meant for other servers waits until PENSTOCK_API_URL names them: {', '.join(others)}")
    mine = [entry for entry in waiting if entry.url == url]
    if url is None or not mine:
        terminal.say("There is nothing to send")
        return exit_codes.OK
    if dry_run:
        terminal.say(f"What {humanize.counted(len(mine), 'attempt')} of runs recorded would be sent to {url}")
        return exit_codes.OK
    done = shipping.send(chosen, url, seconds=humanize.span(timeout))
    if done.sent:
        terminal.tell(f"Sent what {humanize.counted(done.sent, 'attempt')} of runs recorded to {url}")
    if done.under_way:
        terminal.say(f"{humanize.counted(done.under_way, 'run')} under way: what they record is sent as they do")
    if done.left:
        raise errors.ServerUnreachable(
            f"Not sent: what {humanize.counted(done.left, 'attempt')} of runs recorded"
            + (f". {done.trouble}" if done.trouble else ""),
            hint="it stays in the home; `penstock flow-run ship` tries again",
        )
    return exit_codes.OK
