"""Error lines by class, against the time before; heartbeats in logs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.judgements.logs import (
    LogLine,
    classify,
    heartbeat_problem,
    is_error,
    judge_logs,
    parse_lines,
)
from slipway.plan import Limits, LogClass
from slipway.verdicts import Kind

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
    ],
)
def test_levels(line: str, error: bool) -> None:
    assert is_error(line) is error


def test_only_error_lines_are_classified() -> None:
    lines = [LogLine(1, "ERROR ECONNREFUSED"), LogLine(1, "INFO ECONNREFUSED"), LogLine(1, "ERROR")]
    assert classify(lines, CLASSES) == {"connection": 1, "db": 0}


@pytest.mark.parametrize(
    ("count", "per_hour", "seconds", "rolled_back"),
    [
        (4, 0, 120, False),
        (5, 0, 120, True),
        (5, 60, 120, False),
        (7, 60, 120, True),
        (60, 600, 120, False),
    ],
)
def test_lines_against_the_hour_before(
    count: int, per_hour: int, seconds: float, rolled_back: bool
) -> None:
    verdict = judge_logs("buddy", {"db": count}, {"db": per_hour / 3600}, seconds, LIMITS)
    assert (verdict is not None and verdict.kind is Kind.ROLLBACK) is rolled_back


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
