"""How a version answers: the one place that decides every response, modelled or real.

`profile` gives the chances. `respond` draws one answer from them for a real request; `draw` draws
how many of a stretch of modelled requests ended how. Both see the same chances, and a test
compares the rates they give.
"""

import math
import random
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

from devstack.world.catalog import ServiceSpec
from devstack.world.faults import HEALTHY, Deed, Fault, Health

HEALTHY_FAILURES = 0.0002
"""Share of requests a healthy service fails."""
EXTERNAL_SHARE = 0.1
"""Share of requests that call another party."""
HEALTHY_EXTERNAL_FAILURES = 0.002
BUCKETS = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, math.inf)
"""Upper bounds of the latency histogram in seconds, one exactly at the playbook's limit."""
_SIGMA = 0.6
_P95 = 0.150
_MEDIAN = _P95 / math.exp(NormalDist().inv_cdf(0.95) * _SIGMA)


@dataclass(frozen=True)
class Profile:
    """The chances of one route of one version at one moment."""

    failure_ratio: float
    median: float
    """Median latency in seconds of a lognormal distribution."""
    external_failure_ratio: float
    deed: Deed
    health: Health


@dataclass(frozen=True)
class Outcome:
    """One answer: its code, how long it took (seconds, not slept), what it really did."""

    code: int
    latency: float
    deed: Deed
    health: Health


@dataclass(frozen=True)
class Counts:
    """How a stretch of modelled requests ended, by latency bucket."""

    succeeded: tuple[int, ...]
    failed: tuple[int, ...]


def shows(fault: Fault, age: float, *, migrated: bool) -> bool:
    """Return whether a fault shows: the pod is old enough, and its database as it must be."""
    return age >= fault.begins_after and (migrated or not fault.new_schema_only)


def profile(
    fault: Fault, service: ServiceSpec, route: str, age: float, *, migrated: bool = False
) -> Profile:
    """Return the chances for a pod that has lived `age` seconds (times `time_scale`).

    `migrated`: whether its database has the new schema.
    """
    now = fault if shows(fault, age, migrated=migrated) else HEALTHY
    return Profile(
        failure_ratio=min(1.0, HEALTHY_FAILURES + now.failure_ratio),
        median=_MEDIAN * now.latency_factor,
        external_failure_ratio=min(1.0, HEALTHY_EXTERNAL_FAILURES + now.external_failure_ratio),
        deed=now.deed_on(service, route),
        health=now.health,
    )


def respond(
    fault: Fault,
    service: ServiceSpec,
    route: str,
    rng: random.Random,
    age: float = math.inf,
    *,
    migrated: bool = False,
) -> Outcome:
    """Return the answer to one real request.

    Health probes are cheap and do not fail by chance; they say what `health` says.
    """
    chances = profile(fault, service, route, age, migrated=migrated)
    latency = rng.lognormvariate(math.log(chances.median), _SIGMA)
    failed = route != "/health" and rng.random() < chances.failure_ratio
    return Outcome(500 if failed else 200, latency, chances.deed, chances.health)


def draw(chances: Profile, requests: float, rng: random.Random) -> Counts:
    """Return how `requests` (a mean) modelled requests ended.

    Thinning a Poisson stream gives independent Poisson counts for every end and bucket.
    """
    shares = bucket_shares(chances.median)
    good, bad = requests * (1 - chances.failure_ratio), requests * chances.failure_ratio
    return Counts(
        tuple(poisson(good * share, rng) for share in shares),
        tuple(poisson(bad * share, rng) for share in shares),
    )


@lru_cache(maxsize=64)
def bucket_shares(median: float) -> tuple[float, ...]:
    """Return the share of latencies in each bucket (not cumulative) for that median."""
    normal = NormalDist()
    below = [
        1.0 if bound == math.inf else normal.cdf(math.log(bound / median) / _SIGMA)
        for bound in BUCKETS
    ]
    return tuple(upper - lower for lower, upper in zip([0.0, *below], below, strict=False))


def bucket_of(latency: float) -> int:
    """Return the index of the bucket that a latency falls in."""
    return next(index for index, bound in enumerate(BUCKETS) if latency <= bound)


def poisson(mean: float, rng: random.Random) -> int:
    """Draw from a Poisson distribution: by products for small means, else by PTRS (Hoermann)."""
    if mean <= 0:
        return 0
    if mean < 10:
        limit, product, count = math.exp(-mean), rng.random(), 0
        while product > limit:
            product *= rng.random()
            count += 1
        return count
    return _ptrs(mean, rng)


def _ptrs(mean: float, rng: random.Random) -> int:
    """Transformed rejection with squeeze (W. Hoermann, 1993); exact for means of 10 and more."""
    log_mean = math.log(mean)
    b = 0.931 + 2.53 * math.sqrt(mean)
    a = -0.059 + 0.02483 * b
    inverse_alpha = 1.1239 + 1.1328 / (b - 3.4)
    v_r = 0.9277 - 3.6224 / (b - 2)
    while True:
        u = rng.random() - 0.5
        v = 1.0 - rng.random()
        us = 0.5 - abs(u)
        k = math.floor((2 * a / us + b) * u + mean + 0.43) if us > 0 else -1
        if us >= 0.07 and v <= v_r:
            return k
        if k < 0 or (us < 0.013 and v > us):
            continue
        left = math.log(v) + math.log(inverse_alpha) - math.log(a / (us * us) + b)
        if left <= k * log_mean - mean - math.lgamma(k + 1):
            return k
