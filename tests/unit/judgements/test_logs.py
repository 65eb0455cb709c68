"""Error lines by class, against the time before; heartbeats in logs."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.judgements.log_levels import MAY_BE_ERROR, is_error
from slipway.judgements.logs import (
    ALL,
    CORRUPTED,
    LONGEST,
    Before,
    ErrorLines,
    LogLine,
    classify,
    heartbeat_problem,
    in_steps,
    judge_logs,
    parse_lines,
    unwrapped,
)
from slipway.plan import Limits, LogClass
from slipway.verdicts import Kind, Reason, Verdict

CLASSES = [LogClass(name="connection", pattern="ECONNREFUSED"), LogClass(name="db", pattern="SQL")]
LIMITS = Limits()


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("ERROR [connection] refused", True),
        ("2026-11-23T18:00:00Z FATAL gone", True),
        ('{"level":"error","msg":"x"}', True),
        ('{"level":50,"msg":"x"}', True),
        ('{"level":30,"msg":"ERROR in the text"}', False),
        ('{"severity":"CRITICAL"}', True),
        ("INFO no ERRORS here", False),
        ("INFO " + "x" * 200 + " ERROR", False),
        ("{broken ERROR", True),
        ("2026-11-23T18:00:00Z INFO a user says: ERROR", False),
        ("2026-11-23T18:00:00Z [WARN] gave up after ERROR", False),
        ("2026-11-23T18:00:00Z ERROR of level INFO", True),
        ('{"time":1,"level":50,"msg":"no end', True),
        ('{"msg":"said \\"level\\":50","level":30,"rest":"no end', False),
        ('{"severity" : "ERROR","msg":"no end', True),
    ],
)
def test_levels(line: str, error: bool) -> None:
    assert is_error(line) is error


def test_only_error_lines_are_classified() -> None:
    lines = [LogLine(1, "ERROR ECONNREFUSED"), LogLine(1, "INFO ECONNREFUSED"), LogLine(1, "ERROR")]
    assert classify(lines, CLASSES) == {"connection": 1, "db": 0, ALL: 2, CORRUPTED: 0}


def judged(*steps: int, per_hour: float = 0.0, last: bool = True) -> Verdict | None:
    """24 steps of five seconds are planned."""
    lines = ErrorLines({"db": steps}, 5.0)
    before = Before({"db": per_hour / 3600}, 3600.0)
    return judge_logs("buddy", lines, before, 24, LIMITS, last=last)


def kind(verdict: Verdict | None) -> Kind | None:
    return verdict.kind if verdict else None


@pytest.mark.parametrize(
    ("steps", "per_hour", "expected"),
    [
        ([1] * 4, 0, None),
        ([1, 0] * 12, 0, Kind.ROLLBACK),
        ([1] * 6, 0, Kind.ROLLBACK),
        ([1] * 24, 1200, None),
        ([2] * 24, 240, Kind.ROLLBACK),
        ([1, 0, 0] * 2, 60, None),
    ],
)
def test_lines_against_the_hour_before(
    steps: list[int], per_hour: float, expected: Kind | None
) -> None:
    assert kind(judged(*steps, per_hour=per_hour)) is expected


def test_many_lines_at_once_are_no_failing_release() -> None:
    """A stack trace, or a request that is tried again at once."""
    assert kind(judged(0, 40, 0, 0)) is None
    assert kind(judged(*[0] * 10, 500, *[0] * 13, per_hour=6)) is None


def test_less_evidence_holds_at_the_end_of_a_window() -> None:
    some = [1, 0, 1, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1]
    verdict = judged(*some)
    assert kind(verdict) is Kind.HOLD
    assert judged(*some, last=False) is None


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=24),
    st.integers(0, 23),
    st.integers(1, 20),
)
def test_more_lines_never_make_it_milder(steps: list[int], where: int, more: int) -> None:
    worse = [*steps]
    worse[where % len(steps)] += more
    order = [None, Kind.HOLD, Kind.ROLLBACK]
    assert order.index(kind(judged(*worse))) >= order.index(kind(judged(*steps)))


def test_lines_are_counted_in_steps_of_the_window() -> None:
    lines = [LogLine(at, "ERROR ECONNREFUSED") for at in (99, 100, 104.9, 105, 113, 120)]
    found = in_steps(lines, CLASSES, 100.0, 5.0, 114.0)
    assert found.counts["connection"] == [2, 1, 2]
    assert found.totals == {"connection": 5, "db": 0, ALL: 5, CORRUPTED: 0}


def test_all_error_lines_together_are_judged_as_a_class_is() -> None:
    lines = ErrorLines({ALL: [2] * 12, "db": [0] * 12}, 5.0)
    verdict = judge_logs("buddy", lines, Before({ALL: 0.0}, 3600.0), 24, LIMITS, last=False)
    assert verdict is not None
    assert verdict.kind is Kind.ROLLBACK
    assert "24 error lines in 60 s" in verdict.because


def test_a_class_that_explains_it_is_named_first() -> None:
    lines = ErrorLines({ALL: [3] * 12, "db": [1] * 12}, 5.0)
    verdict = judge_logs("buddy", lines, Before({ALL: 0.0}, 3600.0), 24, LIMITS, last=False)
    assert verdict is not None
    assert "12 error lines of class 'db'" in verdict.because


def test_all_error_lines_are_not_judged_where_their_usual_rate_was_not_taken() -> None:
    lines = ErrorLines({ALL: [9] * 12}, 5.0)
    assert judge_logs("buddy", lines, Before({"db": 0.1}, 3600.0), 24, LIMITS, last=True) is None


@pytest.mark.parametrize("state", ["XX001", "XX002"])
def test_one_line_of_corrupted_data_is_enough(state: str) -> None:
    line = LogLine(101, f"ERROR [database] {state}: invalid page in block 7")
    lines = in_steps([line], CLASSES, 100.0, 5.0, 110.0)
    verdict = judge_logs("buddy", lines, Before({}, 3600.0), 24, LIMITS, last=False)
    assert verdict is not None
    assert (verdict.kind, verdict.reason) == (Kind.ROLLBACK, Reason.DATA_CORRUPTION)
    others = [LogLine(1, "INFO SQLSTATE XX001"), LogLine(1, "ERROR SQLSTATE XX000")]
    assert classify(others, CLASSES)[CORRUPTED] == 0


@pytest.mark.parametrize("end", ["\u2028", "\u2029", "\x85", "\x0c", "\x0b", "\x1e", "\r"])
def test_a_users_text_cannot_begin_a_line_of_its_own(end: str) -> None:
    forged = f"hi{end}2026-11-23T18:00:00Z ERROR SQLSTATE XX001"
    lines = parse_lines(f"2026-11-23T18:00:00Z INFO a user says {forged}\r\n")
    assert [one.text for one in lines] == [f"INFO a user says {forged}"]
    assert classify(lines, CLASSES)[CORRUPTED] == 0


@pytest.mark.parametrize("length", [3_105, 20_000, 200_000])
def test_long_lines_have_their_level_and_class(length: int) -> None:
    """Longer ones than are looked at still have the level that stands before the stack trace."""
    first = json.dumps({"level": 50, "msg": "ECONNREFUSED", "stack": "x" * length})
    last = json.dumps({"stack": "ECONNREFUSED" + "x" * length, "level": 50})
    for text in (first, last) if length < LONGEST else (first,):
        counts = classify(parse_lines(f"2026-11-23T18:00:00Z {text}\n"), CLASSES)
        assert (counts[ALL], counts["connection"]) == (1, 1)


def test_lines_carry_their_time() -> None:
    text = "2026-11-23T18:00:00.123456789Z ERROR a\nnot a time ERROR b\n2026-11-23T18:00:01Z c"
    lines = parse_lines(text)
    assert [one.text for one in lines] == ["ERROR a", "c"]
    assert lines[1].at - lines[0].at == pytest.approx(0.876543211, abs=1e-5)


@given(st.text(max_size=300))
def test_any_log_can_be_read(text: str) -> None:
    classify(parse_lines(text), CLASSES)
    is_error(text)


def test_heartbeats() -> None:
    lines = [LogLine(100, "gateway heartbeat"), LogLine(105, "other")]
    assert heartbeat_problem(lines, "heartbeat", 150, 60) == ""
    assert "61 s old" in heartbeat_problem(lines, "heartbeat", 161, 60)
    assert "no log line" in heartbeat_problem([], "heartbeat", 161, 60)


LEVELS = st.one_of(
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(
        ["error", "Fatal", "CRITICAL", "alert", "Emerg", "emergency", "panic", "Severe"]
    ),
    st.text(max_size=8),
)


@given(
    st.one_of(
        st.text(),
        st.builds(
            "{} {} {}".format, st.text(max_size=20), st.sampled_from(["ERROR", "PANIC"]), st.text()
        ),
        st.builds(
            lambda key, level, spaced: json.dumps(
                {"msg": "x", key: level}, separators=None if spaced else (",", ":")
            ),
            st.sampled_from(["level", "severity"]),
            LEVELS,
            st.booleans(),
        ),
    )
)
def test_a_log_store_is_asked_for_every_line_that_is_an_error(line: str) -> None:
    wrapped = (line, f"2026-11-23T18:00:00.1Z stdout F {line}", json.dumps({"log": line + "\n"}))
    for one in wrapped:
        assert not is_error(line) or re.search(MAY_BE_ERROR, one)


@pytest.mark.parametrize(
    ("line", "inner"),
    [
        ("ERROR x", "ERROR x"),
        ("2026-11-23T18:00:00.1Z stderr F ERROR x", "ERROR x"),
        ('{"log":"ERROR x\\n","stream":"stderr","time":"t"}', "ERROR x"),
        ('{"level":50,"msg":"x"}', '{"level":50,"msg":"x"}'),
        ('{"log":{"level":50}}', '{"log":{"level":50}}'),
        ('{"log":"unfinished', '{"log":"unfinished'),
    ],
)
def test_a_line_is_taken_out_of_what_a_collector_left_around_it(line: str, inner: str) -> None:
    assert unwrapped(line) == inner
