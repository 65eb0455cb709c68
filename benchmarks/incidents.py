"""What leaving incidents out does to the hour before a deployment.

`python -m benchmarks.incidents` prints for each kind of hour the share of hours that are changed,
and the mean reference (%) and spread (phi) that windows are judged by, with everything and without
incidents. The traffic is simulated as that of `make bench-judgement`.
"""

import sys
from collections.abc import Sequence

import numpy as np

from benchmarks.judgement import traffic
from benchmarks.judgement.parts import HOUR
from benchmarks.judgement.scrapes import Floats, Scrapes
from benchmarks.judgement.traffic import Course, Random
from slipway.judgements.bounds import dispersion
from slipway.judgements.counters import Scrape
from slipway.judgements.incidents import without_incidents
from slipway.judgements.rule import Frame
from slipway.messages.watch import TrafficBefore
from slipway.plan import Limits

SEED = 20261130
MEAN = 0.012


def outage(usual: float, seconds: float, failing: float) -> Course:
    """One incident, which begins somewhere in the third part of the hour."""

    def course(random: Random, edges: Floats) -> Floats:
        begins = random.uniform(1200, 1500, size=(len(edges), 1))
        return usual * edges + (failing - usual) * np.clip(edges - begins, 0, seconds)

    return course


def kinds() -> dict[str, Course]:
    """Return how an hour may fail: those of a service's own, and those with an incident."""
    own = {f"steady {100 * one:g} %": traffic.steady(one) for one in (0.0005, 0.001, MEAN, 0.03)}
    for seconds in (5, 15, 60):
        for shape in (1, 0.3, 0.1):
            course = traffic.gamma_probability(seconds, MEAN, shape)
            own[f"gamma per {seconds} s, shape {shape}"] = course
    for seconds, share, failing in ((10, 0.005, 0.2), (15, 0.02, 0.5), (15, 0.2, 0.05)):
        course = traffic.bursts(seconds, share, failing)
        own[f"{seconds}-s bursts of {failing:.0%}, {share:.1%} of the time"] = course
    for seconds, share, failing in ((30, 0.02, 0.05), (30, 0.02, 0.5), (60, 0.02, 0.3)):
        course = traffic.bursts(seconds, share, failing)
        own[f"{seconds}-s bursts of {failing:.0%}, {share:.1%} of the time"] = course
    for usual in (0.0005, MEAN):
        for seconds, failing in ((300, 1.0), (120, 1.0), (60, 1.0), (180, 0.5), (600, 0.3)):
            what = f"{100 * usual:g} % and {seconds} s of {failing:.0%}"
            own[what] = outage(usual, seconds, failing)
    return own


def judged_by(scrapes: Sequence[Scrape]) -> tuple[float, float]:
    """Return reference and spread by which a window after these is judged."""
    pairs = [(one.requests, one.failures) for one in scrapes]
    requests, failures = sum(n for n, _ in pairs), sum(k for _, k in pairs)
    before = TrafficBefore(requests=requests, failures=failures, phi=dispersion(pairs))
    setting = Frame(0.0, 900.0, 5.0, Limits(), before=before).setting
    return setting.reference, setting.phi


def line(hours: Scrapes) -> str:
    """Return the numbers of simulated hours in a row of a table."""
    columns = (hours.at.tolist(), hours.requests.tolist(), hours.failures.tolist())
    changed, numbers = 0, []
    for at, requests, failures in zip(*columns, strict=True):
        scrapes = list(map(Scrape, at, requests, failures))
        usual = without_incidents(scrapes)
        changed += usual.seconds > 0
        every = judged_by(scrapes)
        numbers.append((*every, *(judged_by(usual.scrapes) if usual.seconds else every)))
    all_of_it, spread, left, rest = np.mean(numbers, axis=0)
    return (
        f"{changed / hours.runs:.1%}|{100 * all_of_it:.3f} → {100 * left:.3f}"
        f"|{spread:.2f} → {rest:.2f}"
    )


def main() -> None:
    """Print a table in Markdown; an argument is the number of hours of each kind."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    print("|hour before|rps|scrapes|changed|reference, %|spread|\n|---|---|---|---|---|---|")
    for what, course in kinds().items():
        for rate in (20.0, 2.0, 0.2):
            for interval in (5.0, 15.0):
                random = np.random.default_rng([SEED, round(10 * rate), round(interval)])
                at = traffic.scrape_times(random, runs, HOUR, interval)
                hours = traffic.watched(random, at, HOUR, interval, rate, course)
                print(f"|{what}|{rate:g}|{interval:g} s|{line(hours)}|", flush=True)


if __name__ == "__main__":
    main()
