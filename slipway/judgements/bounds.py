"""Two numbers of a time before: how high its failure ratio may be, and how its failures clump."""

import math
from collections.abc import Iterable
from functools import lru_cache

_TINY = 1e-300
_PRECISE = 1e-14
_MOST_TERMS = 1_000_000
_HALVINGS = 80


@lru_cache(maxsize=1024)
def upper_bound(failures: float, requests: float, level: float) -> float:
    """Return the one-sided Clopper-Pearson upper bound: the largest ratio under which so few
    failures still happen with probability `level`. Counts need not be whole.

    Source: Clopper and Pearson, Biometrika 26 (1934); the bound p solves I_p(k+1, n-k) = 1-level.
    """
    if failures >= requests:
        return 1.0
    a, b = failures + 1.0, requests - failures
    goal = math.log(level)
    low, high = failures / requests, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _log_beta_ratio(1.0 - middle, b, a) > goal:  # P(so few or fewer) is still above `level`
            low = middle
        else:
            high = middle
        if high - low <= 1e-12 * high:
            break
    return high


@lru_cache(maxsize=1024)
def lower_bound(failures: float, requests: float, level: float) -> float:
    """Return the one-sided Clopper-Pearson lower bound of a ratio: under a smaller one so many
    failures happen with a probability below `level`."""
    if failures <= 0 or requests <= 0:
        return 0.0
    return 1.0 - upper_bound(requests - failures, requests, level)


def dispersion(scrapes: Iterable[tuple[float, float]]) -> float:
    """Return Pearson's chi-square of the failures of (requests, failures) scrapes, divided by its
    degrees of freedom, at least 1: how many times more they vary than independent ones would.

    Source: McCullagh and Nelder, Generalized Linear Models (1989), 4.5.2.
    """
    counted = [(max(n, k), k) for n, k in scrapes if max(n, k) > 0]
    requests, failures = sum(n for n, _ in counted), sum(k for _, k in counted)
    if len(counted) < 2 or not 0 < failures < requests:
        return 1.0
    ratio = failures / requests
    spread = ratio * (1.0 - ratio)
    total = math.fsum((k - n * ratio) ** 2 / (n * spread) for n, k in counted)
    return max(1.0, total / (len(counted) - 1))


def _log_beta_ratio(x: float, a: float, b: float) -> float:
    """Return the logarithm of the regularised incomplete beta function I_x(a, b), 0 <= x <= 1.

    By its continued fraction (DLMF 8.17.22), on the side where it converges.
    """
    if x <= 0.0:
        return -math.inf
    if x >= 1.0:
        return 0.0
    if x > (a + 1.0) / (a + b + 2.0):
        other = _log_beta_ratio(1.0 - x, b, a)
        return math.log1p(-math.exp(other)) if other < 0.0 else -math.inf
    beta = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    front = beta + a * math.log(x) + b * math.log1p(-x) - math.log(a)
    return min(0.0, front + math.log(_fraction(x, a, b)))


def _fraction(x: float, a: float, b: float) -> float:
    """The continued fraction of I_x(a, b), by the modified method of Lentz."""
    c, d = 1.0, 1.0 - (a + b) * x / (a + 1.0)
    d = 1.0 / (d if abs(d) > _TINY else _TINY)
    value = d
    for term in range(1, _MOST_TERMS):
        twice = 2 * term
        even = term * (b - term) * x / ((a + twice - 1.0) * (a + twice))
        odd = -(a + term) * (a + b + term) * x / ((a + twice) * (a + twice + 1.0))
        before = value
        for part in (even, odd):
            d, c = 1.0 + part * d, 1.0 + part / c
            d = 1.0 / (d if abs(d) > _TINY else _TINY)
            c = c if abs(c) > _TINY else _TINY
            value *= c * d
        if abs(value - before) <= _PRECISE * abs(value):
            break
    return value
