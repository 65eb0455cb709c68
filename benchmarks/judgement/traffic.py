"""Simulated traffic: seeded, and exact for any phase of the scrapes.

Requests arrive as a Poisson process whose rate, and whose probability of failure, may themselves
be random and change with time. Given both, the failed and the good requests of disjoint intervals
are independent Poisson counts with the integrals of rate x probability as their means, so that no
request has to be simulated by itself.
"""

from collections.abc import Callable

import numpy as np

from benchmarks.judgement.scrapes import Counts, Floats, Scrapes

Random = np.random.Generator
Course = Callable[[Random, Floats], Floats]
"""Integrals from 0 to each of the times (runs x times, s), in seconds: of a probability, or of a
rate relative to the mean one."""
Tries = Callable[[Random, int], Floats]
"""When each of so many requests is tried, in seconds after it began (requests x tries)."""


def scrape_times(random: Random, runs: int, window: float, interval: float) -> Floats:
    """Return when a window is scraped: every `interval` seconds, at a phase of its own."""
    phase = random.uniform(0, interval, size=(runs, 1))
    return phase + interval * np.arange(round(window / interval))


def watched(
    random: Random, at: Floats, window: float, interval: float, rate: float, failing: Course
) -> Scrapes:
    """Return a service at `rate` requests per second, failing as `failing` says."""
    edges = np.hstack([np.zeros((len(at), 1)), at])
    bad = rate * np.diff(failing(random, edges), axis=1)
    all_of_it = rate * np.diff(edges, axis=1)
    return _drawn(random, at, window, interval, all_of_it, bad)


def uneven(
    random: Random,
    at: Floats,
    window: float,
    interval: float,
    rate: float,
    load: Course,
    probability: float,
) -> Scrapes:
    """Return a service whose load varies around `rate` and which fails with one probability."""
    edges = np.hstack([np.zeros((len(at), 1)), at])
    all_of_it = rate * np.diff(load(random, edges), axis=1)
    return _drawn(random, at, window, interval, all_of_it, probability * all_of_it)


def _drawn(
    random: Random, at: Floats, window: float, interval: float, all_of_it: Floats, bad: Floats
) -> Scrapes:
    failures = random.poisson(np.clip(bad, 0, None))
    good = random.poisson(np.clip(all_of_it - bad, 0, None))
    return Scrapes(window, interval, at, failures + good, failures)


def steady(probability: float) -> Course:
    """Each request fails with the same probability, whatever the others do."""
    return lambda _, edges: probability * edges


def from_then_on(before: float, onset: float, after: float) -> Course:
    """The probability is another one from `onset` (s) on."""
    return lambda _, edges: before * edges + (after - before) * np.maximum(edges - onset, 0)


def warming_up(base: float, more: float, absorbed: float = 0.0, seconds: float = 30.0) -> Course:
    """`more` failures at first, falling in a straight line to none after `seconds`; the first
    `absorbed` seconds lie before the window."""

    def course(_: Random, edges: Floats) -> Floats:
        start = np.clip(edges + absorbed, 0, seconds)
        area = start - start**2 / (2 * seconds)
        skipped = absorbed - absorbed**2 / (2 * seconds)
        return base * edges + more * (area - skipped)

    return course


def bursts(seconds: float, share: float, probability: float) -> Course:
    """A `share` of all slots of so many seconds fails with `probability`, the others not at all;
    slots and scrapes are not aligned."""
    return in_slots(
        seconds, lambda random, shape: probability * (random.random(shape) < share).astype(float)
    )


def gamma_probability(seconds: float, mean: float, shape: float) -> Course:
    """Each slot has a probability of failure of its own, gamma distributed."""
    return in_slots(
        seconds,
        lambda random, size: np.minimum(random.gamma(shape, mean / shape, size), 1.0),
    )


def gamma_load(seconds: float, variation: float) -> Course:
    """Each slot has a load of its own, gamma distributed with this coefficient of variation."""
    shape = 1 / variation**2
    return in_slots(seconds, lambda random, size: random.gamma(shape, 1 / shape, size))


def in_slots(
    seconds: float, values: Callable[[Random, tuple[int, int]], Floats], aligned: bool = False
) -> Course:
    """A value of its own for each slot of so many seconds; slots begin at a phase of their own."""

    def course(random: Random, edges: Floats) -> Floats:
        runs = len(edges)
        phase = np.zeros((runs, 1)) if aligned else random.uniform(0, seconds, size=(runs, 1))
        count = int(edges.max() // seconds) + 2
        heights = values(random, (runs, count))
        area = np.hstack([np.zeros((runs, 1)), np.cumsum(heights, axis=1) * seconds])
        place = (edges + phase) / seconds
        slot = np.minimum(place.astype(np.int64), count - 1)
        rows = np.arange(runs)[:, None]
        whole: Floats = area[rows, slot] + (place - slot) * seconds * heights[rows, slot]
        return whole - whole[:, :1]

    return course


def bursts_of_scrapes(
    random: Random,
    at: Floats,
    window: float,
    interval: float,
    rate: float,
    share: float,
    probability: float,
) -> Scrapes:
    """Return a service that fails with `probability` in a `share` of all scrapes, from edge to
    edge, and not at all in the others."""
    length = np.diff(np.hstack([np.zeros((len(at), 1)), at]), axis=1)
    hit = random.random(at.shape) < share
    return _drawn(random, at, window, interval, rate * length, rate * length * probability * hit)


def with_tries(random: Random, healthy: Scrapes, rate: float, tries: Tries) -> Scrapes:
    """Add requests which fail whenever they are tried: `rate` of them begin per second."""
    counts = random.poisson(rate * healthy.window, size=healthy.runs)
    owner = np.repeat(np.arange(healthy.runs), counts)
    began = random.uniform(0, healthy.window, size=(len(owner), 1))
    times = began + tries(random, len(owner))
    more = binned(healthy.at, np.repeat(owner, times.shape[1]), times.ravel())
    requests, failures = healthy.requests + more, healthy.failures + more
    return Scrapes(healthy.window, healthy.interval, healthy.at, requests, failures)


def tries_at(*seconds: float) -> Tries:
    """Each request is tried at these seconds."""
    return lambda _, requests: np.tile(np.array(seconds, dtype=np.float64), (requests, 1))


def tries_within(count: int, seconds: float) -> Tries:
    """Each request is tried so often in so many seconds, at even distances."""
    return tries_at(*np.linspace(0, seconds, count))


def binned(at: Floats, owner: Counts, times: Floats) -> Counts:
    """Count events by the first scrape of their run that can see them. Scrapes of a run must be
    evenly spaced; an event after the last one is not seen."""
    interval = at[0, 1] - at[0, 0]
    column = np.ceil((times - at[owner, 0]) / interval).clip(min=0).astype(np.int64)
    seen = column < at.shape[1]
    counts = np.zeros(at.shape, dtype=np.int64)
    np.add.at(counts, (owner[seen], column[seen]), 1)
    return counts
