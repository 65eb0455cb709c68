"""What is simulated: each cell is one kind of traffic, watched at one interval."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from benchmarks.judgement import traffic
from benchmarks.judgement.parts import (
    HEALTHY,
    LONG,
    SHORT,
    Part,
    bursts_of_scrapes,
    deployments,
    lossy,
    of_pods,
    poison,
    retried,
    uneven,
    watched,
    with_baseline,
)
from benchmarks.judgement.traffic import Course, Random

INTERVALS = (5.0, 15.0)
MANY = 20_000
"""Runs where the goal is a rate that only many of them can show."""


@dataclass(frozen=True)
class Cell:
    """One kind of traffic."""

    what: str
    interval: float
    make: Callable[[Random, int], Iterator[Part]]
    """Simulates so many runs."""
    runs: int
    mean: float | None
    """The ratio of failures that the traffic must have; None: it changes with time."""
    onset: float = 0.0
    """When the fault begins, in seconds since the window did."""
    to_the_end: bool = False
    """The detector is asked for SAFE at every scrape, and goes on after ROLLBACK."""
    shard: int = 500
    """Runs that are simulated, and kept, together."""

    @property
    def name(self) -> str:
        """What it is known by."""
        return named(self.what, self.interval)


def named(what: str, interval: float) -> str:
    """Return a cell's name."""
    return f"{what}, {interval:.0f} s scrapes"


def cells() -> dict[str, Cell]:
    """Return all cells by name."""
    families = (_healthy, _faults, _bursts, _before, _looks, _uneven, _tries, _scraping, _healthier)
    every = [one for interval in INTERVALS for family in families for one in family(interval)]
    return {cell.name: cell for cell in every}


def _healthy(interval: float) -> Iterator[Cell]:
    yield _deployments(interval, 0.1, MANY)


def _healthier(interval: float) -> Iterator[Cell]:
    yield _deployments(interval, 0.05, 4_000)


def _deployments(interval: float, percent: float, runs: int) -> Cell:
    share = percent / 100
    make = partial(deployments, interval, share)
    return Cell(f"deployments at {percent} %", interval, make, runs, share, shard=200)


def _faults(interval: float) -> Iterator[Cell]:
    for window in (SHORT, LONG):
        for rate, percent in FAULTS:
            make = partial(watched, interval, window, rate, traffic.steady(percent / 100))
            runs = MANY if window == SHORT else 4_000
            yield Cell(fault(rate, percent, window), interval, make, runs, percent / 100)
    for rate in (20, 2):
        course = traffic.from_then_on(HEALTHY, 600, 0.03)
        make = partial(watched, interval, LONG, rate, course)
        yield Cell(f"late 3 % at {rate} rps", interval, make, 4_000, None, onset=600)
    make = partial(watched, interval, LONG, 20, traffic.steady(0.005))
    yield Cell("0.5 % at 20 rps", interval, make, MANY, 0.005)


FAULTS = ((20, 3), (2, 100), (20, 100), (200, 100), (0.2, 100), (20, 10), (2, 10))
"""Requests per second, and how many percent of them fail from the start."""


def fault(rate: float, percent: float, window: float) -> str:
    """Return what a cell with a fault from the start is called."""
    return f"{percent} % at {rate:g} rps, {window / 60:.0f} min"


def _bursts(interval: float) -> Iterator[Cell]:
    for rate, runs in ((20, MANY), (2, 4_000), (200, 4_000)):
        for share, percent in ((0.02, 5), (0.005, 20)):
            what = f"{100 * share:g} % of scrapes at {percent} %, {rate} rps"
            make = partial(bursts_of_scrapes, interval, rate, share, percent / 100)
            yield Cell(what, interval, make, runs, HEALTHY)


def _before(interval: float) -> Iterator[Cell]:
    """A baseline: the release before failed as well."""
    for percent in (1.2, 3):
        course = traffic.steady(percent / 100)
        for rate in (200, 20, 2):
            make = partial(with_baseline, interval, rate, course, course)
            what = f"{percent} % before and after, {rate} rps"
            yield Cell(what, interval, make, 4500, percent / 100)
    worse = traffic.steady(0.05)
    make = partial(with_baseline, interval, 20, traffic.steady(0.012), worse)
    yield Cell("1.2 % before, 5 % after, 20 rps", interval, make, 3000, 0.05)
    for shape in (1, 0.3):
        course = traffic.gamma_probability(15, 0.012, shape)
        for after, what, mean in (
            (course, "1.2 % before and after", 0.012),
            (traffic.gamma_probability(15, 0.05, shape), "1.2 % before, 5 % after", None),
        ):
            make = partial(with_baseline, interval, 20, course, after)
            yield Cell(f"{what}, gamma per 15 s, shape {shape}", interval, make, 4000, mean)


