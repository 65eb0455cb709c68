"""Traffic judged: too many failures, too few requests, nothing to read."""

import math
import random
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.checks import Health, LogHeartbeat
from slipway.judgements.counters import Pods, Scrape, Traffic, Unreadable
from slipway.judgements.rule import Frame
from slipway.judgements.traffic import (
    Seen,
    coverage,
    judge_latency,
    judge_share,
    judge_traffic,
    uncounted,
)
from slipway.messages.rollout import Workload
from slipway.messages.watch import Asked, TrafficBefore, Watched
from slipway.plan import Limits, Service, ServiceKind
from slipway.verdicts import Kind, Reason, Signal

LIMITS = Limits()


def service(**more: Any) -> Service:
    return Service(
        name="buddy", title="Buddy", port=1, url="http://127.0.0.1:1", health=Health(), **more
    )


BEGAN = 1000.0


def traffic(*scrapes: tuple[float, float]) -> Traffic:
    slots = (Scrape(BEGAN + 5.0 * at, *one) for at, one in enumerate(scrapes, start=1))
    return Traffic(tuple(slots), {"p": 0.0})


def judged(
    found: Traffic | Unreadable,
    *,
    focus: bool = True,
    last: bool = True,
    before: TrafficBefore | None = None,
    asked: Asked | None = None,
    length: float = 120.0,
    **more: Any,
) -> Any:
    frame = Frame(BEGAN, length, 5.0, LIMITS, before=before)
    return judge_traffic(Seen(service(**more), found, focus, last, frame, asked))


def test_three_percent_roll_back_at_once_and_say_by_both_rules_why() -> None:
    verdict = judged(traffic(*[(100, 3)] * 6), last=False)
    assert (verdict.kind, verdict.reason) == (Kind.ROLLBACK, Reason.ERROR_RATE_TOO_HIGH)
    assert verdict.service == "buddy"
    assert verdict.because == (
        "buddy: 15 of 500 failed (3 %), 3 % in the last 10 s; on a healthy release below 1 in "
        "88,000 if failures are independent, 1 in 100 however they clump within a scrape. Plain "
        "rule (6 failures, 3 scrapes, over 1 %): rollback after 15 s."
    )
    assert verdict.numbers["requests"] == 500
    assert verdict.numbers["failures"] == 15
    assert verdict.numbers["second"] == 25
    assert verdict.numbers["ln_e1"] > 11.4
    assert verdict.numbers["ln_e2"] > 4.6


def test_one_bad_scrape_is_no_rollback() -> None:
    assert judged(traffic((100, 0), (100, 90), (100, 0), (100, 0)), last=False) is None


def test_a_scrape_that_a_pod_has_yet_to_join_is_not_judged() -> None:
    scrapes = traffic(*[(100, 3)] * 5)
    assert judged(scrapes, last=False).kind is Kind.ROLLBACK
    unfinished = Traffic(scrapes.scrapes, scrapes.newest, unfinished=True)
    assert judged(unfinished, last=False) is None


def test_a_raised_ratio_holds_only_at_the_end() -> None:
    raised = traffic(*[(1000, 5)] * 12)
    assert judged(raised, last=False) is None
    verdict = judged(raised)
    assert (verdict.kind, verdict.reason) == (Kind.HOLD, Reason.ERROR_RATE_RAISED)


def test_a_hold_needs_six_failures_in_three_scrapes() -> None:
    assert judged(traffic((50, 0), (20, 5), *[(100, 0)] * 5)).kind is Kind.INCONCLUSIVE
    assert judged(traffic(*[(100, 0)] * 3, (20, 5), (20, 5), *[(100, 0)] * 3)) is not None


def test_what_is_not_raised_any_more_does_not_hold() -> None:
    assert judged(traffic(*[(100, 2)] * 4, *[(5000, 0)] * 4)) is None


def test_a_fault_that_begins_late_is_not_hidden_by_the_time_before() -> None:
    verdict = judged(traffic(*[(100, 0)] * 150, *[(97, 3)] * 10), last=False, length=900.0)
    assert verdict is not None
    assert verdict.kind is Kind.ROLLBACK


