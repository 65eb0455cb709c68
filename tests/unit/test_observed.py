"""What observations add up to: shares with counts and intervals, times, mistakes."""

import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.messages.observe import Fate, Label, Observation, ObserveState, Truth
from slipway.observed import share, summarise
from slipway.observed_words import say_fate, say_noticed, say_verdict
from slipway.verdicts import Kind, Reason, Signal, Verdict
from starter.observed_lines import summary_lines
from tests.unit.judgements.test_fates import observation

SINCE = datetime(2026, 11, 29, tzinfo=UTC)


def seen(number: int, kind: Kind | None, fate: Fate, **changes: Any) -> Observation:
    """The observation of that number."""
    verdict = None
    if kind is not None:
        signal = changes.pop("signal", Signal.TRAFFIC)
        verdict = Verdict(kind=kind, signal=signal, reason=Reason.OK, because=f"because {number}")
    values = {"verdict": verdict, "verdict_after": 10.0 * number, "fate": fate, **changes}
    return observation(id=f"analytics-{number}", **values)


def state(*observations: Observation, **changes: Any) -> ObserveState:
    return ObserveState(
        environment="production",
        since=SINCE,
        plan_sha256="",
        observations=list(observations),
        **changes,
    )


def test_alarms_and_what_happened_are_counted() -> None:
    done = summarise(
        state(
            seen(1, Kind.ROLLBACK, Fate.ROLLED_BACK),
            seen(2, Kind.ROLLBACK, Fate.NEVER_RAN, signal=Signal.ROLLOUT),
            seen(3, Kind.ROLLBACK, Fate.KEPT),
            seen(4, Kind.HOLD, Fate.ROLLED_BACK, signal=Signal.LATENCY),
            seen(5, Kind.PROCEED, Fate.KEPT),
            seen(6, Kind.PROCEED, Fate.ROLLED_BACK),
            seen(7, Kind.INCONCLUSIVE, Fate.ROLLED_BACK),
            seen(8, Kind.PROCEED, Fate.REPLACED),
            seen(9, Kind.PROCEED, Fate.OPEN),
            seen(10, Kind.INCONCLUSIVE, Fate.REPLACED, cut_short=True),
            seen(11, Kind.PROCEED, Fate.KEPT, back=True),
            seen(12, None, Fate.OPEN),
        )
    )
    assert done.rollback.precision is not None
    assert done.rollback.recall is not None
    assert (done.rollback.precision.hits, done.rollback.precision.of) == (2, 3)
    assert (done.rollback.recall.hits, done.rollback.recall.of) == (2, 5)
    assert done.stop.precision is not None
    assert done.stop.recall is not None
    assert (done.stop.precision.hits, done.stop.precision.of) == (3, 4)
    assert (done.stop.recall.hits, done.stop.recall.of) == (3, 5)
    assert (done.back, done.judging, done.cut_short, done.open, done.unclear) == (1, 1, 1, 1, 1)
    assert [one.id for one in done.false_alarms] == ["analytics-3"]
    assert [one.id for one in done.missed] == ["analytics-6", "analytics-7"]
    assert {one.signal: one.stops for one in done.signals} == {
        "latency": 1,
        "rollout": 1,
        "traffic": 2,
    }
    assert done.times is not None
    assert (done.times.count, done.times.median, done.times.longest) == (3, 20.0, 30.0)


def test_one_that_was_under_way_says_nothing_about_time() -> None:
    done = summarise(state(seen(1, Kind.ROLLBACK, Fate.ROLLED_BACK, under_way=True)))
    assert done.times is None


def test_nothing_seen_is_no_share() -> None:
    done = summarise(state())
    assert done.rollback.precision is None
    assert summary_lines(done, state()) == [
        "production: observed since 2026-11-29T00:00:00Z, no rollout seen yet."
    ]


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"),
    [(5, 5, 0.5655, 1.0), (0, 10, 0.0, 0.2775), (8, 10, 0.4902, 0.9433)],
)
def test_wilsons_interval(hits: int, of: int, low: float, high: float) -> None:
    """Against values published for these counts (Brown, Cai and DasGupta's formula)."""
    found = share(hits, of)
    assert found is not None
    assert found.low == pytest.approx(low, abs=1e-4)
    assert found.high == pytest.approx(high, abs=1e-4)


@given(st.integers(1, 2000).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of))))
def test_an_interval_holds_its_share_and_narrows(counts: tuple[int, int]) -> None:
    hits, of = counts
    one, more = share(hits, of), share(10 * hits, 10 * of)
    assert one is not None
    assert more is not None
    assert 0 <= one.low <= hits / of <= one.high <= 1
    assert more.high - more.low < one.high - one.low
    other = share(of - hits, of)
    assert other is not None
    assert math.isclose(other.low, 1 - one.high, abs_tol=1e-9)


@given(
    st.lists(
        st.tuples(
            st.sampled_from((None, *Kind)),
            st.sampled_from(Fate),
            st.booleans(),
            st.booleans(),
        ),
        max_size=40,
    )
)
def test_every_rollout_is_counted_once(parts: list[tuple[Kind | None, Fate, bool, bool]]) -> None:
    done = summarise(
        state(
            *(
                seen(number, kind, fate, back=back, cut_short=cut and kind is not None)
                for number, (kind, fate, back, cut) in enumerate(parts, 1)
            )
        )
    )
    counted = sum(count for row in done.table.values() for count in row.values())
    assert done.rollouts == done.back + done.judging + done.cut_short + counted
    unknown = sum(row[Truth.UNKNOWN] for row in done.table.values())
    assert unknown == done.open + done.unclear


def test_no_share_is_printed_without_counts_and_interval() -> None:
    one = state(
        seen(1, Kind.ROLLBACK, Fate.ROLLED_BACK, fate_because="It was taken back."),
        seen(2, Kind.PROCEED, Fate.KEPT),
        seen(
            3, Kind.PROCEED, Fate.KEPT, label=Label(truth=Truth.BAD, person="ada", because="totals")
        ),
        forgotten=7,
        trouble="it cannot look",
    )
    lines = summary_lines(summarise(one), one)
    text = "\n".join(lines)
    for line in lines:
        assert ("%" in line) is ("95 %" in line), line
    assert "precision 1 of 1 (100%; 95 %: 21% to 100%); recall 1 of 2" in text
    assert "7 older ones" in text
    assert "Trouble: it cannot look" in text
    assert "analytics-3 (PROCEED): because 3 ada: totals" in text
    assert "ada says bad: totals" in text


def test_lines_say_who_what_when_and_why() -> None:
    one = seen(3, Kind.ROLLBACK, Fate.OPEN, by="kubectl-set", cause="release 2")
    assert say_noticed(one) == (
        "analytics-3: analytics:1 → analytics:2 by kubectl-set (release 2); "
        "noticed 1s after it began."
    )
    assert say_verdict(one) == (
        "analytics-3: slipway would have rolled it back 30s after it began. because 3"
    )
    back = one.model_copy(update={"fate": Fate.ROLLED_BACK, "fate_because": "It went back."})
    assert say_fate(back) == "analytics-3: rolled back. It went back. ROLLBACK was right."
    kept = one.model_copy(update={"fate": Fate.KEPT, "fate_because": "It stands."})
    assert say_fate(kept).endswith("ROLLBACK was wrong.")
    soon = one.model_copy(update={"fate": Fate.REPLACED, "fate_because": "Soon."})
    assert say_fate(soon).endswith("Soon.")
