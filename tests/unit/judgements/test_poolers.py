"""What keeps a rollback from letting the clients of a pooler wait."""

from dataclasses import replace

import pytest

from slipway.judgements.poolers import Entry, PoolerStanding, judge_pooler

GOOD = PoolerStanding(
    reference="env:POOLER",
    version="PgBouncer 1.24.1",
    may_pause=True,
    entries=(Entry("app", "teei", "transaction", False), Entry("x", "other", "session", True)),
    patience=120.0,
    here=True,
)


def test_a_pooler_that_may_be_paused_is_good() -> None:
    assert judge_pooler(GOOD, "teei") == []


@pytest.mark.parametrize(
    ("change", "severity", "words"),
    [
        ({"version": ""}, "block", "is no console of PgBouncer"),
        ({"version": "PgBouncer 1.9.0"}, "block", "says that it is PgBouncer 1.9.0"),
        ({"version": "PgBouncer next"}, "block", "says that it is PgBouncer next"),
        ({"may_pause": False}, "block", "may not pause env:POOLER"),
        ({"refused": "no memory."}, "block", "does not show its databases: no memory."),
        ({"entries": ()}, "block", "serves no database teei; it serves none"),
        ({"entries": GOOD.entries[1:]}, "block", "serves no database teei; it serves other"),
        ({"here": False}, "block", "on another server"),
        ({"here": None}, "note", "not proved"),
        ({"patience": 5.0}, "note", "longer than 5 s"),
    ],
)
def test_what_is_in_the_way_is_said(change: dict[str, object], severity: str, words: str) -> None:
    (finding,) = judge_pooler(replace(GOOD, **change), "teei")  # type: ignore[arg-type] # of the table
    assert (finding.severity, finding.group) == (severity, "database")
    assert words in finding.what
    assert finding.remedy.endswith((".", ";"))


def test_one_that_gives_sessions_away_and_is_paused_is_told_both() -> None:
    entries = (Entry("app", "teei", "session", True),)
    held, by_session = judge_pooler(replace(GOOD, entries=entries), "teei")
    assert (held.severity, by_session.severity) == ("block", "note")
    assert held.remedy.startswith("RESUME app;")


def test_waiting_for_ever_is_no_limit() -> None:
    assert judge_pooler(replace(GOOD, patience=0.0), "teei") == []
