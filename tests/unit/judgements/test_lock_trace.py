"""How long a migration held which lock, from looks at its session."""

from hypothesis import given
from hypothesis import strategies as st

from slipway.judgements.lock_trace import LockTrace, Look, short_statement

ACCESS, SHARE, ROW = "AccessExclusiveLock", "ShareLock", "RowExclusiveLock"


def trace(*looks: Look) -> LockTrace:
    """Return a trace of these looks."""
    return LockTrace(list(looks))


def test_a_lock_counts_from_the_look_before_it_to_the_look_after_it() -> None:
    held = frozenset({("public.users", ACCESS)})
    found = trace(
        Look(1.0, 7, "BEGIN", 0.9, 1.0),
        Look(1.05, 7, "ALTER TABLE users", 1.02, 0, held),
        Look(5.0, 7, "ALTER TABLE users", 1.02, 4.9, held),
        Look(5.2, 7, "COMMIT", 5.1, 5.2),
    ).locks()
    assert [(one.table, one.mode, one.statement) for one in found] == [
        ("public.users", ACCESS, "ALTER TABLE users")
    ]
    assert found[0].seconds == round(5.2 - 1.02, 4)


def test_a_lock_that_was_never_seen_to_end_lasts_to_the_last_look() -> None:
    held = frozenset({("t", SHARE)})
    (found,) = trace(Look(1.0, 7, "a", 0.5, 0, held), Look(3.0, 7, "a", 0.5, 0, held)).locks()
    assert found.seconds == 2.5


def test_without_the_statements_time_the_look_before_counts() -> None:
    held = frozenset({("t", SHARE)})
    (found,) = trace(Look(1.0, 7), Look(2.0, 7, "", 0, 0, held), Look(3.0, 7)).locks()
    assert found.seconds == 2.0


def test_the_strongest_lock_of_a_table_is_told_and_unknown_modes_are_not() -> None:
    held = frozenset({("t", ROW), ("t", ACCESS), ("u", SHARE), ("t", "SIReadLock")})
    found = trace(Look(1.0, 7, "a", 0.5, 0, held), Look(1.1, 7, "a", 0.5, 1.1)).locks()
    assert [(one.table, one.mode) for one in found] == [("t", ACCESS), ("u", SHARE)]


def test_sessions_are_followed_apart() -> None:
    held = frozenset({("t", SHARE)})
    found = trace(
        Look(1.0, 7, "a", 0.9, 0, held), Look(1.5, 8, "b", 1.4, 0), Look(2.0, 7, "a", 0.9, 0, held)
    ).locks()
    assert [one.seconds for one in found] == [1.1]


def test_statements_are_told_by_their_own_length_slowest_first() -> None:
    found = trace(
        Look(1.0, 7, "one", 0.5, 0),
        Look(2.0, 7, "one", 0.5, 1.5),
        Look(2.1, 7, "two", 2.05, 2.06),
    ).statements()
    assert [(one.statement, one.seconds) for one in found] == [("one", 1.0), ("two", 0.01)]


@given(st.lists(st.floats(0.001, 10), min_size=2, max_size=20))
def test_no_lock_is_told_shorter_than_it_was_seen(steps: list[float]) -> None:
    held = frozenset({("t", ACCESS)})
    at, looks = 1.0, []
    for step in steps:
        looks.append(Look(at, 7, "a", at, 0, held))
        at += step
    (found,) = trace(*looks).locks()
    assert found.seconds >= round(looks[-1].at - looks[0].at, 4) - 1e-4


def test_a_statement_is_shown_on_one_short_line() -> None:
    assert short_statement("ALTER\n\tTABLE  users") == "ALTER TABLE users"
    assert len(short_statement("x " * 500)) == 160