def test_too_few_requests_are_inconclusive_for_the_service_in_focus_only() -> None:
    few = traffic((240, 0))
    verdict = judged(few)
    assert (verdict.kind, verdict.reason) == (Kind.INCONCLUSIVE, Reason.TOO_LITTLE_TRAFFIC)
    assert "240 requests in this window, 0 failed" in verdict.because
    assert judged(few, focus=False) is None
    assert judged(few, last=False) is None
    assert judged(traffic((400, 0))) is None


def test_the_plan_may_let_a_service_with_little_traffic_go_on_and_it_says_so() -> None:
    verdict = judged(traffic((3, 0)), little_traffic="proceed")
    assert verdict.kind is Kind.PROCEED
    assert "health, critical functions and probes" in verdict.because


def test_little_traffic_does_not_excuse_failures() -> None:
    verdict = judged(traffic((5, 4), (5, 4), (5, 4)), little_traffic="proceed")
    assert verdict.kind is Kind.ROLLBACK


def test_three_hundred_good_answers_to_slipway_show_what_traffic_could_not() -> None:
    few = traffic((24, 0))
    verdict = judged(few, asked=Asked(requests=300))
    assert verdict.kind is Kind.PROCEED
    assert "300 requests of slipway's own, 0 failed, show it" in verdict.because
    few_asked = Asked(requests=298)
    failed = Asked(requests=300, failures=1, example="/items: 500")
    for asked in (few_asked, failed, Asked()):
        assert judged(few, asked=asked).kind is Kind.INCONCLUSIVE


def test_good_answers_to_slipway_do_not_excuse_failures() -> None:
    bad = traffic((5, 4), (5, 4), (5, 4))
    assert judged(bad, asked=Asked(requests=300)).kind is Kind.ROLLBACK


def test_what_failed_before_is_taken_from_the_time_before() -> None:
    scrapes = traffic(*[(100, 2), (100, 1), (100, 1)] * 8)
    assert judged(scrapes).kind is Kind.ROLLBACK
    before = TrafficBefore(requests=72_000, failures=864, seconds=3600)
    verdict = judged(scrapes, before=before)
    assert verdict is None or verdict.kind is Kind.INCONCLUSIVE


def test_a_few_good_requests_before_do_not_blind_it() -> None:
    few = TrafficBefore(requests=20, failures=0, seconds=3600)
    assert judged(traffic(*[(100, 3)] * 6), before=few).kind is Kind.ROLLBACK


@given(focus=st.booleans(), little=st.sampled_from(["park", "proceed"]))
def test_nothing_to_read_is_never_proceed(focus: bool, little: str) -> None:
    verdict = judged(Unreadable("down"), focus=focus, little_traffic=little)
    assert verdict.kind is Kind.INCONCLUSIVE
    assert verdict.reason is Reason.NOTHING_TO_READ
    assert "retry" in verdict.because


def test_a_pod_that_hangs_hides_no_failures_of_the_others() -> None:
    """What was read are real requests: they may roll back, whatever is missing."""
    gap = "no sample of a-y in the last 15s"
    bad = replace(traffic(*[(100, 100)] * 4), gap=gap)
    verdict = judged(bad, last=False)
    assert verdict.kind is Kind.ROLLBACK
    assert verdict.because.endswith(f" Not all of its traffic was read: {gap}.")


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 20)), max_size=40), st.booleans())
def test_a_gap_never_lets_a_release_go_on(scrapes: list[tuple[int, int]], focus: bool) -> None:
    pairs = [(n + k, k) for n, k in scrapes]
    verdict = judged(replace(traffic(*pairs), gap="no pod is ready"), focus=focus)
    if verdict.kind is not Kind.ROLLBACK:
        assert (verdict.kind, verdict.reason) == (Kind.INCONCLUSIVE, Reason.NOTHING_TO_READ)
        assert "no pod is ready" in verdict.because


def test_a_service_without_http_is_judged_without_traffic_and_it_is_said() -> None:
    none = Traffic((), {}, uncounted=True)
    assert judged(none, last=False) is None
    assert judged(none, focus=False) is None
    verdict = judged(none)
    assert verdict.kind is Kind.PROCEED
    assert "heartbeat, logs and pods" in verdict.because


def bot(before: TrafficBefore | None) -> Watched:
    work = Workload(service="bot", namespace="n", deployment="bot", container="app")
    service = Service(
        name="bot", title="Bot", port=1, kind=ServiceKind.LOG, heartbeat=LogHeartbeat(pattern="up")
    )
    return Watched(service=service, workload=work, pod_hash="x", replaced=True, before=before)


