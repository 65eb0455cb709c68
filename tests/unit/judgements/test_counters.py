"""Raw samples to counts: births, resets, gaps and slots, against a simulated truth."""

import itertools
import math
import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.judgements.counters import (
    Pods,
    Series,
    Unreadable,
    pods_of_any_version,
    prefix_of,
    quantile,
    share_above,
    without_code,
)
from slipway.judgements.folding import Buckets, Counting, failed_by_code, fold, fold_buckets

BEGAN = 1000.0
NEW = Pods("a-1-", {"a-1-x": 0.0}, replaced=True)
OLD = Pods("a-1-", {"a-1-x": 0.0}, replaced=False)


def series(code: str, *samples: tuple[float, float], pod: str = "a-1-x", **labels: str) -> Series:
    return Series({"pod": pod, "code": code, **labels}, samples)


def test_a_pod_of_this_rollout_counts_from_zero() -> None:
    """`increase` would give 0 for a series that is born at 12 failures."""
    traffic = fold([series("500", (1005, 12))], NEW, BEGAN, "5..")
    assert (traffic.requests, traffic.failures) == (12, 12)


def test_a_series_born_in_the_window_counts_from_zero_when_its_pod_was_known() -> None:
    rows = [series("200", (995, 100), (1005, 150)), series("500", (1005, 7))]
    traffic = fold(rows, OLD, BEGAN, "5..")
    assert (traffic.requests, traffic.failures) == (57, 7)


def test_what_was_counted_before_the_window_does_not_count() -> None:
    traffic = fold([series("200", (990, 40), (999, 90), (1005, 100))], NEW, BEGAN, "5..")
    assert traffic.requests == 10


def test_an_old_pod_whose_past_was_not_scraped_begins_with_its_first_sample() -> None:
    traffic = fold([series("200", (1005, 9000), (1010, 9010))], OLD, BEGAN, "5..")
    assert traffic.requests == 10


def test_a_pod_born_in_the_window_counts_from_zero_in_every_service() -> None:
    young = Pods("a-1-", {"a-1-x": 1002.0})
    assert fold([series("200", (1005, 30))], young, BEGAN, "5..").requests == 30


def test_a_reset_of_one_counter_is_a_reset_of_the_pod() -> None:
    rows = [series("200", (999, 100), (1005, 20)), series("500", (999, 5), (1005, 6))]
    traffic = fold(rows, NEW, BEGAN, "5..")
    assert (traffic.requests, traffic.failures) == (26, 6)


def test_other_services_and_versions_are_left_out() -> None:
    rows = [series("200", (1005, 10)), series("200", (1005, 99), pod="a-2-y")]
    assert fold(rows, NEW, BEGAN, "5..").requests == 10


@pytest.mark.parametrize("label", ["status_code", "status"])
def test_a_counter_without_code_is_no_counter_without_failures(label: str) -> None:
    row = Series({"__name__": "http_requests_total", "pod": "a-1-x", label: "500"}, ((1005, 2400),))
    told = without_code([series("200", (1005, 1)), row], NEW)
    assert told is not None
    assert (
        told.because
        == f"the request counter of a-1-x has no label `code` (its labels: pod, {label})"
    )
    assert "metric_relabel_configs" in told.remedy
    assert without_code([row], Pods("b-1-")) is None, "of another service"
    assert without_code([series("200", (1005, 1))], NEW) is None


def test_codes_are_matched_as_a_whole() -> None:
    assert fold([series("1500", (1005, 10))], NEW, BEGAN, "5..").failures == 0


def test_a_slot_ends_when_a_pod_reports_again() -> None:
    rows = [
        series("500", (1001, 1), (1006, 2), (1011, 3)),
        series("500", (1003, 1), (1008, 2), (1013, 3), pod="a-1-y"),
    ]
    traffic = fold(rows, NEW, BEGAN, "5..")
    assert [one.failures for one in traffic.scrapes] == [2, 2, 2]
    assert traffic.finished == traffic.scrapes


def test_a_slot_is_finished_when_every_pod_has_reported() -> None:
    """What is judged does not change when it is read again a moment later."""
    one, other = (1001, 1), (1003, 1)
    first, second = (1006, 2), (1008, 2)
    late = [series("500", one, first), series("500", other, pod="a-1-y")]
    both = [series("500", one, first), series("500", other, second, pod="a-1-y")]
    before, after = fold(late, NEW, BEGAN, "5.."), fold(both, NEW, BEGAN, "5..")
    assert [one.failures for one in before.finished] == [2]
    assert [one.failures for one in after.finished] == [2, 2]
    assert (before.failures, after.failures) == (3, 4)


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 5)), min_size=2, max_size=20),
    st.integers(1, 19),
    st.randoms(use_true_random=False),
)
def test_what_is_finished_stays_however_it_is_read_again(
    counts: list[tuple[int, int]], cut: int, rng: random.Random
) -> None:
    """Three pods with phases of their own, read in part, then in whole and in any order."""
    rows = []
    for number, pod in enumerate(("a-1-x", "a-1-y", "a-1-z")):
        ok = bad = 0
        good, wrong = [], []
        for step, (sent, failed) in enumerate(counts):
            at = 1000.5 + 5 * step + 1.3 * number
            ok, bad = ok + sent, bad + failed
            good.append((at, float(ok)))
            wrong.append((at, float(bad)))
        rows += [series("200", *good, pod=pod), series("500", *wrong, pod=pod)]
    until = 1000.0 + 5 * cut
    part = [
        Series(one.labels, tuple(pair for pair in one.samples if pair[0] <= until)) for one in rows
    ]
    shuffled = [*rows]
    rng.shuffle(shuffled)
    early, whole = (fold(one, NEW, BEGAN, "5..") for one in (part, rows))
    again = fold(shuffled, NEW, BEGAN, "5..")
    assert again.scrapes == whole.scrapes
    assert whole.finished[: len(early.finished)] == early.finished


