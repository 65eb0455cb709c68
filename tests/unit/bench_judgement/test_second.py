"""The second implementation of h3 and the shipped one: the same evidence, the same decisions."""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pytest

from benchmarks.judgement import traffic
from benchmarks.judgement.parts import LONG, SHORT, Part, of_pods, watched, with_baseline
from benchmarks.judgement.scrapes import LAG, Scrapes
from benchmarks.judgement.second import ALPHA, safe, traced
from benchmarks.judgement.shipped import before_of, deciding, judged, setting_of
from benchmarks.judgement.traffic import Random
from slipway.judgements.detector import Detector, Setting

RUNS = 24
Make = Callable[[Random, int], Iterator[Part]]


def makes(interval: float) -> dict[str, Make]:
    late = traffic.from_then_on(0.001, 300, 0.03)
    return {
        "healthy": partial(watched, interval, LONG, 20, traffic.steady(0.001)),
        "few": partial(watched, interval, LONG, 0.2, traffic.steady(0.05)),
        "many": partial(watched, interval, SHORT, 200_000, traffic.steady(0.0012)),
        "3 %": partial(watched, interval, SHORT, 20, traffic.steady(0.03)),
        "outage": partial(watched, interval, SHORT, 2, traffic.steady(1.0)),
        "late": partial(watched, interval, LONG, 20, late),
        "bursts": partial(watched, interval, LONG, 20, traffic.bursts(12, 0.02, 0.2)),
        "warm-up": partial(watched, interval, LONG, 50, traffic.warming_up(0.001, 0.03)),
        "lost": partial(of_pods, interval, LONG, 20, (0.03, 0.0, 0.0), 0.3),
    }


CASES = [(interval, name) for interval in (5.0, 15.0) for name in makes(5.0)]


def drawn(interval: float, name: str) -> Part:
    return next(makes(interval)[name](np.random.default_rng(11), RUNS))


def evidence(scrapes: Scrapes, run: int, setting: Setting) -> list[tuple[float, float, float]]:
    detector, found = Detector(setting), []
    for at, n, k in zip(scrapes.at[run], scrapes.requests[run], scrapes.failures[run], strict=True):
        if np.isfinite(at):
            detector.add(float(at), int(n), int(k))
            found.append((detector.log_e1, detector.log_hold, detector.log_e2))
    return found


@pytest.mark.parametrize(("interval", "name"), CASES)
def test_both_have_the_same_evidence(interval: float, name: str) -> None:
    scrapes = drawn(interval, name).scrapes
    trace = traced(scrapes)
    for run in range(0, RUNS, 4):
        ours = evidence(scrapes, run, setting_of(scrapes))
        theirs = [trace.independent[run], trace.held[run], trace.clumped[run]]
        np.testing.assert_allclose(
            np.array(ours).T, np.array(theirs)[:, : len(ours)], rtol=1e-9, atol=1e-9
        )


@pytest.mark.parametrize(("interval", "name"), CASES)
def test_both_decide_the_same_and_scrapes_that_decide_nothing_decide_nothing(
    interval: float, name: str
) -> None:
    part = drawn(interval, name)
    short, whole, trace = judged(part), judged(part, to_the_end=True), traced(part.scrapes)
    np.testing.assert_array_equal(short.rollback, trace.rollback + LAG)
    np.testing.assert_array_equal(short.hold, np.minimum(trace.hold, trace.rollback) + LAG)
    np.testing.assert_array_equal(short.rollback, whole.rollback)
    np.testing.assert_array_equal(short.hold, whole.hold)
    totals = part.scrapes.requests.sum(axis=1), part.scrapes.failures.sum(axis=1)
    np.testing.assert_array_equal(whole.safe, safe(*totals) & (totals[0] > 0))
    assert not (whole.safe & ~whole.safe_ever).any()


def test_these_windows_hold_what_the_comparison_is_about() -> None:
    shares = {name: np.isfinite(judged(drawn(5.0, name)).rollback).mean() for name in makes(5.0)}
    assert shares["healthy"] == 0
    assert shares["3 %"] == shares["outage"] == shares["late"] == 1
    assert 0 < shares["bursts"] < 1
    assert 0 < shares["warm-up"] < 1
    cut = deciding(drawn(5.0, "few").scrapes)
    assert 0 < cut.min() < cut.max() <= 180


def test_a_baseline_is_taken_by_both_alike() -> None:
    course = traffic.gamma_probability(15, 0.012, 1.0)
    part = next(with_baseline(5.0, 20, course, course, np.random.default_rng(5), 6))
    assert part.before is not None
    for run in range(6):
        setting = setting_of(part.scrapes, before_of(part.before, run))
        one = Scrapes(
            part.scrapes.window,
            part.scrapes.interval,
            part.scrapes.at[run : run + 1],
            part.scrapes.requests[run : run + 1],
            part.scrapes.failures[run : run + 1],
        )
        assert setting.reference > 0.012
        assert setting.phi > 1.5
        trace = traced(one, setting.reference, setting.phi, ALPHA / 2)
        ours = np.array(evidence(one, 0, setting)).T
        theirs = [trace.independent[0], trace.held[0], trace.clumped[0]]
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)
