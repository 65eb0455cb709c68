"""Bounds and dispersion against plain sums and known values."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.judgements.bounds import dispersion, lower_bound, upper_bound


def so_few(failures: int, requests: int, ratio: float) -> float:
    """P(at most `failures` of `requests`), summed up."""
    return math.fsum(
        math.comb(requests, k) * ratio**k * (1 - ratio) ** (requests - k)
        for k in range(failures + 1)
    )


@given(st.integers(1, 300), st.integers(0, 300), st.sampled_from([0.05, 0.01, 5.7e-6]))
def test_the_upper_bound_is_where_so_few_are_as_rare_as_asked(n: int, k: int, level: float) -> None:
    failures = min(k, n - 1)
    bound = upper_bound(failures, n, level)
    assert failures / n < bound < 1
    assert so_few(failures, n, bound) == pytest.approx(level, rel=1e-4)


@given(st.integers(1, 300), st.integers(1, 300), st.sampled_from([0.05, 0.01]))
def test_the_lower_bound_is_where_so_many_are_as_rare_as_asked(
    n: int, k: int, level: float
) -> None:
    failures = min(k, n)
    bound = lower_bound(failures, n, level)
    assert 0 < bound <= failures / n
    assert 1 - so_few(failures - 1, n, bound) == pytest.approx(level, rel=1e-5)


def test_no_failures_of_299_are_below_one_percent() -> None:
    """The rule of three: 0.99^299 is 5 %."""
    assert upper_bound(0, 299, 0.05) < 0.01 < upper_bound(0, 298, 0.05)


def test_the_ends() -> None:
    assert upper_bound(7, 7, 0.05) == 1.0
    assert lower_bound(0, 7, 0.05) == 0.0
    assert lower_bound(0, 0, 0.05) == 0.0


def test_a_billion_requests() -> None:
    assert upper_bound(10**6, 10**9, 1e-6) == pytest.approx(0.001, rel=0.01)
    assert upper_bound(0, 10**9, 0.05) == pytest.approx(-math.log(0.05) / 10**9, rel=1e-4)


def test_counts_need_not_be_whole() -> None:
    less, middle, more = (upper_bound(k, 1000, 0.01) for k in (10, 10.5, 11))
    assert less < middle < more


def test_independent_failures_are_not_dispersed_and_clumps_are() -> None:
    rng = random.Random(3)
    even = [(300, sum(rng.random() < 0.01 for _ in range(300))) for _ in range(240)]
    assert dispersion(even) == pytest.approx(1.0, abs=0.25)
    clumped = [(300, 60 if number % 20 == 0 else 0) for number in range(240)]
    assert dispersion(clumped) > 20


@pytest.mark.parametrize("scrapes", [[], [(5, 1)], [(5, 0), (6, 0)], [(5, 5), (6, 6)]])
def test_without_variation_to_compare_it_is_one(scrapes: list[tuple[float, float]]) -> None:
    assert dispersion(scrapes) == 1.0