def test_failures_in_one_scrape_are_one_failing_scrape() -> None:
    rows = [series("500", (1001, 0), (1006, 50), (1011, 50))]
    assert fold(rows, NEW, BEGAN, "5..").failing_scrapes == 1


steps = st.lists(
    st.tuples(st.integers(0, 50), st.integers(0, 50), st.booleans()), min_size=1, max_size=30
)


@given(steps)
def test_counts_equal_the_truth_whatever_restarts(truth: list[tuple[int, int, bool]]) -> None:
    """A restart loses nothing here, since each scrape sees what came after it."""
    good = bad = 0
    ok: list[tuple[float, float]] = []
    failed: list[tuple[float, float]] = []
    sent = wrong = 0
    for number, (more, worse, restarted) in enumerate(truth):
        # a restart shows when a counter falls; one that does not fall is plain growth
        if restarted and (more < good or worse < bad):
            good = bad = 0
        good, bad, sent, wrong = good + more, bad + worse, sent + more, wrong + worse
        ok.append((1001.0 + 5 * number, good))
        failed.append((1001.0 + 5 * number, bad))
    traffic = fold([series("200", *ok), series("500", *failed)], NEW, BEGAN, "5..")
    assert (traffic.requests, traffic.failures) == (sent + wrong, wrong)


@given(steps, st.integers(0, 29))
def test_reading_again_gives_the_same(truth: list[tuple[int, int, bool]], cut: int) -> None:
    """A retried slice reads from the window's beginning: nothing is counted twice."""
    total, samples = 0, []
    for number, (more, _, _) in enumerate(truth):
        total += more
        samples.append((1001.0 + 5 * number, float(total)))
    part = fold([series("200", *samples[: cut + 1])], NEW, BEGAN, "5..")
    whole = fold([series("200", *samples)], NEW, BEGAN, "5..")
    assert whole.scrapes[: len(part.scrapes)] == part.scrapes


def test_buckets_fold_like_counters_and_read_their_bounds() -> None:
    rows = [
        Series({"pod": "a-1-x", "le": bound}, ((999, before), (1005, after)))
        for bound, before, after in (("0.1", 5, 55), ("0.5", 9, 99), ("+Inf", 10, 110))
    ]
    buckets = fold_buckets(rows, NEW, BEGAN)
    assert buckets == {0.1: 50, 0.5: 90, math.inf: 100}
    assert share_above(buckets, 0.5) == pytest.approx(0.1)


def test_a_histogram_without_the_limits_bucket_cannot_be_judged() -> None:
    assert isinstance(share_above({0.25: 1, math.inf: 9}, 0.5), Unreadable)
    assert isinstance(share_above({}, 0.5), Unreadable)


def test_quantiles_are_interpolated_and_never_beyond_the_last_bound() -> None:
    assert quantile({0.5: 50, 1.0: 100, math.inf: 100}, 0.75) == pytest.approx(0.75)
    assert quantile({0.5: 50, math.inf: 100}, 0.95) == 0.5
    assert quantile({}, 0.95) is None


@given(st.from_regex(r"[a-z][a-z0-9-]{0,60}[a-z0-9]", fullmatch=True))
def test_prefixes_are_cut_as_kubernetes_cuts_pod_names(name: str) -> None:
    prefix = prefix_of(name, "5d8f89c644")
    assert len(prefix) <= 58
    assert f"{name}-5d8f89c644-".startswith(prefix)


@pytest.mark.parametrize(
    ("pod", "its"),
    [
        ("buddy-5d8f89c644-x2v7k", True),
        ("buddy-6-bcdfg", True),
        ("buddy-match-5d8f89c644-x2v7k", False),
        ("buddy-migrate-x2v7k", False),
        ("buddy-0", False),
        ("a-buddy-5d8f89c644-x2v7k", False),
    ],
)
def test_pods_of_any_version_are_told_from_pods_of_others(pod: str, its: bool) -> None:
    assert bool(re.fullmatch(pods_of_any_version("buddy"), pod)) is its


