"""The simulation is the same for a seed, and its traffic is what it is said to be."""

from typing import Any

import numpy as np
import pytest

from benchmarks.judgement import claims, pods, traffic
from benchmarks.judgement.cells import Cell, cells
from benchmarks.judgement.parts import watched
from benchmarks.judgement.results import Found, simulated
from benchmarks.judgement.scrapes import Floats, squeezed
from benchmarks.judgement.traffic import Course
from tests.unit.bench_judgement.windows import window

SMALL = [
    "3 % at 20 rps, 2 min, 15 s scrapes",
    "3 %, three pods, 15 s scrapes",
    "3 %, gamma traffic, CV 2 per 15 s, 15 s scrapes",
    "3 %, each tried 3 times, 15 s scrapes",
]
EDGES = np.array([[0.0, 3.0, 20.0, 31.0, 100.0]])


def small(name: str) -> Cell:
    cell = cells()[name]
    return Cell(cell.what, cell.interval, cell.make, 20, cell.mean, shard=20)


@pytest.mark.parametrize("name", SMALL)
def test_a_seed_gives_the_same_runs_and_another_seed_or_shard_others(name: str) -> None:
    cell = small(name)
    first, again = simulated(cell, 3, 7), simulated(cell, 3, 7)
    for column, values in first.items():
        np.testing.assert_array_equal(values, again[column])
    for other in (simulated(cell, 3, 8), simulated(cell, 4, 7)):
        assert (first["requests"] != other["requests"]).any()


@pytest.mark.parametrize(
    ("course", "integral"),
    [
        (traffic.steady(0.1), [0, 0.3, 2.0, 3.1, 10.0]),
        (traffic.from_then_on(0.1, 30, 0.5), [0, 0.3, 2.0, 3.5, 38.0]),
        (traffic.warming_up(0.0, 0.3), [0, 0.855, 4.0, 4.5, 4.5]),
        (traffic.warming_up(0.1, 0.3, absorbed=10), [0, 0.3 + 0.555, 2.0 + 2.0, 3.1 + 2, 12.0]),
        (traffic.bursts(10, 1.0, 0.2), [0, 0.6, 4.0, 6.2, 20.0]),
    ],
)
def test_a_course_is_the_integral_of_a_probability(course: Course, integral: list[float]) -> None:
    found = course(np.random.default_rng(1), EDGES)
    np.testing.assert_allclose(found, [integral], atol=1e-12)


def test_slots_have_a_value_of_their_own_from_their_own_phase_on() -> None:
    def values(_: Any, shape: tuple[int, int]) -> Floats:
        return np.tile(np.arange(shape[1], dtype=float), (shape[0], 1))

    times = np.linspace(0, 50, 501)[None].repeat(3, axis=0)
    whole = traffic.in_slots(10, values)(np.random.default_rng(1), times)
    heights = np.diff(whole, axis=1) / 0.1
    assert ((heights > -1e-9) & (heights < 6)).all()
    inside = np.isclose(heights, heights.round(), atol=1e-6)
    assert (inside.sum(axis=1) >= 495).all(), "but for the steps where a slot begins"
    assert len({tuple(row.round(3)) for row in heights}) == 3
    aligned = traffic.in_slots(10, values, aligned=True)(np.random.default_rng(1), EDGES)
    np.testing.assert_allclose(aligned, [[0, 0, 10, 33, 450]])


def test_tries_of_a_request_are_seen_by_the_scrape_after_them() -> None:
    quiet = window(*[(0, 0)] * 4)
    times = np.array([0.0, 5.0, 5.1, 19.9, 20.1])
    found = traffic.binned(quiet.at, np.zeros(5, dtype=np.int64), times)
    assert found.tolist() == [[2, 1, 0, 1]]
    tries = traffic.tries_within(3, 10)(np.random.default_rng(1), 2)
    assert tries.tolist() == [[0, 5, 10], [0, 5, 10]]


def test_a_lost_scrape_is_counted_by_the_next_one() -> None:
    whole = window((10, 1), (20, 2), (30, 3), (40, 4))
    found = squeezed(whole, np.array([[False, True, False, True]]))
    assert found.at.tolist() == [[10.0, 20.0, np.inf, np.inf]]
    assert found.requests.tolist() == [[30, 70, 0, 0]]
    assert found.failures.tolist() == [[3, 7, 0, 0]]


def test_a_slot_ends_when_all_pods_have_reported_or_one_reports_again() -> None:
    samples = [(1.0, 0, 10, 0), (2.0, 1, 20, 1), (6.0, 0, 5, 0), (6.5, 0, 5, 2), (7.0, 1, 1, 1)]
    assert pods.slots(samples) == [(2.0, 30, 1), (6.0, 5, 0), (7.0, 6, 3)]
    assert pods.slots([(1.0, 0, 1, 0), (6.0, 0, 2, 1)]) == [(1.0, 1, 0), (6.0, 2, 1)]


def test_pods_together_have_the_traffic_of_the_service() -> None:
    random = np.random.default_rng(3)
    found = pods.watched(random, 50, 120.0, 5.0, 30.0, (0.0, 0.0, 0.3), 0.2)
    ratio = found.failures.sum() / found.requests.sum()
    assert ratio == pytest.approx(0.1, rel=0.1)
    assert found.requests.sum() / 50 == pytest.approx(30 * 117, rel=0.05)
    seen = np.isfinite(found.at)
    assert (np.diff(np.where(seen, found.at, 1e9), axis=1) >= 0).all()


def found_of(times: dict[str, Floats], cell: Cell, failures: Floats) -> Found:
    return Found(cell, times, np.full(len(failures), 1000.0), failures)


def test_traffic_that_fails_more_often_than_it_is_said_to_ends_the_benchmark() -> None:
    cell = Cell(
        "x",
        5.0,
        lambda random, runs: watched(5.0, 60.0, 1, traffic.steady(0), random, runs),
        9,
        0.01,
    )
    failures = np.random.default_rng(1).poisson(10, 400).astype(float)
    assert claims.check({"x": found_of({}, cell, failures)}) == 1
    with pytest.raises(claims.ClaimBroken, match=r"x, 5 s scrapes: 1\.\d+% of its requests fail"):
        claims.check({"x": found_of({}, cell, failures + 1)})


def test_a_baseline_that_does_not_do_what_it_claims_ends_the_benchmark() -> None:
    claim = next(one for one in claims.claims() if one.rule == "Flagger")
    cell = cells()[claim.cell]
    failures = np.full(10, 30.0)
    others = {one.rule: np.full(10, 120.0) for one in claims.claims() if one.cell == claim.cell}
    quiet = others | {"Flagger": np.full(10, np.inf)}
    assert claims.check({claim.cell: found_of(quiet, cell, failures)}) == 9
    loud = others | {"Flagger": np.full(10, 60.0)}
    with pytest.raises(claims.ClaimBroken, match="cannot fire within 2 minutes"):
        claims.check({claim.cell: found_of(loud, cell, failures)})
    slow = quiet | {"rate[1m]": np.full(10, np.inf)}
    with pytest.raises(claims.ClaimBroken, match="rate"):
        claims.check({claim.cell: found_of(slow, cell, failures)})
