"""Each rule of others does what its documentation says, on hand-made scrapes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.judgement import rules
from benchmarks.judgement.rules import Rule
from benchmarks.judgement.scrapes import Scrapes
from slipway.judgements.plain_rule import PlainRule, first_break
from tests.unit.bench_judgement.windows import minutes, window

NEVER = np.inf


def fired(rule: Rule, scrapes: Scrapes) -> float:
    (found,) = rule(scrapes)
    return float(found)


def test_the_playbook_at_the_end_looks_at_the_whole_window_once() -> None:
    early = window((100, 50), *[(300, 0)] * 23)
    assert fired(rules.playbook_at_the_end, early) == NEVER
    assert fired(rules.playbook_at_the_end, window(*[(100, 2)] * 24)) == 120
    assert fired(rules.playbook_at_the_end, window(*[(100, 1)] * 24)) == NEVER, "1 % is not above"


def test_the_playbook_at_every_scrape_takes_one_failure_of_few_for_a_ratio() -> None:
    assert fired(rules.playbook_every_scrape, window((10, 1), (1000, 0))) == 5 + 2
    late = window(*[(100, 0)] * 20, (100, 50))
    assert fired(rules.playbook_every_scrape, late) == 105 + 2
    hidden = window(*[(100, 0)] * 100, (100, 50))
    assert fired(rules.playbook_every_scrape, hidden) == NEVER


@pytest.mark.parametrize(("interval", "increments"), [(5.0, 11), (15.0, 3)])
def test_a_range_of_a_minute_holds_so_many_increments(interval: float, increments: int) -> None:
    many = [(1000, 1000), *[(1, 0)] * 20]
    seen, requests = rules.last_minute(window(*many, interval=interval))
    assert (seen[0] > 0).tolist() == [True] * increments + [False] * (21 - increments)
    assert requests[0, -1] == increments


def test_rate_1m_forgets_and_no_traffic_is_no_alarm() -> None:
    assert fired(rules.rate_1m, window(*[(100, 0)] * 100, (100, 50))) == 505 + 2
    assert fired(rules.rate_1m, window((0, 0), (0, 0))) == NEVER
    assert fired(rules.rate_1m, window(*[(100, 1)] * 30)) == NEVER


def test_flagger_counts_failed_checks_and_a_good_one_does_not_reset_them() -> None:
    assert fired(rules.flagger, minutes(2, 2, 2, 2, 2)) == 300
    assert fired(rules.flagger, minutes(2, 2, 0, 2, 0, 0, 2, 2)) == 480
    assert fired(rules.flagger, minutes(2, 2, 0, 2, 2)) == NEVER
    assert fired(rules.flagger, minutes(1, 1, 1, 1, 1, 1)) == NEVER, "99 % is enough"


def test_flagger_cannot_fire_within_two_minutes() -> None:
    assert fired(rules.flagger, minutes(100, 100)) == NEVER


def test_flagger_takes_no_traffic_for_a_failed_check() -> None:
    assert fired(rules.flagger, minutes(0, 0, 0, 0, 0, requests=0)) == 300


def test_argo_fails_when_failures_exceed_the_limit() -> None:
    assert fired(rules.argo_0, minutes(2)) == 30
    assert fired(rules.argo_0, minutes(1, 1, 1)) == NEVER
    assert fired(rules.argo_3, minutes(2, 2)) == 120, "three may fail, the fourth may not"
    assert fired(rules.argo_3, minutes(2)) == NEVER
    assert fired(rules.argo_3, minutes(2, 0, 0, 2)) == 240, "all in all, not in a row"


def test_argo_takes_no_traffic_for_no_failure() -> None:
    assert fired(rules.argo_0, minutes(0, 0, requests=0)) == NEVER


def test_a_timer_sees_only_what_is_in_when_it_strikes() -> None:
    assert fired(rules.argo_0, window(*[(100, 0)] * 5, (100, 100), *[(100, 0)] * 6)) == 60


def test_b6s_wants_six_failures_in_three_scrapes_above_one_percent() -> None:
    assert fired(rules.b6s, window((100, 2), (100, 2), (100, 2))) == 15 + 2
    assert fired(rules.b6s, window((100, 3), (100, 3), (100, 0))) == NEVER
    assert fired(rules.b6s, window((100, 2), (100, 2), (100, 1))) == NEVER
    assert fired(rules.b6s, window((200, 2), (200, 2), (200, 2))) == NEVER


def test_b6s_looks_at_its_last_minute_or_at_the_last_two() -> None:
    late = window(*[(100, 0)] * 100, *[(100, 3)] * 12)
    assert fired(rules.b6s, late) == 500 + 25 + 2, "15 of 1,200; 12 are exactly 1 %"
    assert fired(rules.b6s_2m, late) == 500 + 45 + 2, "27 of 2,400; 24 are exactly 1 %"


counts = st.tuples(st.integers(0, 60), st.integers(0, 4)).map(lambda one: (one[0] + one[1], one[1]))


@given(st.lists(counts, min_size=1, max_size=60))
def test_b6s_over_two_minutes_is_the_plain_rule_that_slipway_prints(
    scrapes: list[tuple[int, int]],
) -> None:
    number = first_break(scrapes, PlainRule())
    assert fired(rules.b6s_2m, window(*scrapes)) == (NEVER if number is None else 5 * number + 2)
