"""The detector against its formula written out plainly, and what must hold for any traffic."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.judgements.detector import (
    ALPHA,
    Baseline,
    Decision,
    Detector,
    Setting,
    judge,
)
from tests.unit.judgements import h3_reference as plain

Scrapes = list[tuple[int, int]]

FIVE, FIFTEEN = Setting(24, 5.0), Setting(8, 15.0)
ENDLESS = Setting(180, 5.0)


def fold(scrapes: Scrapes, setting: Setting = FIVE) -> Detector:
    detector = Detector(setting)
    for number, (n, k) in enumerate(scrapes, start=1):
        detector.add(number * setting.interval, n, k)
    return detector


def timed(scrapes: Scrapes, setting: Setting = FIVE) -> list[tuple[float, float, float]]:
    return [(number * setting.interval, n, k) for number, (n, k) in enumerate(scrapes, start=1)]


@st.composite
def counts(draw: st.DrawFn, most: int = 500) -> tuple[int, int]:
    requests = draw(st.one_of(st.just(0), st.integers(0, most)))
    few = st.integers(0, min(3, requests))
    return requests, draw(st.one_of(st.just(0), few, st.integers(0, requests)))


windows = st.lists(counts(), min_size=1, max_size=40)
settings_ = st.sampled_from([FIVE, FIFTEEN, ENDLESS, Setting(2, 5.0)])


def close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)


@given(windows, settings_)
def test_it_is_its_formula(scrapes: Scrapes, setting: Setting) -> None:
    detector = Detector(setting)
    planned, interval = setting.scrapes, setting.interval
    one = plain.e1(scrapes, planned, 0.01, 0.001)
    two = plain.e2(scrapes, planned, 0.001)
    raised = plain.e1(scrapes, planned, 0.002, 0.001)
    for number, (n, k) in enumerate(scrapes):
        detector.add((number + 1) * interval, n, k)
        assert close(detector.log_e1, one[number])
        assert close(detector.log_e2, two[number])
        assert close(detector.log_hold, raised[number])
    held = [
        number
        for number in range(len(scrapes))
        if raised[number] >= math.log(1 / (10 * ALPHA)) and two[number] >= math.log(20)
    ]
    assert detector.held_at == ((held[0] + 1) * interval if held else None)
    at = plain.rolled_back_at(scrapes, planned, interval)
    assert detector.rolled_back_at == (at * interval if at else None)
    requests, failures = sum(n for n, _ in scrapes), sum(k for _, k in scrapes)
    assert close(detector.log_safe, plain.log_safe(requests, failures))


@given(windows, st.integers(10_000, 200_000), st.floats(0.0, 0.03), st.floats(1.0, 6.0))
def test_it_is_its_formula_with_a_baseline(
    scrapes: Scrapes, requests: int, ratio: float, phi: float
) -> None:
    before = Baseline(requests, round(requests * ratio), phi)
    setting = Setting(24, 5.0, baseline=before)
    p0, detector = setting.reference, fold(scrapes, setting)
    assert p0 >= 0.001
    assert p0 >= before.failures / before.requests
    assert close(detector.log_e1, plain.e1(scrapes, 24, max(0.01, 1.5 * p0), p0, phi)[-1])
    assert close(detector.log_e2, plain.e2(scrapes, 24, p0)[-1])
    assert close(detector.log_hold, plain.e1(scrapes, 24, max(0.002, 1.5 * p0), p0, phi)[-1])


@given(windows, settings_)
def test_the_fold_is_the_detector(scrapes: Scrapes, setting: Setting) -> None:
    found, detector = judge(timed(scrapes, setting), setting), fold(scrapes, setting)
    assert found.decision is detector.decision
    assert found.decided_at == detector.rolled_back_at
    if found.decision is not Decision.ROLLBACK:
        assert (found.log_e1, found.log_e2) == (detector.log_e1, detector.log_e2)
        assert found.safe == detector.safe()


@given(windows, st.integers(0, 39))
def test_a_rollback_stays_and_more_scrapes_do_not_change_when(scrapes: Scrapes, more: int) -> None:
    before = fold(scrapes)
    after = fold([*scrapes, *[(100, 0)] * more])
    if before.rolled_back_at is not None:
        assert after.decision is Decision.ROLLBACK
        assert after.rolled_back_at == before.rolled_back_at


@given(windows, st.integers(0, 39), st.integers(1, 50))
def test_more_failures_never_make_the_evidence_smaller(
    scrapes: Scrapes, where: int, more: int
) -> None:
    """The same requests, more of them failed."""
    number = where % len(scrapes)
    n, k = scrapes[number]
    worse = [*scrapes]
    worse[number] = (n, min(n, k + more))
    mild, bad = fold(scrapes), fold(worse)
    assert bad.log_e1 >= mild.log_e1 - 1e-9
    assert bad.log_e2 >= mild.log_e2 - 1e-9
    assert bad.log_hold >= mild.log_hold - 1e-9
    assert bad.log_safe <= mild.log_safe + 1e-9
    if mild.rolled_back_at is not None:
        assert bad.rolled_back_at is not None
        assert bad.rolled_back_at <= mild.rolled_back_at
    if mild.held_at is not None:
        assert bad.held_at is not None
        assert bad.held_at <= mild.held_at


@given(st.integers(0, 30), st.integers(0, 10**9), settings_)
def test_one_scrape_never_rolls_back(healthy: int, failures: int, setting: Setting) -> None:
    found = fold([*[(100, 0)] * healthy, (failures, failures)], setting)
    assert found.decision is not Decision.ROLLBACK
    assert fold([*[(100, 0)] * healthy, (failures, failures), (100, 0)]).rolled_back_at is None


@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)), max_size=200))
def test_a_billion_requests_neither_overflow_nor_vanish(scrapes: Scrapes) -> None:
    pairs = [(max(n, k), min(n, k)) for n, k in scrapes]
    detector = Detector(ENDLESS)
    one = plain.e1(pairs, 180, 0.01, 0.001) if pairs else []
    for number, (n, k) in enumerate(pairs):
        detector.add(5.0 * (number + 1), n, k)
        assert not math.isnan(detector.log_e1)
        assert close(detector.log_e1, one[number])
    assert not math.isnan(detector.log_safe)
    assert detector.sentence()


@given(st.lists(st.integers(0, 10**9), max_size=60))
def test_nothing_failed_nothing_is_raised(requests: list[int]) -> None:
    detector = fold([(n, 0) for n in requests])
    assert detector.decision is Decision.NONE
    assert detector.log_e1 <= 1e-12


def test_no_requests_prove_nothing() -> None:
    found = judge([(5.0 * t, 0, 0) for t in range(24)], FIVE)
    assert (found.decision, found.safe) == (Decision.NONE, False)
    assert not judge([], FIVE).safe


def test_more_failures_than_requests_count_as_requests() -> None:
    detector = Detector(FIVE)
    detector.add(5.0, 1, 4)
    assert (detector.requests, detector.failures) == (4, 4)


def test_three_percent_are_found_at_once_and_said_in_one_sentence() -> None:
    found = judge(timed([(100, 3)] * 24), FIVE)
    assert found.decision is Decision.ROLLBACK
    assert found.decided_at == 25.0
    assert found.sentence == (
        "15 of 500 failed (3 %), 3 % in the last 10 s; on a healthy release below 1 in 88,000 if "
        "failures are independent, 1 in 100 however they clump within a scrape."
    )


def test_what_is_not_rolled_back_says_how_far_it_is_from_that() -> None:
    assert judge(timed([(100, 0)] * 9 + [(100, 1)]), FIVE).sentence == (
        "1 of 1,000 failed (0.1 %), 0.5 % in the last 10 s; evidence -1.1 of the 11.4 and -0.6 of "
        "the 4.6 that a rollback wants."
    )
    assert judge(timed([(1000, 5)] * 12), FIVE).sentence.endswith(
        "on a healthy release below 1 in 8,800 if failures are independent, 1 in 20 however they "
        "clump within a scrape."
    )


def test_an_outage_is_found_in_two_scrapes() -> None:
    assert judge(timed([(10, 10)] * 2), FIVE).decided_at == 10.0
    assert judge(timed([(30, 30)] * 2, FIFTEEN), FIFTEEN).decided_at == 30.0


def test_before_second_25_only_what_is_over_five_percent_is_rolled_back() -> None:
    assert judge(timed([(1000, 40)] * 10), FIVE).decided_at == 25.0
    assert judge(timed([(1000, 60)] * 10), FIVE).decided_at == 10.0


def test_what_is_over_is_not_rolled_back() -> None:
    """E stands at a warm-up's evidence for a while: the ratio must be over the line now."""
    scrapes = [(1000, 40), (1000, 30), (1000, 20), (1000, 5), (1000, 1), (1000, 1), (1000, 1)]
    assert judge(timed(scrapes), FIVE).decision is not Decision.ROLLBACK