def test_counters_that_go_with_the_release_are_missing() -> None:
    none, down = Unreadable("no such series", empty=True), Unreadable("down")
    had = TrafficBefore(requests=9, seconds=3600)
    assert uncounted(bot(None), none)
    assert uncounted(bot(TrafficBefore(because="no such series", empty=True)), none)
    assert not uncounted(bot(TrafficBefore(because="Prometheus was down")), none)
    assert not uncounted(bot(had), none)
    assert not uncounted(bot(None), down)
    assert not uncounted(bot(None), traffic((1, 0)))
    assert not uncounted(bot(None).model_copy(update={"service": service()}), none)


@given(st.lists(st.just((0, 0)), max_size=40))
def test_no_requests_never_proceed_by_themselves(scrapes: list[tuple[int, int]]) -> None:
    assert judged(traffic(*scrapes)).kind is Kind.INCONCLUSIVE


@given(
    st.lists(st.tuples(st.integers(0, 500), st.integers(0, 20)), min_size=1, max_size=40),
    st.integers(0, 39),
    st.integers(1, 50),
)
def test_more_failures_never_make_it_milder(
    scrapes: list[tuple[int, int]], where: int, more: int
) -> None:
    """The same requests, more of them failed. Too little to judge is as mild as going on."""
    weight = {None: 0, Kind.PROCEED: 0, Kind.INCONCLUSIVE: 0, Kind.HOLD: 2, Kind.ROLLBACK: 3}
    pairs = [(n + k, k) for n, k in scrapes]
    n, k = pairs[where % len(pairs)]
    worse = [*pairs]
    worse[where % len(pairs)] = (n, min(n, k + more))
    kinds = [one.kind if one else None for one in map(judged, (traffic(*pairs), traffic(*worse)))]
    assert weight[kinds[1]] >= weight[kinds[0]]


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 2**32))
def test_healthy_services_are_not_rolled_back(seed: int) -> None:
    """0.1 % failures, 100 windows of 2,400 requests, a seed at a time."""
    rng = random.Random(seed)
    for _ in range(100):
        scrapes = [(100.0, float(sum(rng.random() < 0.001 for _ in range(100)))) for _ in range(24)]
        verdict = judged(traffic(*scrapes))
        assert verdict is None or verdict.kind is not Kind.ROLLBACK


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


FRAME = Frame(BEGAN, 120.0, 5.0, LIMITS)


def slow_requests(*scrapes: tuple[float, float], bound: float = 0.5) -> Any:
    """A histogram of scrapes, by the requests slower than its bound."""
    total, slow = (sum(one[part] for one in scrapes) for part in (0, 1))
    buckets = {bound: total - slow, 1.0: total, math.inf: total}
    return judge_latency("buddy", buckets, traffic(*scrapes), FRAME)


def test_slow_requests_hold() -> None:
    verdict = slow_requests(*[(100, 11)] * 24)
    assert (verdict.kind, verdict.reason) == (Kind.HOLD, Reason.LATENCY_TOO_HIGH)
    assert "11.0% of 2400 requests took longer than 500ms" in verdict.because
    assert verdict.numbers["ln_e1"] > 9
    assert slow_requests(*[(100, 4)] * 24) is None
    assert slow_requests((10, 2)) is None
    assert slow_requests() is None


def test_a_share_at_the_limit_is_not_held_by_chance() -> None:
    """Judged by the share alone, half of all healthy services at the limit would be held."""
    rng = random.Random(5)
    for _ in range(50):
        scrapes = [(100, sum(rng.random() < 0.05 for _ in range(100))) for _ in range(24)]
        assert slow_requests(*scrapes) is None


def test_one_slow_scrape_is_no_slow_release() -> None:
    assert slow_requests(*[(100, 1)] * 12, (1000, 900), *[(100, 1)] * 11) is None


def test_slow_requests_that_are_over_do_not_hold() -> None:
    assert slow_requests(*[(100, 11)] * 8, *[(1000, 10)] * 16) is None


def test_latency_that_cannot_be_read_is_inconclusive() -> None:
    down = judge_latency("buddy", Unreadable("down"), Traffic((), {}), FRAME)
    for verdict in (down, slow_requests(*[(100, 11)] * 24, bound=0.25)):
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
