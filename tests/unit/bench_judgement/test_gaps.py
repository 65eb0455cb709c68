"""What is missing in each answer is missing, and what is not there is never PROCEED."""

import asyncio

import numpy as np
import pytest

from benchmarks.judgement import gaps
from benchmarks.judgement.answers import GAPS, Case, Gap, made
from benchmarks.judgement.claims import ClaimBroken

CASE = Case("api-gateway-5f8dbd7c9-", "production", 20.0, 0.1, 1_000_000.0, 5.0)


@pytest.mark.parametrize("name", GAPS)
def test_a_gap_takes_something_away(name: str) -> None:
    gap, whole = GAPS[name], made(CASE, np.random.default_rng(1))
    answered = gap.answer(gap.change(whole, CASE, np.random.default_rng(2)))
    other = gap.pods([{"status": {"conditions": [1]}}]) != [{"status": {"conditions": [1]}}]
    assert answered != Gap().answer(whole) or other or gap.unlisted or gap.hashless


def test_no_gap_proceeds_and_the_playbook_s_rule_goes_on() -> None:
    for line in gaps.lines(7, 2):
        assert line.h3.text == f"0 of {2 * len(GAPS)}"
        assert line.h3.verdict == "met"
        assert line.others["playbook, window end"].value > 0.5


def test_a_way_that_lets_nothing_through_is_no_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gaps, "judge_traffic", lambda seen: None)
    with pytest.raises(ClaimBroken, match=r"3\.00% failing"):
        asyncio.run(gaps._all(5, 7, 1))
