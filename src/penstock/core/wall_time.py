"""From times on a clock on the wall, which a zone may skip or show twice, to instants.

Two readings of a list of wall times, both from the same rules (those of Debian's cron,
which §8 of the semantics takes up): `first_instants` for slots at a fixed time, `all_instants` for those that go by the
hour or finer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta, tzinfo

from penstock import errors
from penstock.core.suggestions import nearest

EARLIEST = datetime(1800, 1, 1)  # noqa: DTZ001  a wall time; before any zone had a rule
LATEST = datetime(4000, 1, 1)  # noqa: DTZ001  a wall time; there are rules that know Easter only so far
"""No schedule has an occurrence outside of these."""


def zone(name: str) -> tzinfo:
    """The IANA time zone of that name: ``Europe/Berlin``. Raises `UsageError` when there is none."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # noqa: PLC0415  not needed to import a flow

    try:
        if name != "localtime":  # some systems have it; it is another zone on each machine
            return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # unknown · outside of the folder · a folder itself
        pass
    raise errors.UsageError(f"There is no time zone of that name: `{name}`", hint=_hint_for(name))


def _hint_for(name: str) -> str:
    from zoneinfo import available_timezones  # noqa: PLC0415  only in the error case

    known = sorted(available_timezones() - {name})
    wanted = name.strip().replace(" ", "_").lower()
    # Somebody's city, or the right name in the wrong case, says more than a likeness does.
    same = (one for one in known if one.lower() == wanted or one.lower().rpartition("/")[2] == wanted)
    near = next(same, None) or nearest(name, known)
    return f"did you mean `{near}`?" if near else "zones have names such as `Europe/Berlin` or `UTC`"


def wall(instant: datetime, where: tzinfo) -> datetime:
    """What the clock on the wall shows at that instant."""
    return instant.astimezone(where).replace(tzinfo=None, fold=0)


def wall_before_all_after(instant: datetime, where: tzinfo) -> datetime:
    """A wall time such that every later instant shows a later one.

    That is what the clock shows, except where it will soon be put back and show the same hour again.
    """
    local = instant.astimezone(where)
    put_back = _offset(local, 0) - _offset(local, 1)
    shown = local.replace(tzinfo=None, fold=0)
    return shown - put_back if put_back > timedelta(0) and not local.fold else shown


def _offset(local: datetime, fold: int) -> timedelta:
    offset = local.replace(fold=fold).utcoffset()
    assert offset is not None
    return offset


def first_instants(walls: Iterable[datetime], where: tzinfo) -> Iterator[datetime]:
    """One instant for each wall time: the first that shows it, or the first after the gap it is in.

    As the wall times rise, so do the instants; several wall times within a gap give the same one.
    """
    return (first_instant(one, where) for one in walls)


def first_instant(shown: datetime, where: tzinfo) -> datetime:
    instant = _instant(shown, where, fold=0)
    return instant if wall(instant, where) == shown else _end_of_gap(shown, where)


def _instant(shown: datetime, where: tzinfo, *, fold: int) -> datetime:
    return shown.replace(tzinfo=where, fold=fold).astimezone(UTC)


def _end_of_gap(shown: datetime, where: tzinfo) -> datetime:
    """When the clock was put forward past ``shown``. Python's zones do not tell; so search, to the second."""
    # A skipped time, read by the clock before the gap, lies after it, and the other way round (PEP 495).
    before = int(_instant(shown, where, fold=1).timestamp())
    after = int(_instant(shown, where, fold=0).timestamp())
    offset = datetime.fromtimestamp(before, where).utcoffset()
    while after - before > 1:
        middle = (before + after) // 2
        if datetime.fromtimestamp(middle, where).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return datetime.fromtimestamp(after, UTC)


def all_instants(walls: Iterable[datetime], where: tzinfo) -> Iterator[datetime]:
    """Every instant that shows one of the (rising) wall times, in order: none in a gap, both in an overlap."""
    second_passes: deque[datetime] = deque()
    for shown in walls:
        instants = _instants(shown, where)
        while instants and second_passes and second_passes[0] < instants[0]:
            yield second_passes.popleft()
        yield from instants[:1]
        second_passes.extend(instants[1:])
    yield from second_passes


def _instants(shown: datetime, where: tzinfo) -> list[datetime]:
    first, second = (_instant(shown, where, fold=fold) for fold in (0, 1))
    found = [first] if first == second else [first, second]
    return [one for one in found if wall(one, where) == shown]
