"""Counters are read in chunks: no answer is too long, and nothing is read twice for nothing."""

import asyncio
from typing import Any

import pytest

from activities.adapters.prometheus import Prometheus
from activities.counted import CHUNK, Chunks, Counted, read_histogram
from slipway.judgements.counters import Pods, Series, Traffic, Unreadable
from slipway.judgements.folding import fold

PODS = Pods("a-1-", {"a-1-x": 0.0}, replaced=True)
BEGAN = 100_000.0


class Held(Prometheus):
    """Samples as Prometheus answers them, at most so many at a time."""

    def __init__(self, series: list[Series], most: int = 10**9) -> None:
        super().__init__()
        self.series, self.most = series, most
        self.asked: list[tuple[float, float, float]] = []

    async def samples(
        self, url: str, selector: str, window: float, at: float, step: float = 0.0
    ) -> list[Series] | Unreadable:
        self.asked.append((at - window, at, step))
        found = [
            Series(one.labels, tuple(pair for pair in one.samples if at - window < pair[0] <= at))
            for one in self.series
        ]
        found = [one for one in found if one.samples]
        if sum(len(one.samples) for one in found) > self.most:
            return Unreadable("more than 16 MiB", too_long=True)
        return found or Unreadable("no such series", empty=True)


def rows(count: int, label: str = "code") -> list[Series]:
    return [
        Series({"pod": "a-1-x", label: kind}, tuple((BEGAN + 5 * n, by * n) for n in range(count)))
        for kind, by in (("200", 98.0), ("500", 2.0))
    ]


def counted(held: Held, **more: Any) -> Counted:
    chunks = Chunks(held, "http://prometheus", "requests", **more)
    return Counted(chunks, BEGAN - 15, BEGAN, "5..")


@pytest.mark.parametrize("most", [10**9, 400, 37, 20])
def test_the_counts_are_the_same_however_much_an_answer_may_hold(most: int) -> None:
    held = Held(rows(180), most)
    found = asyncio.run(counted(held).read(PODS, BEGAN + 900))
    assert isinstance(found, Traffic)
    assert found == fold(held.series, PODS, BEGAN, "5..")


def test_what_has_settled_is_not_read_again() -> None:
    held = Held(rows(7200))
    ours, end = counted(held), BEGAN + 35_000

    async def twice() -> None:
        first = await ours.read(PODS, end)
        asked = len(held.asked)
        assert await ours.read(PODS, end) == first
        assert len(held.asked) == asked + 1

    asyncio.run(twice())


def test_what_lies_far_back_is_read_once_a_minute() -> None:
    held = Held(rows(7200))
    end = BEGAN + 36_000
    found = asyncio.run(counted(held, thin_until=end - CHUNK).read(PODS, end))
    steps = [step for _, _, step in held.asked]
    assert steps == [60.0] * 9 + [0.0, 0.0]
    assert isinstance(found, Traffic)
    assert found.failures == 2 * 7199


def test_an_answer_that_is_never_short_enough_says_so() -> None:
    found = asyncio.run(counted(Held(rows(180), 1)).read(PODS, BEGAN + 900))
    assert isinstance(found, Unreadable)
    assert found.too_long


def test_nothing_in_any_chunk_is_nothing_and_no_zero() -> None:
    found = asyncio.run(counted(Held([])).read(PODS, BEGAN + 3 * CHUNK))
    assert isinstance(found, Unreadable)
    assert found.empty


def test_a_chunk_without_samples_is_a_gap_between_others() -> None:
    late = Series({"pod": "a-1-x", "code": "500"}, ((BEGAN + 9_000, 7.0),))
    found = asyncio.run(counted(Held([late])).read(PODS, BEGAN + 9_010))
    assert isinstance(found, Traffic)
    assert found.failures == 7


def test_a_label_of_another_name_is_told_with_its_remedy() -> None:
    found = asyncio.run(counted(Held(rows(9, "status"))).read(PODS, BEGAN + 60))
    assert isinstance(found, Unreadable)
    assert "no label `code`" in found.because
    assert "metrics.requests" in found.remedy


@pytest.mark.parametrize("most", [10**9, 400])
def test_a_histogram_is_read_in_chunks_too(most: int) -> None:
    series = [
        Series({"pod": "a-1-x", "le": bound}, tuple((BEGAN + 5 * n, by * n) for n in range(180)))
        for bound, by in (("0.5", 9.0), ("+Inf", 10.0))
    ]
    held = Held(series, most)
    chunks = Chunks(held, "http://prometheus", "latency")
    found = asyncio.run(read_histogram(chunks, BEGAN - 15, BEGAN, PODS, 0.5, BEGAN + 900))
    assert not isinstance(found, Unreadable)
    buckets, slow = found
    assert buckets == {0.5: 9 * 179, float("inf"): 10 * 179}
    assert (slow.requests, slow.failures) == (10 * 179, 179)
