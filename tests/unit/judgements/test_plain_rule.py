"""The plain rule: its running totals are the rule applied after every scrape."""

from hypothesis import given
from hypothesis import strategies as st

from slipway.judgements.plain_rule import PlainRule, first_break

RULE = PlainRule()


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 9)), max_size=60))
def test_one_pass_finds_what_looking_after_every_scrape_finds(
    scrapes: list[tuple[int, int]],
) -> None:
    after_each = [RULE.breaks(scrapes[: number + 1]) for number in range(len(scrapes))]
    expected = after_each.index(True) + 1 if True in after_each else None
    assert first_break(scrapes, RULE) == expected


def test_it_asks_for_six_failures_in_three_scrapes_above_one_percent() -> None:
    assert first_break([(100, 2)] * 3, RULE) == 3
    assert first_break([(100, 3), (100, 3)], RULE) is None
    assert first_break([(100, 2), (100, 2), (100, 1)], RULE) is None
    assert first_break([(200, 2)] * 24, RULE) is None


def test_a_late_fault_is_not_hidden_by_the_time_before() -> None:
    assert first_break([(100, 0)] * 150 + [(100, 3)] * 24, RULE) is not None
