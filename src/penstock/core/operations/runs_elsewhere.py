"""What is asked and told about runs that were started by hand, on machines whose journals this server does not see.

Whoever ships the journals of such a machine's home tells. Such a run stays where it is: nobody else goes on with it.
"""

from __future__ import annotations

from penstock.core.operations import Permission, Request, operation
from penstock.core.operations.work import Held, Judged


@operation("POST", "/shippers/{shipper_id}/heartbeat", Permission.RUN, is_idempotent=True)
class ReportAlive(Request[list[Judged]], frozen=True, kw_only=True):
    """The processes of these attempts live, or what they have recorded is still being sent.

    Says which are to be ended, and which are the run's no more. Without any, the answer waits for up to
    ``wait_seconds``. What is not heard of in time counts as dead until it is heard of again.
    """

    shipper_id: str
    runs: tuple[Held, ...] = ()
    left: tuple[Held, ...] = ()
    """Those whose process is gone."""
    wait_seconds: float = 0

    def topic(self) -> str:
        return f"shipper:{self.shipper_id}"


@operation("POST", "/flow-runs/{run_id}/lost", Permission.RUN, is_idempotent=True)
class ReportLost(Request[None], frozen=True, kw_only=True):
    """The process of an attempt is gone, and all that its journals say has been sent. What it has not ended, it lost.

    Told of a run that has ended, or that has a later attempt, it changes nothing.
    """

    run_id: str
    attempt: int
    reason: str = "Its process died"
    last_sign_at: int = 0
    """When it last recorded something, in microseconds since 1970 UTC; 0: not known."""