def _looks(interval: float) -> Iterator[Cell]:
    """Releases that look worse for a while, in no more than 0.1 % of the long run; and SAFE."""
    for what, rate, course, mean in _courses():
        make = partial(watched, interval, LONG, rate, course)
        runs = 1000 if rate == 200 else 4000
        yield Cell(what, interval, make, runs, mean)
    for what, course in (
        ("independent", traffic.steady(0.01)),
        ("2 % of 15-s slots at 50 %", traffic.bursts(15, 0.02, 0.5)),
        ("20 % of 15-s slots at 5 %", traffic.bursts(15, 0.2, 0.05)),
    ):
        make = partial(watched, interval, LONG, 20, course)
        yield Cell(f"SAFE: 1 %, {what}", interval, make, 4000, 0.01, to_the_end=True)


def _courses() -> Iterator[tuple[str, float, Course, float | None]]:
    for seconds in (5, 15):
        what = f"gamma error probability per {seconds} s, shape 0.1"
        yield what, 20, traffic.gamma_probability(seconds, HEALTHY, 0.1), HEALTHY
    for percent in (1, 2):
        for rate in (20, 200):
            course = traffic.warming_up(HEALTHY, percent / 100)
            yield f"warm-up +{percent} % to 0 in 30 s, {rate} rps", rate, course, None
    absorbed = traffic.warming_up(HEALTHY, 0.02, absorbed=10)
    yield "warm-up +2 % to 0 in 30 s, 10 s absorbed, 200 rps", 200, absorbed, None
    for seconds, share, percent, rate in (
        (5, 0.001, 100, 20),
        (10, 0.005, 20, 20),
        (10, 0.005, 20, 2),
        (15, 0.02, 5, 20),
        (30, 0.02, 5, 20),
    ):
        course = traffic.bursts(seconds, share, percent / 100)
        yield f"{seconds}-s bursts of {percent} %, {rate} rps", rate, course, HEALTHY


def _uneven(interval: float) -> Iterator[Cell]:
    for seconds, variation in ((5, 1), (15, 2)):
        load = traffic.gamma_load(seconds, variation)
        what = f"gamma traffic, CV {variation} per {seconds} s"
        make = partial(uneven, interval, LONG, load, HEALTHY)
        yield Cell(what, interval, make, 4000, HEALTHY)
        make = partial(uneven, interval, SHORT, load, 0.03)
        yield Cell(f"3 %, {what}", interval, make, 3000, 0.03)


def _tries(interval: float) -> Iterator[Cell]:
    """All failures are requests that fail whenever they are tried."""
    for what, rate, tries in (
        ("4 tries in 1 s", 2, traffic.tries_within(4, 1)),
        ("tries at 0, 1, 3, 7 s", 2, traffic.tries_at(0, 1, 3, 7)),
        ("20 tries in 10 s", 20, traffic.tries_within(20, 10)),
    ):
        make = partial(poison, interval, rate, tries)
        yield Cell(f"poison request: {what}, {rate} rps", interval, make, 4000, None)
    yield Cell("3 %, each tried 3 times", interval, partial(retried, interval), 3000, None)


def _scraping(interval: float) -> Iterator[Cell]:
    """Pods that are scraped at phases of their own, and scrapes that are lost."""
    for what, failing in (
        ("3 %, three pods", (0.03, 0.03, 0.03)),
        ("one bad pod of 3 at 10 %", (0.1, 0.0, 0.0)),
        ("one bad pod of 3 at 3 %", (0.03, 0.0, 0.0)),
    ):
        make = partial(of_pods, interval, SHORT, 20, failing, 0.0)
        yield Cell(what, interval, make, 3000, sum(failing) / 3)
    for rate in (20, 2):
        make = partial(of_pods, interval, LONG, rate, (HEALTHY, HEALTHY, HEALTHY), 0.3)
        yield Cell(f"3 pods, 30 % of scrapes lost, {rate} rps", interval, make, 4000, HEALTHY)
    yield Cell("3 %, 20 % of scrapes lost", interval, partial(lossy, interval, 0.2), 3000, 0.03)
