"""How a window goes on that could not be judged yet: too little traffic, or nothing to read."""

from collections.abc import Sequence

from slipway.base import say_length
from slipway.judgements.counters import Traffic
from slipway.judgements.detector import SAFE_BAR, log_safe
from slipway.judgements.traffic import Seen
from slipway.messages.watch import Extension, WatchSlice
from slipway.verdicts import Kind, Reason, Verdict

LONGEST = 480.0
"""Seconds of a window in all, while there is traffic enough."""
LEAST_RATE = 1.0
"""Requests a second: below it waiting does not help, and read paths are asked instead."""
ASKING = 60.0
"""Seconds of asking, at `ASKING_RATE`: 300 good answers show a ratio below 1 %."""
ASKING_RATE = 5.0
REREAD = 60.0
"""Seconds that a window goes on, once, before a person is asked about what could not be read:
Prometheus or an API server that is started again is back by then."""
_LEAST = 30.0
"""Seconds that a window is extended by at least."""
_MARGIN = 1.1
_SCRAPES = 10
"""Scrapes that the shortest of such times has, however much `time_scale` divides it."""


def extension(
    seen: Sequence[Seen], verdicts: Sequence[Verdict], request: WatchSlice
) -> Extension | None:
    """Return how the window goes on. None: it has ended, or a person must decide anyway."""
    against = [one for one in verdicts if one.kind is not Kind.PROCEED]
    if not request.last or any(one.kind is Kind.ROLLBACK for one in against):
        return None
    silent = [one for one in against if one.reason is Reason.NOTHING_TO_READ]
    if silent:  # also beside what a person must decide: they should decide on everything
        return _reread(silent, request)
    if any(one.reason is not Reason.TOO_LITTLE_TRAFFIC for one in against):
        return None
    return _more_traffic(seen, {one.service for one in against if one.service}, request)


def _reread(silent: Sequence[Verdict], request: WatchSlice) -> Extension | None:
    """Once in a window: what is still missing then is no moment's matter."""
    if request.mark is not None and request.mark.reread:
        return None
    longer = max(REREAD / request.time_scale, _SCRAPES * request.metrics.scrape_interval)
    because = f"It is read again for {say_length(longer)} before a person is asked."
    return Extension(
        length=request.window_length + longer,
        because=f"{silent[0].because[:800]} {because}",
        reread=True,
    )


def _more_traffic(seen: Sequence[Seen], names: set[str], request: WatchSlice) -> Extension | None:
    if not names:
        return None
    length, asked, said = request.window_length, list[str](), list[str]()
    for one in seen:
        if one.service.name not in names or not isinstance(one.traffic, Traffic):
            continue
        if _rate(one.traffic, request) >= LEAST_RATE:
            longer = _expected(one, one.traffic, request)
        else:
            may = bool(one.service.read_paths) and one.service.name not in request.synthetic
            longer = request.window_length + ASKING / request.time_scale if may else 0.0
            asked += [one.service.name] if may else []
        if longer <= request.window_length:
            return None
        length = max(length, longer)
        counts = f"{one.traffic.requests:,} requests, {one.traffic.failures:,} failed"
        said.append(f"{one.service.name} had {counts}")
    because = (
        f"{', '.join(said)}: too few to be judged. It should be enough after "
        f"{say_length(length)} of watching in all."
    )
    return Extension(length=length, because=because[:1000], synthetic=asked)


def _rate(traffic: Traffic, request: WatchSlice) -> float:
    """Requests a second, as they would be without time_scale."""
    return traffic.requests / (request.window_length * request.time_scale)


def _expected(seen: Seen, traffic: Traffic, request: WatchSlice) -> float:
    """Seconds of the window after which its totals would be enough if no more of the requests to
    come fail than the limit allows; at most `LONGEST`."""
    line, longest = seen.frame.setting.over, LONGEST / request.time_scale
    limit, factor = seen.frame.limits.error_rate, 1.0
    while factor * request.window_length < longest:
        more = (factor - 1.0) * traffic.requests
        if log_safe(traffic.requests + more, traffic.failures + limit * more, line) >= SAFE_BAR:
            break
        factor *= 1.02
    least = request.window_length + _LEAST / request.time_scale
    return min(longest, max(least, _MARGIN * factor * request.window_length))
