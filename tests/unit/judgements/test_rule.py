"""The rule that decides: the same however its samples are read, and the same in compressed time."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.judgements.counters import Pods, Series, Traffic
from slipway.judgements.folding import fold
from slipway.judgements.rule import RULE, Frame, Weighed, baseline, by_detector, by_plain_rule
from slipway.messages.watch import TrafficBefore
from slipway.plan import Limits

LIMITS = Limits()
BEGAN = 1000.0
PODS = Pods("a-1-", {}, replaced=True)
FRAME = Frame(BEGAN, 120.0, 5.0, LIMITS)

counts = st.lists(
    st.tuples(st.integers(0, 60), st.one_of(st.just(0), st.integers(0, 12))),
    min_size=1,
    max_size=24,
)


def rows(pods: list[list[tuple[int, int]]]) -> list[Series]:
    """Counters of pods that are scraped every five seconds, each at a phase of its own."""
    made = []
    for number, pod in enumerate(pods):
        ok = bad = 0
        good, wrong = [], []
        for step, (sent, failed) in enumerate(pod):
            at = BEGAN + 5 * step + 5 - 1.5 * number
            ok, bad = ok + sent, bad + failed
            good.append((at, float(ok)))
            wrong.append((at, float(bad)))
        name = f"a-1-{number}"
        made.append(Series({"pod": name, "code": "200"}, tuple(good)))
        made.append(Series({"pod": name, "code": "500"}, tuple(wrong)))
    return made


def until(series: list[Series], at: float) -> list[Series]:
    return [
        Series(one.labels, tuple(pair for pair in one.samples if pair[0] <= at)) for one in series
    ]


def weighed(series: list[Series]) -> Weighed:
    return RULE(fold(series, PODS, BEGAN, "5.."), FRAME)


@settings(deadline=None)
@given(st.lists(counts, min_size=1, max_size=3), st.randoms(use_true_random=False))
def test_it_is_the_same_in_whatever_order_samples_are_read(
    pods: list[list[tuple[int, int]]], rng: random.Random
) -> None:
    series = rows(pods)
    twice = [Series(one.labels, one.samples + one.samples[-3:]) for one in series]
    rng.shuffle(twice)
    assert weighed(twice) == weighed(series)


@settings(deadline=None)
@given(st.lists(counts, min_size=1, max_size=3), st.lists(st.integers(0, 120), max_size=6))
def test_an_attempt_that_was_cut_off_changes_nothing(
    pods: list[list[tuple[int, int]]], cuts: list[int]
) -> None:
    """What one attempt saw of the window, the next one finds in it, with the same numbers."""
    series = rows(pods)
    whole = weighed(series)
    for cut in cuts:
        part = weighed(until(series, BEGAN + cut))
        if part.rolls_back:
            assert whole.rolls_back
            assert whole.numbers == part.numbers


def test_compressed_time_is_judged_as_scrapes_that_are_as_much_further_apart() -> None:
    """Two minutes at scale 15 and one second are two minutes at fifteen seconds."""
    real = Frame(0.0, 120.0, 15.0, LIMITS).setting
    small = Frame(0.0, 8.0, 1.0, LIMITS, time_scale=15.0).setting
    assert (small.scrapes, small.alpha) == (real.scrapes, real.alpha)
    for name in ("interval", "early", "now", "recent"):
        assert getattr(small, name) * 15 == pytest.approx(getattr(real, name))


@pytest.mark.parametrize("failures", range(7))
def test_compressed_windows_come_to_the_same(failures: int) -> None:
    def found(interval: float, length: float, scale: float) -> Weighed:
        good = tuple((interval * n, 294.0 * n) for n in range(1, 9))
        bad = tuple((interval * n, float(failures * n)) for n in range(1, 9))
        series = [
            Series({"pod": "a-1-0", "code": code}, samples)
            for code, samples in (("200", good), ("500", bad))
        ]
        traffic = fold(series, PODS, 0.0, "5..")
        return by_detector(traffic, Frame(0.0, length, interval, LIMITS, scale))

    real, small = found(15.0, 120.0, 1.0), found(1.0, 8.0, 15.0)
    assert (small.rolls_back, small.holds, small.safe) == (real.rolls_back, real.holds, real.safe)
    assert small.numbers["ln_e1"] == real.numbers["ln_e1"]


def before(requests: float, failures: float) -> TrafficBefore:
    return TrafficBefore(requests=requests, failures=failures, seconds=3600.0)


def test_a_time_before_counts_where_it_shows_more_failures_than_the_limit() -> None:
    assert baseline(None, 0.001) is None
    assert baseline(TrafficBefore(because="Prometheus is away"), 0.001) is None
    assert baseline(before(72_000, 40), 0.001) is None
    assert baseline(before(720, 0), 0.001) is None
    assert baseline(before(720, 1), 0.001) is None
    for shown in (before(72_000, 864), before(7_200, 86), before(720, 9)):
        assert baseline(shown, 0.001) is not None


def test_what_it_is_compared_with_is_said() -> None:
    frame = Frame(BEGAN, 120.0, 5.0, LIMITS, before=before(72_000, 864))
    found = by_detector(Traffic((), {}), frame)
    assert "Before the release 1.2 % of 72,000 failed" in found.because
    assert found.numbers["reference"] > 0.012


def test_the_plain_rule_can_take_its_place() -> None:
    series = rows([[(98, 2)] * 24])
    traffic = fold(series, PODS, BEGAN, "5..")
    plain, evidence = by_plain_rule(traffic, FRAME), by_detector(traffic, FRAME)
    assert plain.rolls_back
    assert evidence.rolls_back
    assert "Plain rule (6 failures, 3 scrapes, over 1 %): rollback after 15 s" in evidence.because
