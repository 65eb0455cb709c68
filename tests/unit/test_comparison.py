"""What a comparison of a copy with production says: numbers, reasons, and what was not compared."""

from slipway.judgements.comparison import compared, differing
from slipway.messages.migration import TableCompared

EQUAL = TableCompared(table="public.a", rows=3, closed=True)
EARLIER = TableCompared(table="public.b", rows=4)
ODD = TableCompared(
    table="public.c", rows=5, recorded=2, migrated=1_000, unexplained=1, keys=["id=7"]
)


def test_equal_tables_are_counted_and_those_of_the_last_moment_among_them() -> None:
    assert compared([EQUAL, EARLIER]) == (
        "Compared with production: 2 of 2 tables equal (1 of them while it was closed)."
    )


def test_each_reason_has_its_number() -> None:
    assert differing([ODD]) == (
        "public.c 2 in the conflict file, 1,000 written by the migration itself, 1 unexplained"
        " (id=7)"
    )


def test_what_was_not_compared_is_said_with_its_reason() -> None:
    left = TableCompared(table="public.d", left="no time: 900 MB")
    partly = TableCompared(table="public.e", without=["old", "older"])
    said = compared([EQUAL, ODD, left, partly], ["public.n is a new table."])
    assert said == (
        "Compared with production: 2 of 4 tables equal (1 of them while it was closed);"
        f" differing: {differing([ODD])}; not compared: public.d (no time: 900 MB);"
        " without columns: public.e (old, older). public.n is a new table."
    )


def test_many_tables_are_not_all_named() -> None:
    many = [ODD.model_copy(update={"table": f"public.t{n}"}) for n in range(9)]
    assert differing(many).endswith(" and 3 more")
    assert "public.t6" not in differing(many)


def test_an_unread_or_differing_table_is_not_equal() -> None:
    assert EQUAL.equal
    assert not ODD.equal
    assert not TableCompared(table="public.d", left="no time").equal
