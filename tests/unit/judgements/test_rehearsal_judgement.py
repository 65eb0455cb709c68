"""What a rehearsal's facts mean, and what the tables' catalogues say."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from slipway.judgements.rehearsal import (
    NOTICED,
    judge,
    schema_diff,
    statement_budget,
    summary,
)
from slipway.judgements.table_changes import Column, Table, to_hash, touched, without_ledger
from slipway.messages.rehearsal import LockHeld, Rehearsal, StatementTook, TableTouched

AT = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)


def seen(**facts: Any) -> Rehearsal:
    """Return a rehearsal in which all went well, but for these facts."""
    well = {"schema_before": "a", "schema_after": "b", "schema_again": "b"}
    return Rehearsal.model_validate({"backup_key": "k", "taken_at": AT, **well, **facts})


def names(facts: Rehearsal, *, untouched: bool = True) -> dict[str, str]:
    """Return what is found: rule to severity."""
    return {one.rule: one.severity for one in judge(facts, untouched=untouched)}


def test_nothing_to_say_of_a_migration_that_does_no_harm() -> None:
    assert names(seen()) == {}
    assert summary(seen())[-1] == "No lock was held that keeps services waiting."


def test_what_forbids_a_migration() -> None:
    assert names(seen(error="SQLSTATE 23505: no")) == {"rehearsal-failed": "refuse"}
    assert names(seen(schema_again="c")) == {"not-repeatable": "refuse"}
    assert names(seen(schema_again="", error_again="no")) == {"not-repeatable": "refuse"}
    assert names(seen(broken=["mails: column email is gone"])) == {"read-check-broken": "refuse"}
    assert names(seen(), untouched=False) == {"production-touched": "refuse"}


def test_a_key_lost_while_the_copy_follows_would_stop_every_update() -> None:
    lost = TableTouched(table="public.users", change="altered", key_lost=True)
    assert names(seen(tables=[lost], followed=True)) == {"loses-key": "refuse"}
    assert names(seen(tables=[lost])) == {}


def test_rows_are_logged_whole_where_the_copy_would_else_get_migrated_values() -> None:
    facts = {"table": "public.users", "change": "altered", "changed_columns": ["email"]}
    changed = TableTouched.model_validate({**facts, "updated": 5})
    assert names(seen(tables=[changed], followed=True))["logs-whole-rows"] == "note"
    assert seen(tables=[changed]).expected.changed == ["public.users"]
    assert "logs-whole-rows" not in names(seen(tables=[changed]))
    for other in ({"inserted": 5}, {"updated": 5, "change": "recreated"}):
        only = TableTouched.model_validate({**facts, **other})
        assert seen(tables=[only], followed=True).expected.changed == []


def test_a_lock_is_for_approvers_from_a_second_on() -> None:
    def held(mode: str, seconds: float) -> dict[str, str]:
        return names(seen(locks=[LockHeld(table="t", mode=mode, seconds=seconds)]))

    assert held("AccessExclusiveLock", NOTICED) == {"locks-reads": "block"}
    assert held("AccessExclusiveLock", NOTICED - 0.01) == {"locks-reads": "note"}
    assert held("ShareLock", 2) == {"locks-writes": "block"}
    assert held("RowExclusiveLock", 100) == {}


def test_the_sentence_names_lock_table_length_and_backup() -> None:
    lock = LockHeld(table="users", mode="AccessExclusiveLock", seconds=4.21, statement="ALTER …")
    facts = seen(locks=[lock], busiest=[StatementTook(statement="ALTER …", seconds=4.2)])
    said = summary(facts.model_copy(update={"findings": judge(facts, untouched=True)}))
    assert said == [
        "The pending migrations ran on the backup of 2026-11-23T20:00:00Z in 0 ms, twice alike.",
        "Slowest statement: 4.2 s: ALTER …",
        "ACCESS EXCLUSIVE is held on users (0.0 MiB, 0 rows) for 4.2 s (ALTER …): reads and "
        "writes of it wait meanwhile.",
    ]


def test_what_loses_data_is_for_approvers() -> None:
    def of(**facts: Any) -> dict[str, str]:
        touched_ = TableTouched.model_validate({"table": "t", "change": "altered", **facts})
        return names(seen(tables=[touched_]))

    assert of(change="dropped") == {"drop-table": "block"}
    assert of(change="recreated") == {"recreate-table": "block"}
    assert of(change="renamed", renamed_to="u") == {"rename-table": "block"}
    assert of(dropped_columns=["a"]) == {"drop-column": "block"}
    assert of(changed_columns=["a"], updated=3) == {"changes-data": "block"}
    assert of(changed_columns=["a"], rewritten=True) == {
        "changes-data": "block",
        "rewrites-table": "note",
    }
    assert of(changed_columns=["a"], inserted=3) == {"adds-rows": "note"}
    assert of(updated=3) == {"writes-rows": "note"}
    assert of(change="new", inserted=3) == {}


def test_the_budget_is_ten_times_the_slowest_statement_within_bounds() -> None:
    assert statement_budget(0.1, 900) == 30
    assert statement_budget(5, 900) == 50
    assert statement_budget(500, 900) == 900
    assert statement_budget(0.1, 10) == 10


def test_the_difference_of_schemas_is_bounded_and_leaves_out_what_always_differs() -> None:
    one = "\\restrict a\n-- Dumped by pg_dump version 1\nCREATE TABLE t (\n    id int\n);"
    other = one.replace("restrict a", "restrict b").replace("int", "bigint")
    diff = schema_diff(one, other)
    assert "+    id bigint" in diff
    assert "restrict" not in diff
    long = schema_diff("", "\n".join(f"line {n}" for n in range(10_000)))
    assert long.endswith("lines more")
    assert len(long) <= 16_000


def table(oid: int, name: str, *columns: str, **facts: Any) -> Table:
    """Return a table as the catalogue has it; the first column is its key."""
    made = Table(oid, ("public", name), oid, 0, 0, 0, 0, 0, ordinary=True, counted=True)
    kept = tuple(Column(one, "text", number == 0) for number, one in enumerate(columns))
    return replace(made, columns=kept, **facts)


def test_untouched_tables_are_neither_hashed_nor_told() -> None:
    before = [table(1, "a", "id", "x"), table(2, "b", "id")]
    after = [table(1, "a", "id", "x", size=9, rows=9), table(2, "b", "id", "new")]
    assert to_hash(before, after) == []
    assert [(one.table, one.change) for one in touched(before, after, {})] == [
        ("public.b", "altered")
    ]


def test_what_is_written_rewritten_retyped_or_uncounted_is_hashed() -> None:
    old = table(1, "a", "id", "x")
    for new in (
        replace(old, updated=1),
        replace(old, file=7),
        replace(old, oid=7),
        replace(old, counted=False),
        replace(old, columns=(old.columns[0], Column("x", "int", key=False))),
    ):
        (one,) = to_hash([old], [new])
        assert (one.columns, one.key) == (("id", "x"), ("id",))
    (one,) = to_hash([old], [table(1, "a", "x", updated=1)])
    assert (one.columns, one.key) == (("x",), ())
    assert to_hash([old], [replace(old, updated=1, ordinary=False)]) == []


def test_columns_that_hold_other_content_are_named() -> None:
    old = table(1, "a", "id", "x", "y")
    hashes = {("public", "a"): (["2", "1", "5", "6"], ["2", "1", "5", "7"])}
    (told,) = touched([old], [replace(old, updated=2)], hashes)
    assert told.changed_columns == ["y"]


def test_a_table_that_took_anothers_name_is_recreated_and_the_old_one_renamed() -> None:
    old, aside = table(1, "a", "id"), table(1, "a_old", "id")
    told = touched([old], [aside, table(2, "a", "id")], {})
    assert [(one.table, one.change, one.renamed_to) for one in told] == [
        ("public.a", "recreated", "public.a_old")
    ]


def test_the_tools_own_ledger_is_left_out() -> None:
    assert without_ledger([table(1, "ledger")], "public.ledger") == []