@given(st.from_regex(r"[a-z][a-z0-9-]{0,60}[a-z0-9]", fullmatch=True))
def test_pods_whose_names_were_cut_are_found(name: str) -> None:
    assert re.fullmatch(pods_of_any_version(name), prefix_of(name, "5d8f89c644") + "x2v7k")


def test_a_counter_that_is_not_made_again_yet_is_no_second_count() -> None:
    """Registries make a labelled counter when it is counted first: after a restart it is missing
    for a while, and its old value must not be taken for what it begins anew with."""
    good = series("200", (995, 9000), (1005, 9100), (1010, 40), (1015, 80), (1020, 120))
    bad = series("500", (995, 700), (1005, 700), (1020, 2))
    traffic = fold([good, bad], OLD, BEGAN, "5..")
    assert (traffic.requests, traffic.failures) == (100 + 120 + 2, 2)


def test_a_counter_that_comes_back_higher_began_at_zero_when_its_process_restarted() -> None:
    good = series("200", (995, 9000), (1005, 9100), (1010, 40), (1020, 120))
    bad = series("500", (995, 7), (1005, 7), (1020, 9))
    assert fold([good, bad], OLD, BEGAN, "5..").failures == 9


def test_a_restart_that_shows_late_counts_nobody_elses_requests_again() -> None:
    bad = series("500", (995, 2), (1005, 3), (1010, 4))
    good = series("200", (995, 9000), (1010, 50))
    traffic = fold([bad, good], OLD, BEGAN, "5..")
    assert (traffic.requests, traffic.failures) == (52, 2)


def test_a_restart_of_one_container_is_none_of_the_other() -> None:
    app = series("500", (995, 500), (1005, 501), (1015, 501), container="app")
    proxy = series("200", (996, 900), (1006, 1), (1016, 2), container="proxy")
    traffic = fold([app, proxy], OLD, BEGAN, "5..")
    assert (traffic.requests, traffic.failures) == (3, 1)


lives = st.lists(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)), min_size=1),
    min_size=1,
    max_size=5,
)
"""Of each life of a process, what it counts of three kinds from scrape to scrape."""


def lived(truth: list[list[tuple[int, ...]]]) -> tuple[list[Series], dict[str, int]]:
    """Counters of one pod that are made when they are counted first; and all they counted."""
    codes, at = ("200", "404", "500"), 1001.0
    samples: dict[str, list[tuple[float, float]]] = {code: [] for code in codes}
    counted = dict.fromkeys(codes, 0)
    for life in truth:
        held: dict[str, int] = {}
        for step in life:
            for code, more in zip(codes, step, strict=True):
                if more:
                    held[code] = held.get(code, 0) + more
                    counted[code] += more
            for code, value in held.items():
                samples[code].append((at, float(value)))
            at += 5
    return [series(code, *found) for code, found in samples.items() if found], counted


@given(lives)
def test_nothing_is_counted_that_did_not_happen(truth: list[list[tuple[int, ...]]]) -> None:
    """A restart that the counters do not show may hide something; it never makes up anything."""
    rows, counted = lived(truth)
    traffic = fold(rows, NEW, BEGAN, "5..")
    assert traffic.failures <= counted["500"]
    assert traffic.requests <= sum(counted.values())
    if len(truth) == 1:
        assert (traffic.requests, traffic.failures) == (sum(counted.values()), counted["500"])


@given(lives, st.lists(st.floats(1000.0, 1200.0), max_size=6), st.booleans())
def test_it_is_the_same_however_it_is_cut_into_chunks(
    truth: list[list[tuple[int, ...]]], cuts: list[float], replaced: bool
) -> None:
    """Chunks may share the samples at their edges."""
    rows, _ = lived(truth)
    pods, edges = Pods("a-1-", replaced=replaced), [0.0, *sorted(cuts), math.inf]
    whole = Counting(pods, BEGAN + 20, failed_by_code("5..")).add(rows).traffic
    counting, before = Counting(pods, BEGAN + 20, failed_by_code("5..")), None
    for since, until in itertools.pairwise(edges):
        before = counting.fork(pods)
        counting.add(
            Series(one.labels, tuple(pair for pair in one.samples if since <= pair[0] <= until))
            for one in rows
        )
    assert counting.traffic == whole
    assert before is not None
    assert before.add(rows).traffic == whole, "what is forked goes on by itself"


def test_buckets_are_the_same_however_they_are_cut() -> None:
    rows = [
        Series({"pod": "a-1-x", "le": bound}, tuple((1001.0 + at, by * at) for at in range(9)))
        for bound, by in (("0.1", 1), ("0.5", 2), ("+Inf", 3))
    ]
    parts = (
        [Series(one.labels, one.samples[:5]) for one in rows],
        [Series(one.labels, one.samples[4:]) for one in rows],
    )
    buckets = Buckets(NEW, BEGAN)
    for part in parts:
        buckets.add(part)
    assert buckets.counts == fold_buckets(rows, NEW, BEGAN)
