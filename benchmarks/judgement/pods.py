"""Pods that are scraped at phases of their own, and of which scrapes are lost.

A slot ends when every pod has reported, or when one reports a second time; it holds what has become
known since the last one, and its time is that of its last sample.
"""

import numpy as np

from benchmarks.judgement import traffic
from benchmarks.judgement.scrapes import Counts, Flags, Floats, Scrapes, squeezed
from benchmarks.judgement.traffic import Random

Sample = tuple[float, int, int, int]
"""When (s), of which pod, its new requests, its new failures."""


def watched(
    random: Random,
    runs: int,
    window: float,
    interval: float,
    rate: float,
    failing: tuple[float, ...],
    lost: float,
) -> Scrapes:
    """Return a service whose pods share its `rate` and fail with a probability of their own each;
    a share `lost` of all scrapes is not there."""
    seen = []
    for probability in failing:
        at = traffic.scrape_times(random, runs, window, interval)
        course = traffic.steady(probability)
        whole = traffic.watched(random, at, window, interval, rate / len(failing), course)
        kept: Flags = random.random(at.shape) >= lost
        seen.append(squeezed(whole, kept) if lost else whole)
    at, requests, failures = (
        np.stack([getattr(one, name) for one in seen], axis=2)
        for name in ("at", "requests", "failures")
    )
    return _together(window, interval, at, requests, failures)


def _together(
    window: float, interval: float, at: Floats, requests: Counts, failures: Counts
) -> Scrapes:
    found = []
    pods = np.broadcast_to(np.arange(at.shape[2]), at.shape[1:]).ravel()
    for run in range(len(at)):
        times = at[run].ravel()
        order = np.argsort(times, kind="stable")[: int(np.isfinite(times).sum())]
        columns = times, pods, requests[run].ravel(), failures[run].ravel()
        found.append(slots(list(zip(*(one[order].tolist() for one in columns), strict=True))))
    longest = max(len(one) for one in found)
    filled = [[*one, *[(np.inf, 0, 0)] * (longest - len(one))] for one in found]
    values = np.array(filled)
    counts = values[:, :, 1:].astype(np.int64)
    return Scrapes(window, interval, values[:, :, 0], counts[:, :, 0], counts[:, :, 1])


def slots(samples: list[Sample]) -> list[tuple[float, int, int]]:
    """Fold samples, in order of time, to slots of (time, requests, failures)."""
    pods = {pod for _, pod, _, _ in samples}
    found: list[tuple[float, int, int]] = []
    reported: set[int] = set()
    ended, requests, failures = 0.0, 0, 0
    for at, pod, new, failed in samples:
        if pod in reported:
            found.append((ended, requests, failures))
            reported, requests, failures = set(), 0, 0
        reported.add(pod)
        ended, requests, failures = at, requests + new, failures + failed
        if reported == pods:
            found.append((ended, requests, failures))
            reported, requests, failures = set(), 0, 0
    if reported:
        found.append((ended, requests, failures))
    return found
