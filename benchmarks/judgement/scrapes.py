"""What a scraper sees of a service: new requests and failures at each scrape, of many runs at once.

All arrays are runs x scrapes. A run with fewer scrapes than the others is filled up with scrapes
`at` infinity, of nothing.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Flags = NDArray[np.bool_]

LAG = 2.0
"""Seconds from a scrape to the judgement of it."""
EPSILON = 1e-9
_FAR = 1e5
"""No window is as long (s)."""
_CLOSE = 1e-4
"""Times (s) that are the same but for rounding."""


@dataclass(frozen=True)
class Scrapes:
    """Windows of the same length, each watched at its own phase."""

    window: float
    """Seconds."""
    interval: float
    """Seconds from one scrape to the next."""
    at: Floats
    """Seconds since the window began."""
    requests: Counts
    failures: Counts

    @property
    def runs(self) -> int:
        """How many windows."""
        return int(self.at.shape[0])

    @property
    def planned(self) -> int:
        """How many scrapes a window of this length should have."""
        return round(self.window / self.interval)

    @property
    def before(self) -> Floats:
        """When the scrape before each one was; the first one's, an interval before it."""
        return np.hstack([self.at[:, :1] - self.interval, self.at[:, :-1]])


def running(values: Counts) -> Counts:
    """Return the sums up to and with each scrape."""
    total: Counts = np.cumsum(values, axis=1)
    return total


def since(edges: Floats, began: Floats, values: Counts) -> Counts:
    """Return the sums of `values` over the scrapes whose edge (s) lies after `began`, one column
    for each scrape: the last one added is that scrape."""
    total = np.hstack([np.zeros((len(values), 1), dtype=np.int64), running(values)])
    runs, columns = values.shape
    apart = _FAR * 2 * np.arange(runs)[:, None]
    places = np.searchsorted(
        (np.clip(edges, -_FAR, _FAR) + apart).ravel(),
        (np.clip(began, -_FAR, _FAR) + apart + _CLOSE).ravel(),
        side="right",
    )
    first = places.reshape(runs, columns) - columns * np.arange(runs)[:, None]
    first = np.minimum(first, np.arange(1, columns + 1))
    sums: Counts = total[:, 1:] - np.take_along_axis(total, first, axis=1)
    return sums


def first_time(fires: Flags, at: Floats) -> Floats:
    """Return when each run fires first; infinity if it never does."""
    times = np.where(fires & np.isfinite(at), at, np.inf)
    earliest: Floats = times.min(axis=1)
    return earliest


def squeezed(scrapes: Scrapes, seen: Flags) -> Scrapes:
    """Return the same traffic with some scrapes lost: counters are raw, so that the next scrape
    that is seen holds what a lost one would have."""
    runs, columns = seen.shape
    at = np.full((runs, columns), np.inf)
    requests, failures = np.zeros((2, runs, columns), dtype=np.int64)
    place = np.cumsum(seen, axis=1) - 1
    rows, kept = np.nonzero(seen)
    at[rows, place[rows, kept]] = scrapes.at[rows, kept]
    for into, values in ((requests, scrapes.requests), (failures, scrapes.failures)):
        total = running(values)[rows, kept]
        into[rows, place[rows, kept]] = total
        later = place[rows, kept] > 0
        into[rows[later], place[rows, kept][later]] -= total[np.flatnonzero(later) - 1]
    return Scrapes(scrapes.window, scrapes.interval, at, requests, failures)
