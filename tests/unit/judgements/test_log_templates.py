"""Which kinds of error lines are new."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.judgements.log_templates import fold, kept, new_kinds, templates
from slipway.judgements.logs import LogLine


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ERROR took 12 ms", "ERROR took 1500.25 ms"),
        ("ERROR connect 10.0.0.1:5432", "ERROR connect 10.96.12.7:5672"),
        ('ERROR no user "ada"', 'ERROR no user "grace hopper"'),
        ("2026-11-23T18:00:00.1Z ERROR x", "2026-11-24 09:30:12,5+01:00 ERROR x"),
        (
            "ERROR job 11111111-2222-3333-4444-555555555555",
            "ERROR job aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee",
        ),
        ("ERROR blob 0x7ffd1234abcd", "ERROR blob 0x7ffd99990000"),
        ('{"level":50,"time":1,"msg":"lost 3"}', '{"level":50,"time":2,"msg":"lost 17"}'),
    ],
)
def test_lines_that_differ_in_values_are_one_kind(one: str, other: str) -> None:
    assert fold(one) == fold(other)
    assert "<*>" in fold(one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ERROR cannot connect", "ERROR cannot read"),
        ('{"level":50,"msg":"lost"}', '{"level":50,"msg":"found"}'),
        ("ERROR deadbeef", "ERROR facade"),
    ],
)
def test_lines_that_say_something_else_are_another_kind(one: str, other: str) -> None:
    assert fold(one) != fold(other)


def test_new_kinds_are_told_the_most_frequent_first() -> None:
    before = templates([LogLine(1, "ERROR old 1"), LogLine(1, "INFO no error")])
    assert kept(before) == ["ERROR old <*>"]
    lines = [*(LogLine(2, f"ERROR new {n}") for n in range(3)), LogLine(2, "ERROR old 2")]
    now = templates([*lines, LogLine(2, "ERROR rare")])
    said = new_kinds("buddy", kept(before), now)
    assert "did not hold: 3 × ERROR new <*>; 1 × ERROR rare." in said
    assert new_kinds("buddy", ["ERROR old <*>"], Counter({"ERROR old <*>": 9})) == ""


def test_many_new_kinds_are_counted() -> None:
    now = Counter({f"ERROR {letter}": 1 for letter in "abcdefgh"})
    assert new_kinds("buddy", [], now).endswith("; and 3 more.")


@given(st.text(max_size=400))
def test_any_line_folds(line: str) -> None:
    assert len(fold(line)) <= 160


def test_half_a_character_in_json_is_replaced() -> None:
    """A lone surrogate fits into no payload: the run would stand still."""
    assert fold('{"level":50,"msg":"lost \\ud83d"}') == "lost ?"


def test_templates_hold_no_secrets() -> None:
    assert (
        fold("ERROR no way to postgres://app:Sekret@db") == "ERROR no way to postgres://app:***@db"
    )
    assert "Sekret" not in fold('{"level":50,"msg":"sent Authorization: Bearer Sekret-of-ours"}')
