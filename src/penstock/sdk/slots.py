"""Who grants slots to what runs here. Handed to the engine, which calls it when some are first wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from penstock.clock import Clock
from penstock.settings import Settings

if TYPE_CHECKING:
    from penstock.core.ports import Slots


def granted(settings: Settings, clock: Clock, **whose: Any) -> Slots:
    """``whose`` they are, `holders.Holder` says. Other processes of a run are handed this function as well."""
    from penstock.sdk.bookings import Bookings  # noqa: PLC0415  most runs want none
    from penstock.sdk.holders import Holder  # noqa: PLC0415  as above

    return Bookings(settings, clock, Holder(**whose))
