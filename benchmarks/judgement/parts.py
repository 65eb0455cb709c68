"""Simulated windows, each belonging to a run: the deployments and releases that cells are of."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.judgement import pods, traffic
from benchmarks.judgement.scrapes import Counts, Scrapes, squeezed
from benchmarks.judgement.traffic import Course, Random, Tries

SHORT, LONG = 120.0, 900.0
"""The playbook's windows: two minutes after each service, fifteen after all of them (s)."""
HOUR, SELDOM = 3600.0, 15.0
"""How long before a deployment is looked at for a baseline, and how often that was scraped (s)."""
HEALTHY = 0.001
"""The playbook's own limit for a healthy release: the worst that still is one."""
SERVICES = ((200.0, 1), (20.0, 3), (2.0, 4), (0.2, 3))
"""Requests per second, and how many of the eleven services have that much."""


@dataclass(frozen=True)
class Part:
    """Windows, and to which run each belongs: a deployment has many, most runs have one."""

    scrapes: Scrapes
    run: Counts
    before: Scrapes | None = None
    """The hour before, of each window; None: nothing is known of it."""


def watched(
    interval: float, window: float, rate: float, course: Course, random: Random, runs: int
) -> Iterator[Part]:
    """A service at `rate` requests per second that fails as `course` says."""
    at = traffic.scrape_times(random, runs, window, interval)
    yield _each(traffic.watched(random, at, window, interval, rate, course))


def deployments(interval: float, probability: float, random: Random, runs: int) -> Iterator[Part]:
    """Eleven services, each in a window of its own and in the one of all."""
    for window in (SHORT, LONG):
        for rate, services in SERVICES:
            at = traffic.scrape_times(random, runs * services, window, interval)
            course = traffic.steady(probability)
            seen = traffic.watched(random, at, window, interval, rate, course)
            yield Part(seen, np.repeat(np.arange(runs), services))


def with_baseline(
    interval: float, rate: float, before: Course, after: Course, random: Random, runs: int
) -> Iterator[Part]:
    """A service of which the hour before is known."""
    at = traffic.scrape_times(random, runs, HOUR, SELDOM)
    known = traffic.watched(random, at, HOUR, SELDOM, rate, before)
    for part in watched(interval, LONG, rate, after, random, runs):
        yield Part(part.scrapes, part.run, known)


def bursts_of_scrapes(
    interval: float, rate: float, share: float, probability: float, random: Random, runs: int
) -> Iterator[Part]:
    """A `share` of all scrapes fails with `probability`, from edge to edge, the others not."""
    at = traffic.scrape_times(random, runs, LONG, interval)
    seen = traffic.bursts_of_scrapes(random, at, LONG, interval, rate, share, probability)
    yield _each(seen)


def uneven(
    interval: float, window: float, load: Course, probability: float, random: Random, runs: int
) -> Iterator[Part]:
    """About 20 requests per second, in a load that varies."""
    at = traffic.scrape_times(random, runs, window, interval)
    yield _each(traffic.uneven(random, at, window, interval, 20.0, load, probability))


def poison(interval: float, rate: float, tries: Tries, random: Random, runs: int) -> Iterator[Part]:
    """0.1 % of all requests are tries of a few that fail whenever they are tried."""
    at = traffic.scrape_times(random, runs, LONG, interval)
    good = traffic.watched(random, at, LONG, interval, rate * (1 - HEALTHY), traffic.steady(0))
    each = tries(random, 1).shape[1]
    yield _each(traffic.with_tries(random, good, rate * HEALTHY / each, tries))


def retried(interval: float, random: Random, runs: int) -> Iterator[Part]:
    """3 % of 20 requests per second fail, and fail again when they are tried 1 s and 3 s later."""
    at = traffic.scrape_times(random, runs, SHORT, interval)
    good = traffic.watched(random, at, SHORT, interval, 20 * 0.97, traffic.steady(0))
    yield _each(traffic.with_tries(random, good, 20 * 0.03, traffic.tries_at(0, 1, 3)))


def of_pods(
    interval: float,
    window: float,
    rate: float,
    failing: tuple[float, ...],
    lost: float,
    random: Random,
    runs: int,
) -> Iterator[Part]:
    """A service of some pods, each `failing` with a probability of its own and scraped at a phase
    of its own; a share `lost` of all scrapes is not there."""
    yield _each(pods.watched(random, runs, window, interval, rate, failing, lost))


def lossy(interval: float, lost: float, random: Random, runs: int) -> Iterator[Part]:
    """3 % of 20 requests per second fail; a share `lost` of all scrapes is not there."""
    at = traffic.scrape_times(random, runs, SHORT, interval)
    whole = traffic.watched(random, at, SHORT, interval, 20.0, traffic.steady(0.03))
    yield _each(squeezed(whole, random.random(at.shape) >= lost))


def _each(scrapes: Scrapes) -> Part:
    return Part(scrapes, np.arange(scrapes.runs))