@pytest.mark.parametrize("setting", [ENDLESS, Setting(60, 15.0)])
def test_what_failed_before_is_no_reason(setting: Setting) -> None:
    rng = random.Random(1)
    before = Baseline.of((300, binomial(rng, 300, 0.012)) for _ in range(240))
    told = Setting(setting.scrapes, setting.interval, baseline=before)
    count = round(20 * setting.interval)
    for _ in range(20):
        scrapes = [(count, binomial(rng, count, 0.012)) for _ in range(setting.scrapes)]
        assert judge(timed(scrapes, told), told).decision is Decision.NONE
        assert judge(timed(scrapes, setting), setting).decision is Decision.ROLLBACK


def binomial(rng: random.Random, count: int, ratio: float) -> int:
    return sum(rng.random() < ratio for _ in range(count))


def poisson(rng: random.Random, mean: float) -> int:
    """By Knuth's product of uniforms; for means of a few hundred at most."""
    count, left = 0, rng.random()
    while left > math.exp(-mean):
        count, left = count + 1, left * rng.random()
    return count


@pytest.mark.parametrize("phase", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("seed", range(4))
def test_ten_seconds_of_failures_late_in_the_last_window_are_no_rollback(
    seed: int, phase: int
) -> None:
    """20 requests a second, every one failing for ten seconds, wherever scrapes fall in them."""
    rng = random.Random(seed)
    begin = 600 + phase
    scrapes = []
    for number in range(180):
        ok = bad = 0
        for second in range(5 * number, 5 * number + 5):
            sent = poisson(rng, 20)
            bad += sent if begin <= second < begin + 10 else binomial(rng, sent, 0.0005)
            ok += sent
        scrapes.append((ok, bad))
    assert judge(timed(scrapes, ENDLESS), ENDLESS).decision is not Decision.ROLLBACK


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("setting", [FIVE, FIFTEEN])
def test_lasting_three_percent_are_rolled_back_within_45_s(seed: int, setting: Setting) -> None:
    rng = random.Random(seed)
    scrapes = []
    for _ in range(setting.scrapes):
        sent = poisson(rng, 20 * setting.interval)
        scrapes.append((sent, binomial(rng, sent, 0.03)))
    found = judge(timed(scrapes, setting), setting)
    assert found.decided_at is not None
    assert found.decided_at <= 45


def test_safe_is_a_matter_of_the_totals() -> None:
    assert fold([(600, 0)]).safe()
    assert not fold([(299, 0)]).safe()
    assert not fold([(600, 0), (600, 12)]).safe()


def test_safe_is_not_kept() -> None:
    detector = fold([(600, 0)])
    assert detector.safe()
    detector.add(10.0, 100, 30)
    assert not detector.safe()
