"""An outage in the hour before is not how a service fails; what is, stays."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.judgements.counters import Scrape
from slipway.judgements.incidents import condensed, without_incidents
from slipway.judgements.readings import say_before
from slipway.judgements.rule import Frame, baseline
from slipway.judgements.traffic import Seen, judge_traffic
from slipway.messages.watch import TrafficBefore
from slipway.plan import Limits
from slipway.verdicts import Kind, Reason
from tests.unit.judgements.test_traffic import BEGAN, judged, service, traffic

LIMITS = Limits()
INTERVAL = 15.0


def hour(failures: list[int], requests: int = 300) -> list[Scrape]:
    return [
        Scrape(INTERVAL * number, max(requests, one), one)
        for number, one in enumerate(failures, start=1)
    ]


def outage(begins: int, scrapes: int, failing: float = 1.0, usual: int = 0) -> list[Scrape]:
    """An hour at 20 requests a second, in which some scrapes fail."""
    bad = range(begins, begins + scrapes)
    return hour([round(300 * failing) if number in bad else usual for number in range(240)])


def frame(before: TrafficBefore) -> Frame:
    return Frame(BEGAN, 120.0, 5.0, LIMITS, before=before)


@given(st.integers(0, 220), st.integers(9, 48), st.sampled_from([0.3, 0.5, 1.0]))
def test_an_outage_is_left_out_wherever_it_lies(begins: int, scrapes: int, failing: float) -> None:
    seen = outage(begins, scrapes, failing)
    usual = without_incidents(seen)
    if sum(one.failures > 0 for one in seen) < 9:  # cut off by the hour's end
        return
    assert usual.failures == sum(one.failures for one in seen)
    assert {*usual.scrapes} <= {*seen}
    assert usual.seconds <= 0.25 * 3600


@pytest.mark.parametrize("failing", [0.08, 0.03])
def test_after_an_outage_a_release_that_fails_is_still_found(failing: float) -> None:
    """Five minutes of outage made 13.7 % the usual thing, and 8 % of failures safe."""
    before = condensed(outage(100, 20), 3600)
    assert frame(before).setting.reference == LIMITS.error_rate
    assert frame(before).setting.phi == 1
    scrapes = traffic(*[(100, round(100 * failing))] * 24)
    verdict = judged(scrapes, before=before)
    assert verdict.kind is Kind.ROLLBACK
    assert "Left out of the time before, as an incident: 5m58s with 7,200 req" in verdict.because


def test_what_it_usually_fails_stays() -> None:
    """1.3 % before and after: only the outage is left out."""
    before = condensed(outage(100, 20, usual=4), 3600)
    plain = condensed(hour([4] * 240), 3600)
    assert before.failures / before.requests == pytest.approx(plain.failures / plain.requests)
    assert frame(before).setting.reference == pytest.approx(
        frame(plain).setting.reference, rel=0.02
    )


def test_two_outages_are_two_and_an_hour_of_them_is_how_the_service_is() -> None:
    two = [a if a.failures else b for a, b in zip(outage(30, 16), outage(150, 16), strict=True)]
    assert without_incidents(two).failures == 32 * 300
    long = outage(60, 100)
    assert without_incidents(long).scrapes == tuple(long)


def test_a_minute_of_outage_is_an_incident_and_what_comes_again_is_not() -> None:
    once, twice = outage(101, 5), outage(101, 5)
    twice[30:35] = outage(31, 5)[30:35]
    assert without_incidents(once).failures == 5 * 300
    assert without_incidents(twice).scrapes == tuple(twice)


@settings(max_examples=50)
@given(st.lists(st.integers(0, 239), max_size=19))
def test_too_few_failures_to_tell_are_all_kept(where: list[int]) -> None:
    seen = hour([where.count(number) for number in range(240)], requests=3)
    assert without_incidents(seen).scrapes == tuple(seen)


def test_a_time_of_few_scrapes_is_kept_whole() -> None:
    seen = outage(4, 8)[:30]
    assert without_incidents(seen).scrapes == tuple(seen)
    assert without_incidents([]).scrapes == ()
    same = [Scrape(5.0, 100, 50)] * 100
    assert without_incidents(same).scrapes == tuple(same)


def drawn(rng: random.Random, ratio: float, requests: int) -> int:
    return sum(rng.random() < ratio for _ in range(requests))


@pytest.mark.parametrize("kind", ["even", "gamma", "bursts", "rare bursts"])
@pytest.mark.parametrize("requests", [30, 300])
def test_a_service_keeps_its_own_failures(kind: str, requests: int) -> None:
    """About 1 % in the long run, from scrape to scrape as in `benchmarks/judgement/cells.py`."""
    rng = random.Random(f"{kind} {requests}")
    ratios = {
        "even": lambda: 0.012,
        "gamma": lambda: min(1.0, rng.gammavariate(0.3, 0.04)),
        "bursts": lambda: 0.05 if rng.random() < 0.2 else 0.0,
        "rare bursts": lambda: 0.5 if rng.random() < 0.02 else 0.0,
    }
    changed = 0
    for _ in range(60):
        seen = hour([drawn(rng, ratios[kind](), requests) for _ in range(240)], requests)
        usual = without_incidents(seen)
        changed += usual.seconds > 0
        assert usual.seconds <= 0.25 * 3600
    assert changed <= 3


def test_a_baseline_above_the_limit_is_said() -> None:
    """What it excuses is no worse than before, and never silently good."""
    bad = condensed(hour([9] * 240), 3600)
    assert baseline(bad, LIMITS.error_rate) is not None
    said = say_before(frame(bad))
    assert said.startswith("The time before is itself above the 1 % that is rolled back: up to 3.")
    verdict = judged(traffic(*[(1000, 13)] * 24), before=bad)
    assert (verdict.kind, verdict.reason) == (Kind.PROCEED, Reason.ERROR_RATE_RAISED)
    assert said in verdict.because
    assert judged(traffic(*[(1000, 5)] * 24), before=bad) is None
    assert say_before(frame(condensed(hour([0] * 240), 3600))) == ""


def test_it_excuses_nobody_who_is_worse() -> None:
    bad = condensed(hour([9] * 240), 3600)
    seen = Seen(service(), traffic(*[(1000, 120)] * 24), True, True, frame(bad))
    verdict = judge_traffic(seen)
    assert verdict is not None
    assert verdict.kind is Kind.ROLLBACK
    assert "itself above the 1 %" in verdict.because
