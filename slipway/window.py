"""When deployments may begin: the plan's window, safe across midnight and changes of the clock."""

from datetime import UTC, date, datetime, time, timedelta, tzinfo

from dateutil.tz import UTC as DATEUTIL_UTC
from dateutil.tz import resolve_imaginary
from dateutil.zoneinfo import get_zonefile_instance

from slipway.plan import Window

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HORIZON = 15
"""Days looked ahead: two weeks hold every opening of a weekly window, whatever the clock does."""


def zone(name: str) -> tzinfo:
    """Return a time zone by its IANA name, from the rules that come with dateutil.

    Those are the same on every machine with the same lock file, so a replay agrees with the run.
    Raises ValueError for a name there is not.
    """
    if name.upper() in ("UTC", "ETC/UTC"):
        return DATEUTIL_UTC
    found = get_zonefile_instance().get(name)
    if not isinstance(found, tzinfo):
        raise ValueError(f"there is no time zone {name!r}; write it as Europe/Oslo or UTC")
    return found


def opens(window: Window, at: datetime, room: float = 0.0) -> datetime | None:
    """Return the first instant from `at` on when the window is open and stays so for `room` s.

    Returns None when no opening of the next two weeks is long enough.
    """
    moment = at.astimezone(UTC)
    for begin, end in openings(window, moment):
        start = max(begin, moment)
        if start < end and (end - start).total_seconds() >= room:
            return start
    return None


def until_open(window: Window, at: datetime, room: float = 0.0) -> float:
    """Return the seconds until the window is open with `room` left; 0 when it is now.

    Raises ValueError when it never is: `check` refuses such plans.
    """
    moment = opens(window, at, room)
    if moment is None:
        raise ValueError(f"the window is never open for {room:.0f} s on end; see slipway check")
    return max(0.0, (moment - at.astimezone(UTC)).total_seconds())


def openings(window: Window, at: datetime) -> list[tuple[datetime, datetime]]:
    """Return the openings around `at` and two weeks ahead in UTC; those that touch are one."""
    where = zone(window.timezone)
    first = at.astimezone(where).date() - timedelta(days=2)
    days = (first + timedelta(days=count) for count in range(_HORIZON + 2))
    merged: list[tuple[datetime, datetime]] = []
    for day in days:
        if _DAYS[day.weekday()] not in window.days:
            continue
        begin, end = _opening(window, day, where)
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        elif begin < end:
            merged.append((begin, end))
    return merged


def longest(window: Window) -> float:
    """Return the longest opening in seconds, by the clock on the wall; a week for always open."""
    reference = datetime(2024, 1, 10, tzinfo=UTC)
    plain = window.model_copy(update={"timezone": "UTC"})
    spans = [(end - begin).total_seconds() for begin, end in openings(plain, reference)]
    return min(max(spans, default=0.0), 7 * 86400.0)


def _opening(window: Window, day: date, where: tzinfo) -> tuple[datetime, datetime]:
    begin = _instant(day, window.start, where)
    over_midnight = _minutes(window.end) <= _minutes(window.start)
    return begin, _instant(day + timedelta(days=1) if over_midnight else day, window.end, where)


def _instant(day: date, clock: str, where: tzinfo) -> datetime:
    """Return the UTC instant of a wall-clock time. One that a change of the clock leaves out moves
    forward; of one that happens twice the first counts."""
    extra, minutes = divmod(_minutes(clock), 24 * 60)
    wall = time(minutes // 60, minutes % 60)
    moment = datetime.combine(day + timedelta(days=extra), wall, tzinfo=where)
    return resolve_imaginary(moment).astimezone(UTC)


def _minutes(clock: str) -> int:
    hours, minutes = clock.split(":")
    return int(hours) * 60 + int(minutes)
