"""Corruption probes that compare their value with the one before the first change."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.judgements.corruption import compared, judge_probe, of_itself
from slipway.plan import Comparison, CorruptionProbe
from slipway.verdicts import Kind, Reason

COUNT = CorruptionProbe(name="rows", sql="SELECT count(*) FROM t", compare=Comparison.NOT_FALLING)
SUM = CorruptionProbe(name="sum", sql="SELECT md5('x')", compare=Comparison.UNCHANGED)


@given(st.integers(0, 10**18), st.integers(0, 10**18))
def test_a_count_may_grow_and_never_fall(then: int, now: int) -> None:
    verdict = judge_probe(compared(COUNT, str(now), {"rows": str(then)}))
    assert verdict.kind is (Kind.PROCEED if now >= then else Kind.ROLLBACK)


def test_the_sentence_tells_both_values() -> None:
    verdict = judge_probe(compared(COUNT, "99", {"rows": "145978"}))
    assert verdict.reason is Reason.DATA_CORRUPTION
    assert "it was 145978 before the first change and is 99 now" in verdict.because


@given(st.text(min_size=1, max_size=40), st.text(min_size=1, max_size=40))
def test_what_must_not_change_does_not(then: str, now: str) -> None:
    verdict = judge_probe(compared(SUM, now, {"sum": then}))
    assert verdict.kind is (Kind.PROCEED if now == then else Kind.ROLLBACK)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "many", "", "None"])
def test_what_is_no_number_is_never_sound(value: str) -> None:
    assert judge_probe(compared(COUNT, value, {"rows": "1"})).kind is Kind.INCONCLUSIVE
    assert judge_probe(compared(COUNT, "1", {"rows": value})).kind is Kind.INCONCLUSIVE


def test_without_a_value_before_there_is_no_answer() -> None:
    result = compared(COUNT, "5", {})
    assert judge_probe(result).kind is Kind.INCONCLUSIVE
    assert Decimal(result.value) == 5


def test_a_plan_without_comparisons_keeps_its_digest() -> None:
    plain = CorruptionProbe(name="p", sql="SELECT true")
    assert plain.model_dump() == {"name": "p", "sql": "SELECT true"}
    assert of_itself([plain, COUNT, SUM]) == [plain]
