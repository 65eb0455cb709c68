"""Traffic judged: too many failures, too few requests, nothing to read."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.checks import Health
from slipway.judgements.counters import Pods, Scrape, Traffic, Unreadable
from slipway.judgements.traffic import (
    RECENT,
    Seen,
    coverage,
    judge_latency,
    judge_share,
    judge_traffic,
)
from slipway.plan import Limits, Service
from slipway.verdicts import Kind, Reason, Signal

LIMITS = Limits()


def service(**more: Any) -> Service:
    return Service(
        name="buddy", title="Buddy", port=1, url="http://127.0.0.1:1", health=Health(), **more
    )


def traffic(*scrapes: tuple[float, float]) -> Traffic:
    return Traffic(tuple(Scrape(5.0 * at, *one) for at, one in enumerate(scrapes)), {"p": 0.0})


def judged(
    found: Traffic | Unreadable, *, focus: bool = True, last: bool = True, **more: Any
) -> Any:
    return judge_traffic(Seen(service(**more), found, focus, last), LIMITS)


def test_six_failures_in_three_scrapes_over_one_percent_roll_back_at_once() -> None:
    verdict = judged(traffic((100, 2), (100, 2), (100, 2)), last=False)
    assert verdict.kind is Kind.ROLLBACK
    assert verdict.reason is Reason.ERROR_RATE_TOO_HIGH
    assert verdict.service == "buddy"
    assert "6 of 300 requests failed" in verdict.because


@pytest.mark.parametrize(
    "scrapes",
    [
        ((100, 5), (100, 0), (100, 0)),
        ((100, 3), (100, 3), (100, 0)),
        ((300, 2), (300, 2), (300, 2)),
    ],
)
def test_fewer_failures_or_scrapes_or_a_lower_ratio_do_not(scrapes: Any) -> None:
    assert judged(traffic(*scrapes), last=False) is None


def test_a_raised_ratio_holds_only_at_the_end() -> None:
    raised = traffic((1000, 3), (1000, 3), (1000, 3))
    assert judged(raised, last=False) is None
    verdict = judged(raised)
    assert (verdict.kind, verdict.reason) == (Kind.HOLD, Reason.ERROR_RATE_RAISED)


def test_a_hold_needs_the_same_minimum() -> None:
    assert judged(traffic((500, 3), (500, 2))) is None


def test_a_fault_that_begins_late_is_not_hidden_by_the_time_before() -> None:
    healthy = [(100.0, 0.0)] * 150
    late = [(97.0, 3.0)] * RECENT
    verdict = judged(traffic(*healthy, *late[:10]), last=False)
    assert verdict is not None
    assert verdict.kind is Kind.ROLLBACK
    assert "of late" in verdict.because


def test_too_few_requests_are_inconclusive_for_the_service_in_focus_only() -> None:
    few = traffic((299, 0))
    verdict = judged(few)
    assert (verdict.kind, verdict.reason) == (Kind.INCONCLUSIVE, Reason.TOO_LITTLE_TRAFFIC)
    assert judged(few, focus=False) is None
    assert judged(few, last=False) is None
    assert judged(traffic((300, 0))) is None


def test_the_plan_may_let_a_service_with_little_traffic_go_on_and_it_says_so() -> None:
    verdict = judged(traffic((3, 0)), little_traffic="proceed")
    assert verdict.kind is Kind.PROCEED
    assert "health, critical functions and probes" in verdict.because


def test_little_traffic_does_not_excuse_failures() -> None:
    verdict = judged(traffic((5, 2), (5, 2), (5, 2)), little_traffic="proceed")
    assert verdict.kind is Kind.ROLLBACK


@given(focus=st.booleans(), little=st.sampled_from(["park", "proceed"]))
def test_nothing_to_read_is_never_proceed(focus: bool, little: str) -> None:
    verdict = judged(Unreadable("down"), focus=focus, little_traffic=little)
    assert verdict.kind is Kind.INCONCLUSIVE
    assert verdict.reason is Reason.NOTHING_TO_READ
    assert "retry" in verdict.because


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 20)), max_size=40))
def test_more_failures_never_make_it_milder(scrapes: list[tuple[int, int]]) -> None:
    weight = {None: 0, Kind.PROCEED: 0, Kind.INCONCLUSIVE: 1, Kind.HOLD: 2, Kind.ROLLBACK: 3}
    before = judged(traffic(*[(n + k, k) for n, k in scrapes]))
    worse = judged(traffic(*[(n + k + 5, k + 5) for n, k in scrapes]))
    kinds = [
        one.kind if one and one.kind is not Kind.INCONCLUSIVE else None for one in (before, worse)
    ]
    assert weight[kinds[1]] >= weight[kinds[0]]


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 2**32))
def test_healthy_services_are_not_rolled_back(seed: int) -> None:
    """0.02 % failures, 100 windows of 1,200 requests, a seed at a time."""
    rng = random.Random(seed)
    for _ in range(100):
        scrapes = [
            (100.0, float(sum(rng.random() < 0.0002 for _ in range(100)))) for _ in range(12)
        ]
        assert (
            judged(traffic(*scrapes)) is None or judged(traffic(*scrapes)).kind is not Kind.ROLLBACK
        )


def test_pods_that_were_not_scraped_lately_cannot_be_judged() -> None:
    pods = Pods("a-", {"a-x": 0.0, "a-y": 0.0})
    fresh = Traffic((Scrape(1098, 1, 0),), {"a-x": 1098.0, "a-y": 1098.0})
    assert coverage(fresh, pods, 1100, 1000, 5.0) == ""
    stale = Traffic(fresh.scrapes, {"a-x": 1098.0, "a-y": 1080.0})
    assert "a-y" in coverage(stale, pods, 1100, 1000, 5.0)
    gone = Traffic(fresh.scrapes, {"a-x": 1098.0})
    assert "a-y" in coverage(gone, pods, 1100, 1000, 5.0)


def test_a_pod_just_born_may_still_be_unknown() -> None:
    pods = Pods("a-", {"a-x": 0.0, "a-new": 1097.0})
    fresh = Traffic((Scrape(1098, 1, 0),), {"a-x": 1098.0})
    assert coverage(fresh, pods, 1100, 1000, 5.0) == ""


def test_no_pod_or_no_counter_cannot_be_judged() -> None:
    assert "no pod" in coverage(Traffic((), {}), Pods("a-"), 1100, 1000, 5.0)
    assert "counter" in coverage(Traffic((), {}), Pods("a-", {"a-x": 1099.0}), 1100, 1000, 5.0)


def test_slow_requests_hold() -> None:
    slow = {0.5: 940.0, 1.0: 1000.0, float("inf"): 1000.0}
    verdict = judge_latency("buddy", slow, LIMITS)
    assert verdict is not None
    assert (verdict.kind, verdict.reason) == (Kind.HOLD, Reason.LATENCY_TOO_HIGH)
    assert judge_latency("buddy", {0.5: 960.0, float("inf"): 1000.0}, LIMITS) is None
    assert judge_latency("buddy", {0.5: 1.0, float("inf"): 100.0}, LIMITS) is None


def test_latency_that_cannot_be_read_is_inconclusive() -> None:
    for found in (Unreadable("down"), {1.0: 900.0, float("inf"): 1000.0}):
        verdict = judge_latency("buddy", found, LIMITS)
        assert verdict is not None
        assert verdict.kind is Kind.INCONCLUSIVE


def test_shared_numbers_hold_over_their_limits() -> None:
    over = judge_share(Signal.CONNECTIONS, 0.9, 0.8, "the connections are in use")
    assert over is not None
    assert over.reason is Reason.TOO_MANY_CONNECTIONS
    external = judge_share(Signal.EXTERNAL, 0.4, 0.05, "the calls failed")
    assert external is not None
    assert external.reason is Reason.EXTERNAL_CALLS_FAILING
    assert judge_share(Signal.EXTERNAL, 0.05, 0.05, "the calls failed") is None
    missing = judge_share(Signal.EXTERNAL, Unreadable("NaN"), 0.05, "the calls failed")
    assert missing is not None
    assert missing.kind is Kind.INCONCLUSIVE
