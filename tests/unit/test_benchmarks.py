"""How benchmarks judge: statistics, verdicts, the table, and what a client's log proves."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.clients import Done
from benchmarks.figures import (
    Figure,
    Result,
    Spread,
    from_json,
    merged,
    quantile,
    spread,
    to_json,
)
from benchmarks.rows import rollback
from benchmarks.table import number, rendered


def test_a_spread_is_median_and_range() -> None:
    assert spread([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0, 3)
    assert spread([1.0, 2.0]).median == 1.5
    with pytest.raises(ValueError, match="nothing was measured"):
        spread([])


def test_a_quantile_is_a_value_that_was_measured() -> None:
    values = [float(one) for one in range(1, 101)]
    assert quantile(values, 0.99) == 99
    assert quantile(values, 0.5) == 50
    assert quantile(values, 1.0) == 100
    assert quantile(values, 0.0) == 1
    assert quantile([7.0], 0.99) == 7
    with pytest.raises(ValueError, match="nothing was measured"):
        quantile([], 0.5)


@given(st.lists(st.integers(-1000, 1000), min_size=1), st.integers(0, 100))
def test_so_many_values_do_not_exceed_a_quantile(values: list[int], percent: int) -> None:
    found = quantile([float(one) for one in values], percent / 100)
    assert sum(one <= found for one in values) * 100 >= percent * len(values)
    assert sum(one < found for one in values) * 100 <= max(percent * len(values), 0)


@pytest.mark.parametrize(
    ("figure", "reached"),
    [
        (Figure("a", Spread(0.4, 0.1, 9.0, 3), target=0.4), True),
        (Figure("a", Spread(0.41, 0.1, 0.5, 3), target=0.4), False),
        (Figure("a", Spread(0, 0, 1, 3), target=0, worst=True), False),
        (Figure("a", Spread(0, 0, 0, 3), target=0, worst=True), True),
        (Figure("a", Spread(5, 5, 5, 1)), None),
    ],
)
def test_the_median_is_judged_or_the_worst_run(figure: Figure, reached: bool | None) -> None:
    assert figure.reached is reached


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (5, "5"),
        (0.05, "0.05"),
        (0.0031, "0.0031"),
        (1.2345, "1.23"),
        (12.345, "12.3"),
        (123.45, "123"),
        (12345.6, "12,346"),
    ],
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert number(value) == text


def test_the_table_tells_target_range_and_verdict() -> None:
    ratio = Figure("outage", Spread(0.02, 0.01, 0.03, 3), "x", 0.05, note="By the clients' log.")
    missed = Figure("serving", Spread(2.5, 2.1, 3.0, 3), "s", 2.0, note="By the clients' log.")
    free = Figure("replayed", Spread(30000, 30000, 30000, 1), "/s")
    text = rendered([Result("rollback", "1GB", [ratio, missed, free])])
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines[2] == "| outage | 1GB | ≤ 0.05x | 0.02x (0.01 to 0.03) | reached |"
    assert lines[3] == "| serving | 1GB | ≤ 2 s | 2.50 s (2.10 to 3) | FALLS SHORT |"
    assert lines[4] == "| replayed | 1GB | | 30,000 /s | |"
    assert text.count("By the clients' log.") == 1
    assert len({line.count("|") for line in lines[:5]}) == 1


def test_results_are_kept_and_newer_ones_take_their_place() -> None:
    def result(size: str, value: float) -> Result:
        return Result("backup", size, [Figure("a", spread([value]), "s", 1.0)], [{"a": value}], 0.5)

    text = to_json([result("50MB", 1.0), result("1GB", 2.0)], {"cores": 2})
    assert json.loads(text)["cores"] == 2
    kept = merged(from_json(text), [result("1GB", 3.0), result("tiny", 4.0)])
    assert kept == [result("50MB", 1.0), result("1GB", 3.0), result("tiny", 4.0)]


OLD, NEW = 100, 200
LOG = [
    Done(0.0, 1.0, OLD, 1),
    Done(1.0, 2.0, OLD, 2),
    Done(2.0, 5.5, NEW, 3),
    Done(2.1, 5.0, NEW, 4),
]


def test_an_outage_lasts_from_the_old_databases_last_answer_to_the_new_ones_first() -> None:
    found = rollback.judged(LOG, {1, 2, 3, 4}, before=OLD, decided=1.5)
    assert found == rollback.Back(outage=3.0, serving=3.5, acknowledged=2, lost=0)


def test_what_was_acknowledged_before_and_is_gone_is_lost() -> None:
    assert rollback.judged(LOG, {2, 3}, before=OLD, decided=1.5).lost == 1


def _back(**values: Any) -> rollback.Back:
    given: dict[str, Any] = {"outage": 1.0, "serving": 1.0, "acknowledged": 6000, "lost": 0}
    return rollback.Back(**{**given, **values})


def test_a_comparison_that_does_not_do_what_it_claims_ends_the_benchmark() -> None:
    rollback._check(_back(), _back(lost=5000))
    with pytest.raises(RuntimeError, match="it did not go back"):
        rollback._check(_back(), _back(lost=4999))
    with pytest.raises(RuntimeError, match="Only 10 writes"):
        rollback._check(_back(acknowledged=10), _back(lost=5000))
